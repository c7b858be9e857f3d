"""`HEDGE_AFTER`: a second attempt beside a first that says nothing, and what becomes of the one that loses."""

import random
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest
from fake_upstream import DONE, END, HANG, Call, FakeUpstream, Step, answer, chunks, close, event, events, refusal
from heard import FULL, STREAMS, Heard, ask, ask_all, fallback_to, in_turn, rested, says
from running_server import RunningServer, post, receive_until

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]
every_stream = pytest.mark.parametrize("way", STREAMS)

HEDGE_MS = 150
BOOM = {"message": "boom", "type": "server_error", "param": None, "code": None}
SILENT: list[Step] = [HANG]
ROLE = chunks("")[0]


@pytest.fixture
def hedging(first: FakeUpstream, second: FakeUpstream, quick_servers: Servers) -> RunningServer:
    """A server with both upstreams, in good health, which asks the second after 150 ms."""
    settings = {"TTFT_TIMEOUT": "3", "PRECOMMIT_TIMEOUT": "4", "HEDGE_AFTER": str(HEDGE_MS)}
    return rested(quick_servers(LLM_FALLBACKS=fallback_to(second), **settings), first)


def let_go(upstream: FakeUpstream) -> None:
    """Its one call was closed by our side."""
    (call,) = upstream.calls
    assert call.finished.wait(2) and call.outcome == "peer_left"


@pytest.mark.parametrize("silence", [SILENT, [*events([ROLE]), HANG]], ids=["nothing", "a role"])
@every_stream
def test_the_second_wins_over_a_silent_first_which_is_closed(
    hedging: RunningServer, first: FakeUpstream, second: FakeUpstream, silence: list[Step], way: str
) -> None:
    first.script, second.script = silence, says("From the second")
    heard = ask(hedging, way)
    heard.answered("From the second")
    assert (heard.end["attempts"], heard.end["upstream"]) == (2, "fallback-1")
    assert HEDGE_MS <= heard.end["ms"] < 1500
    assert heard.headers.get("x-relay-attempts") == (None if way == "waited" else "2")
    let_go(first)


@every_stream
def test_a_first_that_speaks_first_wins_and_closes_the_second(
    hedging: RunningServer, first: FakeUpstream, second: FakeUpstream, way: str
) -> None:
    both_asked = threading.Event()

    def silent(_call: Call) -> Iterable[Step]:
        both_asked.set()
        return SILENT

    first.script, second.script = lambda call: (both_asked, *says("From the first")(call)), silent
    heard = ask(hedging, way)
    heard.answered("From the first")
    assert (heard.end["attempts"], heard.end["upstream"]) == (2, "primary")
    let_go(second)


@every_stream
def test_the_loser_is_closed_while_the_winner_still_speaks(
    hedging: RunningServer, first: FakeUpstream, second: FakeUpstream, way: str
) -> None:
    first.script = SILENT
    loser_left = threading.Event()
    payloads = chunks("From the second")
    second.script = [*events(payloads[:2]), loser_left, *map(event, [*payloads[2:], DONE]), END]
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, hedging, way)
        first.wait_until(lambda: bool(first.calls) and first.calls[0].outcome is not None)
        assert not asked.done() and first.calls[0].outcome == "peer_left"
        loser_left.set()
        heard = asked.result()
    heard.answered("From the second")
    assert heard.end["ms"] < 1500


@every_stream
def test_a_first_that_speaks_in_time_is_asked_alone(
    hedging: RunningServer, first: FakeUpstream, second: FakeUpstream, way: str
) -> None:
    first.script = lambda call: (0.02, *says("From the first")(call))
    heard = ask(hedging, way)
    heard.answered("From the first")
    assert (heard.end["attempts"], second.calls) == (1, [])


@every_stream
def test_a_first_that_has_begun_to_speak_is_not_raced(
    hedging: RunningServer, first: FakeUpstream, second: FakeUpstream, way: str
) -> None:
    first.script = answer("One two three", interval=0.1)
    heard = ask(hedging, way)
    heard.answered("One two three")
    assert second.calls == [] and heard.end["ms"] > HEDGE_MS


@every_stream
def test_where_all_attempts_fail_there_is_one_error(
    hedging: RunningServer, first: FakeUpstream, second: FakeUpstream, way: str
) -> None:
    both_asked = threading.Event()

    def failing(_call: Call) -> Iterable[Step]:
        both_asked.set()
        return refusal(500, BOOM)

    first.script, second.script = lambda call: (both_asked, *refusal(500, BOOM)), failing
    heard = ask(hedging, way)
    heard.failed(502, "upstream_error")
    assert heard.end["attempts"] == len(first.calls) + len(second.calls) == 3


@every_stream
def test_a_hedge_that_fails_does_not_end_the_first(
    hedging: RunningServer, first: FakeUpstream, second: FakeUpstream, way: str
) -> None:
    failed = threading.Event()
    first.script = lambda call: (failed, 0.05, *says("From the first")(call))
    second.script = lambda call: (*refusal(400, BOOM), lambda _connection: failed.set())
    ask(hedging, way).answered("From the first")
    assert len(first.calls) == len(second.calls) == 1


@every_stream
def test_a_client_that_leaves_closes_both(
    hedging: RunningServer, first: FakeUpstream, second: FakeUpstream, way: str
) -> None:
    first.script = second.script = SILENT
    path = "/rag/chat/completions" if way == "waited" else "/chat/completions"
    body = {"messages": [{"role": "user", "content": "Are you open?"}]}
    with hedging.connect() as connection:
        connection.sendall(post(path, body, x_request_id=f"left-{way}"))
        if way == "waited":
            receive_until(connection, b"Wait.")
        second.wait_for_calls(1)
        assert first.calls[0].outcome is None
    let_go(first)
    let_go(second)
    end = hedging.wait_for_end(f"left-{way}")
    assert (end["outcome"], end["attempts"]) == ("client_closed", 2)


def test_hedges_spend_the_retry_budget(hedging: RunningServer, first: FakeUpstream, second: FakeUpstream) -> None:
    rested(hedging, first, FULL)
    speak = threading.Event()
    first.script, second.script = [speak, *answer("From the first")], says("From the second")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask_all, hedging, ["chat"] * 40)
        first.wait_for_calls(40)
        time.sleep(3 * HEDGE_MS / 1000)  # whatever is to be hedged has been by then
        speak.set()
        heard = asked.result()
    texts = [one.text for one in heard]
    assert texts.count("From the second") == len(second.calls) and 10 <= len(second.calls) <= 10 + 40 * 0.2
    assert texts.count("From the first") == 40 - len(second.calls)


@every_stream
def test_never_are_words_said_twice(
    hedging: RunningServer, first: FakeUpstream, second: FakeUpstream, way: str
) -> None:
    rested(hedging, first, FULL)
    chance = random.Random(7)
    for name, upstream in (("first", first), ("second", second)):
        early = 0 if name == "second" else HEDGE_MS / 1000

        def script(_call: Call, name: str = name, early: float = early) -> Iterable[Step]:
            return [early + chance.uniform(0, 0.02), *answer(f"From the {name} one", interval=0.002)]

        upstream.script = script
    winners = set()
    for _ in range(2):
        for heard in ask_all(hedging, [way] * 5):
            assert heard.text in ("From the first one", "From the second one"), heard.body
            assert heard.finish_reasons == ["stop"] and heard.end["outcome"] == "ok"
            assert len({chunk["id"] for chunk in heard.chunks}) == 1 and heard.body.count(b'"role"') == 1
            winners.add(heard.text)
    assert 0 < len(second.calls) <= 10 and winners  # on a busy machine the first may speak before the second is asked


@pytest.fixture
def alone(first: FakeUpstream, quick_servers: Servers) -> RunningServer:
    """A server with one upstream, which it asks again after 150 ms."""
    return rested(quick_servers(TTFT_TIMEOUT="3", PRECOMMIT_TIMEOUT="4", HEDGE_AFTER=str(HEDGE_MS)), first)


def asked_twice(heard: Heard, upstream: FakeUpstream, text: str) -> None:
    heard.answered(text)
    assert len(upstream.calls) == heard.end["attempts"] == 2


@every_stream
def test_with_one_upstream_only_it_is_asked_a_second_time(alone: RunningServer, first: FakeUpstream, way: str) -> None:
    first.script = in_turn(SILENT, says("At the second attempt"))
    asked_twice(ask(alone, way), first, "At the second attempt")
    assert first.calls[0].finished.wait(2) and first.calls[0].outcome == "peer_left"


def test_a_json_answer_with_a_late_first_byte_is_not_hedged(
    hedging: RunningServer, first: FakeUpstream, second: FakeUpstream
) -> None:
    first.script = lambda call: (3 * HEDGE_MS / 1000, *says("From the first")(call))
    heard = ask(hedging, "json")
    heard.answered("From the first")
    assert (heard.end["attempts"], second.calls) == (1, [])


@pytest.mark.parametrize("fault", [refusal(500, BOOM), [close]], ids=["500", "close"])
def test_a_failure_before_the_hedge_is_made_good_as_ever(
    hedging: RunningServer, first: FakeUpstream, second: FakeUpstream, fault: list[Step]
) -> None:
    first.script, second.script = fault, says("From the second")
    heard = ask(hedging)
    heard.answered("From the second")
    assert (len(second.calls), heard.end["attempts"]) == (1, 2) and heard.end["ms"] < 1500


def test_an_answer_in_one_piece_is_not_hedged(
    hedging: RunningServer, first: FakeUpstream, second: FakeUpstream
) -> None:
    # Its content comes only at its end: any hedge would ask for a second whole answer.
    first.script = lambda call: (0.6, *says("From the first")(call))
    ask(hedging, "json").answered("From the first")
    assert len(first.calls) == 1 and second.calls == []
