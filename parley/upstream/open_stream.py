"""The good outcomes of an attempt: a stream that has begun, and a whole answer.

Reading a stream is the business of `stream_reader.py`; how long, and what is repeated, that of `attempts.py`.
"""

import dataclasses
import re
from collections.abc import Iterator, Sequence

from parley.concurrency import SILENCE
from parley.errors import AnswerCapped, UpstreamError
from parley.http_client.response import HttpResponse
from parley.telemetry.redaction import Redactor
from parley.upstream.status_errors import error_for_report
from parley.upstream.stream_reader import StreamReader
from parley.wire import sse
from parley.wire.chunks import Envelope
from parley.wire.sse import Batch

MAX_SAID_CHARACTERS = 4000
"""Most characters of a caller's last messages that are kept for as long as an answer lasts."""
_CLEAN_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclasses.dataclass(frozen=True)
class Completion:
    """A whole answer: a `chat.completion` object as the upstream wrote it. `request_id` as for `OpenStream`."""

    body: bytes
    request_id: str | None
    is_wordless: bool = False


class OpenStream:
    """A stream that has reached its commit point or its end; `held` are the payloads to be sent next.

        opened       `held` is everything up to the first content
        thoughts     `sent_unheard` yields them as they come, or `hold_until_heard` adds them to `held`
        heard        `held` is the batch with the first word; `rest` follows
        wordless     the stream has ended, or reached a cap, before anything was heard; `held` is its end

    Must be closed. `request_id` is the upstream's id of the request, or None if it gave none that can be logged.
    """

    def __init__(
        self,
        response: HttpResponse,
        reader: StreamReader,
        batches: Iterator[Batch],
        redactor: Redactor,
        said: Sequence[str] = (),
    ) -> None:
        self._response = response
        self._redactor = redactor
        # What an error may quote of the caller's words, for as long as the answer lasts: of a long request nothing is
        # kept, and then an error's words are not logged.
        self._said = said if sum(map(len, said)) <= MAX_SAID_CHARACTERS else None
        self._reader = reader
        self._batches = batches
        self._is_over = self._is_closed = False
        self.request_id = clean_request_id(response, redactor)
        self.held: list[bytes] = []
        # A role and empty deltas prove nothing: an upstream may send them at once and then hang.
        while not (reader.committed or self._is_over):
            self._hold()

    @property
    def is_heard(self) -> bool:
        """True if something has come that a caller hears or acts on."""
        return self._reader.is_heard

    @property
    def is_wordless(self) -> bool:
        """True if the whole answer has come, and a caller hears nothing of it."""
        return self._is_over and not (self._reader.is_heard or self._reader.is_withheld)

    def hold_until_heard(self) -> None:
        """Hold back thoughts, too. Closes the stream if that fails; raises UpstreamError."""
        try:
            while not (self.is_heard or self._is_over):
                self._hold()
        except BaseException:
            self.close()
            raise

    def sent_unheard(self, wake_at: float) -> Iterator[Batch]:
        """Yield what comes before the first batch that is heard, with SILENCE at the moment `wake_at`, too.

        A chunk that ends the answer, and all behind it, is kept in `held`: another attempt may speak in its place.
        Raises UpstreamError.
        """
        self._reader.wake_at = wake_at
        while not (self.is_heard or self._is_over):
            # Behind a finish reason the answer may be asked for again: its end must not be sent before that is decided.
            if self.held and not self._reader.any_finished:
                yield self.held
                self.held = []
            if self._hold() is SILENCE:
                yield SILENCE

    def _hold(self) -> Batch | None:
        """Wait for the next batch, and hold it; return it, or None at the end or at a cap before anything is heard."""
        try:
            batch = next(self._batches, None)
        except AnswerCapped:
            if self.is_heard:
                raise
            # Nobody has heard anything yet: the cap is an ending in good order, and another attempt may do better.
            self._is_over = True
            self.held = sse.LastBatch([*self.held, self._reader.envelope.finish("length")])
            return None
        if batch is None:
            self._is_over = True
        elif batch is not SILENCE:
            self.held += batch
            if isinstance(batch, sse.LastBatch):
                self._is_over = True
                self.held = sse.LastBatch(self.held)
        return batch

    def join(self, envelope: Envelope) -> None:
        """Go on under the answer's envelope."""
        envelope.follow(self._reader.envelope)
        self._reader.envelope = envelope

    def rest(self, envelope: Envelope) -> Iterator[Batch]:
        """Return the batches behind `held`, under the answer's envelope. They raise UpstreamError and AnswerCapped."""
        self.join(envelope)
        return self._batches

    def explained(self, error: UpstreamError) -> UpstreamError:
        """Return an error of the stream with the upstream's words as its reason, cleaned for the log."""
        if self._said is None:
            return error.with_reason(error.message)
        return error_for_report(error, self._redactor, own_key=True, begun=True, said=self._said)

    def close(self) -> None:
        """Keep the connection if the answer was read to its end, else close it."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._reader.done:
            self._response.drain_and_close()
        else:
            self._response.close()


def clean_request_id(response: HttpResponse, redactor: Redactor) -> str | None:
    """Return the upstream's id of a request, or None if it gave none that can be logged."""
    # Redacted, because it goes into the log and into a header for the caller.
    request_id = redactor.redact_keys(response.headers.get("x-request-id", ""))
    return request_id if _CLEAN_ID.fullmatch(request_id) else None
