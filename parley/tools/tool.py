"""Tools and their results, wherever they run: in a service, in an MCP server, or in this process."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from parley.telemetry.logs import log

Arguments = dict[str, Any]
"""Arguments of one call, as the model sent them: a decoded JSON object."""
MAX_RESULT_CHARACTERS = 8_000
"""Limit on a result, in characters; what is cut away is marked by `CUT`."""
MAX_ANSWER_BYTES = 1 << 20
"""Limit on the answer of a service or an MCP server, in bytes, with all messages before it."""
MAX_IDLE = 16
"""Most idle connections to one origin of services, or to one MCP server."""
FAILED = "the tool failed"
"""The error of a tool that gives no reason."""
INVALID_ARGUMENTS = "the arguments are not valid: "
MAX_ERROR_CHARACTERS = 1_000
"""Limit on the words of a failure, in characters."""
CUT = " [cut]"
NOTHING = '{"ok":true}'
"""Result of a call that succeeded without a word."""
UNREACHABLE = "the service can't be reached"


FirstChunk = Callable[[Mapping[str, Any]], bool]
"""Sends metadata in front of an answer's first chunk; returns false where it is too late."""


def too_late(_metadata: Mapping[str, Any]) -> bool:
    """Send nothing: there is no first chunk to come."""
    return False


@dataclass(frozen=True)
class Call:
    """The turn in which a tool is called.

    `session`, `turn_id` and `user` are empty where the platform names none. `request` holds the scalar top-level fields
    of the request that are no fields of OpenAI's, and its query parameters; `template_variables` is that object of the
    body. `seconds` is the time that the call may take. `first_chunk` sends metadata in front of the answer; it returns
    false where it is too late, and raises ValueError for metadata of another form.
    """

    tool_call_id: str
    idempotency_key: str
    session: str = ""
    turn_id: str = ""
    user: str = ""
    request: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    template_variables: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    seconds: float = 10.0
    first_chunk: FirstChunk = too_late

    @property
    def log(self) -> Any:
        """The server's log, for a tool's own lines; they bear the call's id."""
        return log.bind(tool_call_id=self.tool_call_id)


@dataclass(frozen=True)
class Result:
    """Result of a call: `text` is for the model; how the call ended and an HTTP status are for the log."""

    text: str
    outcome: Literal["ok", "error", "timeout", "unreachable"] = "ok"
    status: int | None = None

    @classmethod
    def of(cls, text: str, status: int | None = None) -> "Result":
        """Return the result of a success, cut to its limit."""
        if not text or text.isspace():
            text = NOTHING
        return cls(text if len(text) <= MAX_RESULT_CHARACTERS else text[:MAX_RESULT_CHARACTERS] + CUT, status=status)

    @classmethod
    def failed(
        cls,
        words: str,
        outcome: Literal["error", "timeout", "unreachable"] = "error",
        status: int | None = None,
        body: str = "",
    ) -> "Result":
        """Return the result of a failure, as the model is told; words and body are cut to their limit."""
        told = {"error": words[:MAX_ERROR_CHARACTERS], **({"body": body[:MAX_ERROR_CHARACTERS]} if body else {})}
        return cls(json.dumps(told, ensure_ascii=False, separators=(",", ":")), outcome, status)

    @classmethod
    def timed_out(cls, seconds: float) -> "Result":
        """Return the result of a call whose time is over."""
        said = f"no answer in {seconds:g} s. Do not say that it worked; say that you could not check."
        return cls.failed(said, "timeout")


@dataclass(frozen=True)
class Tool:
    """One tool that may be offered to a model.

    `parameters` is a JSON schema. `run` returns a result and raises nothing but what ends its greenlet; it is called in
    a greenlet of its own, which is killed when the time is over or, with `cancels`, when the caller interrupts.
    `reuse_seconds` is how long a result serves equal calls of one session, `hold_ms` the time before anything is sent,
    `waiting` the phrases said while it runs (empty: the general ones), `interruptable` what the platform is told with
    them. A tool with `after` runs when the answer has been spoken. `strict` is passed on to providers that can hold a
    model to the schema.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    source: Literal["http", "mcp", "python"]
    run: Callable[[Arguments, Call], Result]
    timeout: float | None = None
    waiting: tuple[str, ...] = ()
    interruptable: bool | None = None
    reuse_seconds: float = 0
    hold_ms: int = 0
    after: bool = False
    cancels: bool = False
    read_only: bool = False
    strict: bool = False

    @property
    def definition(self) -> dict[str, Any]:
        """The tool as an entry of a request's `tools`."""
        function: dict[str, Any] = {
            "name": self.name,
            "description": self.description,
            "parameters": dict(self.parameters),
        }
        if self.strict:
            function["strict"] = True
        return {"type": "function", "function": function}
