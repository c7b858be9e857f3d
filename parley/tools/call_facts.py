"""The facts of a request that its calls of tools may use."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from parley.wire.platforms import clean
from parley.wire.request import ChatRequest
from parley.wire.request_variables import private_values, template_variables


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
    return CallFacts(
        chat.caller.session,
        clean(chat.body.get("turn_id")),
        chat.caller.user,
        MappingProxyType(private_values(chat)),
        MappingProxyType(template_variables(chat)),
    )
