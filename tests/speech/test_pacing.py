"""Cutting sound into chunks and letting them go on time, by a clock that the tests turn."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.speech import pacing


class Clock:
    """Time passes while someone sleeps, and when a test says so."""

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


def sent_at(count: int, chunk_ms: float, lead_ms: float, delays_ms: dict[int, int] | None = None) -> list[int]:
    """When each chunk leaves, in ms; after chunk number N the one who sends is held up for `delays_ms[N]`."""
    clock, times = Clock(), []
    for number, _ in enumerate(pacing.paced([b""] * count, chunk_ms, lead_ms, clock=clock, sleep=clock.sleep)):
        times.append(clock.elapsed_ms)
        clock.now += (delays_ms or {}).get(number, 0) / 1000
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


def test_the_true_length_of_a_chunk_is_told():
    assert pacing.duration_ms(1280, 16000) == 40
    assert pacing.duration_ms(1102, 22050) == pytest.approx(24.9887, abs=0.0001)


@given(st.binary(max_size=400), st.integers(1, 100))
def test_chunks_joined_are_the_sound_and_each_stands_alone(pcm: bytes, samples: int):
    parts = list(pacing.chunks(pcm, 2 * samples))

    assert b"".join(parts) == pcm[: len(pcm) // 2 * 2]
    assert all(len(part) == 2 * samples for part in parts[:-1])
    assert all(part and len(part) % 2 == 0 for part in parts)


@pytest.mark.parametrize("size", [0, -2, 3])
def test_a_chunk_size_that_would_split_a_sample_is_refused_at_once(size: int):
    with pytest.raises(ValueError, match="whole number"):
        pacing.chunks(b"\0\0", size)


def test_the_lead_leaves_at_once_and_the_rest_at_the_pace_of_speech():
    assert sent_at(9, 40, 200) == [0, 0, 0, 0, 0, 40, 80, 120, 160]


@pytest.mark.parametrize("lead_ms", [0, 39])
def test_the_first_chunk_never_waits(lead_ms: int):
    assert sent_at(4, 40, lead_ms) == [0, 40, 80, 120]


def test_a_delay_is_caught_up_and_shifts_nothing_after_it():
    on_time = sent_at(20, 40, 200)

    late = sent_at(20, 40, 200, delays_ms={7: 300})

    assert late[8:13] == [420, 420, 420, 420, 420]
    assert late[16:] == on_time[16:]


def test_sleep_that_takes_too_long_adds_up_to_no_drift():
    clock = Clock()

    def oversleep(seconds: float) -> None:
        clock.sleep(seconds + 0.007)

    for _ in pacing.paced([b""] * 1000, 40, 0, clock=clock, sleep=oversleep):
        pass

    assert clock.elapsed_ms == 999 * 40 + 7


@given(
    st.integers(0, 1000),
    st.integers(1, 100),
    st.dictionaries(st.integers(0, 30), st.integers(0, 500), max_size=5),
)
def test_it_is_never_further_ahead_than_the_lead(lead_ms: int, chunk_ms: int, delays_ms: dict[int, int]):
    times = sent_at(30, chunk_ms, lead_ms, delays_ms)

    allowed = max(lead_ms, chunk_ms)
    assert all(number * chunk_ms - at <= allowed for number, at in enumerate(times, 1))


def test_the_clock_starts_with_the_first_chunk_that_is_asked_for():
    clock = Clock()
    stream = pacing.paced([b"a", b"b"], 40, 0, clock=clock, sleep=clock.sleep)

    clock.now += 10
    next(stream)
    next(stream)

    assert clock.slept == [pytest.approx(0.04)]


def test_only_what_is_due_is_taken_from_an_endless_source():
    clock, taken = Clock(), itertools.count()
    stream = pacing.paced((bytes(next(taken)) for _ in itertools.count()), 40, 0, clock=clock, sleep=clock.sleep)

    next(stream)

    assert next(taken) == 1


def test_a_stream_that_never_has_to_wait_lets_the_others_run_now_and_then():
    clock = Clock()

    list(pacing.paced([b""] * 100, 40, 1_000_000, clock=clock, sleep=clock.sleep))

    assert clock.slept == [0, 0, 0]
