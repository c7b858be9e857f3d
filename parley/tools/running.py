"""Calls of tools, run beside one another: those of a turn (`TurnCalls`), of all turns of a worker (`ToolRunner`).

    begun ──► held (`hold_ms`) ──► running ──► ended: its result is told to the model
                 │                    │
                 │                    ├── its time is over ──► ended: timeout
                 │                    ├── the turn ends, and the tool may be cancelled ──► cancelled
                 │                    └── the turn ends, and it may not ──► detached: runs on, nobody hears the result
                 └── the turn ends ──► cancelled: nothing has been sent

A call that is equal to an earlier one of the turn is not run again, and one that can't be run is refused. A tool with
`after` is answered at once and runs when the answer has been spoken. Each call leaves one log line; neither that nor a
metric holds anything of its arguments or its result.
"""

import functools
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import gevent

from parley.concurrency import Failure, outcome_of
from parley.telemetry import metrics
from parley.telemetry.logs import log
from parley.tools.call_facts import CallFacts
from parley.tools.tool import FAILED, INVALID_ARGUMENTS, Arguments, Call, FirstChunk, Result, Tool, too_late
from parley.turn_record import TurnNotes, TurnRecord
from parley.wire.tool_call import CalledTool

MAX_CALLS_AT_ONCE = 8
"""Most calls of one message that are run."""
MAX_RUNNING = 256
"""Most calls that run at once in a worker, those that were detached included."""
MAX_KEPT_RESULTS = 1_000
"""Results that are kept for equal calls of a session; one more, and the oldest is forgotten."""
MAX_FAULT_CHARACTERS = 300
"""Longest reason why arguments are not valid, in characters."""
CHARACTERS_A_SECOND = 14.0
"""Pace at which an answer is spoken, about."""
MAX_SPEAKING_SECONDS = 15.0
"""Longest time for which an `after` tool waits for the answer to have been spoken."""
LEAST_SECONDS = 0.1
"""Least time between the end of an answer and an `after` tool."""
PROMISED = '{"ok":true,"when":"after your next words"}'
"""Result that the model gets for an `after` tool."""
Ended = Literal["ok", "error", "timeout", "unreachable", "cancelled", "detached", "reused", "refused"]
"""Ending of a call, in its log line and the metrics."""


class ToolRunner:
    """The calls of a worker's turns: their limits, and the results that equal calls of a session share.

    A call may take `timeout` seconds unless its tool says otherwise, all calls of a turn together `budget`.
    """

    def __init__(self, *, timeout: float, budget: float) -> None:
        self.timeout = timeout
        self.budget = budget
        self.running: set[Run] = set()
        # Names that were logged because a request brings a tool of that name.
        self.replaced: set[str] = set()
        self._kept: dict[tuple[str, ...], tuple[float, Result]] = {}

    def kept_result(self, key: tuple[str, ...]) -> Result | None:
        """Return the result of an equal call of this session, if one still serves."""
        until, result = self._kept.get(key, (0.0, None))
        return result if time.monotonic() < until else None

    def keep_result(self, key: tuple[str, ...], result: Result, seconds: float) -> None:
        """Keep a result for equal calls of its session."""
        self._kept.pop(key, None)
        while len(self._kept) >= MAX_KEPT_RESULTS:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = time.monotonic() + seconds, result

    def add(self, run: "Run") -> None:
        """Count a call among those that run."""
        self.running.add(run)
        metrics.RUNNING_TOOL_CALLS.set(len(self.running))

    def discard(self, run: "Run") -> None:
        """Count a call no longer; it may have been discarded before."""
        self.running.discard(run)
        metrics.RUNNING_TOOL_CALLS.set(len(self.running))

    def finish(self, seconds: float) -> None:
        """Wait for the calls that no turn waits for any more, for so many seconds at most."""
        gevent.joinall([run.greenlet for run in self.running], timeout=max(0.0, seconds))


class Run:
    """One call while it runs in a greenlet of its own. `result` is set once the model may be told."""

    def __init__(self, runner: ToolRunner, tool: Tool, arguments: Arguments, call: Call, request_id: str) -> None:
        self.tool = tool
        self.result: Result | None = None
        self.kept_as: tuple[str, ...] | None = None
        self._runner = runner
        self._arguments = arguments
        self._call = call
        self._request_id = request_id
        self._is_sent = self._is_detached = self._is_logged = False
        # Called with the text of a result that no model has waited for.
        self.tell_late: list[Callable[[str], None]] = []
        self._started = time.monotonic()
        hold = 0.0 if tool.after else tool.hold_ms / 1000
        # A little later than the tool's own end: its timer says what happened.
        self.give_up_at = self._started + hold + call.seconds + 0.02
        self.greenlet: gevent.Greenlet = gevent.Greenlet(self._work, hold)

    def start(self, delay: float = 0.0) -> None:
        """Run the call, now or after so many seconds."""
        # Counted from here, so that one message can't begin more than there is room for.
        self._runner.add(self)
        self.greenlet.start_later(delay) if delay else self.greenlet.start()

    def give_up(self) -> None:
        """Tell the model that the time is over; the call is ended, or goes on alone if it may not be cancelled."""
        self.result = Result.timed_out(round(min(self._call.seconds, time.monotonic() - self._started), 1))
        self._log("timeout")
        if self.tool.cancels or time.monotonic() >= self.give_up_at:
            self.greenlet.kill(block=False)

    def leave(self) -> None:
        """Let the call go, because its turn has ended."""
        if self.result is not None:
            # It has come, but the model has not been asked again.
            self._tell_late(self.result)
            return
        if self.tool.cancels or not self._is_sent:
            self._log("cancelled")
            self._runner.discard(self)
            self.greenlet.kill(block=False)
        else:
            self._is_detached = True

    def _work(self, hold: float) -> None:
        try:
            if hold:
                gevent.sleep(hold)
            # From here on the tool may have had an effect.
            self._is_sent = True
            self._started = time.monotonic()
            result = None
            with gevent.Timeout(self._call.seconds, False):
                result = result_of_run(self.tool, self._arguments, self._call)
            self._arrive(result or Result.timed_out(self._call.seconds))
        except gevent.GreenletExit:
            # Break the cycle greenlet -> exception -> traceback -> this frame -> greenlet.
            return
        finally:
            self._runner.discard(self)

    def _arrive(self, result: Result) -> None:
        """Take the result, unless it comes too late."""
        if self._is_detached or self.result is not None:
            self._tell_late(result)
        if self.result is None:
            self._log("detached" if self._is_detached else result.outcome, result.status)
            self.result = result
            if self.kept_as and result.outcome == "ok":
                self._runner.keep_result(self.kept_as, result, self.tool.reuse_seconds)

    def _tell_late(self, result: Result) -> None:
        for tell in self.tell_late:
            tell(told(result))

    def _log(self, ended: Ended, status: int | None = None) -> None:
        if not self._is_logged:
            self._is_logged = True
            log_end(self._request_id, self.tool, ended, status, time.monotonic() - self._started)


class TurnCalls:
    """The calls of one turn, message by message; must be closed, which lets go of those that still run."""

    def __init__(
        self,
        runner: ToolRunner,
        tools: Mapping[str, Tool],
        facts: CallFacts,
        said: int,
        record: TurnRecord,
        first_chunk: FirstChunk = too_late,
    ) -> None:
        self.names: list[str] = []
        self.seconds = 0.0
        self._runner = runner
        self._tools = tools
        self._facts = facts
        self._first_chunk = first_chunk
        # Where the platform numbers no turns, the length of the conversation tells one from the next.
        self._turn = facts.turn_id or f"{said} messages"
        self._record = record
        self._earlier: dict[tuple[str, str], Run | Result] = {}
        self._planned: list[Run] = []
        self._now: list[Run | Result] = []
        self._began = 0.0

    @property
    def is_spent(self) -> bool:
        """True if the calls of the turn have used up their time."""
        return self.seconds >= self._runner.budget

    @property
    def waited_for(self) -> list[Tool]:
        """The tools whose results are still to come, in the model's order."""
        return [run.tool for run in self._now if isinstance(run, Run) and run.result is None]

    def begin(self, calls: Sequence[CalledTool]) -> None:
        """Begin the calls of one message, all at once."""
        self._began = time.monotonic()
        self._now = [self._one(call, number) for number, call in enumerate(calls)]
        if notes := self._record.notes:
            for call, run in zip(calls, self._now, strict=True):
                if isinstance(run, Run):
                    run.tell_late.append(functools.partial(tell_late, notes, call.id))

    def wait(self, seconds: float) -> bool:
        """Wait for the results, for so many seconds at most; return true if all are there."""
        deadline = self._began + self._runner.budget - self.seconds
        runs = [run for run in self._now if isinstance(run, Run) and run.result is None]
        if runs:
            last = min(deadline, *(run.give_up_at for run in runs))
            gevent.joinall([run.greenlet for run in runs], timeout=max(0.0, min(seconds, last - time.monotonic())))
        for run in runs:
            # By the clock, not by the greenlet: a function that holds on to its greenlet must not hold the caller.
            if run.result is None and (run.greenlet.dead or time.monotonic() >= min(deadline, run.give_up_at)):
                run.give_up()
        return not self.waited_for

    def take_results(self) -> list[str]:
        """Return the texts of the results in the model's order, and count the time that they took."""
        self.seconds += time.monotonic() - self._began
        results = [one.result if isinstance(one, Run) else one for one in self._now]
        self._now = []
        return [told(result) for result in results if result is not None]

    def end(self, characters: int) -> None:
        """Run what was to run after the answer, of which so many characters are spoken."""
        planned, self._planned = self._planned, []
        for run in planned:
            # The end of the answer leaves first, however short it is.
            run.start(max(LEAST_SECONDS, min(MAX_SPEAKING_SECONDS, characters / CHARACTERS_A_SECOND)))

    def close(self) -> None:
        """Cancel the calls that may be cancelled, and detach the others."""
        for run in [*self._now, *self._planned]:
            if isinstance(run, Run):
                run.leave()
        self._now, self._planned = [], []

    def _one(self, called: CalledTool, number: int) -> Run | Result:
        """Return the run of a call, or its result where there is nothing to run."""
        tool = self._tools.get(called.name)
        if tool is not None:
            self.names.append(tool.name)
        if tool is None:
            return self._refused(None, f"there is no tool {called.name[:64]}")
        if number >= MAX_CALLS_AT_ONCE or len(self._runner.running) >= MAX_RUNNING:
            return self._refused(tool, "too many calls at once")
        if called.arguments is None:
            return self._refused(tool, INVALID_ARGUMENTS + called.fault[:MAX_FAULT_CHARACTERS])
        canonical = json.dumps(called.arguments, sort_keys=True, separators=(",", ":"))
        equal = (tool.name, canonical)
        session = (self._record.holder or "", self._facts.session)
        kept_as = (*session, *equal) if self._facts.session and tool.reuse_seconds else None
        earlier = self._earlier.get(equal) or (self._runner.kept_result(kept_as) if kept_as else None)
        if earlier is not None:
            log_end(self._record.id, tool, "reused", None, 0.0)
            self._earlier[equal] = earlier
            return earlier
        run = self._run(tool, called, canonical)
        run.kept_as = kept_as
        if tool.after:
            self._planned.append(run)
            self._earlier[equal] = Result(PROMISED)
        else:
            run.start()
            self._earlier[equal] = run
        return self._earlier[equal]

    def _run(self, tool: Tool, called: CalledTool, canonical: str) -> Run:
        facts = self._facts
        # Under the key's name: sessions of two customers may be called the same.
        parts = (self._record.holder or "", facts.session or self._record.id, self._turn, tool.name, canonical)
        key = hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        call = Call(
            called.id,
            key,
            facts.session,
            facts.turn_id,
            facts.user,
            facts.request,
            facts.template_variables,
            tool.timeout or self._runner.timeout,
            self._first_chunk,
        )
        return Run(self._runner, tool, called.arguments or {}, call, self._record.id)

    def _refused(self, tool: Tool | None, reason: str) -> Result:
        log_end(self._record.id, tool, "refused", None, 0.0)
        return Result.failed(reason)


def told(result: Result) -> str:
    """Return the text of a result as the model reads it."""
    # Half a character, which JSON may hold as an escape, can't go upstream.
    return Result.of(result.text.encode("utf-8", "replace").decode()).text


def tell_late(notes: TurnNotes, call_id: str, text: str) -> None:
    """Note the result of a call whose turn has not waited for it."""
    notes.late_result({"role": "tool", "tool_call_id": call_id, "content": text})


def result_of_run(tool: Tool, arguments: Arguments, call: Call) -> Result:
    """Return the result of a tool; of one that raises, against its promise, that it failed."""
    result = outcome_of(tool.run, arguments, call)
    if isinstance(result, Failure):
        # Its words may quote the arguments.
        log.error("tool_failed", name=tool.name, fault=type(result.error).__name__)
        return Result.failed(FAILED)
    return result


def log_end(request_id: str, tool: Tool | None, ended: Ended, status: int | None, seconds: float) -> None:
    """Write the log line of a call that has ended, and count it. A name that the model made up is not told."""
    name = tool.name if tool else "unknown"
    fields = {"source": tool.source if tool else None, "result": ended, "status": status}
    log.info("tool_end", id=request_id, name=name, **fields, ms=round(seconds * 1000, 1))
    metrics.tool_ended(name, ended, seconds)
