"""The facts of a request that its calls of tools may use."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from parley.wire.platforms import clean
from parley.wire.request import OPENAI_FIELDS, ChatRequest

MAX_CHARACTERS = 4096
"""Longest value of a private field that tools may use."""


@dataclass(frozen=True)
class CallFacts:
    """The names of a request's session, turn and user, each empty if it has none.

    `request` holds the scalar fields of the request that are no fields of OpenAI's, and those of its query.
    """

    session: str = ""
    turn_id: str = ""
    user: str = field(default="", repr=False)
    request: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    template_variables: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), repr=False)


def call_facts(chat: ChatRequest) -> CallFacts:
    """Return the facts of a request."""
    body, query = chat.body, chat.origin.query
    private = {name: value for name, value in body.items() if name not in OPENAI_FIELDS and is_scalar(value)}
    variables = body.get("template_variables")
    return CallFacts(
        chat.caller.session,
        clean(body.get("turn_id")),
        chat.caller.user,
        MappingProxyType({**{name: value for name, value in query.items() if is_scalar(value)}, **private}),
        MappingProxyType(variables if isinstance(variables, dict) else {}),
    )


def is_scalar(value: Any) -> bool:
    """Return true for a number, a truth value or a text that is not too long."""
    return isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= MAX_CHARACTERS)
