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
import itertools
import socket
import time
from collections.abc import Callable, Generator, Iterator

from gevent import get_hub, getcurrent

from parley.admission import Admission
from parley.errors import Capped, ClientGone, InternalError, ParleyError, ServerShuttingDown
from parley.observe import log
from parley.watcher import ClientWatcher
from parley.wire import chunks, sse
from parley.wire.chunks import Envelope
from parley.wire.request import Trail

Batches = Generator[list[bytes], None, None]
"""An answer: payloads in batches; what is in one batch leaves in one write, an empty one tells of silence."""


class Turn:
    """Owns what a request holds: its place, the watcher on its client, its answer, its log line."""

    def __init__(
        self, endpoint: str, request_id: str, *, fallback_text: str | None = None, heartbeat: float = 0
    ) -> None:
        self.endpoint = endpoint
        self.request_id = request_id
        self.model: str | None = None
        self.outcome: str | None = None
        self.error: ParleyError | None = None
        self.trail = Trail()
        self._fallback_text = fallback_text
        self._heartbeat = heartbeat
        self._started = self._written = time.monotonic()
        self._first_ms: float | None = None
        self._chunks = 0
        self._greenlet = getcurrent()
        self._client: socket.socket | None = None
        self._interruption: BaseException | None = None
        self._waits_inside = False
        self._held = contextlib.ExitStack()
        self._held.callback(self._report)

    def admit(self, admission: Admission) -> None:
        """Take a place for the turn's life. Raises ServerOverloaded."""
        admission.admit(self)
        self._held.callback(admission.release, self)

    def watch(self, client: socket.socket) -> None:
        """End the turn as soon as its client leaves."""
        self._client = client
        watcher = ClientWatcher(client, left=lambda: self.interrupt(ClientGone()))
        self._held.callback(watcher.stop)

    def interrupt(self, reason: BaseException) -> None:
        """End the turn for this reason, wherever it stands; may be called from any greenlet."""
        if self._interruption is None:
            self._interruption = reason
            get_hub().loop.run_callback(self._deliver)

    def whole(self, answer: Callable[[], bytes]) -> bytes:
        """Run an answer that is one piece of JSON; raises what it raises, and ClientGone."""
        with self._interruptible():
            body = answer()
        self._first_ms = self._elapsed_ms()
        self.outcome = "ok"
        return body

    def stream(self, answer: Batches, envelope: Envelope) -> Iterator[bytes]:
        """The answer's event stream with its ending. What fails before the first piece is raised here."""
        pieces = self._pieces(answer, envelope)
        self._held.callback(pieces.close)
        first = list(itertools.islice(pieces, 1))
        return itertools.chain(first, pieces)

    def fail(self, error: BaseException) -> None:
        """Note what becomes the turn's HTTP answer; anything but a ParleyError is a fault of ours."""
        ours = error if isinstance(error, ParleyError) else InternalError("an internal error occurred")
        self._note(ours, "refused" if ours.is_refusal else "error_before")

    def close(self) -> None:
        """Release everything and write the log line; a second call does nothing."""
        self._held.close()

    def _pieces(self, answer: Batches, envelope: Envelope) -> Generator[bytes, None, None]:
        with contextlib.closing(answer):
            try:
                while (batch := self._next(answer)) is not None:
                    if batch:
                        yield sse.frames(batch)
                    elif self._is_silent():
                        yield sse.KEEP_ALIVE
                self.outcome = "ok"
                yield sse.DONE
            except Capped:
                self.outcome = "capped"
                yield sse.frame(envelope.finish("length")) + sse.DONE
            except ClientGone:
                self.outcome = "client_closed"
            except ParleyError as error:
                yield self._ending(error, envelope)
            except Exception:  # noqa: BLE001 - the boundary: a fault of ours must not end a stream in silence
                log.exception("internal_error", id=self.request_id, endpoint=self.endpoint)
                yield self._ending(InternalError("an internal error occurred"), envelope)

    def _next(self, answer: Batches) -> list[bytes] | None:
        with self._interruptible():
            batch = next(answer, None)
        if batch:
            self._written = time.monotonic()
            self._chunks += len(batch)
            if self._first_ms is None:
                self._first_ms = self._elapsed_ms()
        return batch

    def _is_silent(self) -> bool:
        """Whether a begun stream has been silent for a heartbeat; counts the one that is sent now."""
        now = time.monotonic()
        # A tick may come a little before its time.
        if not self._heartbeat or self._first_ms is None or now - self._written < 0.9 * self._heartbeat:
            return False
        self._written = now
        return True

    def _ending(self, error: ParleyError, envelope: Envelope) -> bytes:
        """The frames that tell of a failure. Raises it instead where nothing has been sent yet."""
        begun = self._first_ms is not None
        if self._fallback_text and error.speakable and not envelope.calls_tool:
            self._note(error, "spoken_fallback")
            text = envelope.text((" " if begun else "") + self._fallback_text, first=not begun)
            note = sse.comment(f"error code={error.code} request_id={self.request_id}")
            return sse.frames([text, envelope.finish("stop")]) + note + sse.DONE
        if not begun:
            raise error
        self._note(error, "error_mid")
        return sse.frames([envelope.finish("error"), chunks.error_payload(error)])

    def _note(self, error: ParleyError, outcome: str) -> None:
        self.error = error
        self.outcome = "shutdown" if isinstance(error, ServerShuttingDown) else outcome

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        if self._interruption is not None:
            raise self._interruption
        self._waits_inside = True
        try:
            yield
        finally:
            self._waits_inside = False

    def _deliver(self) -> None:
        """Runs in the event loop, so the turn's greenlet stands still: it waits, in our code or in gunicorn's."""
        if self._waits_inside:
            self._greenlet.throw(self._interruption)
        elif isinstance(self._interruption, ClientGone) and self._client is not None:
            with contextlib.suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)  # a write that waits for the client fails now

    def _elapsed_ms(self) -> float:
        return round((time.monotonic() - self._started) * 1000, 1)

    def _report(self) -> None:
        """The one log line. Not a word of what was said: sizes, times and names."""
        outcome = self.outcome or "client_closed"
        failed = outcome in ("error_before", "error_mid", "spoken_fallback", "shutdown")
        write = log.error if failed else log.info
        write(
            "request_end",
            id=self.request_id,
            endpoint=self.endpoint,
            model=self.model,
            outcome=outcome,
            code=self.error.code if self.error else None,
            upstream=self.trail.upstream,
            attempts=self.trail.attempts,
            first_ms=self._first_ms,
            chunks=self._chunks,
            ms=self._elapsed_ms(),
        )
