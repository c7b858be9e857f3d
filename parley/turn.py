"""One turn: from a request to the last byte of its answer. All that it holds is released exactly once, however it ends.

The endings of a turn, what the client sees of each, and the `outcome` in the log line:

    whole answer            finish chunk, DONE event                                    ok
    refused by us           HTTP status and error object                                refused
    failed, nothing sent    HTTP status and error object                                error_before
    failed, words are out   a chunk with finish_reason "error", a bare error, no DONE   error_mid
    either, FALLBACK_TEXT   the text, finish chunk, a comment with the code, DONE       spoken_fallback
    nothing said, twice     the upstream's own finish chunk, DONE                       empty
    a cap reached           finish_reason "length", DONE                                capped
    client gone             nothing; the upstream call or the search is ended           client_closed
    server stops            as "failed, words are out"                                  shutdown

A turn runs in the greenlet of its request. The client's watcher and the server's drain end it with `interrupt`: the
event loop throws the reason into that greenlet, but only while it waits inside our code. While gunicorn writes to the
client, the reason is kept until the next step.
"""

import contextlib
import dataclasses
import functools
import socket
import time
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

from gevent import get_hub, getcurrent

from parley.admission import ANYBODY, Admission
from parley.client_connection import ClientWatcher
from parley.concurrency import SILENCE
from parley.errors import AnswerCapped, ClientGone, InternalError, ParleyError, ServerShuttingDown, UpstreamError
from parley.telemetry import metrics
from parley.telemetry.logs import log
from parley.turn_record import TurnRecord
from parley.wire import chunks, sse
from parley.wire.chunks import Envelope
from parley.wire.platforms import masked
from parley.wire.request import ChatRequest
from parley.wire.sse import Batch

if TYPE_CHECKING:
    from parley.telemetry.captures import Capture

Batches = Generator[Batch, None, None]
"""An answer as it is made; a turn writes one batch at a time."""

_END_OF_ANSWER = sse.LastBatch()


@dataclasses.dataclass(slots=True)
class TurnContext:
    """Everything that an answer knows of its turn: the request, the envelope of its chunks, the record for the log."""

    chat: ChatRequest
    envelope: Envelope
    record: TurnRecord

    def take_chat(self) -> ChatRequest:
        """Return the request and forget it; to be called at the last use of the request.

        Otherwise a body of megabytes would be held for as long as its answer lasts.
        """
        chat = self.chat
        del self.chat
        return chat


class FallbackSpoken(Exception):
    """Raised by an answer that has said FALLBACK_TEXT itself, finish chunk included, in place of `error`."""

    def __init__(self, error: ParleyError) -> None:
        super().__init__(error.message)
        self.error = error


class Turn:
    """Owner of everything that a request holds: its slot, the watcher on its client, its answer, its log line.

    `fallback_text` is spoken in place of some errors, if there is one. `heartbeat` is in seconds; 0 means none.
    `capture` is None unless the operator has requests and answers kept.
    """

    def __init__(self, record: TurnRecord, *, fallback_text: str | None = None, heartbeat: float = 0) -> None:
        self.record = record
        self.capture: Capture | None = None
        self._fallback_text = fallback_text
        self._heartbeat = heartbeat
        self._written = 0.0
        self._greenlet = getcurrent()
        self._client: socket.socket | None = None
        self._interruption: BaseException | None = None
        self._interrupted_at = 0.0
        self._waits_inside = False
        # perf: saves 4 KiB a turn (1 000 open streams): a list, not an ExitStack.
        self._held: list[Callable[[], object]] = [self._report]

    def admit(self, admission: Admission, holder: str, client: socket.socket | None = None) -> None:
        """Take a slot for the life of the turn. Raises ServerOverloaded, RateLimited, ClientGone."""
        admission.admit(self, holder, functools.partial(self.watching, client))
        self._held.append(functools.partial(admission.release, self))
        self.record.holder = holder if holder != ANYBODY else None
        streams = metrics.series(metrics.OPEN_STREAMS, self.record.endpoint)
        streams.inc()
        self._held.append(streams.dec)

    def watch(self, client: socket.socket) -> None:
        """End the turn as soon as its client leaves, from now to the end of the turn."""
        self._client = client
        watcher = ClientWatcher(client, left=lambda: self.interrupt(ClientGone()))
        self._held.append(watcher.stop)

    def context(self, chat: ChatRequest, default_model: str) -> TurnContext:
        """Return the context of the answer to this request; note in the log record what was asked for."""
        envelope = Envelope.new(chat.model or default_model)
        self.record.model = envelope.model
        self.record.turn_id = chat.turn_id
        # The context is well-formed: version, trace, parent, flags.
        self.record.trace_id = chat.origin.traceparent.split("-")[1] if chat.origin.traceparent else None
        self.record.session = masked(chat.caller.session) or None
        self.record.platform = chat.caller.platform or None
        self.record.agent = chat.options.agent or None
        # That of the agent, or of the settings.
        self._fallback_text = chat.options.fallback_text
        return TurnContext(chat, envelope, self.record)

    def interrupt(self, reason: BaseException) -> None:
        """End the turn for this reason at any point; may be called from any greenlet. The first reason counts."""
        if self._interruption is not None:
            return
        self._interruption = reason
        self._interrupted_at = time.monotonic()
        hub = get_hub()
        if getcurrent() is hub:
            # Not in a callback: the caller's next request, read in the same pass of the loop, must find the slot free.
            self._deliver()
        else:
            hub.loop.run_callback(self._deliver)

    @property
    def is_ending(self) -> bool:
        """True if the turn's slot will soon be free: it was interrupted, or only its last bytes remain to be sent."""
        return self._interruption is not None or self.record.outcome is not None

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Return a context in which the turn may be interrupted wherever it waits. Raises the reason."""
        if self._interruption is not None:
            raise self._interruption
        self._waits_inside = True
        try:
            yield
        finally:
            self._waits_inside = False

    @contextlib.contextmanager
    def watching(self, client: socket.socket | None) -> Iterator[None]:
        """Return an interruptible context that ends when the client leaves, for the time before the body is read.

        Raises ClientGone.
        """
        with contextlib.ExitStack() as stack, self.interruptible():
            if client is not None:
                self._client = client
                stack.callback(ClientWatcher(client, left=lambda: self.interrupt(ClientGone())).stop)
            yield

    def whole(self, answer: Callable[[], bytes]) -> bytes:
        """Return an answer in one piece. Raises what the answer raises, and ClientGone.

        The turn goes on until the answer has been written: a caller who does not read must not find another slot.
        """
        with self.interruptible():
            body = answer()
        self.record.first_ms = self.record.elapsed_ms
        self.record.outcome = self.record.outcome or "ok"
        return body

    def stream(self, answer: Batches, envelope: Envelope) -> Iterator[bytes]:
        """Return the event stream of an answer, with its ending. Raises what fails before the first event."""
        pieces = self._pieces(answer, envelope)
        self._held.append(pieces.close)
        if envelope.first_chunk is not None:
            # A tool that runs on without a listener is told that it is too late.
            self._held.append(envelope.first_chunk.close)
        # Here, before the response has begun: an error still becomes an HTTP status.
        first = next(pieces, None)
        if first is None:
            raise ClientGone
        return self._to_the_end(first, pieces, envelope)

    def fail(self, error: BaseException) -> None:
        """Record an error that becomes the turn's HTTP response; anything but a ParleyError is an internal error."""
        ours = error if isinstance(error, ParleyError) else InternalError("an internal error occurred")
        self._record_failure(ours, "refused" if ours.is_refusal else "error_before")

    def close(self) -> None:
        """Release everything, even if a release fails, and write the log line; a second call does nothing."""
        if self._held:
            release = self._held.pop()
            try:
                release()
            finally:
                self.close()

    def _to_the_end(self, first: bytes, pieces: Iterator[bytes], envelope: Envelope) -> Iterator[bytes]:
        if envelope.first_chunk is not None:
            # A comment alone may begin the response; platforms read events.
            while (payload := sse.first_payload(first)) is None and (following := next(pieces, None)) is not None:
                yield first
                first = following
            if payload is not None and (fields := envelope.first_chunk.take()):
                first = sse.frame(envelope.metadata(payload, fields)) + first
        yield first
        yield from pieces
        # Here, not when gunicorn closes the body: a caller who asks again at once must find the slot free.
        self.close()

    def _pieces(self, answer: Batches, envelope: Envelope) -> Generator[bytes, None, None]:
        """Yield the bytes of each write. Raises a ParleyError only if nothing has been sent."""
        with contextlib.closing(answer):
            try:
                while not isinstance(batch := self._next(answer), sse.LastBatch):
                    if batch is not SILENCE:
                        yield sse.frames(batch)
                    elif self._heartbeat_is_due():
                        yield sse.KEEP_ALIVE
                self.record.outcome = self.record.outcome or "ok"
                # perf: saves a packet a turn: DONE leaves with the last batch.
                yield sse.frames(batch) + sse.DONE
            except AnswerCapped:
                self.record.outcome = "capped"
                yield sse.frame(envelope.finish("length")) + sse.DONE
            except ClientGone:
                self.record.outcome = "client_closed"
            except (ParleyError, FallbackSpoken) as error:
                yield self._ending(error, envelope)
            except Exception:  # noqa: BLE001 - the boundary: a bug must not end a stream without a word
                log.exception("internal_error", id=self.record.id, endpoint=self.record.endpoint)
                message = f"an internal error occurred (request {self.record.id})"
                yield self._ending(InternalError(message), envelope)

    def _next(self, answer: Batches) -> Batch:
        """Return the next batch; at the answer's end an empty last one."""
        if self._interruption is not None:
            raise self._interruption
        # perf: saves 1 µs a chunk (S3): not `interruptible`, because of the cost of a context manager.
        self._waits_inside = True
        try:
            batch = next(answer, _END_OF_ANSWER)
        finally:
            self._waits_inside = False
        if batch is not SILENCE and batch:
            self._written = time.monotonic()
            self.record.chunks += len(batch) - isinstance(batch[0], sse.Comment)
            if self.record.first_ms is None:
                self.record.first_ms = self.record.elapsed_ms
        return batch

    def _heartbeat_is_due(self) -> bool:
        """Return true if a heartbeat is due on a stream that has begun, and count it as sent."""
        now = time.monotonic()
        # SILENCE may come a little before its time.
        if not self._heartbeat or self.record.first_ms is None or now - self._written < 0.9 * self._heartbeat:
            return False
        self._written = now
        return True

    def _ending(self, error: ParleyError | FallbackSpoken, envelope: Envelope) -> bytes:
        """Return the frames that tell the client of a failure. Raises the error if nothing has been sent yet."""
        if isinstance(error, FallbackSpoken):
            return self._spoken(error.error)
        begun = self.record.first_ms is not None
        if self._fallback_text and error.speakable and envelope.takes_text and not envelope.calls_tool:
            # A comment alone may have begun the response.
            says = self.record.chunks > 0
            text = envelope.text((" " if says else "") + self._fallback_text, first=not says)
            return sse.frames([text, envelope.finish("stop")]) + self._spoken(error)
        if not begun:
            try:
                raise error
            finally:
                del error  # Break the cycle exception -> traceback -> this frame -> exception.
        self._record_failure(error, "error_mid")
        return sse.frames([envelope.finish("error"), chunks.error_payload(error)])

    def _spoken(self, error: ParleyError) -> bytes:
        """Return the end of a stream behind a fallback text and its finish chunk."""
        self._record_failure(error, "spoken_fallback")
        return sse.comment(f"error code={error.code} request_id={self.record.id}") + sse.DONE

    def _record_failure(self, error: ParleyError, outcome: str) -> None:
        self.record.code = error.code
        if isinstance(error, UpstreamError):
            self.record.reason = error.reason
        self.record.outcome = "shutdown" if isinstance(error, ServerShuttingDown) else outcome

    def _deliver(self) -> None:
        """Throw the reason into the turn's greenlet; runs in the event loop, so the greenlet waits somewhere."""
        if isinstance(self._interruption, ClientGone) and self._client is not None:
            # Unblock a pending write, and keep gunicorn from sending a well-formed last chunk to a half-closed client.
            with contextlib.suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)
        if self._waits_inside:
            self._greenlet.throw(self._interruption)

    def _report(self) -> None:
        """Write the log line; the first thing held, so the last to be done."""
        if isinstance(self._interruption, ClientGone):
            metrics.CANCEL.observe(time.monotonic() - self._interrupted_at)
        # Break the cycle exception -> traceback -> turn, which would otherwise live until the next full collection.
        self._interruption = None
        record = self.record
        # Before the line is written, which is later where the turn is remembered.
        record.ms = record.elapsed_ms
        notes, record.notes = record.notes, None
        if notes is None:
            metrics.request_ended(record)
        else:
            notes.end(record, functools.partial(metrics.request_ended, record))
