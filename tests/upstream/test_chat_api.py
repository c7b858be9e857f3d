"""One attempt at an upstream: the request that leaves, the stream or the answer that comes back, and its errors."""

import contextlib
import dataclasses
import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from chat_requests import TIMEOUTS, chat_request
from fake_upstream import (
    DONE,
    END,
    HANG,
    FakeUpstream,
    answer,
    chunk,
    chunks,
    completion,
    event,
    events,
    http_chunk,
    models,
    refusal,
    text_chunk,
    whole,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from parley.concurrency import SILENCE
from parley.errors import (
    AnswerCapped,
    UpstreamAuthFailed,
    UpstreamBadResponse,
    UpstreamError,
    UpstreamRefused,
    UpstreamStalled,
    UpstreamTimeout,
)
from parley.upstream.chat_api import STREAM_LABELS, ChatApi, form_of
from parley.upstream.open_stream import OpenStream
from parley.upstream.stream_reader import StreamReader
from parley.wire.body_form import Form
from parley.wire.chunks import Envelope

Connect = Callable[..., ChatApi]


@pytest.fixture
def connect(fake: FakeUpstream) -> Iterator[Connect]:
    """Yield a factory of clients of the fake upstream, which are closed after the test."""
    with contextlib.ExitStack() as stack:

        def make(key: str | None = "ours", timeouts: Any = TIMEOUTS, **options: Any) -> ChatApi:
            api = ChatApi("primary", fake.base_url, key, "big", timeouts, max_idle=4, **options)
            stack.callback(api._pool.close)
            return api

        yield make


@pytest.fixture
def api(connect: Connect) -> ChatApi:
    return connect()


def open_stream(api: ChatApi, envelope: Envelope | None = None, **fields: Any) -> OpenStream:
    return api.open(chat_request(**fields), envelope or Envelope("ours", 1, "m"), seconds=2, tick=1)


def payloads(stream: OpenStream) -> list[bytes]:
    """Return all payloads of the stream, and close it."""
    with contextlib.closing(stream):
        return [*stream.held, *itertools.chain(*stream.rest(Envelope("ours", 1, "m")))]


# --- requests ---


def test_a_request_bears_the_key_its_id_and_its_fields(api: ChatApi, fake: FakeUpstream) -> None:
    open_stream(api, temperature=0, traceparent="00-1-2-00", tenant="acme").close()
    (call,) = fake.calls
    assert (call.method, call.path) == ("POST", "/v1/chat/completions")
    assert call.headers["authorization"] == "Bearer ours" and call.headers["accept"] == "text/event-stream"
    assert (call.headers["x-request-id"], call.headers["traceparent"]) == ("request-7", "00-1-2-00")
    messages = [{"role": "user", "content": "Hi"}]
    assert call.json == {"messages": messages, "stream": True, "model": "big", "temperature": 0}


def test_the_fixed_model_replaces_the_requests(connect: Connect, fake: FakeUpstream) -> None:
    open_stream(connect(fixed_model="small"), model="huge").close()
    assert fake.calls[0].json["model"] == "small"


@pytest.mark.row("SH-14")
def test_an_account_is_named_by_its_address_and_key(connect: Connect, fake: FakeUpstream) -> None:
    assert connect().account == hashlib.sha256(f"{fake.base_url}\0ours".encode()).hexdigest()[:16]
    keys = ["ours", "theirs", None]
    headers = [{"api-key": "a"}, {"api-key": "b"}]
    names = {connect(key).account for key in keys} | {connect(None, headers=one).account for one in headers}
    assert len(names) == 5
    assert not connect().limits_are_callers and connect(None, forward_token=True).limits_are_callers


@pytest.mark.row("RA-11")
def test_the_operators_headers_and_params_are_added(connect: Connect, fake: FakeUpstream) -> None:
    headers = {"api-key": "other", "authorization": "Basic x", "user-agent": "shop"}
    params = {"seed": 7, "top_k": 3, "max_tokens": 5, "stream_options": {"include_usage": True}}
    api = connect(headers=headers, params=params)
    open_stream(api, seed=None, max_completion_tokens=9).close()
    (call,) = fake.calls
    assert {name: call.headers[name] for name in headers} == headers
    sent = {"seed": None, "top_k": 3, "max_completion_tokens": 9, "stream_options": {"include_usage": True}}
    assert call.json.items() >= sent.items() and "max_tokens" not in call.json


@pytest.mark.row("RA-11")
def test_stream_options_are_no_default_of_a_whole_answer(connect: Connect, fake: FakeUpstream) -> None:
    fake.script = completion("Hello")
    connect(params={"stream_options": {}, "seed": 7}).complete(chat_request(stream=False), seconds=2)
    assert fake.calls[0].json["seed"] == 7 and "stream_options" not in fake.calls[0].json


@pytest.mark.parametrize(
    ("forward", "key", "token", "sent"),
    [
        (False, "ours", "theirs", "Bearer ours"),
        (False, None, "theirs", None),
        (True, None, "theirs", "Bearer theirs"),
        (True, "ours", None, None),
    ],
)
def test_the_key_or_the_callers_token_is_sent_never_the_other(
    connect: Connect, fake: FakeUpstream, forward: bool, key: str | None, token: str | None, sent: str | None
) -> None:
    open_stream(connect(key, forward_token=forward), token=token).close()
    assert fake.calls[0].headers.get("authorization") == sent


def test_a_field_that_is_held_back_is_logged_once(connect: Connect, fake: FakeUpstream) -> None:
    api = connect(forward_fields=frozenset({"tenant"}))
    with capture_logs() as logged:
        for _ in range(2):
            open_stream(api, tenant="acme", shoe_size=46, turn_id=3).close()
    assert [line["field"] for line in logged] == ["shoe_size"]
    assert fake.calls[0].json["tenant"] == "acme" and "shoe_size" not in fake.calls[0].json


# --- streams ---


def test_a_stream_is_held_up_to_its_first_content(api: ChatApi, fake: FakeUpstream) -> None:
    role, hello, there, finish = chunks("Hello there")
    opened = threading.Event()
    fake.script = [*events([role, hello]), opened, event(there), event(finish), event(DONE), END]
    with contextlib.closing(open_stream(api)) as stream:
        assert stream.held == [role, hello]
        opened.set()
        assert list(itertools.chain(*stream.rest(Envelope("ours", 1, "m")))) == [there, finish]


def test_an_attempt_leaves_the_answers_envelope_unchanged(api: ChatApi) -> None:
    envelope = Envelope("ours", 1, "m")
    stream = open_stream(api, envelope)
    assert envelope == Envelope("ours", 1, "m")
    with contextlib.closing(stream):
        stream.rest(envelope)
    assert envelope.id == "chatcmpl-fake"  # this attempt has won


@pytest.mark.parametrize(("sent", "known"), [("req-1.a_B", "req-1.a_B"), ("a b", None), ("x" * 129, None), ("", None)])
def test_the_upstreams_request_id_is_known_if_it_is_clean(
    api: ChatApi, fake: FakeUpstream, sent: str, known: str | None
) -> None:
    fake.script = completion("Hello", {"x-request-id": sent})
    assert api.complete(chat_request(stream=False), seconds=2).request_id == known


def test_a_json_answer_to_a_stream_is_converted(api: ChatApi, fake: FakeUpstream) -> None:
    fake.script = completion("Hello there")
    converted = payloads(open_stream(api))
    assert b"Hello there" in b"".join(converted) and b"chat.completion.chunk" in converted[0]


def test_another_media_type_is_a_bad_response(api: ChatApi, fake: FakeUpstream) -> None:
    fake.script = whole(b"<html>", headers={"content-type": "text/html"})
    with pytest.raises(UpstreamBadResponse):
        open_stream(api)


def test_silence_before_the_first_content_is_a_timeout(connect: Connect, fake: FakeUpstream) -> None:
    fake.script = [*events([chunk({"role": "assistant"})]), HANG]
    with pytest.raises(UpstreamTimeout):
        open_stream(connect(timeouts=dataclasses.replace(TIMEOUTS, first_content=0.05)))
    assert fake.calls[0].finished.wait(2) and fake.calls[0].outcome == "peer_left"


def test_silence_inside_the_answer_is_a_stall(connect: Connect, fake: FakeUpstream) -> None:
    fake.script = [*events([text_chunk("a", "Hello")]), HANG]
    stream = open_stream(connect(timeouts=dataclasses.replace(TIMEOUTS, idle=0.05)))
    with pytest.raises(UpstreamStalled):
        payloads(stream)


def test_a_silent_stream_yields_at_each_tick(api: ChatApi, fake: FakeUpstream) -> None:
    fake.script = [*events([text_chunk("a", "Hello")]), HANG]
    stream = api.open(chat_request(), Envelope("ours", 1, "m"), seconds=2, tick=0.01)
    with contextlib.closing(stream):
        rest = stream.rest(Envelope("ours", 1, "m"))
        assert [next(rest) for _ in range(3)] == [SILENCE] * 3


def test_closing_a_stream_early_closes_its_connection(api: ChatApi, fake: FakeUpstream) -> None:
    fake.script = [*events([text_chunk("a", "Hello")]), HANG]
    open_stream(api).close()
    assert fake.calls[0].finished.wait(2) and fake.calls[0].outcome == "peer_left"


def test_a_finished_stream_keeps_its_connection(api: ChatApi, fake: FakeUpstream) -> None:
    fake.script = [*answer("Hello there")[:-2], event(DONE) + END]
    for _ in range(3):
        payloads(open_stream(api))
    assert fake.connections == 1


@pytest.mark.parametrize("modalities", [["text"], ["text", "audio"]])
def test_an_answer_in_audio_has_a_cap_of_its_own(api: ChatApi, fake: FakeUpstream, modalities: list[str]) -> None:
    padding = http_chunk(b": " + b"x" * 65_536 + b"\n\n")
    fake.script = [*events([text_chunk("a", "Hello")]), *[padding] * 70, event(DONE) + END]
    stream = open_stream(api, modalities=modalities)
    if modalities == ["text"]:
        with pytest.raises(AnswerCapped):
            payloads(stream)
    else:
        assert b"Hello" in payloads(stream)[0]


class Body:
    """A response's body in pieces under these labels."""

    def __init__(self, pieces: list[bytes], media_type: str, coding: str | None) -> None:
        self.media_type = media_type
        self.headers = {} if coding is None else {"content-encoding": coding}
        self._pieces = pieces

    def receive(self, _timeout: float) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    def unread(self, received: bytes) -> None:
        self._pieces[:0] = [received] if received else []


SENT = [*chunks("One \u4f60 two", usage=True), b'{"id":"chatcmpl-fake","choices":[{"index":0,"delta":null}]}']
FRAMES: dict[str, Callable[[bytes], bytes]] = {
    "events": lambda payload: b"data: " + payload + b"\n\n",
    "no space": lambda payload: b"data:" + payload + b"\n\n",
    "named": lambda payload: b"event: message\nid: 7\ndata: " + payload + b"\n\n",
    "with comments": lambda payload: b": ping\n\ndata: " + payload + b"\n\n",
    "no blank lines": lambda payload: b"data: " + payload + b"\n",
    "lines": lambda payload: payload + b"\n",
    "lines apart": lambda payload: payload + b"\n\n",
}
MEDIA_TYPES = ["text/event-stream", "application/json", "text/plain", "text/html", "application/x-ndjson", "", "x"]


@pytest.mark.slow
@pytest.mark.row("RA-01")
@settings(max_examples=200)
@given(
    frame=st.sampled_from([*FRAMES]),
    end=st.sampled_from([b"\n", b"\r\n", b"\r"]),
    leading=st.lists(st.sampled_from([b"\n", b" ", b"\r\n", b": x\n", b"\xef\xbb\xbf"]), max_size=4).map(b"".join),
    done=st.sampled_from([b"", DONE]),
    media_type=st.sampled_from(MEDIA_TYPES),
    coding=st.sampled_from([None, "", "none", "gzip", "utf-8"]),
    cuts=st.sets(st.integers(1, 2000)),
)
def test_a_relabelled_stream_gives_the_same_events(
    frame: str, end: bytes, leading: bytes, done: bytes, media_type: str, coding: str | None, cuts: set[int]
) -> None:
    stream = leading + b"".join(map(FRAMES[frame], [*SENT, done] if done else SENT)).replace(b"\n", end)
    borders = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    body: Any = Body([stream[start:stop] for start, stop in itertools.pairwise(borders)], media_type, coding)
    form = form_of(body, 1, STREAM_LABELS)
    reader = StreamReader(Envelope("ours", 1, "m"), TIMEOUTS, tick=1, bare=form is Form.OBJECTS)
    read = [payload for batch in reader.batches(body.receive) if batch is not SILENCE for payload in batch]
    assert read == SENT and reader.done == bool(done)


# --- whole answers ---


def test_a_whole_answer_is_returned_as_it_came(api: ChatApi, fake: FakeUpstream) -> None:
    fake.script = completion("Hello")
    assert api.complete(chat_request(stream=False), seconds=2).body == fake.script[-1]
    assert fake.calls[0].headers["accept"] == "application/json"


def test_a_whole_answer_without_a_choice_is_bad(api: ChatApi, fake: FakeUpstream) -> None:
    fake.script = whole(b'{"object":"chat.completion","choices":[]}')
    with pytest.raises(UpstreamBadResponse):
        api.complete(chat_request(stream=False), seconds=2)


def test_a_whole_answer_that_does_not_come_is_a_timeout(api: ChatApi, fake: FakeUpstream) -> None:
    fake.script = [HANG]
    with pytest.raises(UpstreamTimeout):
        api.complete(chat_request(stream=False), seconds=0.05)


# --- errors ---


@pytest.mark.parametrize(
    ("status", "error"), [(400, UpstreamRefused), (401, UpstreamAuthFailed), (500, UpstreamError), (503, UpstreamError)]
)
def test_a_status_is_the_error_for_it(api: ChatApi, fake: FakeUpstream, status: int, error: type[Exception]) -> None:
    fake.script = refusal(status, {"message": "no"})
    with pytest.raises(error):
        open_stream(api)


def test_a_refusal_masks_key_token_and_address(connect: Connect, fake: FakeUpstream) -> None:
    fake.script = refusal(422, {"message": f"theirs-1 at {fake.base_url} with other-1"})
    with pytest.raises(UpstreamRefused) as raised:
        open_stream(connect(None, forward_token=True, secrets=["other-1"]), token="theirs-1")
    assert raised.value.message == "*** at *** with ***"


# --- models, warming ---


def test_the_models_are_the_upstreams(api: ChatApi, fake: FakeUpstream) -> None:
    fake.models_script = models(["one", "two"])
    assert [model["id"] for model in api.models()] == ["one", "two"]
    assert fake.calls[0].headers["authorization"] == "Bearer ours"


@pytest.mark.parametrize("script", [refusal(500, "no"), whole(b"[]"), whole(b'{"data":7}'), whole(b"["), [b"x"]])
def test_models_that_cannot_be_had_are_none(api: ChatApi, fake: FakeUpstream, script: Any) -> None:
    fake.models_script = script
    assert api.models() == []


def test_a_callers_token_lists_no_models(connect: Connect, fake: FakeUpstream) -> None:
    assert connect(None, forward_token=True).models() == [] and fake.calls == []


def eventually(holds: Callable[[], object]) -> None:
    """Let greenlets run until it holds."""
    with gevent.Timeout(10):
        while not holds():
            gevent.sleep(0.005)


def test_warming_opens_the_spare_connections(connect: Connect, fake: FakeUpstream) -> None:
    connect(spare=3).warm(lambda: False)
    eventually(lambda: fake.connections == 3)


def test_warming_an_unreachable_upstream_raises_nothing(connect: Connect, fake: FakeUpstream) -> None:
    fake.stop()
    api = connect(spare=2)
    with capture_logs() as logged:
        api.warm(lambda: False)
        eventually(lambda: api.connection_fault)
    assert api.models() == [] and api.unavailable_reason() is None
    (line,) = logged
    assert (line["event"], line["log_level"], line["upstream"]) == ("spare_connections_failed", "warning", api.name)
    assert "refused" in line["reason"]


@pytest.mark.row("RA-12")
def test_a_model_is_loaded_by_an_answer_of_one_token(api: ChatApi, fake: FakeUpstream) -> None:
    fake.script = completion("")
    api.load_model()
    assert (fake.calls[0].json["max_tokens"], fake.calls[0].json["stream"]) == (1, False)
    fake.script = refusal(500, {"message": "no"})
    with pytest.raises(UpstreamError):
        api.load_model()
