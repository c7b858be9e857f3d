"""The upstreams as one: the first that answers, the record of it, and the health of the others."""

import contextlib
import itertools
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import gevent
import pytest
from chat_requests import TIMEOUTS, chat_request
from fake_upstream import (
    DONE,
    END,
    HANG,
    Call,
    FakeUpstream,
    Step,
    answer,
    chunks,
    close,
    completion,
    event,
    events,
    models,
    refusal,
    text_chunk,
)

from parley.concurrency import SILENCE
from parley.errors import NotConfigured, UpstreamDisconnected, UpstreamError, UpstreamRefused, UpstreamWordless
from parley.http_client.spares import SpareConnections
from parley.turn_record import TurnRecord
from parley.upstream import router
from parley.upstream.chat_api import ChatApi
from parley.upstream.router import STEP_PAYLOADS, NoUpstream, UpstreamRouter, _in_steps
from parley.wire.chunks import Envelope
from parley.wire.sse import Batch, LastBatch

Route = Callable[..., UpstreamRouter]
SOON = {"retry-after-ms": "1"}


@pytest.fixture
def other() -> Iterator[FakeUpstream]:
    """Yield a second upstream."""
    with FakeUpstream() as upstream:
        upstream.script = answer("From the other")
        yield upstream


@pytest.fixture
def route() -> Iterator[Route]:
    """Yield a factory of routers over fake upstreams, whose connections are closed after the test."""
    asked: list[FakeUpstream] = []
    with contextlib.ExitStack() as stack:

        def make(*fakes: FakeUpstream, tick: float = 1, **options: Any) -> UpstreamRouter:
            asked.extend(fakes)
            apis = [
                ChatApi(f"up-{number}", fake.base_url, "k", "big", TIMEOUTS, max_idle=4)
                for number, fake in enumerate(fakes)
            ]
            for api in apis:
                stack.callback(api._pool.close)
            return UpstreamRouter(apis, TIMEOUTS, tick=tick, **options)

        yield make
    # Attempts that were killed, and responses that are drained, close their connections when the event loop runs.
    with gevent.Timeout(5):
        while any(fake.open_connections for fake in asked):
            gevent.sleep(0.001)


def record() -> TurnRecord:
    return TurnRecord("chat", "r")


def text(batches: Iterable[Batch]) -> bytes:
    return b"".join(itertools.chain(*(batch for batch in batches if batch is not SILENCE)))


def test_the_first_batch_holds_all_up_to_the_content(route: Route, fake: FakeUpstream) -> None:
    role, hello, there, finish = chunks("Hello there")
    opened = threading.Event()
    fake.script = [*events([role, hello]), opened, event(there), event(finish), event(DONE), END]
    batches = route(fake).stream(chat_request(), Envelope.new("m"), record())
    assert next(batches) == [role, hello]
    opened.set()
    assert list(itertools.chain(*batches)) == [there, finish]


def test_a_failing_upstream_gives_way_to_the_next(route: Route, fake: FakeUpstream, other: FakeUpstream) -> None:
    fake.script = refusal(500, {"message": "no"})
    kept = record()
    said = text(route(fake, other).stream(chat_request(), Envelope.new("m"), kept))
    assert b"other" in said and (kept.upstream, kept.attempts) == ("up-1", 2) and kept.ttft_ms is not None


def test_a_refusal_is_raised_with_the_number_of_attempts(route: Route, fake: FakeUpstream, other: FakeUpstream) -> None:
    fake.script = refusal(400, {"message": "no"})
    with pytest.raises(UpstreamRefused) as raised:
        next(route(fake, other).stream(chat_request(), Envelope.new("m"), record()))
    assert raised.value.headers["x-relay-attempts"] == "1" and other.calls == []


def test_nothing_is_repeated_behind_the_commit_point(route: Route, fake: FakeUpstream, other: FakeUpstream) -> None:
    fake.script = [*events([text_chunk("a", "Hello")]), close]
    batches = route(fake, other).stream(chat_request(), Envelope.new("m"), record())
    assert b"Hello" in next(batches)[0]
    with pytest.raises(UpstreamDisconnected):
        next(batches)
    assert (len(fake.calls), other.calls) == (1, [])


def test_failures_behind_the_commit_point_open_the_breaker(route: Route, fake: FakeUpstream) -> None:
    fake.script = [*events([text_chunk("a", "Hello")]), close]
    upstream = route(fake)
    for _ in range(5):
        with pytest.raises(UpstreamError):
            text(upstream.stream(chat_request(), Envelope.new("m"), record()))
    assert upstream.breaker_states() == {"up-0": "open"}


def test_a_closed_stream_closes_the_upstreams(route: Route, fake: FakeUpstream) -> None:
    fake.script = [*events([text_chunk("a", "Hello")]), HANG]
    batches = route(fake).stream(chat_request(), Envelope.new("m"), record())
    next(batches)
    batches.close()
    assert fake.calls[0].finished.wait(2) and fake.calls[0].outcome == "peer_left"


def test_a_chunk_of_ours_keeps_the_answers_id(route: Route, fake: FakeUpstream) -> None:
    envelope = Envelope("ours", 1, "m")
    envelope.text("One moment.", first=True)
    text(route(fake).stream(chat_request(), envelope, record()))
    unused = Envelope("ours", 1, "m")
    text(route(fake).stream(chat_request(), unused, record()))
    assert (envelope.id, unused.id) == ("ours", "chatcmpl-fake")


def test_waiting_yields_at_the_wake_up_time(route: Route, fake: FakeUpstream) -> None:
    fake.script = [HANG]
    batches = route(fake).stream(chat_request(), Envelope.new("m"), record(), wake_after=0.01)
    assert next(batches) is SILENCE
    batches.close()


def test_a_late_stream_is_hedged(route: Route, fake: FakeUpstream, other: FakeUpstream) -> None:
    fake.script = [HANG]
    kept = record()
    said = text(route(fake, other, hedge_after=0.01).stream(chat_request(), Envelope.new("m"), kept))
    assert b"other" in said and (kept.upstream, kept.attempts) == ("up-1", 2)


THOUGHT = b'{"id":"up","created":5,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","reasoning":"Hmm"}}]}'
CUT = b'{"id":"up","created":5,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"length"}]}'
THINKS = [*events([THOUGHT, CUT]), event(DONE), END]


def thinks(*seen: threading.Event) -> Callable[[Call], Iterator[Step]]:
    """Return the script of an upstream that ends its thoughts when they have been seen; one event for each call."""
    left = list(seen)

    def script(_call: Call) -> Iterator[Step]:
        yield from [*events([THOUGHT]), left.pop(0), event(CUT), event(DONE), END]

    return script


def seeing(batches: Iterable[Batch], *seen: threading.Event) -> Iterator[bytes]:
    """Yield the payloads; let the upstream go on at each thought."""
    left = list(seen)
    for payload in itertools.chain.from_iterable(batch for batch in batches if batch is not SILENCE):
        if b"Hmm" in payload:
            left.pop(0).set()
        yield payload


@pytest.mark.row("RA-05")
def test_thoughts_and_the_answer_after_them_are_one(route: Route, fake: FakeUpstream, other: FakeUpstream) -> None:
    seen = threading.Event()
    fake.script = thinks(seen)
    kept = record()
    batches = route(fake, other).stream(chat_request(), Envelope.new("m"), kept)
    payloads = [json.loads(payload) for payload in seeing(batches, seen)]
    deltas = [payload["choices"][0]["delta"] for payload in payloads]
    assert {payload["id"] for payload in payloads} == {"up"}
    assert [delta.get("content") for delta in deltas] == [None, "", "From", " the", " other", None]
    assert [delta.get("role") for delta in deltas] == ["assistant", *[None] * 5]
    assert (kept.upstream, kept.attempts, kept.outcome) == ("up-1", 2, None) and kept.ttft_ms is not None


@pytest.mark.row("RA-05")
def test_an_answer_that_stays_wordless_is_told_in_the_record(route: Route, fake: FakeUpstream) -> None:
    seen = threading.Event(), threading.Event()
    fake.script = thinks(*seen)
    kept = record()
    came = b"".join(seeing(route(fake).stream(chat_request(), Envelope.new("m"), kept), *seen))
    assert came.count(b"Hmm") == 2 and came.count(b'"length"') == 1 and came.count(b'"role"') == 1
    assert (kept.outcome, kept.code, kept.ttft_ms) == ("empty", "upstream_empty_response", None)


@pytest.mark.row("RA-05")
@pytest.mark.parametrize("stream", [True, False])
def test_a_wordless_answer_may_be_an_error(route: Route, fake: FakeUpstream, stream: bool) -> None:
    fake.script = THINKS if stream else completion(" ")
    upstream = route(fake, passes_wordless=False)
    with pytest.raises(UpstreamWordless):
        if stream:
            text(upstream.stream(chat_request(), Envelope.new("m"), record()))
        else:
            upstream.complete(chat_request(stream=False), record())
    assert len(fake.calls) == 2 and upstream.breaker_states() == {"up-0": "closed"}


def test_a_whole_answer_is_retried_and_returned_as_it_came(route: Route, fake: FakeUpstream) -> None:
    fake.enqueue(refusal(503, {"message": "no"}, SOON))
    fake.script = completion("Hello", {"x-request-id": "up-7"})
    kept = record()
    assert route(fake).complete(chat_request(stream=False), kept) == fake.script[-1]
    assert (kept.attempts, kept.upstream_request_id) == (2, "up-7")


def test_a_list_of_models_is_kept_but_not_a_failure(
    route: Route, fake: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    upstream = route(fake)
    monkeypatch.setattr(router.time, "monotonic", lambda: now)
    fake.models_script = refusal(500, {"message": "out of order"}, {"connection": "close"})
    failed = upstream.models()
    fake.models_script = models(["one"])
    asked_again = upstream.models()
    fake.models_script = models(["two"])
    kept = upstream.models()
    fake.models_script = refusal(500, {"message": "out of order"}, {"connection": "close"})
    now += 61
    last_known = upstream.models()
    fake.models_script = models(["two"])

    lists = [failed, asked_again, kept, last_known, upstream.models()]
    assert [[model["id"] for model in listed] for listed in lists] == [[], ["one"], ["one"], ["one"], ["two"]]


def test_warming_reaches_every_upstream(route: Route, fake: FakeUpstream, other: FakeUpstream) -> None:
    upstream = route(fake, other)
    for candidate in upstream.candidates:
        candidate.upstream._spares = SpareConnections(candidate.upstream._pool, 1, str)
    upstream.warm(lambda: False)
    with gevent.Timeout(10):
        while (fake.connections, other.connections) != (1, 1):
            gevent.sleep(0.005)
    assert upstream.connection_faults() == {}


@pytest.mark.row("RF-22")
def test_repeats_for_silence_come_out_of_the_retry_budget(route: Route, fake: FakeUpstream) -> None:
    (candidate,) = route(fake).candidates
    leave = [candidate.upstream._pool.may_repeat() for _ in range(12)]
    assert leave == [True] * 10 + [False] * 2


def test_model_and_health_are_the_first_upstreams(route: Route, fake: FakeUpstream, other: FakeUpstream) -> None:
    upstream = route(fake, other)
    assert (upstream.model, upstream.prompt_form, upstream.unavailable_reason()) == ("big", "reference", None)
    assert upstream.breaker_states() == {"up-0": "closed", "up-1": "closed"}


def test_without_an_upstream_requests_name_the_settings() -> None:
    upstream = NoUpstream()
    for ask in (
        lambda: upstream.complete(chat_request(), record()),
        lambda: upstream.stream(chat_request(), Envelope.new("m"), record()),
    ):
        with pytest.raises(NotConfigured) as raised:
            ask()
        assert (raised.value.status, raised.value.code) == (503, "not_configured")
        assert "LLM_API_KEY" in raised.value.message and "LLM_BASE_URL" in raised.value.message
    with pytest.raises(NotConfigured):
        upstream.load_model()
    assert isinstance(upstream.unavailable_reason(), NotConfigured) and upstream.models() == []


@pytest.mark.parametrize("count", [0, 1, STEP_PAYLOADS, STEP_PAYLOADS + 1, 10 * STEP_PAYLOADS])
@pytest.mark.parametrize("kind", [list, LastBatch])
def test_payloads_that_were_held_go_on_in_steps(kind: type, count: int) -> None:
    held = kind(b"%d" % number for number in range(count))
    batches = list(_in_steps(held))

    assert [payload for batch in batches for payload in batch] == held
    assert max(map(len, batches)) <= STEP_PAYLOADS
    assert [type(batch) for batch in batches] == [*[list] * (len(batches) - 1), kind]
    assert all(batches[:-1])
