"""The breaker's states: its opening, the length of its pauses, the probe that closes it."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from parley.upstream.breaker import LONGEST_PAUSE_SECONDS, Breaker, Cause


class Clock:
    """A clock that is set by hand, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def failing(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.begin()
        breaker.failed()


def opened() -> tuple[Breaker, Clock]:
    """Return a breaker that has just opened for the first time."""
    clock = Clock()
    breaker = Breaker(clock)
    failing(breaker, 5)
    return breaker, clock


def probed(breaker: Breaker, clock: Clock, seconds: float, *, well: bool) -> None:
    """Let one attempt probe the upstream after `seconds`, which is `well` or not."""
    clock.now += seconds
    assert breaker.state == "half_open" and breaker.allows()
    breaker.begin()
    breaker.succeeded() if well else breaker.failed()


def test_a_new_breaker_is_closed() -> None:
    breaker = Breaker(Clock())
    assert breaker.state == "closed" and breaker.allows()


def test_it_opens_after_five_failures_in_a_row() -> None:
    breaker = Breaker(Clock())
    failing(breaker, 4)
    assert breaker.state == "closed" and breaker.allows()
    failing(breaker, 1)
    assert breaker.state == "open" and not breaker.allows()


def test_a_success_ends_a_row_of_failures() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    failing(breaker, 4)
    breaker.succeeded()
    clock.now += 31
    failing(breaker, 4)
    assert breaker.state == "closed"


def test_it_opens_when_half_of_ten_attempts_failed() -> None:
    breaker = Breaker(Clock())
    for _ in range(4):
        breaker.succeeded()
        breaker.failed()
    breaker.succeeded()
    assert breaker.state == "closed"
    breaker.failed()
    assert breaker.state == "open"


def test_failures_older_than_thirty_seconds_do_not_count() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(4):
        breaker.failed()
        breaker.succeeded()
    clock.now += 31
    failing(breaker, 2)
    assert breaker.state == "closed"


def test_a_minority_of_failures_leaves_it_closed() -> None:
    breaker = Breaker(Clock())
    for _ in range(100):
        breaker.succeeded()
        breaker.succeeded()
        breaker.failed()
    assert breaker.state == "closed"


def test_it_stays_open_for_five_seconds() -> None:
    breaker, clock = opened()
    clock.now += 4.99
    assert breaker.state == "open" and not breaker.allows()
    clock.now += 0.02
    assert breaker.state == "half_open" and breaker.allows()


def test_one_attempt_at_a_time_may_probe() -> None:
    breaker, clock = opened()
    clock.now += 5
    breaker.begin()
    assert breaker.state == "half_open" and not breaker.allows()


def test_a_successful_probe_resets_it() -> None:
    breaker, clock = opened()
    probed(breaker, clock, 5, well=True)
    assert breaker.state == "closed" and breaker.allows()
    failing(breaker, 4)
    assert breaker.state == "closed"
    failing(breaker, 1)
    clock.now += 5
    assert breaker.state == "half_open"  # five seconds again, not ten


def test_failing_probes_double_the_pause_up_to_a_minute() -> None:
    breaker, clock = opened()
    for seconds, doubled in ((5, 10), (10, 20), (20, 40), (40, 60), (60, 60), (60, 60)):
        probed(breaker, clock, seconds, well=False)
        clock.now += doubled - 0.01
        assert breaker.state == "open"
        clock.now -= doubled - 0.01


def test_a_probe_that_was_given_up_lets_another_probe() -> None:
    breaker, clock = opened()
    clock.now += 5
    breaker.begin()
    breaker.released()
    assert breaker.state == "half_open" and breaker.allows()


def test_a_refused_key_opens_it_at_once() -> None:
    breaker = Breaker(Clock())
    breaker.failed(at_once=True)
    assert breaker.state == "open"


def test_failures_while_it_is_open_do_not_prolong_it() -> None:
    breaker, clock = opened()
    clock.now += 4
    failing(breaker, 20)
    clock.now += 1.01
    assert breaker.state == "half_open"


def test_a_success_while_it_is_open_does_not_close_it() -> None:
    breaker, clock = opened()
    breaker.succeeded()
    assert breaker.state == "open"
    clock.now += 5
    assert breaker.state == "half_open"


def test_it_cools_down_as_long_as_asked_up_to_a_minute() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for wish, seconds in ((3, 3), (60, 60), (3600, 60), (float(10**300), 60)):
        breaker.cool_down(wish)
        clock.now += seconds - 0.01
        assert breaker.state == "open"
        probed(breaker, clock, 0.02, well=True)
        assert breaker.state == "closed"


def test_a_shorter_cool_down_does_not_shorten_a_pause() -> None:
    breaker, clock = opened()
    breaker.cool_down(1)
    clock.now += 2
    assert breaker.state == "open"


class AttemptsMachine(RuleBasedStateMachine):
    """Attempts begin and end in any order; the invariants hold throughout."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = Breaker(self.clock)
        self.out = 0
        self.probes = 0
        self.any_failed = False

    @rule(seconds=st.sampled_from([0.1, 1, 4, 5, 10, 31]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @precondition(lambda self: self.breaker.allows())
    @rule()
    def begin(self) -> None:
        self.probes += self.breaker.state == "half_open"
        self.breaker.begin()
        self.out += 1

    @precondition(lambda self: self.out)
    @rule(ending=st.sampled_from(["succeeded", "failed", "failed", "failed", "released"]))
    def ends(self, ending: str) -> None:
        getattr(self.breaker, ending)()
        self.out -= 1
        self.probes = 0
        self.any_failed = self.any_failed or ending == "failed"

    @rule(seconds=st.sampled_from([0.5, 3, 100]))
    def cool_down(self, seconds: float) -> None:
        self.breaker.cool_down(seconds)
        self.any_failed = True

    @invariant()
    def only_failures_open_it(self) -> None:
        assert self.any_failed or self.breaker.state == "closed"
        assert self.breaker.allows() is False if self.breaker.state == "open" else True

    @invariant()
    def at_most_one_probes(self) -> None:
        assert self.probes <= 1

    @invariant()
    def it_never_stays_open(self) -> None:
        now = self.clock.now
        self.clock.now += LONGEST_PAUSE_SECONDS
        assert self.breaker.state != "open"
        self.clock.now = now

    @precondition(lambda self: self.breaker.state == "half_open" and self.out == 0)
    @rule()
    def one_success_closes_it(self) -> None:
        assert self.breaker.allows()
        self.breaker.begin()
        self.breaker.succeeded()
        assert self.breaker.state == "closed"


AttemptsMachine.TestCase.settings = settings(stateful_step_count=40, deadline=None)
TestAttempts = AttemptsMachine.TestCase


# --- causes ---


def said(key: str | None, body: int) -> Cause:
    return Cause(key, body)


@pytest.mark.row("RF-08")
def test_one_callers_one_body_counts_once() -> None:
    breaker = Breaker(Clock())
    for _ in range(50):
        breaker.failed(said("key-1", 1))
    assert breaker.state == "closed"


@pytest.mark.row("RF-08")
@pytest.mark.parametrize(
    "causes",
    [
        [said("key-1", number) for number in range(5)],
        [said(f"key-{number}", 1) for number in range(5)],
        [said(None, 1)] * 5,
        [None] * 5,
        [said("key-1", 1), None, said("key-1", 2), None, said("key-2", 1)],
    ],
    ids=["bodies", "keys", "unknown callers", "no cause", "mixed"],
)
def test_five_different_causes_are_an_outage(causes: list[Cause | None]) -> None:
    breaker = Breaker(Clock())
    for cause in causes[:4]:
        breaker.failed(cause)
    assert breaker.state == "closed"
    breaker.failed(causes[4])
    assert breaker.state == "open"


@pytest.mark.row("RF-08")
@pytest.mark.parametrize(
    ("failing", "well"),
    [([said("key-1", number) for number in range(40)], said("key-2", 99)), ([said(None, 1)] * 40, said(None, 2))],
    ids=["a key", "a body"],
)
def test_one_caller_fails_alone_while_others_succeed(failing: list[Cause], well: Cause) -> None:
    breaker = Breaker(Clock())
    for cause in failing:
        breaker.failed(cause)
        breaker.succeeded(well)
        breaker.failed(cause)
    assert breaker.state == "closed"


@pytest.mark.row("RF-08")
def test_success_from_before_an_outage_proves_nothing() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    breaker.succeeded(said("key-2", 1))
    clock.now += 1
    for number in range(5):
        breaker.failed(said("key-1", number))
    assert breaker.state == "open"


@pytest.mark.row("RF-08")
def test_one_callers_body_keeps_no_breaker_open() -> None:
    breaker, clock = opened()
    clock.now += 5
    breaker.begin()
    breaker.failed(said("key-1", 1))
    assert breaker.state == "open"
    clock.now += 10
    for _ in range(3):
        breaker.begin()
        breaker.failed(said("key-1", 1))
        assert breaker.state == "half_open" and breaker.allows()
    breaker.begin()
    breaker.failed(said("key-2", 1))
    assert breaker.state == "open"


def test_a_recovery_forgets_the_cause_of_an_earlier_probe() -> None:
    breaker, clock = opened()
    for _ in range(2):
        clock.now += 60
        breaker.begin()
        breaker.failed(Cause("caller", 1))
        assert breaker.state == "open"
        probed(breaker, clock, 60, well=True)
        failing(breaker, 5)
