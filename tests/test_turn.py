"""A turn leaves nothing behind that only a garbage collection would find: those are rare in a worker."""

import gc
import socket
import weakref
from collections.abc import Iterator

import gevent
import pytest
from gevent.event import Event

from parley.admission import Admission
from parley.errors import ClientGone, UpstreamStalled
from parley.trail import Trail
from parley.turn import Batches, Turn
from parley.wire.chunks import Envelope


@pytest.fixture(autouse=True)
def no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def ended_turn(ending: type[UpstreamStalled] | None) -> weakref.ref[Turn]:
    """A turn that has heard a word and has ended: by what its answer raises, or because its client left."""
    waits = Event()

    def answer() -> Batches:
        yield [b"{}"]
        if ending is not None:
            raise ending("silent")
        waits.wait()

    def run() -> weakref.ref[Turn]:
        turn = Turn(Trail("chat", "turn"))
        pieces = turn.stream(answer(), Envelope("id", 0, "model"))
        next(pieces)
        if ending is None:
            gevent.get_hub().loop.run_callback(turn.interrupt, ClientGone())
        assert b"DONE" not in b"".join(pieces)
        turn.close()
        return weakref.ref(turn)

    return gevent.spawn(run).get()  # type: ignore[no-any-return]


@pytest.mark.parametrize("ending", [None, UpstreamStalled], ids=["client gone", "upstream failed"])
def test_a_turn_that_has_ended_holds_no_memory(ending: type[UpstreamStalled] | None) -> None:
    ended = ended_turn(ending)
    gevent.sleep(0)
    assert ended() is None


def test_a_client_that_leaves_frees_the_place_in_the_same_moment() -> None:
    """So that its next call, which may be read in the same pass of the event loop, finds it."""
    admission, places = Admission(1), []

    def answer() -> Batches:
        yield [b"{}"]
        Event().wait()

    def run() -> None:
        turn = Turn(Trail("chat", "turn"))
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


def test_a_client_that_leaves_while_its_call_waits_for_a_place_is_waited_for_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("parley.admission.NEWS_SECONDS", 20)
    admission = Admission(1)
    Turn(Trail("chat", "first")).admit(admission, "anybody")
    ours, theirs = socket.socketpair()
    turns = []

    def ask() -> None:
        turns.append(Turn(Trail("chat", "second")))
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
