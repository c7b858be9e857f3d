"""Event streams: an upstream's bytes to payloads (`Decoder`), payloads to the bytes for a caller (`frame`).

Parsing follows the WHATWG rules (https://html.spec.whatwg.org/multipage/server-sent-events.html) for what a completion
stream uses: only `data` counts, comments and other fields are ignored. Deliberate divergences: an empty payload is
dropped, and an event whose last line arrived but whose blank line did not is still given out at the end, because some
upstreams close right after `data: [DONE]`; and two objects, or an object and DONE, are two events even where no blank
line parts them. With `bare`, JSON without a field name is an event, too: a line of it, or an object over several lines.
"""

from collections.abc import Iterable

from parley.concurrency import Silence
from parley.errors import UpstreamBadResponse

MAX_EVENT_BYTES = 1 << 20
"""Largest event of an upstream."""
DONE_PAYLOAD = b"[DONE]"
DONE_FORMS = frozenset({DONE_PAYLOAD, b'"%b"' % DONE_PAYLOAD, b"DONE"})
"""Payloads that end a stream, in capitals and without white space around them."""
MAX_DONE_BYTES = 16
"""Bytes above which a payload can't be the end of a stream."""
_BOM = b"\xef\xbb\xbf"


class Comment(bytes):
    """A comment, which every client ignores, framed already: it may stand among the payloads of a batch."""


class LastBatch(list[bytes]):
    """The payloads that end a complete answer: DONE leaves with them, in one write."""


Batch = list[bytes] | Silence
"""The payloads that leave in one write, or SILENCE."""


def frame(payload: bytes) -> bytes:
    """Return the event of a payload; several lines become several `data:` lines of one event."""
    if b"\n" in payload:
        if isinstance(payload, Comment):
            return payload
        payload = payload.replace(b"\n", b"\ndata: ")
    return b"data: " + payload + b"\n\n"


def frames(payloads: Iterable[bytes]) -> bytes:
    """Return the events of some payloads in one piece: what arrived together leaves in one write."""
    return b"".join([frame(payload) for payload in payloads])


DONE = frame(DONE_PAYLOAD)
"""The last event of a complete answer, and of no other."""


def first_payload(written: bytes) -> bytes | None:
    """Return the payload of the first event in frames of ours; None if they hold comments or DONE alone."""
    start = 0
    while written.startswith(b":", start):
        start = written.index(b"\n\n", start) + 2
    payload = written[start : written.find(b"\n\n", start)].removeprefix(b"data: ").replace(b"\ndata: ", b"\n")
    return payload if payload and not is_done(payload) else None


def comment(text: str) -> Comment:
    """Return a comment; line breaks in `text` become spaces."""
    return Comment(b": " + " ".join(text.split()).encode() + b"\n\n")


KEEP_ALIVE = comment("keep-alive")
"""Sent in silence, so that routers and clients see that the stream lives."""


def is_comment(payload: bytes) -> bool:
    """Return true if a payload of ours is a comment."""
    return isinstance(payload, Comment)


def is_done(payload: bytes) -> bool:
    """Return true if a payload ends its stream."""
    return len(payload) <= MAX_DONE_BYTES and payload.strip().upper() in DONE_FORMS


class Decoder:
    """Decoder of one stream: takes its bytes, however they are cut, and returns the payloads of its events.

    received bytes --> _rest (a line that has not ended) --> _lines (an event that has not ended) --> payloads
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES, *, bare: bool = False) -> None:
        self._limit = max_event_bytes
        self._bare = bare
        # In pieces: joining at each receive would take quadratic time for one long line.
        self._rest: list[bytes] = []
        self._lines: list[bytes] = []
        self._event_size = 0
        self._size = 0
        self._at_start = True
        self._after_cr = False

    def feed(self, received: bytes) -> list[bytes]:
        """Take the next bytes; return the payloads completed by them.

        Raises UpstreamBadResponse for an event above the limit.
        """
        if not received:
            return []
        # perf: saves the line buffer for nearly every chunk (S3): one event of one line, between two others.
        if (
            received.startswith(b"data: ")
            and received.find(b"\n") == len(received) - 2
            and received.endswith(b"\n\n")
            and not (self._rest or self._lines or self._at_start or self._after_cr)
            and b"\r" not in received
            and 8 < len(received) <= self._limit
        ):
            return [received[6:-2]]
        size = len(received)
        if self._after_cr:
            # The receive before ended between CR and LF.
            received = received.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in received:
            self._after_cr = received.endswith(b"\r")
            received = received.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._rest.append(received)
        self._size += size
        payloads = []
        if self._at_start or b"\n" in received:
            payloads = self._complete_lines()
        if self._size > self._limit:
            raise UpstreamBadResponse("the upstream sent an event that is too large")
        return payloads

    @property
    def is_inside_event(self) -> bool:
        """True if part of an event has come, but not all of it; comments are no part of any."""
        # Two pieces are enough to see a colon: an empty one, of a CRLF that was cut, may be the first.
        begun = b"".join(self._rest[:2])
        return bool(self._lines) or (begun != b"" and not begun.startswith(b":"))

    def end(self) -> list[bytes]:
        """Return, at the end of the stream, the payload that only lacks its blank line, if there is one.

        Of a line that has not ended only DONE counts, and bare JSON, which shows itself whether it is whole: anything
        else may have been cut off.
        """
        rest, self._rest = b"".join(self._rest), []
        counts = rest.removeprefix(b"data:").strip() == DONE_PAYLOAD or (self._bare and not rest.startswith(b"data:"))
        last = self._line(rest) if counts else None
        return [payload for payload in (last, self._line(b"")) if payload]

    def _complete_lines(self) -> list[bytes]:
        """Take all lines that have ended; return the payloads of the events that end with them."""
        text = b"".join(self._rest)
        if self._at_start:
            # Half of a byte order mark: wait for the rest of it.
            if len(text) < len(_BOM) and _BOM.startswith(text):
                self._rest = [text]
                return []
            text = text.removeprefix(_BOM)
            self._at_start = False
        *lines, rest = text.split(b"\n")
        self._rest = [rest] if rest else []
        payloads = [payload for line in lines if (payload := self._line(line))]
        self._size = len(rest) + self._event_size
        return payloads

    def _line(self, line: bytes) -> bytes | None:
        """Take one line; a blank one ends an event, whose payload is returned."""
        if not line:
            payload = b"\n".join(self._lines)
            self._lines, self._event_size = [], 0
            return payload or None
        self._event_size += len(line)
        if line.startswith(b"data:"):
            value = line[6:] if line[5:6] == b" " else line[5:]
            # No JSON has a brace that closes right before one that opens.
            if self._lines and self._lines[-1].endswith(b"}") and value.startswith((b"{", DONE_PAYLOAD)):
                payload, self._lines = b"\n".join(self._lines), [value]
                return payload
            self._lines.append(value)
        elif line == b"data":
            self._lines.append(b"")
        elif self._bare:
            return self._bare_line(line)
        return None

    def _bare_line(self, line: bytes) -> bytes | None:
        """Take a line of JSON, or the mark of the end; an object that is whole ends an event."""
        stripped = line.strip()
        if not self._lines and not stripped.startswith((b"{", DONE_PAYLOAD)):
            # A comment, or another field of an event.
            return None
        if stripped.endswith(DONE_PAYLOAD) and stripped != DONE_PAYLOAD:
            # The mark of the end on the line of the JSON that it follows.
            line = stripped.removesuffix(DONE_PAYLOAD).rstrip().removesuffix(b"data:").rstrip()
        self._lines.append(line)
        one_line = len(self._lines) == 1 and stripped.startswith(b"{") and line.rstrip().endswith(b"}")
        # The brace that closes an object of several lines stands where the one that opened it does.
        return self._line(b"") if one_line or stripped == DONE_PAYLOAD or line.startswith(b"}") else None
