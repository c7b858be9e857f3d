"""Events in random order against one small server, compared with a simple model."""

import collections
import contextlib
import dataclasses
import itertools
import os
import signal
import socket
import struct
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
import requests
from fake_upstream import (
    DONE,
    END,
    HANG,
    Call,
    FakeUpstream,
    Step,
    chunks,
    close,
    completion,
    event,
    head,
    refusal,
    reset,
    text_chunk,
)
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from running_server import RunningServer, post, receive_until, running_server
from waiting import wait_until

pytestmark = pytest.mark.server

PLACES = 4
LONG = "PARLEY_LONG" in os.environ
PATHS = ("/chat/completions", "/rag/chat/completions")
HELLO = {"messages": [{"role": "user", "content": "Are you open?"}], "waiting": "off"}
DONE_EVENT = b"data: [DONE]\n\n"
names = (f"turn-{number}" for number in itertools.count())


@dataclasses.dataclass(eq=False)
class Stream:
    """A turn under way: the caller's end, what the upstream shall do next (None: no more), and what was said."""

    name: str
    connection: socket.socket
    steps: collections.deque[Step | None] = dataclasses.field(default_factory=collections.deque)
    words: int = 0

    def end(self) -> None:
        """Let the upstream end its answer; one without a word is withheld, or it would be asked for once more."""
        finish = chunks("", finish_reason="stop" if self.words else "content_filter")[-1]
        self.steps.extend([b"" if self.words else head(), event(finish), event(DONE), END, None])

    def rest(self) -> bytes:
        received = receive_until(self.connection, b"no such bytes")
        self.connection.close()
        return received


class Conversations(RuleBasedStateMachine):
    """At most four streams, which speak, end, break and are left in any order."""

    server: ClassVar[RunningServer]
    upstream: ClassVar[FakeUpstream]

    def __init__(self) -> None:
        super().__init__()
        self.open: list[Stream] = []
        self.stopped = False
        self.ends: dict[str, tuple[str, str | None]] = {}
        self.logged: set[str] = set()
        self.upstream.script = self._script

    def _script(self, call: Call) -> Iterator[Step]:
        """Whatever the rules have left for this call, as soon as they do."""
        name = call.headers["x-request-id"]
        stream = next((stream for stream in self.open if stream.name == name), None)
        if stream is None:  # its caller has left meanwhile
            yield HANG
            return
        while not (stream.steps and stream.steps[0] is None):
            yield stream.steps.popleft() if stream.steps else 0.003

    def _ask(self, path: str) -> Stream:
        stream = Stream(next(names), self.server.connect())
        self.open.append(stream)
        stream.connection.sendall(post(path, HELLO, x_request_id=stream.name, connection="close"))
        return stream

    def _end(self, stream: Stream, outcome: str, code: str | None = None) -> None:
        self.open.remove(stream)
        self.ends[stream.name] = (outcome, code)

    @property
    def here(self) -> list[Stream]:
        """The streams of the worker that takes new ones."""
        return self.open

    has_place = precondition(lambda self: not self.stopped and len(self.here) < PLACES)
    is_full = precondition(lambda self: not self.stopped and len(self.here) == PLACES)
    has_stream = precondition(lambda self: self.open)
    has_spoken = precondition(lambda self: any(stream.words for stream in self.open))
    has_silent = precondition(lambda self: any(not stream.words for stream in self.open))

    def _pick(self, data: st.DataObject, *, spoken: bool | None = None) -> Stream:
        candidates = [stream for stream in self.open if spoken in (None, bool(stream.words))]
        return data.draw(st.sampled_from(candidates))

    @has_place
    @rule(path=st.sampled_from(PATHS), count=st.integers(1, 3))
    def open_streams(self, path: str, count: int) -> None:
        for _ in range(min(count, PLACES - len(self.here))):
            self._ask(path)

    @has_stream
    @rule(data=st.data())
    def say_a_word(self, data: st.DataObject) -> None:
        stream = self._pick(data)
        stream.steps.extend([b"" if stream.words else head(), event(text_chunk("x", f"{stream.words};"))])
        assert b"[DONE]" not in receive_until(stream.connection, b'"%d;"' % stream.words)
        stream.words += 1

    @has_stream
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        stream = self._pick(data)
        stream.end()
        assert stream.rest().count(DONE_EVENT) == 1
        self._end(stream, "ok")

    @has_spoken
    @rule(data=st.data(), way=st.sampled_from([close, reset, END]))
    def break_off(self, data: st.DataObject, way: Step) -> None:
        stream = self._pick(data, spoken=True)
        stream.steps.extend([way, None])
        received = stream.rest()
        code = "upstream_incomplete" if way == END else "upstream_disconnected"
        assert b"[DONE]" not in received and b'"code":"%s"' % code.encode() in received
        assert received.endswith(b"\r\n0\r\n\r\n")
        self._end(stream, "error_mid", code)

    @has_silent
    @rule(data=st.data(), status=st.sampled_from([400, 404, 422]))
    def refuse(self, data: st.DataObject, status: int) -> None:
        stream = self._pick(data, spoken=False)
        stream.steps.extend([*refusal(status, {"message": "no"}), None])
        received = stream.rest()
        assert received.startswith(b"HTTP/1.1 %d" % status) and b"[DONE]" not in received
        self._end(stream, "error_before", "upstream_error")

    @has_stream
    @rule(data=st.data(), way=st.sampled_from(["fin", "rst", "half"]))
    def leave(self, data: st.DataObject, way: str) -> None:
        stream = self._pick(data)
        if way == "half":
            stream.connection.shutdown(socket.SHUT_WR)
            assert b"[DONE]" not in receive_until(stream.connection, b"no such bytes")
        elif way == "rst":
            stream.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.connection.close()
        self._end(stream, "client_closed")

    @is_full
    @rule(path=st.sampled_from([*PATHS, "/audio/chat/completions"]), stream=st.booleans())
    def ask_in_vain(self, path: str, stream: bool) -> None:
        name, fields = next(names), {**HELLO, "stream": stream}
        answered = requests.post(self.server.url + path, json=fields, headers={"x-request-id": name}, timeout=20)
        assert (answered.status_code, answered.json()["error"]["code"]) == (503, "server_overloaded")
        self.ends[name] = ("refused", "server_overloaded")

    @has_place
    @has_stream
    @rule(path=st.sampled_from(PATHS))
    def ask_for_json(self, path: str) -> None:
        name = next(names)
        self.upstream.enqueue(completion("Hello"))
        fields = {**HELLO, "stream": False}
        answered = requests.post(self.server.url + path, json=fields, headers={"x-request-id": name}, timeout=20)
        assert answered.json()["choices"][0]["message"]["content"] == "Hello"
        self.ends[name] = ("ok", None)

    @invariant()
    def the_server_holds_what_the_model_holds(self) -> None:
        wait_until(lambda: self.stopped or self._streams() == len(self.here), 10, tell=lambda: len(self.here))
        self.upstream.wait_until(lambda: self.upstream.open_calls == len(self.open))

    @invariant()
    def each_ended_turn_has_its_line(self) -> None:
        for name in self.ends.keys() - self.logged:
            end = self.server.wait_for_end(name)
            assert (end["outcome"], end["code"]) == self.ends[name]
            self.logged.add(name)

    def _check_log(self) -> None:
        """Each turn that has ended has one line, and those under way have none."""
        self.each_ended_turn_has_its_line()
        ours = {stream.name for stream in self.open} | self.ends.keys()
        logged = [end["id"] for end in self.server.request_ends() if end["id"] in ours]
        assert sorted(logged) == sorted(self.ends)

    def teardown(self) -> None:
        try:
            self._check_log()
        finally:
            for stream in self.open:
                stream.connection.close()
            self.open = []
        with contextlib.suppress(AssertionError):  # the next example's invariant tells of it
            self.upstream.wait_until(lambda: self.upstream.open_calls == 0)
        self.the_server_holds_what_the_model_holds()

    def _streams(self) -> int:
        ready = requests.get(f"{self.server.url}/ready", timeout=20)
        return int(ready.json()["details"]["streams"])


class Deployments(Conversations):
    """The same through reloads, up to a stop: a worker that is replaced, or told to stop, keeps its streams."""

    start: ClassVar[Any]

    def __init__(self) -> None:
        super().__init__()
        self.behind: list[Stream] = []
        self.reloads = 0

    @property
    def here(self) -> list[Stream]:
        return [stream for stream in self.open if stream not in self.behind]

    # While streams of an old worker are open, gunicorn's master waits for them and hears no other signal.
    is_settled = precondition(lambda self: not self.stopped and len(self.here) == len(self.open))
    is_stopped = precondition(lambda self: self.stopped)

    @is_settled
    @precondition(lambda self: self.reloads < (5 if LONG else 1))  # each takes a second
    @rule()
    def reload(self) -> None:
        self.reloads += 1
        old = self.server.worker_pids()
        self.server.signal(signal.SIGHUP)
        wait_until(lambda: set(self.server.worker_pids()) - set(old) and not any(map(self._listens, old)))
        self.behind = list(self.open)

    @is_settled
    @precondition(lambda self: self.open)
    @rule()
    def stop(self) -> None:
        self.stopped = True
        self.server.signal(signal.SIGTERM)
        wait_until(self.server.refuses)

    @is_stopped
    @rule()
    def ask_too_late(self) -> None:
        assert self.server.refuses() or not self.open  # the port may be somebody else's then

    @is_stopped
    @precondition(lambda self: LONG and self.open)
    @rule()
    def outlive_the_grace(self) -> None:
        for stream in list(self.open):
            received = stream.rest()
            assert b"server_shutting_down" in received and b"[DONE]" not in received
            assert received.endswith(b"\r\n0\r\n\r\n") if stream.words else received.startswith(b"HTTP/1.1 503")
            stream.steps.append(None)
            self._end(stream, "shutdown", "server_shutting_down")

    def teardown(self) -> None:
        if not self.stopped:
            super().teardown()
            return
        try:
            self._end_well()
        finally:
            Deployments.server = self.start()

    def _end_well(self) -> None:
        """The streams that are left end, and then the server."""
        for stream in list(self.open):
            stream.end()
            assert stream.rest().count(DONE_EVENT) == 1
            self._end(stream, "ok")
        self._check_log()
        assert self.server.wait_for_exit(30) == 0 and "Traceback" not in self.server.output()

    def _listens(self, pid: int) -> bool:
        try:
            return self.server.is_listening(pid)
        except OSError:  # gone
            return False


PATIENCE = {"TTFT_TIMEOUT": "60", "PRECOMMIT_TIMEOUT": "60", "IDLE_TIMEOUT": "60", "MAX_STREAMS": str(PLACES)}


def run(machine: type[Conversations], examples: int) -> None:
    checks = settings(
        max_examples=examples, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(machine, settings=checks)


def test_any_order_of_events_matches_the_model() -> None:
    with FakeUpstream() as upstream:
        with running_server({"LLM_BASE_URL": upstream.base_url, **PATIENCE}) as server:
            Conversations.server, Conversations.upstream = server, upstream
            run(Conversations, 200 if LONG else 25)
            outcomes = collections.Counter(end["outcome"] for end in server.request_ends())
            print(f"\n{dict(outcomes)}")
            assert "Traceback" not in server.output()
        assert {call.outcome for call in upstream.calls} <= {"done", "peer_left"}


@pytest.mark.timeout(1800 if LONG else 180)
def test_any_order_through_reloads_and_a_stop_matches_too() -> None:
    with FakeUpstream() as upstream, contextlib.ExitStack() as stack:
        env = {"LLM_BASE_URL": upstream.base_url, **PATIENCE, "GRACEFUL_TIMEOUT": "10" if LONG else "25"}
        servers: list[RunningServer] = []

        def start() -> RunningServer:
            servers.append(stack.enter_context(running_server(env)))
            return servers[-1]

        Deployments.upstream, Deployments.start = upstream, staticmethod(start)
        Deployments.server = start()
        run(Deployments, 60 if LONG else 7)
        reloads = sum(server.output().count("Handling signal: hup") for server in servers)
        print(f"\n{len(servers) - 1} stops, {reloads} reloads")
        assert not any("Traceback" in server.output() for server in servers)
