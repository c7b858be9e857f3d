"""One turn: from the request to the last byte, released exactly once whatever happens on the way.

How a turn ends, what the client sees of it, and the `outcome` in the log line:

    whole answer            finish chunk, DONE event                                    ok
    refused by us           HTTP status and error object                                refused
    failed, nothing sent    HTTP status and error object                                error_before
    failed, words are out   a chunk with finish_reason "error", a bare error, no DONE   error_mid
    either, FALLBACK_TEXT   the text, finish chunk, a comment with the code, DONE       spoken_fallback
    a cap reached           finish_reason "length", DONE                                capped
    client gone             nothing; whatever the turn waited for is let go             client_closed
    server stops            as "failed, words are out"                                  shutdown

A turn runs in the greenlet of its request. Whoever wants it to end (the watcher, the drain) asks the event loop
to throw the reason into that greenlet, but only while it waits inside our code; while gunicorn writes to
the client, the reason is kept until the next step.
"""

import contextlib
import dataclasses
import functools
import socket
import time
from collections.abc import Callable, Generator, Iterator

from gevent import get_hub, getcurrent

from parley.admission import Admission
from parley.client_connection import ClientWatcher
from parley.concurrency import SILENCE
from parley.errors import AnswerCapped, ClientGone, InternalError, ParleyError, ServerShuttingDown
from parley.telemetry import metrics
from parley.telemetry.logs import log
from parley.turn_record import TurnRecord
from parley.wire import chunks, sse
from parley.wire.chunks import Envelope
from parley.wire.request import ChatRequest
from parley.wire.sse import Batch

Batches = Generator[Batch, None, None]
"""An answer."""

_NOTHING_MORE = sse.LastBatch()


@dataclasses.dataclass(slots=True)
class TurnContext:
    """What an answer works with: the request, the envelope of the answer's chunks, and the turn's record."""

    chat: ChatRequest
    envelope: Envelope
    record: TurnRecord

    def take_chat(self) -> ChatRequest:
        """Return the request and forget it; to be called for the request's last use.

        A large body would otherwise be held for as long as its answer lasts.
        """
        chat = self.chat
        del self.chat
        return chat


class FallbackSpoken(Exception):
    """Raised by an answer that has said FALLBACK_TEXT itself, to the finish chunk: `error` is what it stands for."""

    def __init__(self, error: ParleyError) -> None:
        super().__init__(error.message)
        self.error = error


class Turn:
    """Owns what a request holds: its slot, the watcher on its client, its answer, its log line."""

    def __init__(self, record: TurnRecord, *, fallback_text: str | None = None, heartbeat: float = 0) -> None:
        self.record = record
        self._fallback_text = fallback_text
        self._heartbeat = heartbeat
        self._written = 0.0
        self._greenlet = getcurrent()
        self._client: socket.socket | None = None
        self._interruption: BaseException | None = None
        self._interrupted_at = 0.0
        self._waits_inside = False
        # A list, not an ExitStack: with 1 000 turns that saves 4 KiB each.
        self._held: list[Callable[[], object]] = [self._report]

    def admit(self, admission: Admission, holder: str, client: socket.socket | None = None) -> None:
        """Take a slot for the turn's life. Raises ServerOverloaded, RateLimited, ClientGone."""
        admission.admit(self, holder, self.watching(client))
        self._held.append(functools.partial(admission.release, self))
        streams = metrics.series(metrics.OPEN_STREAMS, self.record.endpoint)
        streams.inc()
        self._held.append(streams.dec)

    def watch(self, client: socket.socket) -> None:
        """End the turn as soon as its client leaves."""
        self._client = client
        watcher = ClientWatcher(client, left=lambda: self.interrupt(ClientGone()))
        self._held.append(watcher.stop)

    def context(self, chat: ChatRequest, default_model: str) -> TurnContext:
        """Return the context of the answer to this request; note in the log record what was asked for."""
        envelope = Envelope.new(chat.model or default_model)
        self.record.model = envelope.model
        self.record.turn_id = chat.turn_id
        return TurnContext(chat, envelope, self.record)

    def interrupt(self, reason: BaseException) -> None:
        """End the turn for this reason, wherever it stands; may be called from any greenlet."""
        if self._interruption is not None:
            return
        self._interruption = reason
        self._interrupted_at = time.monotonic()
        hub = get_hub()
        if getcurrent() is hub:
            # Not in a callback: the caller's next call, read in the same pass, must find the place free.
            self._deliver()
        else:
            hub.loop.run_callback(self._deliver)

    @property
    def is_ending(self) -> bool:
        """Whether the turn's place will soon be free: it was interrupted, or only its last bytes remain to be sent."""
        return self._interruption is not None or self.record.outcome is not None

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let the turn be ended inside of the block, where it waits. Raises the reason for which it is ended."""
        if self._interruption is not None:
            raise self._interruption
        self._waits_inside = True
        try:
            yield
        finally:
            self._waits_inside = False

    @contextlib.contextmanager
    def watching(self, client: socket.socket | None) -> Iterator[None]:
        """Raise ClientGone as soon as the client leaves; for what comes before the request's body has been read."""
        with contextlib.ExitStack() as stack, self.interruptible():
            if client is not None:
                self._client = client
                stack.callback(ClientWatcher(client, left=lambda: self.interrupt(ClientGone())).stop)
            yield

    def whole(self, answer: Callable[[], bytes]) -> bytes:
        """Run an answer that is one piece of JSON, to the turn's end; raises what it raises, and ClientGone."""
        with self.interruptible():
            body = answer()
        self.record.first_ms = self.record.elapsed_ms
        self.record.outcome = "ok"
        self.close()
        return body

    def stream(self, answer: Batches, envelope: Envelope) -> Iterator[bytes]:
        """The answer's event stream with its ending; what fails before the first piece is raised here."""
        pieces = self._pieces(answer, envelope)
        self._held.append(pieces.close)
        first = next(pieces, None)
        if first is None:
            raise ClientGone
        return self._to_the_end(first, pieces)

    def fail(self, error: BaseException) -> None:
        """Note what becomes the turn's HTTP answer; anything but a ParleyError is a fault of ours."""
        ours = error if isinstance(error, ParleyError) else InternalError("an internal error occurred")
        self._note(ours, "refused" if ours.is_refusal else "error_before")

    def close(self) -> None:
        """Release everything, whatever fails on the way, and write the log line; a second call does nothing."""
        if self._held:
            release = self._held.pop()
            try:
                release()
            finally:
                self.close()

    def _to_the_end(self, first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
        """All pieces; the slot is free before the body ends, for a caller who asks again at once."""
        yield first
        yield from rest
        self.close()

    def _pieces(self, answer: Batches, envelope: Envelope) -> Generator[bytes, None, None]:
        with contextlib.closing(answer):
            try:
                while not isinstance(batch := self._next(answer), sse.LastBatch):
                    if batch is not SILENCE:
                        yield sse.frames(batch)
                    elif self._is_silent():
                        yield sse.KEEP_ALIVE
                self.record.outcome = "ok"
                yield sse.frames(batch) + sse.DONE
            except AnswerCapped:
                self.record.outcome = "capped"
                yield sse.frame(envelope.finish("length")) + sse.DONE
            except ClientGone:
                self.record.outcome = "client_closed"
            except (ParleyError, FallbackSpoken) as error:
                yield self._ending(error, envelope)
            except Exception:  # noqa: BLE001 - the boundary: a fault of ours must not end a stream in silence
                log.exception("internal_error", id=self.record.id, endpoint=self.record.endpoint)
                message = f"an internal error occurred (request {self.record.id})"
                yield self._ending(InternalError(message), envelope)

    def _next(self, answer: Batches) -> Batch:
        """Return the next batch; at the answer's end an empty last one."""
        if self._interruption is not None:
            raise self._interruption
        self._waits_inside = True  # not `interruptible`: a context manager costs a microsecond, for each chunk
        try:
            batch = next(answer, _NOTHING_MORE)
        finally:
            self._waits_inside = False
        if batch is not SILENCE and batch:
            self._written = time.monotonic()
            self.record.chunks += len(batch) - isinstance(batch[0], sse.Comment)
            if self.record.first_ms is None:
                self.record.first_ms = self.record.elapsed_ms
        return batch

    def _is_silent(self) -> bool:
        """Whether a begun stream has been silent for a heartbeat; counts the one that is sent now."""
        now = time.monotonic()
        # A tick may come a little before its time.
        if not self._heartbeat or self.record.first_ms is None or now - self._written < 0.9 * self._heartbeat:
            return False
        self._written = now
        return True

    def _ending(self, error: ParleyError | FallbackSpoken, envelope: Envelope) -> bytes:
        """The frames that tell of a failure. Raises it instead where nothing has been sent yet."""
        if isinstance(error, FallbackSpoken):
            return self._spoken(error.error)
        begun = self.record.first_ms is not None
        if self._fallback_text and error.speakable and envelope.takes_text and not envelope.calls_tool:
            text = envelope.text((" " if begun else "") + self._fallback_text, first=not begun)
            return sse.frames([text, envelope.finish("stop")]) + self._spoken(error)
        if not begun:
            try:
                raise error
            finally:
                del error  # Break the cycle exception -> traceback -> this frame -> exception.
        self._note(error, "error_mid")
        return sse.frames([envelope.finish("error"), chunks.error_payload(error)])

    def _spoken(self, error: ParleyError) -> bytes:
        """What follows a fallback text and its finish chunk."""
        self._note(error, "spoken_fallback")
        return sse.comment(f"error code={error.code} request_id={self.record.id}") + sse.DONE

    def _note(self, error: ParleyError, outcome: str) -> None:
        self.record.code = error.code
        self.record.outcome = "shutdown" if isinstance(error, ServerShuttingDown) else outcome

    def _deliver(self) -> None:
        """Runs in the event loop, so the turn's greenlet stands still: it waits, in our code or in gunicorn's."""
        if isinstance(self._interruption, ClientGone) and self._client is not None:
            # A write that waits for the client fails now, and half a goodbye gets no well-formed end of an answer.
            with contextlib.suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)
        if self._waits_inside:
            self._greenlet.throw(self._interruption)

    def _report(self) -> None:
        if isinstance(self._interruption, ClientGone):
            metrics.CANCEL.observe(time.monotonic() - self._interrupted_at)
        self._interruption = None  # it bears the frames that it ended, and they bear this turn: memory held for long
        metrics.request_ended(self.record)
