"""Who is let in, and how many at once."""

import contextlib
import time
import tracemalloc
from collections.abc import Iterator

import gevent
import pytest
from gevent import Greenlet
from hypothesis import given
from hypothesis import strategies as some
from structlog.testing import capture_logs

from parley import admission as module
from parley.admission import Admission, Keyring
from parley.errors import ClientGone, InvalidApiKey, ParleyError, RateLimited, ServerOverloaded
from parley.shared.local import SLICES, UNITS, LocalPlaces, LocalRate
from parley.turn import Turn
from parley.turn_record import TurnRecord


def turn() -> Turn:
    return Turn(TurnRecord("chat", "r"))


@pytest.mark.parametrize("keys", [None, [], ()])
def test_without_keys_the_door_stands_open(keys: list[str] | None) -> None:
    keyring = Keyring(keys)

    keyring.check([])
    assert keyring.is_open
    assert keyring.holder([]) == keyring.holder(["anything"]) == "anybody"


@pytest.mark.parametrize("presented", [["one"], ["two"], ["wrong", "two"], ["one", "wrong"]])
def test_any_of_the_keys_opens_the_door(presented: list[str]) -> None:
    keyring = Keyring(["one", "two"])

    keyring.check(presented)
    assert keyring.holder(presented) in ("key-1", "key-2")
    assert not keyring.is_open


@pytest.mark.parametrize(
    "presented",
    [
        [],
        [""],
        ["wrong"],
        ["on"],
        ["onee"],
        ["One"],
        [" one"],
        ["one,two"],
        ["clé"],
        ["\udcff"],
        ["\0"],
        ["k" * 100_000],
    ],
)
def test_nothing_else_opens_it(presented: list[str]) -> None:
    keyring = Keyring(["one", "two"])

    assert keyring.holder(presented) is None
    with pytest.raises(InvalidApiKey):
        keyring.check(presented)


@pytest.mark.parametrize("key", ["clé-ключ-鍵", "\udcff", "\N{KEY}"])
def test_a_key_of_any_characters_is_compared_and_never_fails(key: str) -> None:
    keyring = Keyring([key])

    assert keyring.holder([key]) == "key-1"
    assert keyring.holder([key + "x"]) is None


def test_an_empty_key_does_not_open_the_door_to_all() -> None:
    keyring = Keyring([""])

    assert not keyring.is_open
    assert keyring.holder([]) is None


def test_who_is_kept_out_is_told_how_to_come_in() -> None:
    with pytest.raises(InvalidApiKey) as raised:
        Keyring(["hunter2"]).check(["wrong"])

    error = raised.value
    assert (error.status, error.type, error.code) == (401, "authentication_error", "invalid_api_key")
    assert error.headers == {"www-authenticate": "Bearer"}
    assert error.message == "a valid API key is needed: Authorization: Bearer KEY, or x-api-key: KEY"


def test_the_keys_themselves_are_not_kept() -> None:
    assert "hunter2" not in repr(vars(Keyring(["hunter2"])))


def test_as_many_as_the_limit_are_let_in_and_no_more() -> None:
    admission, first, second = Admission(2), turn(), turn()
    admission.admit(first)
    admission.admit(second)

    with pytest.raises(ServerOverloaded) as raised:
        admission.admit(turn())

    assert set(admission.running) == {first, second}
    assert (raised.value.status, raised.value.code) == (503, "server_overloaded")
    assert raised.value.headers == {"retry-after": "1"}


def test_a_place_given_back_is_free_at_once() -> None:
    admission, first, second = Admission(1), turn(), turn()
    admission.admit(first)

    admission.release(first)
    admission.admit(second)

    assert set(admission.running) == {second}


def test_a_place_is_given_back_once() -> None:
    admission, first = Admission(1), turn()
    admission.admit(first)
    admission.release(first)

    with pytest.raises(KeyError):
        admission.release(first)


def test_a_turn_gives_its_place_back_when_it_closes() -> None:
    admission, first = Admission(1), turn()
    first.admit(admission, "anybody")

    with capture_logs() as logged:
        first.close()
        first.close()

    assert not admission.running
    assert [line["event"] for line in logged] == ["request_end"]


# --- waiting for a place ---

LONG = 20.0
"""Seconds that a test would have to hang for before a wait ends by itself."""


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls wait until the test does something."""
    monkeypatch.setattr(module, "NEWS_SECONDS", LONG)
    monkeypatch.setattr(module, "FREED_SECONDS", 2 * LONG)


class Line:
    """Calls at one admission, each in a greenlet of its own; `admitted` are their names in the order of entry."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.admitted: list[str] = []
        self.turns: dict[str, Turn] = {}

    def come(self, name: str, holder: str = "key-1") -> Greenlet:
        """A call that has been admitted, refused, or waits, when this returns; its value is why it was refused."""
        call = gevent.spawn(self._ask, name, holder)
        gevent.sleep(0)
        return call

    def leave(self, name: str) -> None:
        """An admitted call ends; those that get a place for it have it when this returns."""
        self.admission.release(self.turns[name])
        gevent.sleep(0)
        gevent.sleep(0)

    def _ask(self, name: str, holder: str) -> ParleyError | None:
        self.turns[name] = turn()
        try:
            self.admission.admit(self.turns[name], holder)
        except ParleyError as refusal:
            return refusal
        self.admitted.append(name)
        return None


@pytest.mark.usefixtures("patient")
def test_each_release_gives_one_slot_in_order_of_arrival() -> None:
    line = Line(Admission(2))
    for name in "abcdef":
        line.come(name)
    assert line.admitted == ["a", "b"]

    for leaving in "abc":
        line.leave(leaving)

    assert line.admitted == ["a", "b", "c", "d", "e"]
    assert len(line.admission.running) == 2


@pytest.mark.usefixtures("patient")
def test_a_place_goes_to_the_first_whose_key_may_take_it() -> None:
    line = Line(Admission(3, LocalPlaces(1)))
    for name, holder in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b"), ("c1", "c"), ("d1", "d")):
        line.come(name, holder)
    assert line.admitted == ["a1", "b1", "c1"]

    line.leave("c1")
    assert line.admitted[3:] == ["d1"], "the places of a and b are taken still"
    line.leave("b1")
    assert line.admitted[4:] == ["b2"]
    line.leave("a1")
    assert line.admitted[5:] == ["a2"]


@pytest.mark.usefixtures("patient")
def test_whoever_stops_waiting_takes_no_place() -> None:
    line = Line(Admission(1))
    line.come("a")
    interrupted = line.come("b")
    line.come("c")
    interrupted.kill()

    line.leave("a")

    assert line.admitted == ["a", "c"]


@pytest.mark.usefixtures("patient")
def test_a_slot_given_to_an_interrupted_call_goes_to_the_next() -> None:
    line = Line(Admission(1))
    line.come("a")
    interrupted = line.come("b")
    line.come("c")

    def release_and_interrupt() -> None:
        """From the event loop, so that whoever got the place has not heard of it."""
        line.admission.release(line.turns["a"])
        interrupted.throw(gevent.GreenletExit())

    gevent.get_hub().loop.run_callback(release_and_interrupt)
    interrupted.join()
    gevent.sleep(0)

    assert line.admitted == ["a", "c"]
    assert set(line.admission.running) == {line.turns["c"]}


def test_a_call_is_refused_soon_where_no_place_is_being_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FREED_SECONDS", LONG)
    line = Line(Admission(1))
    line.come("a")
    refused = line.come("b")
    assert isinstance(refused.get(timeout=LONG / 2), ServerOverloaded)

    line.leave("a")
    assert line.admitted == ["a"]
    assert not line.admission.running


@pytest.mark.parametrize(
    ("holder", "waits"), [("a", True), ("b", False)], ids=["a turn of its key ends", "a turn of another key ends"]
)
def test_a_call_waits_on_for_a_place_that_is_being_freed(
    monkeypatch: pytest.MonkeyPatch, holder: str, waits: bool
) -> None:
    monkeypatch.setattr(module, "FREED_SECONDS", LONG)
    line = Line(Admission(10, LocalPlaces(1)))
    line.come("a1", "a")
    line.come("b1", "b")
    line.turns[f"{holder}1"].record.outcome = "ok"
    late = line.come("a2", "a")
    gevent.sleep(10 * module.NEWS_SECONDS)
    assert late.ready() is not waits

    line.leave("a1")
    late.join(timeout=LONG / 2)
    assert isinstance(late.value, RateLimited) is not waits
    assert line.admitted == ["a1", "b1", *(["a2"] if waits else [])]


def test_a_slot_is_waited_for_no_longer_than_its_limit() -> None:
    line = Line(Admission(1))
    line.come("a")
    line.turns["a"].record.outcome = "ok"
    assert isinstance(line.come("b").get(timeout=LONG), ServerOverloaded)


@pytest.mark.usefixtures("patient")
def test_only_so_many_wait() -> None:
    line = Line(Admission(1))
    line.come("a")
    waiting = [line.come(f"waiting-{number}") for number in range(module.MAX_WAITING)]
    refused = line.come("one too many")

    assert isinstance(refused.value, ServerOverloaded)
    assert not any(call.ready() for call in waiting)
    gevent.killall(waiting)


def test_the_rate_counts_a_waiting_call_once_a_refused_one_never(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(Admission(1, LocalPlaces(rate=LocalRate("3/hour"))))
    line.come("a")
    assert isinstance(line.come("refused").get(timeout=LONG), ServerOverloaded)
    monkeypatch.setattr(module, "NEWS_SECONDS", LONG)
    line.come("waits")
    line.leave("a")
    line.leave("waits")
    line.come("b")
    waits_in_vain = line.come("c")
    assert line.admitted == ["a", "waits", "b"]

    line.leave("b")

    assert isinstance(waits_in_vain.get(timeout=LONG), RateLimited)
    assert not line.admission.running


@pytest.mark.usefixtures("patient")
def test_a_wait_is_over_when_what_surrounds_it_is() -> None:
    line, events = Line(Admission(1)), []
    line.come("a")

    @contextlib.contextmanager
    def surrounded() -> Iterator[None]:
        events.append("begins")
        try:
            yield
        finally:
            events.append("ends")

    def ask() -> None:
        with pytest.raises(ClientGone):
            line.admission.admit(turn(), "key-1", surrounded)

    waiting = gevent.spawn(ask)
    gevent.sleep(0)
    assert events == ["begins"]
    waiting.kill(ClientGone())
    assert events == ["begins", "ends"] and waiting.successful()


# --- the rate ---


class Clock:
    """A monotonic clock that is set by hand, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def check(limit: LocalRate, holder: str = "key-1") -> RateLimited | None:
    try:
        limit.take(holder)
    except RateLimited as refused:
        return refused
    return None


@pytest.mark.parametrize(("rate", "seconds"), [("2/second", 1), ("2/minute", 60), ("2/hour", 3600), ("2/day", 86400)])
def test_a_rate_lets_in_so_many_in_any_stretch(rate: str, seconds: int) -> None:
    clock = Clock()
    limit = LocalRate(rate, clock)
    assert check(limit) is None
    clock.now += seconds / 2
    assert check(limit) is None
    refused = check(limit)
    assert refused is not None and refused.message == f"this key may begin 2 conversations per {rate[2:]}"
    told = {"x-ratelimit-limit": "2", "x-ratelimit-remaining": "0", "x-ratelimit-reset": str(max(1, seconds // 2))}
    assert refused.headers == {**told, "retry-after": told["x-ratelimit-reset"]}
    assert check(limit, "key-2") is None
    clock.now += seconds / 2
    assert check(limit) is None and check(limit) is not None


@pytest.mark.slow
@pytest.mark.row("RF-06")
def test_a_limit_of_millions_costs_neither_memory_nor_time() -> None:
    clock = Clock()
    limit = LocalRate("5000000/day", clock)
    check(limit)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(30_000):
        clock.now += 2.88
        assert check(limit) is None
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 60_000


@pytest.mark.row("RF-06")
@given(some.integers(1, 12), some.lists(some.floats(0, 0.7), min_size=1, max_size=60), some.sampled_from(sorted(UNITS)))
def test_never_more_than_the_limit_and_the_reset_is_right(amount: int, pauses: list[float], unit: str) -> None:
    clock, seconds = Clock(), UNITS[unit]
    limit, begun = LocalRate(f"{amount}/{unit}", clock), []
    for pause in pauses:
        clock.now += pause * seconds
        refused = check(limit)
        recent = [moment for moment in begun if moment > clock.now - seconds]
        if refused is None:
            assert len(recent) < amount
            begun.append(clock.now)
        else:
            # At most a slice longer than turns that are counted one by one.
            assert len([moment for moment in begun if moment > clock.now - seconds * (1 + 1 / SLICES)]) >= amount
            wait = int(refused.headers["retry-after"])
            clock.now += wait + 1e-6  # without which a sum of floats may fall short
            assert 1 <= wait <= seconds + 1 and check(limit) is None
            begun.append(clock.now)


@pytest.mark.row("RF-05")
@pytest.mark.parametrize("hours", [-1, 1, -10_000])
def test_the_clock_of_the_day_locks_no_key(monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    limit = LocalRate("2/minute")
    day = time.time()
    assert check(limit) is None and check(limit) is None
    monkeypatch.setattr(time, "time", lambda: day + hours * 3600)
    refused = check(limit)
    assert refused is not None and 1 <= int(refused.headers["x-ratelimit-reset"]) <= 60
