"""The operator's system prompt in a conversation: one system message, the first, because many models refuse a second.

prepend     the operator's text, then all system and developer texts of the request, blank lines between
replace     the operator's text alone
fallback    the request's own texts; the operator's if it has none
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from parley.wire.content import text_of

SystemMode = Literal["prepend", "replace", "fallback"]
ROLES = ("system", "developer")
"""Roles of the messages that the operator of an agent writes."""


def with_system(messages: Sequence[Mapping[str, Any]], text: str, mode: SystemMode) -> list[Any]:
    """Return the messages with the operator's text as their system message."""
    places = [at for at, message in enumerate(messages) if message["role"] in ROLES]
    # An empty text says nothing, and some upstreams refuse it.
    given = [said for at in places if (said := text_of(messages[at].get("content"))).strip()]
    if mode == "fallback" and given and places == [0] and messages[0]["role"] == "system":
        # As it came: it may have parts with fields of their own.
        return list(messages)
    texts = {"prepend": [text, *given], "replace": [text], "fallback": given or [text]}[mode]
    others = [message for message in messages if message["role"] not in ROLES]
    return [{"role": "system", "content": "\n\n".join(texts)}, *others]
