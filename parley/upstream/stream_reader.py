"""One upstream stream as batches of payloads, and the decision whether it is complete.

    empty       no chunk with a choice has come
    begun       a first chunk gave the envelope (id, created, model)
    committed   content has come, if only thoughts: the upstream lives, and silence counts as a stall
    heard       content has come that a caller hears or acts on
    finished    each choice has its finish_reason, and no content came behind it: a break no longer matters
    done        DONE was received

A stream is complete if it ends finished, or with DONE. Everything else that ends is an error, because a client cannot
tell a truncated sentence from a short one:

    ends empty                      UpstreamEmptyResponse
    ends unfinished, without DONE   UpstreamIncomplete
    silent once committed           UpstreamStalled
    above its caps                  AnswerCapped, an ending in good order

Payloads are passed on as they came: each is decoded once, to look at it. Written anew are a chunk that lacks a field
(`wire/repairs.py`), a whole answer in place of chunks (`wire/assembly.py`), and all chunks with `one_envelope`.
"""

import math
import time
from collections.abc import Callable, Iterator

from parley.concurrency import SILENCE, checkpoint
from parley.errors import (
    AnswerCapped,
    UpstreamBadResponse,
    UpstreamEmptyResponse,
    UpstreamError,
    UpstreamIncomplete,
    UpstreamStalled,
)
from parley.upstream.timeouts import Timeouts
from parley.wire import assembly, chunks, sse, upstream_json
from parley.wire.chunks import ChunkView, Envelope
from parley.wire.endings import Endings, is_withheld
from parley.wire.heard import HeardDetector
from parley.wire.repairs import Repairs
from parley.wire.sse import Batch

MAX_ANSWER_BYTES = 4 << 20
"""Cap of an answer in text, in bytes."""
MAX_AUDIO_ANSWER_BYTES = 48 << 20
"""Cap of an answer in audio, in bytes: ten minutes of 24 kHz PCM16 in base64, and the JSON around it."""
STEP_BYTES = 1024
"""Bytes above which a receive is parsed in steps; nearly all are smaller and bring one event."""
STEP_LINES = 512
"""Lines in a step, about: comments, empty lines and tiny events cost the most for their bytes."""
LARGE_EVENT_BYTES = 1 << 16
"""Bytes above which decoding an event is a step of its own."""
FINISHED_SECONDS = 3.0
"""Seconds for which DONE, or a last chunk with the usage, is waited for when the answer itself is finished; where that
is doubtful, `Timeouts.idle` if it is longer."""
Receive = Callable[[float], bytes | None]
"""Returns the next bytes; b"" at the end, None after so many seconds of silence."""


class StreamReader:
    """Reads one stream. `committed` turns true with the first content, `is_heard` with the first that is heard.

    After `tick` seconds without a payload SILENCE is yielded, so that a heartbeat can be sent, and once at the moment
    `wake_at` of the clock. `timeouts.idle` and `timeouts.total` limit its time, `max_bytes` its size.

    With `bare` the stream consists of JSON objects without the form of events; with `one_envelope` all chunks get the
    id, the time and the model of the first. `completion` is the whole answer that came in place of chunks, if one did;
    with `usage` it becomes a chunk with the usage, too. With `expects_tool_finish` "stop" behind
    tool calls becomes "tool_calls".
    """

    def __init__(
        self,
        envelope: Envelope,
        timeouts: Timeouts,
        *,
        tick: float,
        max_bytes: int = MAX_ANSWER_BYTES,
        bare: bool = False,
        one_envelope: bool = False,
        usage: bool = False,
        expects_tool_finish: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.envelope = envelope
        self._timeouts = timeouts
        self._tick = tick
        self._max_bytes = max_bytes
        self._clock = clock
        self._decoder = sse.Decoder(bare=bare)
        self._one_envelope = one_envelope
        self._usage = usage
        self._empty = True
        self._endings = Endings()
        self._repairs = Repairs(expects_tool_finish=expects_tool_finish)
        self.completion: bytes | None = None
        self.committed = False
        self._heard = HeardDetector()
        self.is_heard = False
        self.is_withheld = False
        self.wake_at = math.inf
        self.done = False

    def batches(self, receive: Receive) -> Iterator[Batch]:
        """Yield the payloads that each receive completed, without DONE; `LastBatch` if they end the answer.

        SILENCE is yielded when nothing came for a tick. Raises AnswerCapped above the caps, and UpstreamError.
        """
        try:
            yield from self._until_done(receive)
            if not self.done:
                yield from self._batch(self._decoder.end())
                self._ending()
        except (UpstreamError, AnswerCapped):
            # All that was to be said has been said: the failure came behind it.
            if not self._endings.all_ended:
                raise

    @property
    def any_finished(self) -> bool:
        """True if a choice has its finish_reason."""
        return bool(self._endings.ended)

    def _until_done(self, receive: Receive) -> Iterator[Batch]:
        """Yield batches until DONE or the end of the bytes."""
        size = 0
        timeouts = self._timeouts
        # Silence is counted from `alive` for a stall, and from `ticked` for SILENCE.
        started = alive = ticked = now = self._clock()
        while not self.done:
            moments = (ticked + self._tick, alive + self._idle(), started + timeouts.total, self.wake_at)
            received = receive(max(0.0, min(moments) - now))
            if received == b"":
                return
            now = self._clock()
            piece = received or b""
            size += len(piece)
            for batch in self._batch(self._decoder.feed(piece)) if len(piece) <= STEP_BYTES else self._steps(piece):
                alive = ticked = now
                yield batch
            # A part of a long event is no silence. A comment is: servers send them while they hang.
            if piece and alive != now and self._decoder.is_inside_event:
                alive = now
            if size > self._max_bytes or now - started >= timeouts.total:
                raise AnswerCapped
            if now - alive >= self._idle():
                reason = timeouts.reason("idle")
                raise UpstreamStalled("the upstream fell silent inside its answer", reason=reason)
            if now - ticked >= self._tick or now >= self.wake_at:
                ticked = now
                self.wake_at = math.inf
                yield SILENCE

    def _steps(self, received: bytes) -> Iterator[Batch]:
        """Yield the batches of a large receive, in steps of bounded work."""
        # The waits between receives do not share the loop here: an upstream that sends faster than we read never lets
        # this greenlet wait.
        lines = max(STEP_LINES, received.count(b"\n") + received.count(b"\r"))
        size = max(1, len(received) * STEP_LINES // lines)
        for start in range(0, len(received), size):
            checkpoint()
            yield from self._batch(self._decoder.feed(received[start : start + size]))
            if self.done:
                return

    def _idle(self) -> float:
        """Return the seconds of silence that are a stall."""
        idle = self._timeouts.idle
        if self._endings.all_ended and not self._endings.doubtful:
            return FINISHED_SECONDS
        # Before the first content `Timeouts.first_content` applies, which the attempt watches.
        if not self.committed:
            return math.inf
        return max(FINISHED_SECONDS, idle) if self._endings.ended else idle

    def _batch(self, payloads: list[bytes]) -> Iterator[Batch]:
        """Yield the good payloads of one receive in one batch, before the failure that may follow them."""
        good: list[bytes] = []
        for payload in payloads:
            if sse.is_done(payload):
                self.done = True
                break
            try:
                passed = self._look(payload)
            except UpstreamError:
                # Raise it here: an error kept for later would form a cycle with its traceback, which holds this reader.
                if good:
                    yield good
                raise
            if passed is None:
                good.append(payload)
            else:
                good += passed
        if self.done:
            good = sse.LastBatch([*good, *self._ending()])
        if good:
            yield good

    def _look(self, payload: bytes) -> list[bytes] | None:
        """Take from a payload all that matters for the state. Raises the failure that it reports.

        Return the payloads to pass on in its place; None if it goes on as it came.
        """
        if len(payload) > LARGE_EVENT_BYTES:
            checkpoint()
        try:
            view = chunks.look(payload)
        except UpstreamBadResponse:
            mended = upstream_json.mended(payload)
            # What is left as it was is JSON, of another form than a chunk's.
            if mended is None or mended == payload:
                raise
            return self._look(mended) or [mended]
        # Nearly all chunks do no more than go on.
        if self.is_heard and view.goes_on(self._endings.unfinished):
            return [self.envelope.restamp(payload)] if self._one_envelope else None
        view.raise_for_failure(payload)
        if view.is_completion and not self.committed:
            self.completion = payload
            passed = assembly.chunks_of(payload, self.envelope, usage=self._usage)
            passed = [self._repairs.repaired(each, chunks.look(each)) for each in passed]
            for each in passed:
                self._take(chunks.look(each))
            return passed
        repaired = self._repairs.repaired(payload, view)
        is_first = self._empty
        self._take(view if repaired is payload else chunks.look(repaired))
        if self._one_envelope and not is_first:
            return [self.envelope.restamp(repaired)]
        return None if repaired is payload else [repaired]

    def _take(self, view: ChunkView) -> None:
        """Take from a chunk all that matters for the state."""
        if self._empty and view.choices:
            self.envelope.adopt(view)
            self._empty = False
        self.envelope.calls_tool = self.envelope.calls_tool or view.calls_tool
        self._endings.take(view.choices or ())
        self.committed = self.committed or view.commits
        self.is_heard = self.is_heard or self._heard.feed(view)
        self.is_withheld = self.is_withheld or any(is_withheld(choice.finish_reason) for choice in view.choices or ())

    def _ending(self) -> list[bytes]:
        """Return the finish chunk if the upstream left it out (Ollama may). Raises UpstreamError if truncated."""
        if self._empty:
            raise UpstreamEmptyResponse("the upstream's answer is empty")
        # After DONE one finish_reason is enough: some choices of several may have come without.
        if self._endings.all_ended or (self.done and self._endings.ended):
            return []
        if not self.done:
            raise UpstreamIncomplete("the upstream's answer broke off")
        return [self.envelope.finish(self._repairs.finish_reason)]
