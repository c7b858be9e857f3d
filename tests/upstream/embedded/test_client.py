"""The embedded model's client: requests wait until its server is healthy, but not for ever."""

import contextlib
import dataclasses
import itertools
import json
import threading
from collections.abc import Iterator

import pytest
from chat_requests import TIMEOUTS, chat_request
from fake_upstream import (
    DONE,
    END,
    HANG,
    FakeUpstream,
    answer,
    chunk,
    close,
    completion,
    event,
    events,
    head,
    http_chunk,
    refusal,
    whole,
)

from parley.errors import UpstreamDisconnected, WarmingUp
from parley.upstream.embedded import client
from parley.upstream.embedded.client import EmbeddedUpstream
from parley.upstream.embedded.model_process import ModelProcess
from parley.wire.chunks import Envelope

LOADING = refusal(503, {"message": "Loading model"})
HEALTHY = whole(b'{"status":"ok"}')


@pytest.fixture
def server() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@contextlib.contextmanager
def client_of(server: FakeUpstream, first_content: float = TIMEOUTS.first_content) -> Iterator[EmbeddedUpstream]:
    process = ModelProcess(server.base_url, "secret", None)  # type: ignore[arg-type]
    timeouts = dataclasses.replace(TIMEOUTS, first_content=first_content)
    client = EmbeddedUpstream(process, timeouts, max_idle=2)
    yield client
    for pool in (client._pool, client._health):
        pool.close()


@pytest.fixture
def upstream(server: FakeUpstream) -> Iterator[EmbeddedUpstream]:
    with client_of(server) as client:
        yield client


def test_a_request_waits_until_the_model_is_loaded(upstream: EmbeddedUpstream, server: FakeUpstream) -> None:
    server.enqueue(LOADING, LOADING, HEALTHY)
    server.script = answer("Hello")
    upstream.open(chat_request(), Envelope.new("m"), seconds=2, tick=1).close()
    assert [call.path for call in server.calls] == ["/health"] * 3 + ["/v1/chat/completions"]
    assert server.calls[-1].headers["authorization"] == "Bearer secret"


def test_a_model_that_does_not_load_in_time_is_warming_up(server: FakeUpstream) -> None:
    server.script = LOADING
    with client_of(server, first_content=0.1) as upstream:
        with pytest.raises(WarmingUp):
            upstream.open(chat_request(), Envelope.new("m"), seconds=2, tick=1)
        with pytest.raises(WarmingUp):
            upstream.complete(chat_request(stream=False), seconds=2)
    assert {call.path for call in server.calls} == {"/health"}


def test_the_reason_is_what_the_health_says_now(
    upstream: EmbeddedUpstream, server: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.enqueue(LOADING, HEALTHY)
    reasons = [upstream.unavailable_reason() for _ in range(5)]
    assert isinstance(reasons[0], WarmingUp) and reasons[1:] == [None] * 4 and len(server.calls) == 2
    monkeypatch.setattr(client, "KEPT_SECONDS", 0.0)
    server.stop()
    assert isinstance(upstream.unavailable_reason(), WarmingUp)


def test_a_busy_server_stays_ready(
    upstream: EmbeddedUpstream, server: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "HEALTH_SECONDS", 0.05)
    monkeypatch.setattr(client, "KEPT_SECONDS", 0.0)
    server.enqueue(HEALTHY, [HANG])
    assert [upstream.unavailable_reason() for _ in range(2)] == [None, None]


@pytest.mark.slow
@pytest.mark.row("RF-14")
@pytest.mark.parametrize("whole_answer", [False, True])
def test_a_request_that_finds_the_process_gone_waits(server: FakeUpstream, whole_answer: bool) -> None:
    with client_of(server) as upstream:
        server.enqueue(HEALTHY)
        assert upstream.unavailable_reason() is None
        server.stop()
        script = completion("Hello") if whole_answer else answer("Hello")

        def start_again() -> None:
            again.script = script
            again.enqueue(LOADING, HEALTHY)
            again.__enter__()

        again = FakeUpstream(port=server.port)
        starting = threading.Timer(0.4, start_again)
        starting.start()
        if whole_answer:
            assert b"Hello" in upstream.complete(chat_request(stream=False), seconds=2).body
        else:
            upstream.open(chat_request(), Envelope.new("m"), seconds=2, tick=1).close()
        starting.join()
        again.stop()


@pytest.mark.row("RF-14")
def test_an_answer_that_fails_in_good_health_is_not_repeated(upstream: EmbeddedUpstream, server: FakeUpstream) -> None:
    server.enqueue(HEALTHY, [head(), http_chunk(b"x"), close], HEALTHY)
    with pytest.raises(UpstreamDisconnected):
        upstream.open(chat_request(), Envelope.new("m"), seconds=2, tick=1)
    assert [call.path for call in server.calls] == ["/health", "/v1/chat/completions", "/health"]


def test_a_server_that_is_not_there_yet_is_warming_up(upstream: EmbeddedUpstream, server: FakeUpstream) -> None:
    server.stop()
    assert isinstance(upstream.unavailable_reason(), WarmingUp)


def test_a_whole_answer_comes_once_it_is_loaded(upstream: EmbeddedUpstream, server: FakeUpstream) -> None:
    server.enqueue(HEALTHY)
    server.script = completion("Hello")
    assert b"Hello" in upstream.complete(chat_request(stream=False), seconds=2).body


def test_its_one_model_is_labelled_a_demonstration(upstream: EmbeddedUpstream, server: FakeUpstream) -> None:
    (model,) = upstream.models()
    assert model["id"] == "local-demo" and "demonstration" in model["owned_by"] and server.calls == []
    assert upstream.prompt_form == "extractive"


@pytest.mark.row("RE-10")
def test_the_chunks_of_a_stream_share_one_envelope(upstream: EmbeddedUpstream, server: FakeUpstream) -> None:
    deltas = [{"role": "assistant", "content": ""}, {"content": "One"}, {"content": " two"}, {}]
    sent = [chunk(delta, created=5 + number, id=f"up-{number}") for number, delta in enumerate(deltas)]
    usage = chunk({}, choices=[], created=99, usage={"total_tokens": 7})
    server.enqueue(HEALTHY)
    server.script = [*events([*sent, chunk({}, "stop", created=98), usage]), event(DONE), END]
    stream = upstream.open(chat_request(), Envelope.new("m"), seconds=2, tick=1)
    with contextlib.closing(stream):
        payloads = [*stream.held, *itertools.chain(*stream.rest(Envelope.new("m")))]
    heads = {(one["id"], one["created"], one["model"]) for one in map(json.loads, payloads)}
    assert heads == {("up-0", 5, "fake-model")} and len(payloads) == 6
    assert [json.loads(one)["choices"][0]["delta"] for one in payloads[:4]] == deltas
