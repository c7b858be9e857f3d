"""Interrupted turns, told to the model: Agora marks an answer that its caller cut off (`metadata.interrupted`).

    {"role": "assistant", "content": "We have three plans, the first —"}
    {"role": "user", "content": "[You were interrupted; not heard: \\"costs ten dollars.\\"]\\nJust this one."}

Each rendering depends on the marked message alone, so that the beginning of the prompt stays equal turn after turn, and
an upstream's prompt cache keeps it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from parley.wire.content import text_of

DASH = "—"
"""Ends what was heard; stands alone where nothing was, because several upstreams refuse an empty text."""
NOTE_BEGINNING = "[You were interrupted"
MAX_UNHEARD_CHARACTERS = 300
"""Limit on the words that were not heard, in characters."""
_WORD = re.compile(r"\S+")


def with_interruptions(messages: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return the messages with a dash and a note for each that was interrupted; the others as they are."""
    told: list[Any] = []
    notes = ""
    for message in messages:
        if message["role"] == "assistant" and is_interrupted(message):
            heard, original = text_of(message.get("content")), message["metadata"].get("original")
            unheard = unheard_of(heard, original) if isinstance(original, str) else None
            if unheard != "":
                notes += f'{NOTE_BEGINNING}; not heard: "{unheard}"]\n' if unheard else f"{NOTE_BEGINNING} here.]\n"
                message = with_dash(message, heard)
        elif notes and message["role"] == "user":
            message, notes = with_note(message, notes), ""
        told.append(message)
    return told


def is_interrupted(message: Mapping[str, Any]) -> bool:
    """Return True if the platform marked a message as cut off."""
    metadata = message.get("metadata")
    return isinstance(metadata, dict) and metadata.get("interrupted") is True


def unheard_of(heard: str, original: str) -> str | None:
    """Return the rest of the whole text behind what was heard, empty if nothing was cut; None if it begins otherwise.

    White space does not count: the platform puts what was heard together from words.
    """
    written, spoken = "".join(original.split()), "".join(heard.split())
    if not written.startswith(spoken):
        return None
    left = len(spoken)
    start = len(original)
    for word in _WORD.finditer(original):
        if left < len(word[0]):
            start = word.start() + left
            break
        left -= len(word[0])
    rest = " ".join(original[start : start + 8 * MAX_UNHEARD_CHARACTERS].split())
    return rest if len(rest) <= MAX_UNHEARD_CHARACTERS else f"{rest[:MAX_UNHEARD_CHARACTERS]}..."


def with_dash(message: Mapping[str, Any], heard: str) -> Mapping[str, Any]:
    """Return a message whose text ends in a dash; one that has calls or sound in place of a text as it is."""
    content = message.get("content")
    if not heard.strip() and any(message.get(name) for name in ("tool_calls", "function_call", "audio")):
        return message
    if not isinstance(content, list):
        return {**message, "content": f"{heard.rstrip()} {DASH}".lstrip()}
    # Behind the last words, which need not be in the last part.
    last = max((at for at, part in enumerate(content) if text_of([part]).strip()), default=None)
    if last is None:
        return {**message, "content": [*content, {"type": "text", "text": DASH}]}
    part = content[last]
    text = f"{text_of([part]).rstrip()} {DASH}"
    ended = {**part, "text": text} if isinstance(part, dict) else text
    return {**message, "content": [*content[:last], ended, *content[last + 1 :]]}


def with_note(message: Mapping[str, Any], notes: str) -> Mapping[str, Any]:
    """Return a user's message with notes in front of its text; as it is if it begins as a note does."""
    content = message.get("content")
    if text_of(content).startswith(NOTE_BEGINNING):
        return message
    if isinstance(content, list):
        return {**message, "content": [{"type": "text", "text": notes}, *content]}
    return {**message, "content": f"{notes}{content or ''}"}
