"""The upstream's answer in as many passes as the operator's tools need: it calls them, they run, it is asked again.

    ask ──► an answer without calls of ours ──► the end
     ▲          │
     │          └── calls of ours alone ──► run, with fillers ──► none of it has left, or what left goes on
     └─────────────────────────────────────────┘

The caller sees one answer. As long as nothing has left, a pass goes out byte for byte under its own envelope; behind
words, a filler or a waiting message its chunks are stamped anew: this is the one place where that is done. In the last
pass, which `TOOL_PASSES` or the time of the tools makes one, the model may call nothing.

Without tools for a request, the answer is the upstream's own.
"""

import contextlib

from parley.answers.streamed_passes import StreamedPasses
from parley.answers.tool_turn import offered_tools
from parley.answers.whole_passes import WholePasses
from parley.concurrency import SILENCE
from parley.services import Services
from parley.turn import Batches
from parley.turn_record import TurnRecord
from parley.wire.chunks import Envelope
from parley.wire.request import ChatRequest


class Model:
    """The model behind this server, which may call the operator's tools; it answers as an `Upstream` does."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def stream(
        self, chat: ChatRequest, envelope: Envelope, record: TurnRecord, wake_after: float | None = None
    ) -> Batches:
        """Return the answer's batches; see `Upstream.stream`. Its chunks are those of `envelope` once that is used."""
        if tools := offered_tools(chat, self._services):
            return StreamedPasses(chat, record, self._services, tools, envelope, wake_after).batches()
        answer = self._services.upstream.stream(chat, envelope, record, wake_after)
        # Only a waiting message uses the envelope before the upstream's chunks do.
        return restamped(answer, envelope) if envelope.used or wake_after is not None else answer

    def complete(self, chat: ChatRequest, record: TurnRecord) -> bytes:
        """Return the whole answer; see `Upstream.complete`."""
        if tools := offered_tools(chat, self._services):
            return WholePasses(chat, record, self._services, tools).body()
        return self._services.upstream.complete(chat, record)


def restamped(batches: Batches, envelope: Envelope) -> Batches:
    """Yield an answer's batches under the turn's envelope once that is used."""
    with contextlib.closing(batches):
        for batch in batches:
            if envelope.used and batch is not SILENCE:
                # In place, because the last batch of an answer is marked by its type.
                batch[:] = map(envelope.restamp, batch)
            yield batch
