"""The caller behind a request, as voice platforms name it: the session, the turn, the user; the platform itself."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from parley.wire.request import OPENAI_FIELDS, ChatRequest

_CLEAN = re.compile(r"[ -~]{1,128}")
"""Matches a session or a user that is kept."""
MAX_CHARACTERS = 4096
"""Longest value of a private field that tools may use."""


@dataclass(frozen=True)
class Caller:
    """The names of a request's session, turn and user, each empty if it has none.

    `request` holds the scalar fields of the request that are no fields of OpenAI's, and those of its query.
    """

    session: str = ""
    turn_id: str = ""
    user: str = field(default="", repr=False)
    request: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    template_variables: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), repr=False)


def caller_of(chat: ChatRequest) -> Caller:
    """Return the caller of a request. A name that is no clean text of at most 128 characters counts as none."""
    body, query = chat.body, chat.origin.query
    said: dict[str, Any] = next((message for message in reversed(chat.messages) if message["role"] == "user"), {})
    metadata = said.get("metadata")
    users = (body.get("user"), metadata.get("user") if isinstance(metadata, dict) else None)
    private = {name: value for name, value in body.items() if name not in OPENAI_FIELDS and is_scalar(value)}
    variables = body.get("template_variables")
    return Caller(
        first_name(*chat.sessions),
        first_name(body.get("turn_id")),
        first_name(*users),
        MappingProxyType({**{name: value for name, value in query.items() if is_scalar(value)}, **private}),
        MappingProxyType(variables if isinstance(variables, dict) else {}),
    )


def is_from_agora(chat: ChatRequest) -> bool:
    """Return true if a request bears the marks of Agora's engine: the turn and its time at the top."""
    return all(chat.body.get(name) is not None for name in ("turn_id", "timestamp"))


def first_name(*values: Any) -> str:
    """Return the first of these values that is a number or a clean text; empty if none is."""
    texts = [str(value) for value in values if isinstance(value, str | int) and not isinstance(value, bool)]
    return next((text for text in texts if _CLEAN.fullmatch(text)), "")


def is_scalar(value: Any) -> bool:
    """Return true for a number, a truth value or a text that is not too long."""
    return isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= MAX_CHARACTERS)
