"""The users of a call, told to the model in front of their words: their state (`presence`), their names.

    presence    [State of the callers: {"1002":{"selection":"Plan B"}}]     in front of the last user message
    speakers    [1002] What does it cost?                                   each user text, if two users spoke

The state changes with each turn, so it is no part of the system prompt, which an upstream's prompt cache holds.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from parley.wire import upstream_json
from parley.wire.platforms import as_object, clean

MAX_STATE_CHARACTERS = 1024
"""Limit on the state, in characters of compact JSON."""
_PARENTHESES = str.maketrans("[]", "()")


def presence_of(body: Mapping[str, Any]) -> str:
    """Return the line that tells the callers' state, with its end; empty where the request tells none."""
    context = as_object(body.get("context"))
    state = as_object(context.get("presence")) if isinstance(context, dict) else None
    if not state or not isinstance(state, dict | list | str):
        return ""
    # No bracket of a value may end the note.
    told = (state if isinstance(state, str) else upstream_json.encode(state).decode()).translate(_PARENTHESES)
    told = " ".join(told.splitlines())
    if len(told) > MAX_STATE_CHARACTERS:
        told = f"{told[: MAX_STATE_CHARACTERS - 3]}..."
    return f"[State of the callers: {told}]\n"


def with_callers(messages: Sequence[Mapping[str, Any]], presence: str, *, speakers: bool) -> list[Any]:
    """Return the messages with the state in front of the last user message and, with `speakers`, with their names."""
    users = [at for at, message in enumerate(messages) if message["role"] == "user"]
    names = {at: speaker_of(messages[at]) for at in users} if speakers else {}
    if len({name for name in names.values() if name}) < 2:
        names = {}
    told = list(messages)
    for at in users:
        before = presence if at == users[-1] else ""
        if name := names.get(at):
            before += f"[{name}] "
        if before:
            told[at] = with_words_before(messages[at], before)
    return told


def speaker_of(message: Mapping[str, Any]) -> str:
    """Return the name of the user who said a message, as the platform tells it; empty if it does not."""
    metadata = message.get("metadata")
    return clean(metadata.get("user")).translate(_PARENTHESES) if isinstance(metadata, dict) else ""


def with_words_before(message: Mapping[str, Any], words: str) -> dict[str, Any]:
    """Return a message with words in front of its text; those of a list of parts become a part of their own."""
    content = message.get("content")
    if isinstance(content, list):
        return {**message, "content": [{"type": "text", "text": words}, *content]}
    return {**message, "content": f"{words}{content or ''}"}
