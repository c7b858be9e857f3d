"""Variables in a system prompt, filled in for one request.

    {{date}} {{time}} {{weekday}}     now, in the agent's time zone: 2026-11-28, 14:05, Saturday
    {{request.x}}                     a scalar field of the request that is no field of OpenAI's, else of its query
    {{template_variables.x}}          what the platform fills in for a call, else as {{request.x}}

A prompt that holds `{{time}}` differs from minute to minute, so that no provider can cache it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from parley.wire.request import ChatRequest
from parley.wire.request_variables import private_values, template_variables

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_VARIABLE = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


@dataclass(frozen=True)
class SystemPrompt:
    """A text with variables: texts and names take turns, a text first."""

    parts: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "SystemPrompt":
        """Return the prompt of a text; braces without a pair are text."""
        return cls(tuple(_VARIABLE.split(text)))

    def fill(self, chat: ChatRequest, now: datetime, tell_unknown: Callable[[str], None]) -> str:
        """Return the text for a request; a variable without a value leaves nothing, and its name is told."""
        if len(self.parts) == 1:
            return self.parts[0]
        values = _Values(chat, now)
        filled = list(self.parts)
        for at in range(1, len(filled), 2):
            value = values.value(filled[at])
            if value is None:
                tell_unknown(filled[at])
            filled[at] = as_text(value)
        return "".join(filled)


class _Values:
    """The values of one request; those of its body are looked up when the first is needed."""

    def __init__(self, chat: ChatRequest, now: datetime) -> None:
        self._chat = chat
        self._now = now
        self._private: dict[str, Any] | None = None

    def value(self, name: str) -> Any:
        """Return the value of a variable, None where there is none."""
        if name == "date":
            return self._now.date().isoformat()
        if name == "time":
            return f"{self._now:%H:%M}"
        if name == "weekday":
            # Not %A, which is in the language of the process.
            return WEEKDAYS[self._now.weekday()]
        source, _, field = name.partition(".")
        if source == "template_variables" and (value := template_variables(self._chat).get(field)) is not None:
            return value
        if source in ("request", "template_variables"):
            if self._private is None:
                self._private = private_values(self._chat)
            return self._private.get(field)
        return None


def as_text(value: Any) -> str:
    """Return a JSON value as it reads in a text; nothing for null."""
    if value is None or isinstance(value, str):
        return value or ""
    return msgspec.json.encode(value).decode()
