"""Shared by the streamed and the whole answer of a turn with tools: those that are offered, the conversation so far.

A pass is one question to the upstream. Behind each pass that calls tools, its message and their results are put behind
the conversation; nothing of them is kept beyond the turn.
"""

from collections.abc import Sequence
from typing import Any

from parley.services import Services
from parley.telemetry.logs import log
from parley.tools.call_facts import call_facts
from parley.tools.running import TurnCalls
from parley.tools.tool import FirstChunk, Tool, too_late
from parley.turn_record import TurnRecord
from parley.wire.calls import Calls
from parley.wire.phrases import in_history
from parley.wire.request import ChatRequest
from parley.wire.tool_call import CalledTool, text_field
from parley.wire.usage import added


def offered_tools(chat: ChatRequest, services: Services) -> dict[str, Tool]:
    """Return the tools of ours that the model is offered for this request, by name.

    None where one answer is not enough, where the request forbids tools or uses the older `functions`, and for the
    embedded model, which knows none. A tool that the request brings itself is the request's.
    """
    if services.toolbox is None:
        return {}
    offered, body = services.toolbox.tools(chat.options.tools), chat.body
    if not offered or services.settings.tool_passes < 2 or services.quotes:
        return {}
    own = body.get("tools") or []
    is_plain = body.get("n") in (None, 1) and body.get("tool_choice") != "none" and not body.get("functions")
    if not is_plain or not isinstance(own, list):
        return {}
    taken = {text_field(each.get("function"), "name") for each in own if isinstance(each, dict)}
    tools = {tool.name: tool for tool in offered}
    logged = services.tool_runner.replaced
    for name in taken & tools.keys():
        if name not in logged:
            logged.add(name)
            log.info("tool_of_request", name=name, hint="the request's own tool of this name is used, not the server's")
    return {name: tool for name, tool in tools.items() if name not in taken}


class ToolTurn:
    """A turn with tools: the conversation as it grows, the calls, the usage so far."""

    def __init__(
        self,
        chat: ChatRequest,
        record: TurnRecord,
        services: Services,
        tools: dict[str, Tool],
        first_chunk: FirstChunk = too_late,
    ) -> None:
        self._services = services
        self._record = record
        self._tools = tools
        # As behind a lookup: a model that reads our phrases would begin to speak like them.
        of_turn = chat.options.waiting_messages or services.waiting_messages(chat.kb)
        phrases = [*of_turn, *(phrase for tool in tools.values() for phrase in tool.waiting)]
        self._chat = chat.without_phrases(in_history(phrases, chat.options.platform))
        self._has_others = bool(chat.body.get("tools"))
        self._choice: str | None = None
        self._exchange: list[dict[str, Any]] = []
        if record.notes:
            record.notes.follow(self._exchange)
        self._ids: set[str] = set()
        self._usage: Any = None
        self._tick = services.settings.heartbeat or services.settings.idle_timeout
        self._calls = TurnCalls(services.tool_runner, tools, call_facts(chat), len(chat.messages), record, first_chunk)
        record.passes = record.fillers = 0

    def _next_request(self) -> ChatRequest:
        """Return the request of the next pass."""
        self._record.passes = (self._record.passes or 0) + 1
        if self._is_last:
            self._choice = "none"
        elif self._exchange and self._chat.body.get("tool_choice") not in (None, "auto"):
            # What was forced has been called: forced again, it would be called for ever.
            self._choice = "auto"
        # Also in the last pass: some servers refuse the results of tools that are not listed.
        definitions = [tool.definition for tool in self._tools.values()]
        return self._chat.with_tools(definitions, self._exchange, self._choice)

    @property
    def _is_last(self) -> bool:
        passes = self._record.passes or 0
        return passes >= self._services.settings.tool_passes or self._calls.is_spent

    def _are_to_be_run(self, calls: Calls) -> bool:
        """Return true if a pass consists of calls that are to be run; behind the last one nobody is asked again."""
        return calls.are_to_be_run and self._choice != "none"

    def _begin_calls(self, calls: Calls) -> list[CalledTool]:
        """Begin the calls of a pass; return them. The model will read what it said, and its calls."""
        message, called = calls.message(self._ids)
        self._exchange.append(message)
        self._usage = added(self._usage, calls.usage)
        self._calls.begin(called)
        return called

    def _tell_results(self, called: Sequence[CalledTool]) -> None:
        """Put the results behind the calls, in the model's order."""
        for call, content in zip(called, self._calls.take_results(), strict=True):
            self._exchange.append({"role": "tool", "tool_call_id": call.id, "content": content})

    def _log_dropped(self, calls: Calls) -> None:
        """Log the calls of ours that can't be run: the platform's history could not hold their results."""
        if calls.dropped:
            # Not held back as a repeated warning would be: each time a caller did not get what the model meant.
            log.info("tool_dropped", id=self._record.id, names=", ".join(sorted({*calls.dropped} & {*self._tools})))

    def _finish(self) -> None:
        """Let go of the calls that still run, and note in the record which tools were called."""
        self._calls.close()
        self._record.tools = ", ".join(self._calls.names) or None
        self._record.tool_ms = round(self._calls.seconds * 1000, 1) if self._calls.names else None
