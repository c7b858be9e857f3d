"""Complete and truncated streams, the batches of each receive, and the limits that end a stream."""

import itertools
import time
import weakref
from collections.abc import Callable, Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.concurrency import SILENCE
from parley.errors import (
    AnswerCapped,
    UpstreamBadResponse,
    UpstreamDisconnected,
    UpstreamEmptyResponse,
    UpstreamError,
    UpstreamIncomplete,
    UpstreamStalled,
)
from parley.upstream import stream_reader
from parley.upstream.stream_reader import MAX_ANSWER_BYTES, MAX_AUDIO_ANSWER_BYTES, STEP_LINES, StreamReader
from parley.upstream.timeouts import MAX_AUDIO_SECONDS, Timeouts
from parley.wire.chunks import Envelope
from parley.wire.sse import Batch, LastBatch

ROLE = b'{"id":"up","created":5,"model":"big","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}'
WORD = b'{"id":"up","created":5,"model":"big","choices":[{"index":0,"delta":{"content":"\xc3\xa9"}}]}'
FINISH = b'{"id":"up","created":5,"model":"big","choices":[{"index":0,"delta":{},"finish_reason":"length"}]}'
USAGE = b'{"id":"up","created":5,"model":"big","choices":[],"usage":{"total_tokens":7}}'
TOOL = b'{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]}'
FAILURE = b'{"error":{"message":"secret","code":"oom"}}'
DONE = b"[DONE]"
OUR_FINISH = (
    b'{"id":"up","object":"chat.completion.chunk","created":5,"model":"big","choices":'
    b'[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}'
)

Ending = UpstreamError | AnswerCapped | None


def stream(*payloads: bytes) -> bytes:
    return b"".join(b"data: " + payload + b"\n\n" for payload in payloads)


TICK = 5.0


def timeouts(idle: float = 15) -> Timeouts:
    return Timeouts(connect=1, first_content=1, precommit=1, idle=idle, total=60)


def new_reader(clock: Callable[[], float] = time.monotonic) -> StreamReader:
    return StreamReader(Envelope("ours", 1, "m"), timeouts(), tick=TICK, clock=clock)


def read(received: Iterable[bytes], reader: StreamReader | None = None) -> tuple[list[Batch], Ending]:
    """Return the batches, and the error that ended them, if any."""
    batches: list[Batch] = []
    pieces = iter(received)
    try:
        for batch in (reader or new_reader()).batches(lambda _timeout: next(pieces, b"")):
            batches.append(batch)
    except (UpstreamError, AnswerCapped) as error:
        return batches, error
    return batches, None


def broken(*received: bytes) -> Iterator[bytes]:
    """Yield the pieces, then break the connection."""
    yield from received
    raise UpstreamDisconnected("the connection broke")


@pytest.mark.parametrize(
    ("payloads", "came"),
    [
        ([ROLE, WORD, FINISH, DONE], [ROLE, WORD, FINISH]),
        ([ROLE, WORD, FINISH, USAGE, DONE], [ROLE, WORD, FINISH, USAGE]),
        ([ROLE, WORD, FINISH], [ROLE, WORD, FINISH]),
        ([FINISH], [FINISH]),
        ([ROLE, WORD, DONE], [ROLE, WORD, OUR_FINISH]),
        ([ROLE, DONE], [ROLE, OUR_FINISH]),
        ([WORD, FINISH, DONE, WORD, DONE], [WORD, FINISH]),
        ([WORD, DONE, FAILURE], [WORD, OUR_FINISH]),
    ],
)
def test_an_answer_with_done_or_a_finish_reason_is_complete(payloads: list[bytes], came: list[bytes]) -> None:
    for received in ([stream(*payloads)], [stream(payload) for payload in payloads]):
        batches, ending = read(received)
        assert ending is None
        assert list(itertools.chain(*batches)) == came


@pytest.mark.parametrize(
    ("received", "error"),
    [
        ([], UpstreamEmptyResponse),
        ([b""], UpstreamEmptyResponse),
        ([b": ping\n\n", b"event: x\n\n"], UpstreamEmptyResponse),
        ([stream(DONE)], UpstreamEmptyResponse),
        ([stream(DONE, WORD)], UpstreamEmptyResponse),
        ([b"data: [DONE]\n"], UpstreamEmptyResponse),
        ([stream(ROLE, WORD)], UpstreamIncomplete),
        ([stream(ROLE), stream(WORD)[:-20]], UpstreamIncomplete),
        ([stream(USAGE)], UpstreamEmptyResponse),
    ],
)
def test_an_answer_with_neither_is_an_error(received: list[bytes], error: type[UpstreamError]) -> None:
    _, ending = read(received)

    assert type(ending) is error


def test_a_break_behind_the_finish_reason_does_not_matter() -> None:
    assert read(broken(stream(ROLE, WORD), stream(FINISH))) == ([[ROLE, WORD], [FINISH]], None)


@pytest.mark.parametrize("tail", [FAILURE, b"<html>"])
def test_a_failure_behind_the_finish_reason_does_not_matter(tail: bytes) -> None:
    assert read([stream(WORD, FINISH, tail)]) == ([[WORD, FINISH]], None)


def test_a_break_before_the_end_is_raised() -> None:
    batches, ending = read(broken(stream(ROLE, WORD)))

    assert batches == [[ROLE, WORD]]
    assert type(ending) is UpstreamDisconnected


def test_done_without_its_blank_line_is_an_end() -> None:
    assert read([stream(WORD) + b"data: [DONE]\n"]) == ([[WORD], [OUR_FINISH]], None)


def test_nothing_is_received_after_done() -> None:
    received = iter([stream(WORD, DONE), stream(WORD)])
    reader = new_reader()

    read(received, reader)

    assert reader.done
    assert list(received) == [stream(WORD)]


def test_only_the_first_chunks_envelope_is_adopted() -> None:
    batches, _ = read([stream(WORD, WORD.replace(b"up", b"other"), DONE)])

    assert batches[-1][-1] == OUR_FINISH


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        (FAILURE, UpstreamError, "oom"),
        (b'{"choices":[{"delta":{},"finish_reason":"error"}]}', UpstreamError, "upstream_error"),
        (b"{", UpstreamBadResponse, "upstream_bad_response"),
        (b"<html>", UpstreamBadResponse, "upstream_bad_response"),
    ],
)
def test_payloads_before_a_failure_in_one_receive_come_first(
    fault: bytes, error: type[UpstreamError], code: str
) -> None:
    batches, ending = read([stream(ROLE, WORD, fault, WORD, DONE)])

    assert batches == [[ROLE, WORD]]
    assert type(ending) is error
    assert ending.public_code == code


def test_an_event_above_the_cap_is_a_bad_response() -> None:
    batches, ending = read([stream(WORD), b"data: " + b"x" * (1 << 20)])

    assert batches == [[WORD]]
    assert type(ending) is UpstreamBadResponse


def test_events_of_one_receive_stay_together() -> None:
    batches, _ = read([stream(ROLE), stream(WORD, WORD, WORD), stream(WORD, FINISH), stream(USAGE, DONE)])

    assert batches == [[ROLE], [WORD, WORD, WORD], [WORD, FINISH], [USAGE]]


@pytest.fixture
def checkpoints(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Return a list that grows with each checkpoint that the reader passes."""
    passed: list[None] = []
    monkeypatch.setattr("parley.upstream.stream_reader.checkpoint", lambda: passed.append(None))
    return passed


def test_a_receive_of_one_event_passes_no_checkpoint(checkpoints: list[None]) -> None:
    batches, ending = read([stream(ROLE), *[stream(WORD)] * 100, stream(FINISH), stream(DONE)])

    assert (len(batches), ending, checkpoints) == (102, None, [])


@pytest.mark.parametrize(
    "blank", [b":\n", b"\n", b"\r", b"data:\n\n", b"id\r\n", b": " + b"x" * 60_000 + b"\n" * 5000], ids=range(6)
)
def test_a_receive_of_countless_lines_is_read_in_steps(checkpoints: list[None], blank: bytes) -> None:
    flood = (blank * ((1 << 16) // len(blank) + 1))[: 1 << 16]
    lines = max(flood.count(b"\n"), flood.count(b"\r"))
    _, ending = read([stream(WORD), flood + b"\n\n", stream(FINISH, DONE)])

    assert ending is None
    # Even where all lines are at one end.
    assert len(checkpoints) >= lines / 10 / STEP_LINES


def test_a_receive_of_countless_events_comes_in_batches(checkpoints: list[None]) -> None:
    tiny = b'{"choices":[]}'
    received = stream(ROLE, WORD) + stream(tiny) * 3000 + stream(FINISH, DONE, WORD)
    batches, ending = read([received])

    assert [payload for batch in batches for payload in batch] == [ROLE, WORD, *[tiny] * 3000, FINISH]
    assert (type(batches[-1]), ending) == (LastBatch, None)
    assert max(map(len, batches)) <= STEP_LINES
    assert len(checkpoints) >= len(batches)


def test_a_large_event_is_a_step_of_its_own(checkpoints: list[None]) -> None:
    large = WORD[:-1] + b',"padding":"' + b"x" * 100_000 + b'"}'
    pieces = [stream(large)[start : start + 1000] for start in range(0, len(stream(large)), 1000)]
    batches, _ = read([*pieces, stream(FINISH)])

    assert batches[0] == [large]
    assert len(checkpoints) == 1


def test_a_receive_that_completes_no_event_makes_no_batch() -> None:
    batches, _ = read([b": ping\n\n", stream(WORD)[:30], stream(WORD)[30:], stream(FINISH)])

    assert batches == [[WORD], [FINISH]]


def test_an_answer_is_committed_with_its_first_content() -> None:
    reader = new_reader()
    pieces = iter([stream(ROLE), stream(USAGE), stream(WORD), stream(FINISH)])
    batches = reader.batches(lambda _timeout: next(pieces, b""))

    committed = [reader.committed for _ in batches]

    assert committed == [False, False, True, True]


def test_a_batch_with_content_is_committed_before_it_comes_out() -> None:
    reader = new_reader()

    next(reader.batches(lambda _timeout: stream(ROLE, WORD, FAILURE)))

    assert reader.committed


def test_an_answer_of_more_than_four_mebibytes_is_capped() -> None:
    assert MAX_ANSWER_BYTES == 4 << 20
    received = stream(WORD) + b": " + b"x" * (1 << 19) + b"\n"
    endless = itertools.repeat(received)

    batches, ending = read(endless)

    assert type(ending) is AnswerCapped
    assert len(batches) == (4 << 20) // len(received) + 1


def test_an_answer_of_four_mebibytes_is_not_capped() -> None:
    tail = stream(WORD, FINISH)
    padding = b":" * 65535 + b"\n"
    whole = padding * 63 + b":" * (65535 - len(tail)) + b"\n" + tail

    assert len(whole) == 4 << 20
    assert read([whole]) == ([[WORD, FINISH]], None)


def test_an_answer_that_takes_too_long_is_capped() -> None:
    times = iter([100.0, 130.0, 160.0, 160.1])
    reader = new_reader(clock=lambda: next(times))

    batches, ending = read(itertools.repeat(stream(WORD)), reader)

    assert batches == [[WORD]] * 2
    assert type(ending) is AnswerCapped


def test_an_answer_that_is_done_at_its_cap_is_complete() -> None:
    times = iter([0.0, 61.0])
    reader = new_reader(clock=lambda: next(times))

    assert read([stream(WORD, FINISH, DONE)], reader) == ([[WORD, FINISH]], None)


def test_an_answer_that_is_finished_at_its_cap_is_complete() -> None:
    times = iter([0.0, 61.0])
    reader = new_reader(clock=lambda: next(times))

    assert read([stream(WORD, FINISH), stream(DONE)], reader) == ([[WORD, FINISH]], None)


@pytest.mark.parametrize("last", [WORD, TOOL])
def test_the_envelope_notes_a_tool_call(last: bytes) -> None:
    reader = new_reader()

    read([stream(ROLE, last)], reader)

    assert reader.envelope.calls_tool == (last == TOOL)


def test_silence_yields_an_empty_batch_for_each_tick() -> None:
    times = itertools.count(0.0, 5.0)
    pieces = iter([stream(WORD), None, None, stream(FINISH)])
    reader = new_reader(clock=lambda: next(times))

    batches = list(reader.batches(lambda _timeout: next(pieces, b"")))

    assert batches == [[WORD], SILENCE, SILENCE, [FINISH]]


def test_a_stall_is_raised_at_the_idle_time() -> None:
    asked_for: list[float] = []
    now = 0.0

    def receive(timeout: float) -> bytes | None:
        nonlocal now
        asked_for.append(timeout)
        if len(asked_for) == 1:
            return stream(WORD)
        now += timeout
        return None

    reader = StreamReader(Envelope("ours", 1, "m"), timeouts(idle=12), tick=TICK, clock=lambda: now)
    with pytest.raises(UpstreamStalled):
        list(reader.batches(receive))

    assert asked_for[1:] == [5, 5, 2]


def test_silence_before_the_first_content_is_no_stall() -> None:
    times = itertools.count(0.0, 10.0)
    pieces = iter([stream(ROLE), None, None, None, stream(WORD, FINISH)])
    reader = new_reader(clock=lambda: next(times))

    batches = list(reader.batches(lambda _timeout: next(pieces, b"")))

    assert batches == [[ROLE], SILENCE, SILENCE, SILENCE, [WORD, FINISH]]


@pytest.mark.slow
@settings(max_examples=50)
@given(cuts=st.sets(st.integers(1, len(stream(ROLE, WORD, WORD, FINISH, USAGE, DONE)))))
def test_receives_do_not_change_the_payloads(cuts: set[int]) -> None:
    whole = stream(ROLE, WORD, WORD, FINISH, USAGE, DONE)
    borders = [0, *sorted(cuts), len(whole)]

    batches, ending = read(whole[start:stop] for start, stop in itertools.pairwise(borders))

    assert ending is None
    assert list(itertools.chain(*batches)) == [ROLE, WORD, WORD, FINISH, USAGE]
    assert all(batches)


def test_the_cap_in_audio_holds_ten_minutes_of_sound() -> None:
    assert MAX_AUDIO_ANSWER_BYTES > MAX_AUDIO_SECONDS * 24_000 * 2 * 4 / 3


def test_a_reader_keeps_to_the_cap_that_it_is_given() -> None:
    reader = StreamReader(Envelope("ours", 1, "m"), timeouts(), tick=TICK, max_bytes=1000)

    batches, ending = read(itertools.repeat(stream(WORD)), reader)

    assert type(ending) is AnswerCapped and len(batches) == 1000 // len(stream(WORD)) + 1


@pytest.mark.parametrize("ending", [FAILURE, b"no JSON", WORD, FINISH, DONE])
def test_a_reader_that_is_done_is_in_no_cycle(no_collections: None, ending: bytes) -> None:
    reader = new_reader()
    read([stream(ROLE, WORD, ending), b""], reader)
    done = weakref.ref(reader)
    del reader
    assert done() is None


@pytest.mark.parametrize("payload", [b'{"choices":"x"}', b'{"choices":[7]}', b'{"choices":{"0":{}}}', b"[[]]"])
def test_json_that_is_no_chunk_is_mended_once(payload: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    mended = stream_reader.upstream_json.mended
    monkeypatch.setattr(stream_reader.upstream_json, "mended", lambda given: calls.append(given) or mended(given))

    _, ending = read([stream(payload)])

    assert isinstance(ending, UpstreamBadResponse) and len(calls) <= 2
