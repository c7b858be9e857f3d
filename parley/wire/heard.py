"""The part of an upstream's answer that a caller hears, which is less than what is sent.

    heard       words of the content or of a refusal, sound, tool calls
    not heard   thoughts, in a field of their own or in the content; white space; roles, ids, annotations
    withheld    an answer that a filter ended: it need not hold a word

A chunk goes to the caller in any case; what is heard decides how long the caller has waited, and whether to ask again.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from parley.wire.chunks import ChunkView
from parley.wire.content import is_thought, words_of

_UNSPOKEN = re.compile(r"[\s\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]*")
"""White space and the marks of Unicode that have no sound: text of these alone is no word."""
THOUGHT_TAGS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<thoughts>": "</thoughts>",
    "<reasoning>": "</reasoning>",
    "<reason>": "</reason>",
    "<seed:think>": "</seed:think>",
    "[think]": "[/think]",
    "◁think▷": "◁/think▷",
    "<|channel|>analysis": "<|channel|>final<|message|>",
    "<|start_thinking|>": "<|end_thinking|>",
    "<|begin_of_thought|>": "<|end_of_thought|>",
}
"""Marks around thoughts at the begin of a content, in small letters: of servers that do not take them out."""
LONGEST_TAG = max(map(len, [*THOUGHT_TAGS, *THOUGHT_TAGS.values()]))


def has_words(content: Any) -> bool:
    """Return True if a content, or one of its parts, holds a word that is meant for the caller."""
    # What is heard is what speech says, whatever JSON type it has.
    return not _UNSPOKEN.fullmatch(content if isinstance(content, str) else words_of(content).text)


def has_sound(audio: Any) -> bool:
    """Return True if a field `audio` holds sound or a transcript, not its id or its end alone."""
    return isinstance(audio, dict) and (bool(audio.get("data")) or has_words(audio.get("transcript")))


HEARD_FIELDS: Mapping[str, Callable[[Any], bool]] = {
    "content": has_words,
    "refusal": has_words,
    "audio": has_sound,
    "tool_calls": bool,
    "function_call": bool,
}
"""Fields of a delta or a message that a caller hears or acts on, each with its test for something in it.

Thoughts are in none of them: `reasoning_content`, `reasoning`, `reasoning_details`, `thinking`, `thinking_blocks`.
"""
WITHHELD_REASONS = frozenset(
    {
        *("blocklist", "content_filter", "content_filtered", "error_toxic", "guardrail_intervened", "image_safety"),
        *("prohibited_content", "recitation", "refusal", "safety", "sensitive", "spii"),
    }
)
"""Finish reasons, in small letters, of an answer that was withheld on purpose."""


def is_heard(fields: Mapping[str, Any]) -> bool:
    """Return True if a caller hears anything of a delta or a message, marks in its content aside."""
    # Gemini writes thoughts into the content, and tells so beside it: {"google": {"thought": true}}.
    if is_thought(fields):
        return False
    return any(HEARD_FIELDS[name](value) for name, value in fields.items() if name in HEARD_FIELDS)


def is_withheld(finish_reason: Any) -> bool:
    """Return True for the finish reason of an answer that was withheld on purpose."""
    return str(finish_reason).lower().replace("-", "_") in WITHHELD_REASONS


class HeardDetector:
    """Tells with which chunk of a stream something is first heard; a content that begins with a mark of thoughts is
    heard behind the mark that ends them.

        begin --a mark--> thoughts --its end--> begin
          |
          +--anything else--> heard
    """

    def __init__(self) -> None:
        self._contents: dict[object, str] = {}

    def feed(self, view: ChunkView) -> bool:
        """Return True if something of a chunk is heard."""
        return any([self._hears(choice.key, choice.fields) for choice in view.choices or ()])

    def _hears(self, index: object, delta: Mapping[str, Any]) -> bool:
        content = delta.get("content")
        if not isinstance(content, str) or not is_heard(delta):
            return is_heard(delta)
        self._contents[index] = text = without_thoughts(self._contents.get(index, "") + content)
        is_open = any(text.startswith(mark) or mark.startswith(text.lower()) for mark in THOUGHT_TAGS)
        return not is_open or is_heard({**delta, "content": None})


def without_thoughts(content: str) -> str:
    """Return the content behind the thoughts at its begin; of thoughts that have not ended only their marks."""
    while True:
        content = content.lstrip()
        small = content[:LONGEST_TAG].lower()
        mark = next((mark for mark in THOUGHT_TAGS if small.startswith(mark)), None)
        if mark is None:
            return content
        # Not `lower`: some letters become two by it, and shift what follows.
        end = re.compile(re.escape(THOUGHT_TAGS[mark]), re.IGNORECASE).search(content, len(mark))
        if end is None:
            # The end may be cut between two chunks; the thoughts themselves are not needed.
            return mark + content[len(mark) :][-LONGEST_TAG:]
        content = content[end.end() :]


class _Choice(msgspec.Struct):
    message: Any = None
    finish_reason: Any = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]


def is_wordless(completion: bytes) -> bool:
    """Return True if nothing is heard of a whole answer, and it was not withheld on purpose either.

    False as well for an answer of another form, which others judge.
    """
    try:
        choices = msgspec.json.decode(completion, type=_Completion).choices
    except msgspec.DecodeError:
        return False
    return not any(is_withheld(choice.finish_reason) or _is_message_heard(choice.message) for choice in choices)


def _is_message_heard(message: Any) -> bool:
    """Return True if a caller hears anything of a message, or if it has a form that is not known here."""
    if not isinstance(message, dict):
        return message is not None
    # The note counts for a piece; in a whole message only marks part the thoughts from the rest.
    message = {**message, "extra_content": None}
    content = message.get("content")
    if not isinstance(content, str):
        return is_heard(message)
    content = without_thoughts(content)
    # Only thoughts that have not ended keep their mark.
    return is_heard({**message, "content": None if content.startswith(tuple(THOUGHT_TAGS)) else content})
