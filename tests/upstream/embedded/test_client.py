"""The embedded model's client: requests wait until its server is healthy, but not for ever."""

import contextlib
import dataclasses
import itertools
import json
from collections.abc import Iterator

import pytest
from chat_requests import TIMEOUTS, chat_request
from fake_upstream import DONE, END, FakeUpstream, answer, chunk, completion, event, events, refusal, whole

from parley.errors import WarmingUp
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


def test_health_is_asked_for_until_it_is_good_once(upstream: EmbeddedUpstream, server: FakeUpstream) -> None:
    server.enqueue(LOADING, HEALTHY)
    reasons = [upstream.unavailable_reason() for _ in range(3)]
    assert isinstance(reasons[0], WarmingUp) and reasons[1:] == [None, None]
    assert len(server.calls) == 2


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
