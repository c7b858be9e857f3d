"""A turn leaves nothing behind that only a garbage collection would find: those are rare in a worker."""

import gc
import weakref
from collections.abc import Iterator

import gevent
import pytest
from gevent.event import Event

from parley.errors import ClientGone, UpstreamStalled
from parley.turn import Batches, Turn
from parley.turn_record import TurnRecord
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
        turn = Turn(TurnRecord("chat", "turn"))
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
