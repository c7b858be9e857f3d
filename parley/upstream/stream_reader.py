"""One upstream answer as batches of payloads, and the verdict whether it was whole.

Complete is what ended with DONE or gave a finish_reason; anything else that ends is an error, because a
client can't tell a truncated sentence from a short one. Nothing is decoded beyond the one look, nothing
is written anew.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from parley.concurrency import SILENCE, checkpoint
from parley.errors import AnswerCapped, UpstreamEmptyResponse, UpstreamError, UpstreamIncomplete, UpstreamStalled
from parley.wire import chunks, sse
from parley.wire.chunks import Envelope
from parley.wire.sse import Batch

MAX_ANSWER_BYTES = 4 << 20
# Ten minutes of audio: 24 kHz PCM16 in base64, and what is around it.
MAX_AUDIO_ANSWER_BYTES = 48 << 20
MAX_AUDIO_SECONDS = 600.0
STEP_BYTES = 1024
"""A receive above it is taken in steps; nearly all are smaller and bring one event."""
STEP_LINES = 512
"""In a step, about: comments, empty lines and tiny events cost the most for their bytes."""
LARGE_EVENT_BYTES = 1 << 16
"""To read a larger one is a step of its own."""
FINISHED_SECONDS = 1.0
"""How long to wait for DONE, or for a last chunk with the usage, when the answer itself is finished."""
Receive = Callable[[float], bytes | None]
"""Gives the next bytes; b"" at the end, None where so many seconds passed in silence."""


@dataclass(frozen=True)
class Patience:
    """Seconds: after `tick` of silence SILENCE is yielded, after `idle` it is a stall; `total` is a cap.

    `most_bytes` is another cap.
    """

    tick: float
    idle: float
    total: float
    most_bytes: int = MAX_ANSWER_BYTES

    def for_audio(self) -> "Patience":
        """The same for an answer that is heard while it is read: its cap is that of recordings."""
        return Patience(self.tick, self.idle, max(self.total, MAX_AUDIO_SECONDS), MAX_AUDIO_ANSWER_BYTES)


class StreamReader:
    """Reads one answer. `committed` turns true with the first thing that a caller may hear or act on."""

    def __init__(self, envelope: Envelope, patience: Patience, clock: Callable[[], float] = time.monotonic) -> None:
        self.envelope = envelope
        self._patience = patience
        self._clock = clock
        self._decoder = sse.Decoder()
        self._empty = True
        self._unfinished: frozenset[object] = frozenset()
        self._any_finished = False
        self.committed = False
        self.done = False

    def batches(self, receive: Receive) -> Iterator[Batch]:
        """What each receive completed, as a list of payloads, `LastBatch` where it ends the answer; without DONE.

        Ends where the answer is complete. Raises
        AnswerCapped above the caps, an UpstreamError otherwise.
        """
        try:
            yield from self._until_done(receive)
            if not self.done:
                yield from self._batch(self._decoder.end())
                self._ending()
        except (UpstreamError, AnswerCapped):
            if not self._is_finished:
                raise

    def _until_done(self, receive: Receive) -> Iterator[Batch]:
        """Batches until DONE or the end of the bytes. A comment counts as silence: it says nothing."""
        size = 0
        patience = self._patience
        started = heard = ticked = now = self._clock()
        while not self.done:
            moments = (ticked + patience.tick, heard + self._idle(), started + patience.total)
            received = receive(max(0.0, min(moments) - now))
            if received == b"":
                return
            now = self._clock()
            piece = received or b""
            size += len(piece)
            for batch in self._batch(self._decoder.feed(piece)) if len(piece) <= STEP_BYTES else self._steps(piece):
                heard = ticked = now
                yield batch
            if piece and heard != now and self._decoder.is_inside_event:
                heard = now
            if size > patience.most_bytes or now - started >= patience.total:
                raise AnswerCapped
            if now - heard >= self._idle():
                raise UpstreamStalled("the upstream fell silent inside its answer")
            if now - ticked >= patience.tick:
                ticked = now
                yield SILENCE

    def _steps(self, received: bytes) -> Iterator[Batch]:
        """Batches of a large receive, in steps of bounded work: a sender faster than we are never makes us wait."""
        lines = max(STEP_LINES, received.count(b"\n") + received.count(b"\r"))
        size = max(1, len(received) * STEP_LINES // lines)
        for start in range(0, len(received), size):
            checkpoint()
            yield from self._batch(self._decoder.feed(received[start : start + size]))
            if self.done:
                return

    @property
    def _is_finished(self) -> bool:
        """Whether every choice that has begun has got its finish_reason."""
        return not self._empty and not self._unfinished

    def _idle(self) -> float:
        """Seconds of silence that are a stall; before the first content another budget rules (`Budgets`)."""
        if self._is_finished:
            return FINISHED_SECONDS
        return self._patience.idle if self.committed else math.inf

    def _batch(self, payloads: list[bytes]) -> Iterator[Batch]:
        """The good payloads of one receive, in one piece, before the failure that may follow them."""
        good: list[bytes] = []
        for payload in payloads:
            if payload == sse.DONE_PAYLOAD:
                self.done = True
                break
            try:
                self._look(payload)
            except UpstreamError:
                # Raised again, not kept: its traceback holds the frames that hold this reader.
                if good:
                    yield good
                raise
            good.append(payload)
        if self.done:
            good = sse.LastBatch([*good, *self._ending()])
        if good:
            yield good

    def _look(self, payload: bytes) -> None:
        if len(payload) > LARGE_EVENT_BYTES:
            checkpoint()
        view = chunks.look(payload)
        if self.committed and view.goes_on(self._unfinished):
            return
        view.raise_for_failure()
        if self._empty and view.choices:
            self.envelope.adopt(view)
            self._empty = False
        self.envelope.calls_tool = self.envelope.calls_tool or view.calls_tool
        self._unfinished = view.unfinished(self._unfinished)
        self._any_finished = self._any_finished or view.finishes
        self.committed = self.committed or view.commits

    def _ending(self) -> list[bytes]:
        """Judge a stream that is over; give the finish chunk where the upstream left it out (Ollama may)."""
        if self._empty:
            raise UpstreamEmptyResponse("the upstream's answer is empty")
        if self._is_finished or (self.done and self._any_finished):
            return []
        if not self.done:
            raise UpstreamIncomplete("the upstream's answer broke off")
        self._unfinished = frozenset()
        return [self.envelope.finish("stop")]
