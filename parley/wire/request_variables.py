"""The values of a request that templates of the operator's may use: in tools, in an agent's system prompt."""

from collections.abc import Mapping
from typing import Any

from parley.wire.request import OPENAI_FIELDS, ChatRequest

MAX_CHARACTERS = 4096
"""Longest value of a private field that templates may use."""


def private_values(chat: ChatRequest) -> dict[str, Any]:
    """Return the scalar fields of a request that are no fields of OpenAI's, and those of its query."""
    query = {name: value for name, value in chat.origin.query.items() if is_scalar(value)}
    private = {name: value for name, value in chat.body.items() if name not in OPENAI_FIELDS and is_scalar(value)}
    return {**query, **private}


def template_variables(chat: ChatRequest) -> Mapping[str, Any]:
    """Return the variables that the platform fills in for a call; none if they are no object."""
    variables = chat.body.get("template_variables")
    return variables if isinstance(variables, dict) else {}


def is_scalar(value: Any) -> bool:
    """Return true for a number, a truth value or a text that is not too long."""
    return isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= MAX_CHARACTERS)
