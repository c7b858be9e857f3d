"""The part of an upstream's answer that a caller hears, which is less than what is sent.

    heard       words of the content or of a refusal, sound, tool calls
    not heard   thoughts, in a field of their own or in the content; white space; roles, ids, annotations
    withheld    an answer that a filter ended: it need not hold a word

A chunk goes to the caller in any case; what is heard decides how long the caller has waited, and whether to ask again.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from parley.wire.chunks import ChunkView
from parley.wire.content import HEARD_FIELDS, SAID_FIELDS, is_thought, words_of
from parley.wire.endings import is_withheld
from parley.wire.thoughts import BREAKS, FLAGS, SPECIAL_TOKEN, TAG_BEGUN, THOUGHTS, literal

_UNSPOKEN = re.compile(r"[\s\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]*")
"""White space and the marks of Unicode that have no sound: text of these alone is no word."""
_OPENING = re.compile(
    "|".join(f"(?P<kind{number}>{marks.opening})" for number, marks in enumerate(THOUGHTS) if not marks.leads), FLAGS
)
"""Matches what opens thoughts at the beginning of a content. Ordinary words do not: an answer may begin with them."""
_ENDS = tuple(re.compile(f"{marks.closing}|(?={marks.until})", FLAGS) for marks in THOUGHTS)
"""Match the end of each kind of thought."""
_PASSED_OVER = re.compile(f"{literal(BREAKS)}|{SPECIAL_TOKEN}", FLAGS)
"""Matches marks before the words of an answer."""
_STRINGS = {text for marks in THOUGHTS if not marks.leads for text in marks.strings} | set(BREAKS)
_BEGUN = {text[:size] for text in _STRINGS for size in range(1, len(text))}
KEPT_CHARACTERS = 100
"""Characters of thoughts that are kept, because the mark of their end may be cut in two."""


def has_words(content: Any) -> bool:
    """Return True if a content, or one of its parts, holds a word that is meant for the caller."""
    return not _UNSPOKEN.fullmatch(content if isinstance(content, str) else words_of(content).text)


def has_sound(audio: Any) -> bool:
    """Return True if a field `audio` holds sound or a transcript, not its id or its end alone."""
    return isinstance(audio, dict) and (bool(audio.get("data")) or has_words(audio.get("transcript")))


def is_heard(fields: Mapping[str, Any]) -> bool:
    """Return True if a caller hears anything of a delta or a message, marks in its content aside."""
    # Gemini writes thoughts into the content, and tells so beside it: {"google": {"thought": true}}.
    if is_thought(fields):
        return False
    return any(holds_heard(name, value) for name, value in fields.items() if name in HEARD_FIELDS)


def holds_heard(name: str, value: Any) -> bool:
    """Return True if one of `HEARD_FIELDS` holds something that is heard."""
    if name in SAID_FIELDS:
        return has_words(value)
    return has_sound(value) if name == "audio" else bool(value)


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
        # White space alone is not heard, but may be part of a tag.
        if not isinstance(content, str) or (has_words(content) and not is_heard(delta)):
            return is_heard(delta)
        self._contents[index] = text = without_thoughts(self._contents.get(index, "") + content)
        return is_heard({**delta, "content": None if is_open(text) or may_open(text) else text})


def without_thoughts(content: str) -> str:
    """Return the content behind the thoughts at its beginning; of thoughts that have not ended only a part."""
    while True:
        content = content.lstrip()
        if opening := _OPENING.match(content):
            end = _ENDS[int((opening.lastgroup or "")[4:])].search(content, opening.end())
            if end is None:
                return opening[0] + content[opening.end() :][-KEPT_CHARACTERS:]
            content = content[end.end() :]
        elif not may_open(content) and (passed_over := _PASSED_OVER.match(content)):
            content = content[passed_over.end() :]
        else:
            return content


def is_open(content: str) -> bool:
    """Return true if a content, of which ended thoughts have been taken out, begins with thoughts."""
    return _OPENING.match(content) is not None


def may_open(content: str) -> bool:
    """Return true if a content is the beginning of a mark, whose rest may follow."""
    return content.lower() in _BEGUN or TAG_BEGUN.match(content) is not None


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
    return is_heard({**message, "content": None if is_open(content) else content})
