"""The operator's tools in a turn: what the caller, the upstream and the tool's server see of it."""

import itertools
import json
import re
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
import tool_folder
from exchange import AUDIO, CHAT, RAG
from fake_upstream import (
    DONE,
    END,
    HANG,
    USAGE,
    Call,
    FakeUpstream,
    Step,
    answer,
    chunk,
    chunks,
    close,
    completion,
    encode,
    event,
    events,
    refusal,
    whole,
)
from leaving import SOON, leave, streams
from running_server import RunningServer, payloads, post, receive_until, running_server
from waiting import wait_until

pytestmark = pytest.mark.server

WHERE: dict[str, Any] = {"messages": [{"role": "user", "content": "Where is A-1042?"}]}
SHIPPED = b'{"state":"shipped","eta":"Friday"}'
FRIDAY = "It arrives on Friday."
THEIRS = {"type": "function", "function": {"name": "end_call", "parameters": {"type": "object"}}}
SETTINGS = {
    "AUDIO_MODE": "speech",
    "TOOL_TIMEOUT": "20",
    "WAITING_MESSAGES": "Wait.",
    "TTFT_TIMEOUT": "2",
    "PRECOMMIT_TIMEOUT": "3",
    "IDLE_TIMEOUT": "1",
}

QUIET = {"TOOL_WAITING": "off", "HEARTBEAT": "0.5", "TOOL_BUDGET": "2.5"}
"""Settings of a server that says nothing while tools run, and gives them little time."""


def piece(
    index: int | None, name: str | None = None, arguments: Any = "", call_id: str | None = None
) -> dict[str, Any]:
    """A piece of a call; what is None is left out."""
    function = {**({"name": name} if name else {}), "arguments": arguments}
    named = {**({"id": call_id, "type": "function"} if call_id is not None else {}), "function": function}
    return named if index is None else {"index": index, **named}


def calls_chunk(*pieces: dict[str, Any], **delta: Any) -> bytes:
    return chunk({**delta, "tool_calls": list(pieces)})


def called(*pieces: dict[str, Any]) -> list[Step]:
    """A good answer that only calls tools, each piece in a chunk of its own."""
    role = chunk({"role": "assistant", "content": None})
    return streamed(role, *map(calls_chunk, pieces), chunk({}, "tool_calls"))


def streamed(*sent: bytes) -> list[Step]:
    return [*events(sent), event(DONE), END]


def status(order: str = "A-1042", number: int = 0) -> dict[str, Any]:
    """The whole call of the tool `order_status`."""
    return piece(number, "order_status", json.dumps({"order_id": order}), f"call_{number}")


def nap(seconds: float, number: int = 0) -> dict[str, Any]:
    return piece(number, "nap", json.dumps({"seconds": seconds}), f"call_{number}")


@pytest.fixture(scope="module")
def tool_server() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture
def shop(tool_server: FakeUpstream) -> Iterator[FakeUpstream]:
    """The tool's server, with a good answer for each call."""
    tool_server.calls.clear()
    tool_server.script = whole(SHIPPED)
    yield tool_server
    tool_server.wait_until(lambda: tool_server.open_calls == 0)


@pytest.fixture(scope="module")
def with_tools(tool_server: FakeUpstream, upstream_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Servers with a folder of tools, by their further settings."""
    folder = tmp_path_factory.mktemp("tools")
    tool_folder.write(folder, tool_server.base_url)
    running: dict[frozenset[tuple[str, str]], Any] = {}

    def server(**settings: str) -> RunningServer:
        key = frozenset(settings.items())
        if key not in running:
            manager = running_server({"LLM_BASE_URL": upstream_url, "TOOLS_DIR": str(folder), **SETTINGS, **settings})
            running[key] = manager, manager.__enter__()
        return running[key][1]

    yield server
    for manager, _ in running.values():
        manager.__exit__(None, None, None)


@pytest.fixture
def server(with_tools: Any, shop: FakeUpstream, upstream: FakeUpstream) -> RunningServer:
    """A server with the tools and every setting by default."""
    return with_tools()


class Told:
    """One call as its caller, the log and the upstream know it."""

    def __init__(self, server: RunningServer, path: str = CHAT, body: Any = WHERE, **headers: str) -> None:
        self.id = uuid.uuid4().hex
        began = time.monotonic()
        self.arrivals: list[tuple[float, bytes]] = []
        with requests.post(
            server.url + path, json=body, headers={"x-request-id": self.id, **headers}, timeout=40, stream=True
        ) as response:
            self.status = response.status_code
            for data in response.iter_content(None):
                self.arrivals.append((time.monotonic() - began, data))
        self.content = b"".join(data for _, data in self.arrivals)
        self.end = server.wait_for_end(self.id)
        self._server = server

    @property
    def payloads(self) -> list[bytes]:
        return payloads(re.sub(rb"(?m)^: (keep-alive|working)\n\n", b"", self.content))

    @property
    def chunks(self) -> list[Any]:
        return [json.loads(payload) for payload in self.payloads if payload != DONE]

    @property
    def deltas(self) -> list[Any]:
        return [choice["delta"] for one in self.chunks for choice in one["choices"]]

    @property
    def text(self) -> str:
        return "".join(delta.get("content") or "" for delta in self.deltas)

    def said_at(self, words: bytes) -> list[float]:
        """When a text arrived, in seconds since the request."""
        return [at for at, data in self.arrivals for _ in range(data.count(words))]

    def ends_of_tools(self) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self._server.lines() if line.startswith("{") and self.id in line]
        return [line for line in lines if line["event"] == "tool_end"]

    def check_one_answer(self) -> None:
        """One id, one role, one end."""
        assert len({one["id"] for one in self.chunks}) == 1
        assert sum("role" in delta for delta in self.deltas) == 1
        assert sum(bool(choice["finish_reason"]) for one in self.chunks for choice in one["choices"]) == 1
        assert self.payloads.count(DONE) == 1 and self.payloads[-1] == DONE


def order_of(call: Call) -> str:
    """The order that a tool's server was asked for; empty where none was named."""
    if call.method == "POST":
        return str(call.json.get("order_id", ""))
    return call.path.partition("order_id=")[2]


def results(call: Call) -> list[Any]:
    """The results of tools in a request upstream."""
    return [message["content"] for message in call.json["messages"] if message["role"] == "tool"]


@pytest.mark.row("TL-01")
@pytest.mark.parametrize("path", [CHAT, "/v1/chat/completions", RAG])
def test_a_hidden_call_leaves_only_the_second_answer(
    server: RunningServer, upstream: FakeUpstream, shop: FakeUpstream, path: str
) -> None:
    second = chunks(FRIDAY, id="chatcmpl-second")
    upstream.enqueue(called(status()), streamed(*second))

    told = Told(server, path, {**WHERE, "stream": True, "waiting": "off"})

    assert told.payloads == [*second, DONE] and b"order_status" not in told.content
    first, after = upstream.calls
    assert first.json["tools"][0]["function"]["name"] == "order_status"
    assert after.json["tools"] == first.json["tools"]
    assert after.json["messages"][:-2] == first.json["messages"]
    assert after.json["messages"][-2:] == [
        {"role": "assistant", "content": None, "tool_calls": [{k: v for k, v in status().items() if k != "index"}]},
        {"role": "tool", "tool_call_id": "call_0", "content": SHIPPED.decode()},
    ]
    (asked,) = shop.calls
    assert (asked.method, order_of(asked)) == ("GET", "A-1042")
    assert (told.end["passes"], told.end["tools"], told.end["fillers"]) == (2, "order_status", 0)
    assert told.end["outcome"] == "ok" and told.end["tool_ms"] > 0
    (line,) = told.ends_of_tools()
    assert (line["name"], line["source"], line["result"], line["status"]) == ("order_status", "http", "ok", 200)
    assert "A-1042" not in json.dumps(line) and "shipped" not in server.output()


@pytest.mark.row("TL-02")
def test_words_before_a_call_leave_before_it_runs(
    server: RunningServer, upstream: FakeUpstream, shop: FakeUpstream
) -> None:
    release = threading.Event()
    shop.script = [release, *whole(SHIPPED)]
    words = [chunk({"role": "assistant", "content": "One"}), chunk({"content": " moment."})]
    upstream.enqueue(streamed(*words, calls_chunk(status()), chunk({}, "tool_calls")), answer(FRIDAY, id="second"))
    with server.connect() as connection:
        connection.sendall(post(CHAT, WHERE))
        assert b" moment." in receive_until(connection, b" moment.")
        release.set()
        receive_until(connection, b"[DONE]")
    upstream.calls.clear()
    upstream.enqueue(streamed(*words, calls_chunk(status()), chunk({}, "tool_calls")), answer(FRIDAY, id="second"))

    told = Told(server)

    assert told.text == "One moment. It arrives on Friday."
    told.check_one_answer()
    assert upstream.calls[-1].json["messages"][-2]["content"] == "One moment."


@pytest.mark.row("TL-03")
@pytest.mark.parametrize("finish", ["tool_calls", "stop"])
def test_a_call_of_the_requests_tool_passes(
    server: RunningServer, upstream: FakeUpstream, shop: FakeUpstream, finish: str
) -> None:
    pieces = [piece(0, "end_call", "", "call_x"), piece(0, None, '{"reason"'), piece(0, None, ':"bye"}')]
    sent = [chunk({"role": "assistant", "content": None}), *map(calls_chunk, pieces), chunk({}, finish)]
    upstream.script = streamed(*sent)

    told = Told(server, body={**WHERE, "tools": [THEIRS]})

    # Some platforms do nothing about a call behind which an answer just stops.
    assert told.payloads == [*sent[:-1], chunk({}, "tool_calls"), DONE]
    assert len(upstream.calls) == 1 and shop.calls == [] and told.end["passes"] == 1
    names = [tool["function"]["name"] for tool in upstream.calls[0].json["tools"]]
    assert names[:2] == ["end_call", "order_status"]


@pytest.mark.row("TL-04")
@pytest.mark.parametrize("ours_first", [True, False], ids=["ours first", "theirs first"])
def test_of_both_in_one_message_ours_is_not_run(
    server: RunningServer, upstream: FakeUpstream, shop: FakeUpstream, ours_first: bool
) -> None:
    ours, theirs = (0, 1) if ours_first else (1, 0)

    def in_pieces(number: int, name: str, arguments: str) -> list[dict[str, Any]]:
        return [piece(number, name, "", f"call_{name}"), *(piece(number, None, letter) for letter in arguments)]

    each = [in_pieces(ours, "order_status", '{"order_id":"1"}'), in_pieces(theirs, "end_call", '{"reason":"bye bye"}')]
    upstream.script = called(*itertools.chain.from_iterable(each if ours_first else each[::-1]))

    told = Told(server, body={**WHERE, "tools": [THEIRS]})

    pieces = [each for delta in told.deltas for each in delta.get("tool_calls", ())]
    assert {each["index"] for each in pieces} == {0} and pieces[0]["function"]["name"] == "end_call"
    assert "".join(each["function"]["arguments"] for each in pieces) == '{"reason":"bye bye"}'
    assert b"order_status" not in told.content and shop.calls == [] and len(upstream.calls) == 1
    told.check_one_answer()
    assert sum("tool_dropped" in line and told.id in line for line in server.lines()) == 1


@pytest.mark.row("TL-05")
def test_a_tool_of_the_request_takes_the_place_of_ours(
    server: RunningServer, upstream: FakeUpstream, shop: FakeUpstream
) -> None:
    theirs = {"type": "function", "function": {"name": "order_status", "description": "theirs"}}
    upstream.script = called(status())

    told = Told(server, body={**WHERE, "tools": [theirs]})

    names = [tool["function"]["name"] for tool in upstream.calls[0].json["tools"]]
    assert names.count("order_status") == 1 and upstream.calls[0].json["tools"][0] == theirs
    assert b"order_status" in told.content and shop.calls == []


@pytest.mark.row("TL-06")
def test_calls_run_at_once_and_answer_in_order(
    server: RunningServer, upstream: FakeUpstream, shop: FakeUpstream
) -> None:
    has_come = [threading.Event() for _ in range(3)]

    def one(call: Call) -> list[Step]:
        order = order_of(call)
        has_come[int(order)].set()
        # The first answers last: each waits until those behind it are asked, too.
        return [*has_come[int(order) + 1 :], *whole(encode({"order": order}))]

    shop.script = one
    upstream.enqueue(called(*(status(str(number), number) for number in range(3))), answer(FRIDAY))

    told = Told(server)

    assert results(upstream.calls[1]) == ['{"order":"0"}', '{"order":"1"}', '{"order":"2"}']
    assert told.end["tools"] == "order_status, order_status, order_status"


QUIRKS: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "index 0 for all": ([status("1"), {**status("2"), "id": "call_b"}], ["1", "2"]),
    "index 0, no ids": (
        [piece(0, "order_status", '{"order_id":"1"}'), piece(0, "order_status", '{"order_id":"2"}')],
        ["1", "2"],
    ),
    "no index": (
        [piece(None, "order_status", '{"order_id":"1"}', "a"), piece(None, "order_status", '{"order_id":"2"}', "b")],
        ["1", "2"],
    ),
    "arguments as object": ([piece(0, "order_status", {"order_id": "1"}, "a")], ["1"]),
    "arguments null": ([piece(0, "order_status", None, "a")], [""]),
    "no arguments": ([piece(0, "order_status", "", "a")], [""]),
    "equal ids": (
        [piece(0, "order_status", '{"order_id":"1"}', "x"), piece(1, "order_status", '{"order_id":"2"}', "x")],
        ["1", "2"],
    ),
    "name in every piece": (
        [
            piece(0, "order_status", '{"ord', "a"),
            piece(0, "order_status", 'er_id":', "a"),
            piece(0, "order_status", '"1"}', "a"),
        ],
        ["1"],
    ),
    "an id for each piece": (
        [piece(0, "order_status", '{"order_id"', "a"), piece(0, None, ':"1"}', "b")],
        ["1"],
    ),
}


@pytest.mark.row("TL-07")
@pytest.mark.parametrize("finish", ["tool_calls", "stop"])
@pytest.mark.parametrize("quirk", QUIRKS)
def test_odd_calls_are_understood(
    server: RunningServer, upstream: FakeUpstream, shop: FakeUpstream, quirk: str, finish: str
) -> None:
    pieces, orders = QUIRKS[quirk]
    upstream.enqueue(streamed(*map(calls_chunk, pieces), chunk({}, finish)), answer(FRIDAY))

    told = Told(server)

    assert told.text == FRIDAY and len(upstream.calls) == 2
    assert sorted(order_of(call) for call in shop.calls) == orders
    exchange = upstream.calls[1].json["messages"][-1 - len(orders) :]
    ids = [call["id"] for call in exchange[0]["tool_calls"]]
    assert len(set(ids)) == len(orders) and [message["tool_call_id"] for message in exchange[1:]] == ids
    assert all(
        json.loads(call["function"]["arguments"]) in ({}, {"order_id": o})
        for call, o in zip(exchange[0]["tool_calls"], orders, strict=True)
    )


@pytest.mark.row("TL-07")
@pytest.mark.parametrize("arguments", ['{"order_id":', "[1]", "order 1", '{"a":1}{"b":2}', "\ud83d"])
def test_arguments_that_are_none_are_told(
    server: RunningServer, upstream: FakeUpstream, shop: FakeUpstream, arguments: str
) -> None:
    pieces = json.dumps(
        {
            "id": "up",
            "created": 1,
            "model": "m",
            "choices": [
                {"index": 0, "delta": {"tool_calls": [piece(0, "order_status", arguments, "a")]}, "finish_reason": None}
            ],
        }
    ).encode()
    upstream.enqueue(streamed(pieces, chunk({}, "stop")), answer(FRIDAY))

    told = Told(server)

    assert told.text == FRIDAY and shop.calls == []
    assert "the arguments are not valid" in json.loads(results(upstream.calls[1])[0])["error"]
    assert [line["result"] for line in told.ends_of_tools()] == ["refused"]


@pytest.mark.row("TL-08")
def test_calls_without_end_meet_the_limit_of_passes(
    server: RunningServer, upstream: FakeUpstream, shop: FakeUpstream
) -> None:
    numbers = itertools.count()
    upstream.script = lambda call: called(status(str(next(numbers))))

    told = Told(server)

    assert [call.json.get("tool_choice") for call in upstream.calls] == [None, None, None, "none"]
    assert all(call.json["tools"] for call in upstream.calls) and len(shop.calls) == 3
    assert told.payloads[-1] == DONE and told.text == "" and told.end["passes"] == 4


def test_a_choice_that_was_forced_becomes_free(
    server: RunningServer, upstream: FakeUpstream, shop: FakeUpstream
) -> None:
    upstream.enqueue(called(status()), answer(FRIDAY))

    Told(server, body={**WHERE, "tool_choice": "required"})

    assert [call.json.get("tool_choice") for call in upstream.calls] == ["required", "auto"]


@pytest.mark.row("TL-09")
def test_an_equal_call_is_run_once(server: RunningServer, upstream: FakeUpstream, shop: FakeUpstream) -> None:
    again = piece(1, "order_status", '{ "order_id" : "A-1042" }', "call_1")
    upstream.enqueue(called(status(), again), called(status()), answer(FRIDAY))

    told = Told(server)

    assert told.text == FRIDAY and len(shop.calls) == 1
    assert results(upstream.calls[2]) == [SHIPPED.decode()] * 3
    assert sorted(line["result"] for line in told.ends_of_tools()) == ["ok", "reused", "reused"]


def test_a_result_is_kept_for_its_session_alone(
    server: RunningServer, upstream: FakeUpstream, shop: FakeUpstream
) -> None:
    for session in ("one", "one", "two", ""):
        upstream.enqueue(called(piece(0, "remember", '{"order_id":"1"}', "a")), answer(FRIDAY))
        Told(server, body={**WHERE, "session_id": session} if session else WHERE)

    assert len(shop.calls) == 3
    assert all("session_id" not in call.json for call in upstream.calls)


@pytest.mark.row("TL-11")
@pytest.mark.parametrize(("path", "stream"), [(CHAT, True), (CHAT, False), (RAG, True), (AUDIO, True), (AUDIO, False)])
def test_a_caller_who_leaves_ends_a_get(
    with_tools: Any, upstream: FakeUpstream, shop: FakeUpstream, path: str, stream: bool
) -> None:
    server = with_tools()
    shop.script = [HANG]
    upstream.script = called(status()) if stream else whole_call(status())
    with server.connect() as connection:
        connection.sendall(post(path, {**WHERE, "stream": stream}))
        shop.wait_for_calls(1)
        at = leave(connection)
        (call,) = shop.calls
        assert call.finished.wait(10) and call.outcome == "peer_left"
        assert call.peer_left_at is not None and call.peer_left_at - at < SOON
    wait_until(lambda: streams(server) == 0)
    assert '"result":"cancelled"' in server.output()


@pytest.mark.row("TL-11")
def test_a_caller_who_leaves_detaches_a_post(server: RunningServer, upstream: FakeUpstream, shop: FakeUpstream) -> None:
    release = threading.Event()
    shop.script = [release, *whole(b'{"ok":true}')]
    upstream.script = called(piece(0, "book", "{}", "a"))
    with server.connect() as connection:
        connection.sendall(post(CHAT, WHERE, x_request_id="leaver-post"))
        shop.wait_for_calls(1)
        leave(connection)
    assert server.wait_for_end("leaver-post")["outcome"] == "client_closed"
    wait_until(lambda: streams(server) == 0)
    release.set()
    (call,) = shop.calls
    assert call.finished.wait(10) and call.outcome == "done"
    wait_until(lambda: '"result":"detached"' in server.output())


@pytest.mark.row("TL-12")
def test_a_caller_who_leaves_in_time_has_caused_nothing(
    server: RunningServer, upstream: FakeUpstream, shop: FakeUpstream
) -> None:
    upstream.script = called(piece(0, "reserve", "{}", "a"))
    with server.connect() as connection:
        connection.sendall(post(CHAT, WHERE, x_request_id="leaver-hold"))
        upstream.wait_until(lambda: len(upstream.calls) == 1 and upstream.calls[0].finished.is_set())
        leave(connection)
        server.wait_for_end("leaver-hold")
    upstream.enqueue(called(piece(0, "reserve", '{"order_id":"kept"}', "a")), answer(FRIDAY))
    assert Told(server).text == FRIDAY
    assert [order_of(call) for call in shop.calls] == ["kept"]


@pytest.mark.row("TL-13")
@pytest.mark.parametrize(("seconds", "said"), [(0.1, 0), (1.5, 1)])
def test_a_slow_tool_is_talked_over(server: RunningServer, upstream: FakeUpstream, seconds: float, said: int) -> None:
    upstream.enqueue(called(nap(seconds)), answer(FRIDAY, id="second"))

    told = Told(server)

    assert told.text == "Just a moment. " * said + FRIDAY and told.end["fillers"] == said
    if said:
        told.check_one_answer()
        assert {(one["id"], one["model"]) for one in told.chunks} == {("chatcmpl-fake", "fake-model")}
        assert 0.65 < told.said_at(b"Just a moment.")[0] < 3


@pytest.mark.row("TL-13")
@pytest.mark.slow
def test_a_very_slow_tool_is_talked_over_twice(with_tools: Any, upstream: FakeUpstream) -> None:
    upstream.enqueue(called(nap(14)), answer(FRIDAY))

    told = Told(with_tools())

    first, second = told.said_at(b"Just a moment.")
    assert 0.65 < first < 4 and 8.6 < second < 13 and told.text.endswith(FRIDAY)


@pytest.mark.row("TL-13")
def test_no_filler_comes_close_behind_other_words(server: RunningServer, upstream: FakeUpstream) -> None:
    words = chunk({"role": "assistant", "content": "Let me check that."})
    upstream.enqueue(streamed(words, calls_chunk(nap(1.5)), chunk({}, "tool_calls")), answer(FRIDAY))
    assert Told(server).text == f"Let me check that. {FRIDAY}"
    upstream.enqueue(called(nap(1.5)), answer(FRIDAY))

    told = Told(server, RAG, {**WHERE, "waiting": "always"})

    assert told.text == f"Wait. {FRIDAY}" and told.end["fillers"] == 0
    told.check_one_answer()
    upstream.enqueue(called(nap(1.5)), answer(FRIDAY))
    assert Told(server, RAG, {**WHERE, "waiting": 1200}).text == f"Just a moment. {FRIDAY}"
    upstream.enqueue(called(nap(1.5)), answer(FRIDAY))
    told = Told(server, RAG, {**WHERE, "waiting": 400})
    assert told.text == f"Wait. {FRIDAY}" and 0.35 < told.said_at(b"Wait.")[0] < 3


@pytest.mark.row("TL-14")
def test_a_silent_wait_begins_with_a_comment(with_tools: Any, upstream: FakeUpstream) -> None:
    server = with_tools(**QUIET)
    second = chunks(FRIDAY, id="chatcmpl-second")
    upstream.enqueue(called(nap(1.8)), streamed(*second))

    told = Told(server)

    frames = [frame for frame in told.content.split(b"\n\n") if frame.startswith(b":")]
    assert frames[0] == b": working" and b": keep-alive" in frames[1:]
    assert told.content.split(b"\n\n")[len(frames) :] == [*(b"data: " + each for each in second), b"data: [DONE]", b""]
    assert 0.45 < told.said_at(b": working")[0] < 3


@pytest.mark.row("TL-14")
def test_the_comment_comes_before_citations(with_tools: Any, upstream: FakeUpstream) -> None:
    server = with_tools(**QUIET)
    upstream.enqueue(called(nap(0.9)), answer(FRIDAY))
    asked = {"messages": [{"role": "user", "content": "Where do you ship?"}]}

    told = Told(server, RAG, {**asked, "waiting": "off", "include_citations": True})

    assert told.content.startswith(b": working\n\n")
    assert b'"citations":' in told.content.partition(b'"finish_reason":"stop"')[2] and told.end["outcome"] == "ok"


@pytest.mark.row("TL-14")
@pytest.mark.parametrize("fallback", ["", "Sorry?"], ids=["error", "fallback"])
def test_a_failure_behind_the_comment_is_one_of_the_stream(
    with_tools: Any, upstream: FakeUpstream, fallback: str
) -> None:
    server = with_tools(**QUIET, **({"FALLBACK_TEXT": fallback} if fallback else {}))
    upstream.enqueue(called(nap(0.9)), *[refusal(400, {"message": "no"})] * 3)
    if fallback:
        upstream.script = refusal(500, {"message": "no"})
        upstream._queue.clear()
        upstream.enqueue(called(nap(0.9)))

    told = Told(server)

    assert told.status == 200 and told.content.startswith(b": working\n\n")
    if fallback:
        assert b'{"role":"assistant","content":"Sorry?"}' in told.content and told.end["outcome"] == "spoken_fallback"
    else:
        assert b'"finish_reason":"error"' in told.content and told.end["outcome"] == "error_mid"


@pytest.mark.row("TL-15")
def test_a_second_pass_that_fails_is_retried(server: RunningServer, upstream: FakeUpstream, shop: FakeUpstream) -> None:
    upstream.enqueue(called(status()), refusal(500, {"message": "no"}), answer(FRIDAY))

    told = Told(server)

    assert told.text == FRIDAY and len(upstream.calls) == 3 and len(shop.calls) == 1


@pytest.mark.row("TL-15")
def test_a_hidden_pass_that_breaks_is_asked_once_more(
    server: RunningServer, upstream: FakeUpstream, shop: FakeUpstream
) -> None:
    half = [*events([calls_chunk(piece(0, "order_status", '{"order', "a"))]), close]
    upstream.enqueue(called(status("first")), half, called(status("second")), answer(FRIDAY))

    told = Told(server)

    assert told.text == FRIDAY and told.end["passes"] == 3 and len(upstream.calls) == 4
    assert [order_of(call) for call in shop.calls] == ["first", "second"]
    upstream.enqueue(half, half)
    failed = Told(server)
    assert (failed.status, failed.end["outcome"]) == (502, "error_before")


@pytest.mark.row("TL-15")
def test_a_second_pass_that_breaks_in_its_words_is_an_error(
    server: RunningServer, upstream: FakeUpstream, shop: FakeUpstream
) -> None:
    upstream.enqueue(called(status()), [*events(chunks(FRIDAY)[:3]), close])

    told = Told(server)

    assert b'"finish_reason":"error"' in told.content and DONE not in told.content
    assert told.end["outcome"] == "error_mid" and len(shop.calls) == 1


@pytest.mark.row("TL-16")
@pytest.mark.parametrize("path", [CHAT, RAG])
def test_a_hidden_call_does_not_forbid_the_fallback_text(
    with_tools: Any, upstream: FakeUpstream, shop: FakeUpstream, path: str
) -> None:
    server = with_tools(**QUIET, FALLBACK_TEXT="Sorry?")
    upstream.script = refusal(500, {"message": "no"})
    upstream.enqueue(called(status()))

    told = Told(server, path, {**WHERE, "waiting": "off"})

    assert b'{"role":"assistant","content":"Sorry?"}' in told.content and told.end["outcome"] == "spoken_fallback"


def whole_call(*calls: dict[str, Any], text: str | None = None, finish: str = "tool_calls") -> list[Step]:
    """A whole answer that calls tools."""
    entries = [{name: value for name, value in call.items() if name != "index"} for call in calls]
    choice = {"index": 0, "message": {"role": "assistant", "content": text, "tool_calls": entries}}
    body = {"id": "first", "object": "chat.completion", "created": 1, "model": "m"}
    return whole(encode({**body, "choices": [{**choice, "finish_reason": finish}], "usage": USAGE}))


@pytest.mark.row("TL-19")
@pytest.mark.parametrize("text", [None, "One moment."])
def test_an_answer_in_one_piece_joins_texts_and_usage(
    server: RunningServer, upstream: FakeUpstream, shop: FakeUpstream, text: str | None
) -> None:
    upstream.enqueue(whole_call(status("1"), status("2", 0), text=text), completion(FRIDAY))

    told = Told(server, body={**WHERE, "stream": False})

    answered = json.loads(told.content)
    assert answered["choices"][0]["message"]["content"] == (f"{text} {FRIDAY}" if text else FRIDAY)
    assert answered["usage"] == {name: 2 * count for name, count in USAGE.items()}
    assert len(shop.calls) == 2 and told.end["passes"] == 2


@pytest.mark.row("TL-19")
def test_the_usage_of_all_passes_is_told_once(
    server: RunningServer, upstream: FakeUpstream, shop: FakeUpstream
) -> None:
    usage = chunk({}, choices=[], usage=USAGE)
    upstream.enqueue(
        streamed(calls_chunk(status()), chunk({}, "tool_calls"), usage), answer(FRIDAY, usage=True, id="second")
    )

    told = Told(server, body={**WHERE, "stream_options": {"include_usage": True}})

    assert [one["usage"] for one in told.chunks if one.get("usage")] == [{n: 2 * c for n, c in USAGE.items()}]


@pytest.mark.row("TL-19")
def test_of_both_in_one_piece_ours_is_taken_out(
    server: RunningServer, upstream: FakeUpstream, shop: FakeUpstream
) -> None:
    upstream.script = whole_call(status("1"), piece(1, "end_call", "{}", "x"))

    told = Told(server, body={**WHERE, "stream": False, "tools": [THEIRS]})

    (call,) = json.loads(told.content)["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "end_call" and shop.calls == []


@pytest.mark.row("TL-20")
def test_many_tools_at_once_stop_no_stream(server: RunningServer, upstream: FakeUpstream) -> None:
    def script(call: Call) -> list[Step]:
        return answer(FRIDAY) if call.json["messages"][-1]["role"] == "tool" else called(nap(1))

    upstream.script = script
    began = time.monotonic()
    with ThreadPoolExecutor(60) as pool:
        statuses = list(pool.map(lambda _: requests.post(server.url + CHAT, json=WHERE, timeout=30).text, range(60)))

    assert all("Friday" in text for text in statuses)
    # One after the other they would take a minute.
    assert time.monotonic() - began < 15


@pytest.mark.row("TL-23")
def test_signatures_and_reasoning_go_back_within_the_turn(
    server: RunningServer, upstream: FakeUpstream, shop: FakeUpstream
) -> None:
    signature = {"google": {"thought_signature": "CiQBx+8A/é=="}}
    thoughts = [chunk({"role": "assistant", "reasoning_content": text}) for text in ("I look ", "it up.")]
    call = {**status(), "extra_content": signature}
    upstream.enqueue(streamed(*thoughts, calls_chunk(call), chunk({}, "tool_calls")), answer(FRIDAY))

    told = Told(server)

    message = upstream.calls[1].json["messages"][-2]
    assert message["tool_calls"][0]["extra_content"] == signature and message["reasoning_content"] == "I look it up."
    assert told.text == FRIDAY
    upstream.script = answer("Bye.")
    Told(server, body={"messages": [*WHERE["messages"], {"role": "assistant", "content": FRIDAY}, *WHERE["messages"]]})
    assert b"reasoning" not in upstream.calls[-1].body


@pytest.mark.row("TL-24")
def test_a_repeated_turn_repeats_its_idempotency_keys(
    server: RunningServer, upstream: FakeUpstream, shop: FakeUpstream
) -> None:
    def key(order: str, **fields: Any) -> str:
        shop.calls.clear()
        upstream.enqueue(called(piece(0, "book", json.dumps({"order_id": order}), uuid.uuid4().hex)), answer(FRIDAY))
        Told(server, body={**WHERE, "session_id": "s", "turn_id": 3, **fields})
        (call,) = shop.calls
        return call.headers["idempotency-key"]

    first = key("1")
    assert len(first) == 32 and key("1") == first
    assert len({first, key("2"), key("1", turn_id=4), key("1", session_id="t")}) == 4


def test_a_tool_that_no_limit_ends_holds_no_caller(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.enqueue(called(piece(0, "stubborn", "{}", "a")), answer(FRIDAY))

    told = Told(server)

    assert told.text.endswith(FRIDAY) and 1000 <= told.end["tool_ms"] < 20_000
    assert json.loads(results(upstream.calls[1])[0])["error"].startswith("no answer in 1 s. Do not say that it worked")
    assert [line["result"] for line in told.ends_of_tools()] == ["timeout"]


def test_the_time_of_a_turns_tools_has_a_limit(with_tools: Any, upstream: FakeUpstream, shop: FakeUpstream) -> None:
    server = with_tools(**QUIET)
    upstream.enqueue(called(nap(60)), answer(FRIDAY))

    told = Told(server)

    assert told.text == FRIDAY and upstream.calls[1].json["tool_choice"] == "none"
    assert 2500 <= told.end["tool_ms"] < 20_000


def test_a_tool_behind_the_answer_runs_when_it_was_spoken(
    server: RunningServer, upstream: FakeUpstream, shop: FakeUpstream
) -> None:
    upstream.enqueue(called(piece(0, "hang_up", "{}", "a")), answer("Goodbye, dear caller."))

    told = Told(server)
    ended = time.monotonic()

    assert told.text == "Goodbye, dear caller." and shop.calls == []
    assert json.loads(results(upstream.calls[1])[0]) == {"ok": True, "when": "after your next words"}
    shop.wait_for_calls(1)
    assert time.monotonic() - ended > 1


def test_unknown_names_and_too_many_calls_are_told(
    server: RunningServer, upstream: FakeUpstream, shop: FakeUpstream
) -> None:
    upstream.enqueue(
        called(piece(0, "no_such", "{}", "a"), *(status(str(number), number) for number in range(1, 10))),
        answer(FRIDAY),
    )

    told = Told(server)

    errors = [json.loads(text).get("error") for text in results(upstream.calls[1])]
    assert errors == ["there is no tool no_such", *[None] * 7, *["too many calls at once"] * 2]
    assert len(shop.calls) == 7 and told.text == FRIDAY and "no_such" not in server.output()


@pytest.mark.parametrize("fields", [{"n": 2}, {"tool_choice": "none"}, {"functions": [{"name": "f"}]}], ids=str)
def test_some_requests_are_offered_nothing(
    server: RunningServer, upstream: FakeUpstream, fields: dict[str, Any]
) -> None:
    told = Told(server, body={**WHERE, **fields})

    assert told.text == "Hello there" and "tools" not in upstream.calls[0].json and told.end["passes"] is None


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_calls_of_an_answer_that_was_cut_are_not_run(
    server: RunningServer, upstream: FakeUpstream, shop: FakeUpstream, reason: str
) -> None:
    upstream.script = streamed(calls_chunk(status()), chunk({}, reason))

    told = Told(server)

    assert shop.calls == [] and told.chunks[-1]["choices"][0]["finish_reason"] == reason


def test_a_stop_lets_a_booking_end(
    tool_server: FakeUpstream, upstream_url: str, upstream: FakeUpstream, shop: FakeUpstream, tmp_path: Path
) -> None:
    shop.script = [1.5, *whole(b"{}")]
    upstream.script = called(piece(0, "book", "{}", "a"))
    tool_folder.write(tmp_path, tool_server.base_url)
    settings = {"LLM_BASE_URL": upstream_url, "GRACEFUL_TIMEOUT": "8", "TOOLS_DIR": str(tmp_path)}
    with running_server(settings) as server:
        with server.connect() as connection:
            connection.sendall(post(CHAT, WHERE))
            shop.wait_for_calls(1)
        assert server.stop(timeout=10) == 0
        assert shop.calls[0].outcome == "done"


def test_spoken_answers_say_fillers_and_answers(with_tools: Any, upstream: FakeUpstream) -> None:
    server = with_tools()
    upstream.enqueue(called(nap(1.5)), answer(FRIDAY))

    told = Told(server, AUDIO)

    transcript = "".join((delta.get("audio") or {}).get("transcript") or "" for delta in told.deltas)
    assert transcript.split() == f"Just a moment. {FRIDAY}".split() and told.end["fillers"] == 1


def test_ready_and_metrics_tell_of_tools(server: RunningServer, upstream: FakeUpstream, shop: FakeUpstream) -> None:
    upstream.enqueue(called(status()), answer(FRIDAY))
    Told(server)

    assert requests.get(f"{server.url}/ready", timeout=30).json()["details"]["tools"] == 7
    text = requests.get(f"{server.url}/metrics", timeout=30).text
    assert 'parley_tool_calls_total{result="ok",tool="order_status"}' in text
    assert 'parley_tool_seconds_count{tool="order_status"}' in text and "parley_tool_passes_count" in text
