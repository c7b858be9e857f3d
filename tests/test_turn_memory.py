"""A turn frees memory and place by itself: cycles, which a garbage collection must find, stay for long in a worker."""

import contextlib
import socket
import weakref

import gevent
import pytest
from gevent.event import Event

from parley.admission import Admission
from parley.errors import AnswerCapped, ClientGone, NotFound, ParleyError, ServerShuttingDown, UpstreamStalled
from parley.turn import Batches, FallbackSpoken, Turn
from parley.turn_record import TurnRecord
from parley.wire.chunks import Envelope

pytestmark = pytest.mark.usefixtures("no_collections")
FAILURES = (UpstreamStalled, NotFound, ServerShuttingDown, AnswerCapped, ZeroDivisionError, FallbackSpoken)
INTERRUPTIONS = (ClientGone, ServerShuttingDown)


def made(kind: type[BaseException]) -> BaseException:
    return kind(UpstreamStalled("silent")) if kind is FallbackSpoken else kind("why")


def ended_turn(
    *, fails: type[BaseException] | None = None, interrupted: type[BaseException] | None = None, words: int, speak: bool
) -> weakref.ref[Turn]:
    """A turn that has ended: by what its answer raises, or by an interruption, or well; after so many words."""
    waits = Event()

    def answer() -> Batches:
        yield from [[b"{}"]] * words
        if fails is not None:
            raise made(fails)
        if interrupted is not None:
            waits.wait()

    def run() -> weakref.ref[Turn]:
        turn = Turn(TurnRecord("chat", "turn"), fallback_text="Sorry." if speak else None)
        if interrupted is not None:
            gevent.spawn(turn.interrupt, made(interrupted))
        with contextlib.suppress(ParleyError, ClientGone, AnswerCapped):
            try:
                for _ in turn.stream(answer(), Envelope("id", 0, "model")):
                    pass
            except BaseException as error:
                turn.fail(error)
                raise
        turn.close()
        return weakref.ref(turn)

    ended: weakref.ref[Turn] = gevent.spawn(run).get()
    gevent.sleep(0)
    return ended


@pytest.mark.parametrize("speak", [False, True], ids=["without a fallback text", "with a fallback text"])
@pytest.mark.parametrize("words", [0, 1], ids=["before the first word", "inside"])
@pytest.mark.parametrize("fails", [None, *FAILURES])
def test_a_turn_that_has_ended_holds_no_memory(
    fails: type[BaseException] | None, words: int, speak: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended_turn(fails=fails, words=words, speak=speak)() is None


@pytest.mark.parametrize("words", [0, 1], ids=["before the first word", "inside"])
@pytest.mark.parametrize("interrupted", INTERRUPTIONS)
def test_a_turn_that_was_interrupted_holds_no_memory(interrupted: type[BaseException], words: int) -> None:
    assert ended_turn(interrupted=interrupted, words=words, speak=False)() is None


@pytest.mark.parametrize("interrupted", INTERRUPTIONS)
def test_a_turn_can_be_interrupted_before_its_answer(interrupted: type[BaseException]) -> None:
    def run() -> weakref.ref[Turn]:
        turn = Turn(TurnRecord("chat", "turn"))
        gevent.spawn(turn.interrupt, made(interrupted))
        with pytest.raises(interrupted), turn.interruptible():
            Event().wait()
        with pytest.raises(interrupted), turn.interruptible():
            raise AssertionError("it has been interrupted")
        turn.close()
        return weakref.ref(turn)

    ended = gevent.spawn(run).get()
    gevent.sleep(0)
    assert ended() is None


def test_a_client_that_leaves_frees_the_place_in_the_same_moment() -> None:
    """So that its next call, which may be read in the same pass of the event loop, finds it."""
    admission, places = Admission(1), []

    def answer() -> Batches:
        yield [b"{}"]
        Event().wait()

    def run() -> None:
        turn = Turn(TurnRecord("chat", "turn"))
        turn.admit(admission, "anybody")

        def left() -> None:
            turn.interrupt(ClientGone())
            places.append(len(admission.running))

        pieces = turn.stream(answer(), Envelope("id", 0, "model"))
        next(pieces)
        gevent.get_hub().loop.run_callback(left)
        assert list(pieces) == []

    gevent.spawn(run).get(timeout=20)
    gevent.sleep(0)
    assert places == [0]


def test_a_client_that_leaves_ends_its_wait_for_a_slot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("parley.admission.NEWS_SECONDS", 20)
    admission = Admission(1)
    Turn(TurnRecord("chat", "first")).admit(admission, "anybody")
    ours, theirs = socket.socketpair()
    turns = []

    def ask() -> None:
        turns.append(Turn(TurnRecord("chat", "second")))
        with pytest.raises(ClientGone):
            turns[0].admit(admission, "anybody", ours)
        turns[0].close()

    with ours, theirs:
        waiting = gevent.spawn(ask)
        gevent.sleep(0.01)
        assert not waiting.ready()
        theirs.close()
        waiting.get(timeout=10)
    assert turns[0] not in admission.running
