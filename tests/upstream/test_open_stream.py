"""A stream that has begun: what is held back up to the first word, what is sent before, and an end without a word."""

import contextlib
import math
from collections.abc import Callable
from typing import Any

import pytest

from parley.concurrency import SILENCE
from parley.telemetry.redaction import Redactor
from parley.upstream.open_stream import Completion, OpenStream
from parley.upstream.stream_reader import StreamReader
from parley.upstream.timeouts import Timeouts
from parley.wire.chunks import Envelope
from parley.wire.sse import LastBatch, frame

ROLE = b'{"id":"up","created":5,"model":"big","choices":[{"index":0,"delta":{"role":"assistant"}}]}'
THOUGHT = b'{"choices":[{"index":0,"delta":{"reasoning":"Hmm"}}]}'
WORD = b'{"choices":[{"index":0,"delta":{"content":"Hi"}}]}'
FINISH = b'{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}'
FILTERED = b'{"choices":[{"index":0,"delta":{},"finish_reason":"content_filter"}]}'
DONE = b"[DONE]"


class FakeResponse:
    """A response that counts how often it is closed."""

    def __init__(self) -> None:
        self.headers = {"x-request-id": "up-7"}
        self.closed: list[str] = []

    def close(self) -> None:
        self.closed.append("close")

    def drain_and_close(self) -> None:
        self.closed.append("drain")


Open = Callable[..., tuple[OpenStream, FakeResponse]]


@pytest.fixture
def opened() -> Open:
    """Return a function that opens a stream of these payloads, each received by itself; None is silence."""

    def make(*payloads: bytes | None, max_bytes: int = 1 << 20, **times: float) -> tuple[OpenStream, FakeResponse]:
        limits = {"connect": 1.0, "first_content": 1.0, "precommit": 1.0, "idle": 9.0, "total": 60.0, **times}
        reader = StreamReader(Envelope("ours", 1, "m"), Timeouts(**limits), tick=5, max_bytes=max_bytes)
        pieces = iter([None if payload is None else frame(payload) for payload in payloads])
        response: Any = FakeResponse()
        batches = reader.batches(lambda _timeout: next(pieces, b""))
        return OpenStream(response, reader, batches, Redactor([])), response

    return make


def test_a_word_opens_a_stream_that_is_heard(opened: Open) -> None:
    stream, _ = opened(ROLE, WORD, FINISH, DONE)
    assert stream.held == [ROLE, WORD] and stream.is_heard and not stream.is_wordless
    assert list(stream.sent_unheard(math.inf)) == []
    assert list(stream.rest(Envelope("ours", 1, "m"))) == [[FINISH]] and stream.request_id == "up-7"


@pytest.mark.row("RA-04")
def test_thoughts_are_sent_as_they_come(opened: Open) -> None:
    stream, _ = opened(ROLE, THOUGHT, THOUGHT, WORD, FINISH, DONE)
    assert stream.held == [ROLE, THOUGHT] and not stream.is_heard
    assert list(stream.sent_unheard(math.inf)) == [[ROLE, THOUGHT], [THOUGHT]]
    assert stream.held == [WORD] and stream.is_heard


@pytest.mark.row("RA-04")
def test_thoughts_are_held_until_something_is_heard(opened: Open) -> None:
    stream, _ = opened(ROLE, THOUGHT, THOUGHT, WORD, FINISH, DONE)
    stream.hold_until_heard()
    assert stream.held == [ROLE, THOUGHT, THOUGHT, WORD] and stream.is_heard


def test_silence_among_thoughts_is_yielded_at_the_wake_up_time(opened: Open) -> None:
    stream, _ = opened(THOUGHT, None, THOUGHT, WORD)
    assert list(stream.sent_unheard(0.0)) == [[THOUGHT], SILENCE, [THOUGHT]]


@pytest.mark.row("RA-05")
@pytest.mark.parametrize(
    ("payloads", "sent", "held"),
    [
        ((ROLE, FINISH, DONE), [], [ROLE, FINISH]),
        ((ROLE, THOUGHT, FINISH, DONE), [[ROLE, THOUGHT]], [FINISH]),
        ((THOUGHT, FINISH), [[THOUGHT]], [FINISH]),
    ],
)
def test_the_end_of_a_wordless_stream_is_kept(
    opened: Open, payloads: tuple[bytes, ...], sent: list[Any], held: list[bytes]
) -> None:
    stream, _ = opened(*payloads)
    assert list(stream.sent_unheard(math.inf)) == sent and stream.held == held and stream.is_wordless


@pytest.mark.row("RA-05")
def test_an_answer_that_was_withheld_is_not_wordless(opened: Open) -> None:
    stream, _ = opened(ROLE, FILTERED, DONE)
    assert not stream.is_heard and not stream.is_wordless


@pytest.mark.row("RF-13")
@pytest.mark.parametrize("begin", [ROLE, THOUGHT])
def test_a_cap_before_the_first_word_ends_it_wordless(opened: Open, begin: bytes) -> None:
    stream, response = opened(begin, *[ROLE] * 50, max_bytes=1000)
    with contextlib.closing(stream):
        list(stream.sent_unheard(math.inf))
    assert stream.is_wordless and b'"length"' in stream.held[-1] and isinstance(stream.held, LastBatch)
    assert response.closed == ["close"]


def test_a_stream_is_closed_once(opened: Open) -> None:
    stream, response = opened(ROLE, FINISH, DONE)
    stream.close()
    stream.close()
    assert response.closed == ["drain"]


def test_a_whole_answer_is_heard_unless_told_otherwise() -> None:
    assert not Completion(b"{}", None).is_wordless
