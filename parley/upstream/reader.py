"""One upstream answer as batches of payloads, and the verdict whether it was whole.

Complete is what ended with `[DONE]` or gave a finish_reason; anything else that ends is an error, because a
client can't tell a truncated sentence from a short one. Nothing is decoded beyond the one look, nothing
is written anew.
"""

import time
from collections.abc import Callable, Iterable, Iterator

from parley.errors import (
    Capped,
    UpstreamEmptyResponse,
    UpstreamError,
    UpstreamIncomplete,
)
from parley.wire import chunks, sse
from parley.wire.chunks import Envelope

MAX_ANSWER_BYTES = 4 << 20


class Reader:
    """Reads one answer. `committed` turns true with the first thing that a caller may hear or act on."""

    def __init__(self, envelope: Envelope, max_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._envelope = envelope
        self._max_seconds = max_seconds
        self._clock = clock
        self._decoder = sse.Decoder()
        self._failure: UpstreamError | None = None
        self._calls_tool = False
        self._empty = True
        self._finished = False
        self.committed = False
        self.done = False

    def batches(self, received: Iterable[bytes]) -> Iterator[list[bytes]]:
        """What each receive completed, as a list of payloads; `[DONE]` itself is not among them.

        Ends where the answer is complete. Raises Capped above the caps, an UpstreamError otherwise.
        """
        started, size = self._clock(), 0
        try:
            for piece in received:
                size += len(piece)
                yield from self._batch(self._decoder.feed(piece))
                if self.done:
                    return
                if size > MAX_ANSWER_BYTES or self._clock() - started > self._max_seconds:
                    raise Capped
            yield from self._batch(self._decoder.end())
        except UpstreamError as error:
            if not self._finished:
                error.speakable = error.speakable and not self._calls_tool
                raise
        yield from self._ending()

    def _batch(self, payloads: list[bytes]) -> Iterator[list[bytes]]:
        """The good payloads of one receive, in one piece, before the failure that may follow them."""
        good = []
        for payload in payloads:
            if payload == sse.DONE_PAYLOAD:
                self.done = True
                break
            try:
                self._look(payload)
            except UpstreamError as error:
                self._failure = error
                break
            good.append(payload)
        if good:
            yield good
        if self._failure:
            raise self._failure
        if self.done:
            yield from self._ending()

    def _look(self, payload: bytes) -> None:
        seen = chunks.look(payload)
        if failure := seen.failure():
            raise failure
        if self._empty:
            self._envelope.adopt(seen)
            self._empty = False
        self._calls_tool = self._calls_tool or seen.calls_tool
        self._finished = self._finished or seen.finish_reason is not None
        self.committed = self.committed or seen.commits

    def _ending(self) -> Iterator[list[bytes]]:
        """Judge a stream that is over; add the finish chunk where the upstream left it out (Ollama may)."""
        if self._empty:
            raise UpstreamEmptyResponse("the upstream's answer is empty")
        if self._finished:
            return
        if not self.done:
            raise UpstreamIncomplete("the upstream's answer broke off")
        self._finished = True
        yield [self._envelope.finish("stop")]
