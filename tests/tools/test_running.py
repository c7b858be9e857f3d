"""Calls run beside one another: order, equal calls, limits in time and number, what happens when their turn ends."""

import gc
import json
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gevent.event import Event
from scripted_upstream import tool

from parley.telemetry import metrics
from parley.tools import running
from parley.tools.call_facts import CallFacts
from parley.tools.running import Run, ToolRunner, TurnCalls
from parley.tools.tool import Arguments, Call, Result, Tool
from parley.turn_record import TurnRecord
from parley.wire.tool_call import CalledTool


def called(name: str, arguments: dict[str, Any] | None = None, fault: str = "") -> CalledTool:
    return CalledTool("id", name, None if fault else arguments or {}, fault, {})


NOBODY = CallFacts()


def turn(runner: ToolRunner, *tools: Tool, caller: CallFacts = NOBODY, holder: str | None = None) -> TurnCalls:
    record = TurnRecord("chat", "request-1")
    record.holder = holder
    return TurnCalls(runner, {each.name: each for each in tools}, caller, 1, record)


@pytest.fixture
def runner() -> ToolRunner:
    return ToolRunner(timeout=5, budget=5)


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How calls ended, as the log tells it."""
    found: list[str] = []
    monkeypatch.setattr(running, "log_end", lambda _id, _tool, ended, *_: found.append(ended))
    return found


def results(calls: TurnCalls, *wanted: CalledTool, seconds: float = 5) -> list[str]:
    calls.begin(wanted)
    deadline = time.monotonic() + seconds
    while not calls.wait(seconds):
        assert time.monotonic() < deadline
    return calls.take_results()


def sleeping(seconds: float, seen: list[str] | None = None) -> Callable[[Arguments, Call], Result]:
    def run(arguments: Arguments, call: Call) -> Result:
        try:
            gevent.sleep(seconds)
        except BaseException:
            (seen if seen is not None else []).append("killed")
            raise
        if seen is not None:
            seen.append("done")
        return Result("slept")

    return run


def test_results_come_in_the_models_order(runner: ToolRunner) -> None:
    def run(arguments: Arguments, call: Call) -> Result:
        gevent.sleep(arguments["ms"] / 1000)
        return Result(str(arguments["ms"]))

    calls = turn(runner, tool("nap", run))

    assert results(calls, *(called("nap", {"ms": ms}) for ms in (60, 30, 1))) == ["60", "30", "1"]
    assert calls.seconds < 1 and calls.names == ["nap"] * 3 and not runner.running


def test_equal_calls_share_the_first_result(runner: ToolRunner, ends: list[str]) -> None:
    count: list[int] = []
    calls = turn(runner, tool("look", lambda *_: count.append(1) or Result(str(len(count)))))

    first, second = called("look", {"a": 1, "b": 2}), called("look", {"b": 2, "a": 1})
    assert results(calls, first, second) == ["1", "1"]
    assert results(calls, first, called("look", {"a": 1})) == ["1", "2"]
    assert sorted(ends) == ["ok", "ok", "reused", "reused"]


def test_a_result_is_kept_for_one_session_of_one_key(runner: ToolRunner) -> None:
    count: list[int] = []
    look = tool("look", lambda *_: count.append(1) or Result(str(len(count))), reuse_seconds=60)

    def result(session: str, holder: str | None = None) -> list[str]:
        return results(turn(runner, look, caller=CallFacts(session), holder=holder), called("look"))

    assert [result("s"), result("s"), result("t"), result("s", "key-1"), result("")] == [
        ["1"],
        ["1"],
        ["2"],
        ["3"],
        ["4"],
    ]


def test_only_good_results_are_kept_and_not_for_ever(runner: ToolRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([Result.failed("no"), Result("a"), Result("b")])
    look = tool("look", lambda *_: next(answers), reuse_seconds=60)

    def result() -> str:
        return results(turn(runner, look, caller=CallFacts("s")), called("look"))[0]

    assert [result(), result(), result()] == ['{"error":"no"}', "a", "a"]
    later = time.monotonic() + 61
    monkeypatch.setattr(running.time, "monotonic", lambda: later)
    assert result() == "b"
    for number in range(running.MAX_KEPT_RESULTS + 5):
        runner.keep_result((str(number),), Result("x"), 60)
    assert runner.kept_result(("4",)) is None and runner.kept_result(("5",)) == Result("x")


def test_what_can_not_be_run_is_told(runner: ToolRunner, ends: list[str]) -> None:
    calls = turn(runner, tool("look"))
    wanted = [called("no_such"), called("look", fault="expected an object"), called("look")]

    found = [json.loads(text) if text.startswith("{") else text for text in results(calls, *wanted)]

    assert found == [
        {"error": "there is no tool no_such"},
        {"error": "the arguments are not valid: expected an object"},
        "done",
    ]
    assert sorted(ends) == ["ok", "refused", "refused"]
    many = results(calls, *(called("look", {"n": number}) for number in range(10)))
    assert many == ["done"] * 8 + ['{"error":"too many calls at once"}'] * 2


def test_a_worker_runs_no_more_than_its_limit(runner: ToolRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "MAX_RUNNING", 1)
    calls = turn(runner, tool("nap", sleeping(0.05), cancels=True))

    assert results(calls, called("nap", {"a": 1}), called("nap", {"a": 2}))[1] == '{"error":"too many calls at once"}'


@pytest.mark.parametrize("own", [None, 0.1])
def test_a_call_has_its_time_and_no_more(ends: list[str], own: float | None) -> None:
    seen: list[str] = []
    calls = turn(ToolRunner(timeout=0.1, budget=5), tool("nap", sleeping(60, seen), timeout=own))

    (text,) = results(calls, called("nap"))

    assert json.loads(text)["error"].startswith("no answer in 0.1 s. Do not say that it worked")
    gevent.sleep(0.05)
    assert (seen, ends) == (["killed"], ["timeout"])


def test_a_function_that_holds_on_holds_no_caller(ends: list[str]) -> None:
    release = Event()

    def run(arguments: Arguments, call: Call) -> Result:
        while not release.is_set():
            try:
                release.wait()
            except BaseException:  # noqa: BLE001 - as bad as a function can be
                continue
        return Result("late")

    runner = ToolRunner(timeout=0.1, budget=5)
    calls = turn(runner, tool("stubborn", run, cancels=True))

    assert "no answer" in results(calls, called("stubborn"))[0]
    assert len(runner.running) == 1
    release.set()
    runner.finish(5)
    assert not runner.running and ends == ["timeout"]


def test_the_calls_of_a_turn_share_their_time(ends: list[str]) -> None:
    seen: list[str] = []
    go_on = Event()

    def book(arguments: Arguments, call: Call) -> Result:
        go_on.wait()
        seen.append("done")
        return Result("booked")

    runner = ToolRunner(timeout=60, budget=0.15)
    calls = turn(runner, tool("nap", sleeping(60, seen), cancels=True), tool("book", book))

    assert all("no answer" in text for text in results(calls, called("nap"), called("book")))
    assert calls.is_spent
    go_on.set()
    runner.finish(5)
    # The one that may not be cancelled went on.
    assert sorted(seen) == ["done", "killed"] and ends == ["timeout", "timeout"]


def test_the_end_of_a_turn_cancels_or_detaches(runner: ToolRunner, ends: list[str]) -> None:
    seen: list[str] = []
    calls = turn(runner, tool("nap", sleeping(60, seen), cancels=True), tool("book", sleeping(0.2)))
    calls.begin([called("nap"), called("book")])
    assert not calls.wait(0.05)

    calls.close()

    assert ends == ["cancelled"] and len(runner.running) == 1
    runner.finish(5)
    assert (ends, seen) == (["cancelled", "detached"], ["killed"])


def test_the_gauge_tells_how_many_calls_run(runner: ToolRunner) -> None:
    def running_calls() -> float:
        return metrics.RUNNING_TOOL_CALLS._value.get()  # type: ignore[no-any-return] # what /metrics writes

    go_on = Event()
    tools = (
        tool("look", lambda *_: Result(str(go_on.wait(5))), cancels=True),
        tool("book", lambda *_: Result(str(go_on.wait(5)))),
    )
    calls = turn(runner, *tools)
    calls.begin([called("look"), called("book")])
    assert not calls.wait(0.01) and running_calls() == 2
    calls.close()
    assert running_calls() == 1
    go_on.set()
    runner.finish(5)
    assert running_calls() == 0


def test_a_held_call_of_a_turn_that_ends_is_not_sent(runner: ToolRunner, ends: list[str]) -> None:
    seen: list[str] = []
    calls = turn(runner, tool("book", sleeping(0, seen), hold_ms=100))
    calls.begin([called("book")])
    assert not calls.wait(0.02)
    calls.close()
    runner.finish(1)
    assert (seen, ends) == ([], ["cancelled"])
    assert results(turn(runner, tool("book", sleeping(0, seen), hold_ms=20)), called("book")) == ["slept"]


def test_a_call_behind_the_answer_waits_for_its_words(runner: ToolRunner, ends: list[str]) -> None:
    seen: list[str] = []
    hang_up = tool("hang_up", sleeping(0, seen), after=True)
    calls = turn(runner, hang_up)
    assert results(calls, called("hang_up"), called("hang_up")) == [running.PROMISED] * 2
    gevent.sleep(0.01)
    assert seen == []

    calls.end(characters=2)
    calls.close()

    runner.finish(5)
    assert seen == ["done"] and sorted(ends) == ["ok", "reused"]
    interrupted = turn(runner, hang_up)
    results(interrupted, called("hang_up"))
    interrupted.close()
    runner.finish(1)
    assert seen == ["done"] and ends[-1] == "cancelled"


def test_a_tool_that_raises_has_failed(runner: ToolRunner) -> None:
    def run(arguments: Arguments, call: Call) -> Result:
        raise ValueError("secret")

    assert results(turn(runner, tool("look", run)), called("look")) == ['{"error":"the tool failed"}']


def test_results_are_cut_and_can_be_written(runner: ToolRunner) -> None:
    calls = turn(runner, tool("look", "x" * 9000), tool("half", "a\ud83d"))

    long, half = results(calls, called("look"), called("half"))

    assert long == "x" * 8000 + " [cut]" and half == "a?"


def test_a_repeated_turn_repeats_its_keys(runner: ToolRunner) -> None:
    def key(arguments: dict[str, Any], caller: CallFacts, holder: str | None = None) -> str:
        keys: list[str] = []
        look = tool("look", lambda _, call: keys.append(call.idempotency_key) or Result("x"))
        results(turn(runner, look, caller=caller, holder=holder), called("look", arguments))
        return keys[0]

    first = key({"a": 1}, CallFacts("s", "3"))
    assert key({"a": 1}, CallFacts("s", "3")) == first and len(first) == 32
    others = [
        key({"a": 2}, CallFacts("s", "3")),
        key({"a": 1}, CallFacts("s", "4")),
        key({"a": 1}, CallFacts("s", "3"), "key-1"),
    ]
    assert len({first, *others}) == 4


def test_a_call_knows_its_turn(runner: ToolRunner) -> None:
    seen: list[Call] = []
    look = tool("look", lambda _, call: seen.append(call) or Result("x"), timeout=2)

    results(turn(runner, look, caller=CallFacts("s", "3", "mia", {"tenant": "a"}, {"b": 1})), called("look"))

    (call,) = seen
    assert (call.session, call.turn_id, call.user, call.request, call.template_variables, call.seconds) == (
        *("s", "3", "mia"),
        *({"tenant": "a"}, {"b": 1}, 2),
    )


def test_ended_calls_leave_nothing_for_the_collector(runner: ToolRunner) -> None:
    calls = turn(runner, tool("look"), tool("nap", sleeping(60), cancels=True))
    results(calls, called("look"))
    calls.begin([called("nap")])
    calls.wait(0.02)
    left = [weakref.ref(one) for one in calls._earlier.values() if isinstance(one, Run)]
    gc.collect()
    gc.disable()
    try:
        calls.close()
        gevent.sleep(0.05)
        del calls
        assert [reference() for reference in left] == [None, None]
    finally:
        gc.enable()


def test_a_tool_in_a_thread_is_let_go(ends: list[str]) -> None:
    release = threading.Event()

    def run(arguments: Arguments, call: Call) -> Result:
        gevent.get_hub().threadpool.apply(release.wait, (5,))
        return Result("late")

    try:
        assert "no answer" in results(turn(ToolRunner(timeout=0.1, budget=5), tool("slow", run)), called("slow"))[0]
        assert ends == ["timeout"]
    finally:
        release.set()
