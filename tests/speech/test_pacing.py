"""Sound is cut into chunks that leave on time, by a clock that the tests set."""

import base64
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.speech import pacing
from parley.speech.pacing import Pace

Sleep = Callable[[float], None]


class Clock:
    """A clock that advances while something sleeps, and when a test sets it."""

    def __init__(self, now: float = 1000.0) -> None:
        self.start = self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    @property
    def elapsed_ms(self) -> int:
        return round((self.now - self.start) * 1000)


def sound(count: int, chunk_ms: int = 40, rate: int = 16000) -> bytes:
    """Return `count` chunks of silence."""
    return bytes(count * pacing.chunk_bytes(rate, chunk_ms))


def new_pace(
    clock: Clock, chunk_ms: int = 40, lead_ms: float = 200, sleep: Callable[[float], None] | None = None
) -> Pace:
    return Pace(16000, chunk_ms, lead_ms, clock=clock, sleep=sleep or clock.sleep)


def sent_at(count: int, chunk_ms: int, lead_ms: float, delays_ms: dict[int, int] | None = None) -> list[int]:
    """Return when each chunk leaves, in ms; after chunk number N the sender is held up for `delays_ms[N]`."""
    clock, times = Clock(), []
    for batch in new_pace(clock, chunk_ms, lead_ms).chunks(sound(count, chunk_ms)):
        before = len(times)
        times += [clock.elapsed_ms] * len(batch)
        clock.now += sum((delays_ms or {}).get(number, 0) for number in range(before, len(times))) / 1000
    return times


@pytest.mark.parametrize(
    ("rate", "chunk_ms", "size"),
    [
        (16000, 40, 1280),
        (8000, 20, 320),
        (22050, 40, 1764),
        (44100, 40, 3528),
        (22050, 25, 1102),
        (8000, 0, 2),
    ],
)
def test_a_chunk_is_a_whole_number_of_samples(rate: int, chunk_ms: int, size: int):
    assert pacing.chunk_bytes(rate, chunk_ms) == size


@pytest.mark.row("RE-06")
@given(st.integers(8000, 48_000), st.integers(1, 200), st.lists(st.binary(max_size=999)))
def test_chunks_of_a_multiple_can_be_joined_as_base64(rate: int, chunk_ms: int, pieces: list[bytes]):
    clock = Clock()
    pace = Pace(rate, chunk_ms, 200, multiple=6, clock=clock, sleep=clock.sleep)

    chunks = [chunk for piece in pieces for batch in pace.chunks(piece) for chunk in batch] + pace.flush()

    joined = "".join(base64.b64encode(chunk).decode() for chunk in chunks)
    whole = b"".join(pieces)
    assert base64.b64decode(joined, validate=True) == whole[: len(whole) // 2 * 2]


def test_a_duration_is_that_of_the_whole_samples():
    assert pacing.duration_ms(1280, 16000) == 40
    assert pacing.duration_ms(1102, 22050) == pytest.approx(24.9887, abs=0.0001)


@given(st.lists(st.binary(max_size=100), max_size=10), st.integers(1, 100))
def test_chunks_joined_are_the_sound_however_it_was_cut(pieces: list[bytes], chunk_ms: int):
    clock = Clock()
    pace = Pace(1000, chunk_ms, 0, clock=clock, sleep=clock.sleep)

    parts = [part for piece in pieces for batch in pace.chunks(piece) for part in batch]
    last = pace.flush()

    pcm = b"".join(pieces)
    assert b"".join([*parts, *last]) == pcm[: len(pcm) // 2 * 2]
    assert all(len(part) == 2 * chunk_ms for part in parts)
    assert all(part and len(part) % 2 == 0 for part in last) and len(last) <= 1


def test_after_the_lead_chunks_leave_at_the_pace_of_speech():
    assert sent_at(9, 40, 200) == [0, 0, 0, 0, 0, 40, 80, 120, 160]


@pytest.mark.parametrize("lead_ms", [0, 39])
def test_the_first_chunk_never_waits(lead_ms: int):
    assert sent_at(4, 40, lead_ms) == [0, 40, 80, 120]


def test_a_delay_within_the_lead_shifts_nothing_after_it():
    on_time = sent_at(20, 40, 200)

    late = sent_at(20, 40, 200, delays_ms={7: 190})

    assert late[8:13] == [310, 310, 310, 310, 320]
    assert late[12:] == on_time[12:]


def test_after_an_audible_gap_the_lead_is_built_up_again():
    late = sent_at(20, 40, 200, delays_ms={7: 1000})

    assert late[8:] == [1120] * 5 + [1160, 1200, 1240, 1280, 1320, 1360, 1400]


def test_oversleeping_adds_up_to_no_drift():
    clock = Clock()

    def oversleep(seconds: float) -> None:
        clock.sleep(seconds + 0.007)

    list(new_pace(clock, 40, 0, oversleep).chunks(sound(1000)))

    assert clock.elapsed_ms == 999 * 40 + 7


@given(
    st.integers(0, 1000),
    st.integers(1, 100),
    st.dictionaries(st.integers(0, 30), st.integers(0, 500), max_size=5),
)
def test_sound_is_never_further_ahead_than_the_lead(lead_ms: int, chunk_ms: int, delays_ms: dict[int, int]):
    times = sent_at(30, chunk_ms, lead_ms, delays_ms)

    allowed = max(lead_ms, chunk_ms)
    assert all(number * chunk_ms - at <= allowed for number, at in enumerate(times, 1))


def test_the_schedule_starts_with_the_first_chunk():
    clock = Clock()
    pace = new_pace(clock, 40, 0)

    clock.now += 10
    list(pace.chunks(sound(2)))

    assert clock.slept == [pytest.approx(0.04)]


def test_chunks_that_are_due_at_once_leave_in_one_batch():
    clock = Clock()
    chunks = new_pace(clock).chunks(sound(8))

    assert [len(batch) for batch in chunks] == [5, 1, 1, 1]


def test_a_stream_that_never_waits_comes_in_parts():
    clock = Clock()

    chunks = new_pace(clock, 40, 1_000_000).chunks(sound(100))

    assert [len(together) for together in chunks] == [32, 32, 32, 4]
    assert clock.slept == []
