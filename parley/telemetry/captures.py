"""The last requests of one worker and what was sent in answer to them, word for word: the opposite of a log line.

Kept only where the operator sets CAPTURE, in the worker's memory alone, and shown on the playground. Nothing of a
request's headers is kept. Each text loses its secrets before it is kept, and is cut at MAX_BYTES.
"""

import re
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from parley.concurrency import run_for_size
from parley.telemetry.redaction import Redactor
from parley.turn_record import TurnRecord

MAX_BYTES = 256 << 10
"""Most bytes that are kept of a body, and of an answer."""
MARGIN_BYTES = 4 << 10
"""Bytes at the end of a piece that is cut which are not kept: a secret that begins there may not be whole."""
_SOUND = re.compile(r"""(?:(?<="data":")|(?<="data":[ ]"))([A-Za-z0-9+/]{128,})""")
"""Matches sound in Base64, in which anything occurs that has the form of a key."""


class Copy:
    """The beginning of a text that comes in pieces, without secrets; `size` is that of the whole text, in bytes."""

    __slots__ = ("_kept", "is_cut", "size")

    def __init__(self) -> None:
        self._kept = bytearray()
        self.size = 0
        self.is_cut = False

    def add(self, piece: bytes, redactors: Iterable[Redactor]) -> None:
        """Add a piece that holds no part of a secret, but whole ones."""
        self.size += len(piece)
        if self.is_cut or not piece:
            return
        room = MAX_BYTES - len(self._kept)
        head = piece[: room + MARGIN_BYTES]
        cleaned = run_for_size(len(head), cleaned_of, head, redactors)
        if len(head) < len(piece):
            cleaned = cleaned[:-MARGIN_BYTES]
        # Another turn may have had it dropped meanwhile.
        if not self.is_cut:
            self._kept += cleaned[:room]
            self.is_cut = len(head) < len(piece) or len(cleaned) > room

    def drop(self) -> None:
        """Forget the text, and keep nothing more of it."""
        self._kept = bytearray()
        self.is_cut = True

    @property
    def text(self) -> str:
        """The text as far as it is kept."""
        # The last character may have been cut in half.
        return self._kept.decode(errors="ignore")


def cleaned_of(text: bytes, redactors: Iterable[Redactor]) -> bytes:
    """Return a text without secrets, in UTF-8 whatever it was in."""
    shown = text.decode(errors="replace")
    for redactor in redactors:
        pieces = _SOUND.split(redactor.redact_known(shown))
        # Every other one is sound.
        pieces[::2] = map(redactor.redact_keys, pieces[::2])
        shown = "".join(pieces)
    return shown.encode()


class Capture:
    """One request, and what has been sent in answer to it so far."""

    __slots__ = ("_redactors", "answer", "at", "body", "endpoint", "id", "path")

    def __init__(self, record: TurnRecord, path: str, redactors: tuple[Redactor, ...]) -> None:
        self.id = record.id
        self.endpoint = record.endpoint
        self.path = path
        self.at = round(time.time() * 1000)
        self.body = Copy()
        self.answer = Copy()
        self._redactors = redactors

    def received(self, body: bytes) -> None:
        """Keep the request's body."""
        self.body.add(body, self._redactors)

    def sent(self, piece: bytes) -> None:
        """Keep a piece of the answer; events are whole in it."""
        self.answer.add(piece, self._redactors)

    def following(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the pieces of an answer, and keep each when it has been written: no caller waits for that."""
        for piece in pieces:
            yield piece
            self.sent(piece)

    def drop(self) -> None:
        """Forget what was said, also what is still to come."""
        self.body.drop()
        self.answer.drop()

    def summary(self) -> dict[str, Any]:
        """Return what is known of it, without its texts."""
        return {
            "id": self.id,
            "at": self.at,
            "endpoint": self.endpoint,
            "path": self.path,
            "body_bytes": self.body.size,
            "answer_bytes": self.answer.size,
        }

    def told(self) -> dict[str, Any]:
        """Return all that is known of it."""
        texts = {"body": self.body.text, "answer": self.answer.text}
        return {**self.summary(), "body_cut": self.body.is_cut, "answer_cut": self.answer.is_cut, **texts}


class Captures:
    """The last `most` requests of a worker; all `secrets` are taken out of them."""

    def __init__(self, most: int, secrets: Iterable[str]) -> None:
        self.most = most
        self._secrets = set(secrets)
        self._redactor = Redactor(self._secrets)
        self._kept: deque[Capture] = deque()

    def hide(self, secrets: Iterable[str]) -> None:
        """Take further secrets out of what is captured from now on."""
        if not self._secrets.issuperset(further := set(secrets)):
            self._secrets |= further
            self._redactor = Redactor(self._secrets)

    def begin(self, record: TurnRecord, path: str, body: bytes, keys: Iterable[str]) -> Capture:
        """Return the new capture of a request; `keys` are those that its headers bear."""
        # A caller may also send a key that is not ours.
        foreign = set(keys) - self._secrets
        redactors = (self._redactor, Redactor(foreign)) if foreign else (self._redactor,)
        capture = Capture(record, cleaned_of(path.encode(), redactors).decode(), redactors)
        while len(self._kept) >= self.most:
            # Its turn may still run, and would hold more than is wanted.
            self._kept.popleft().drop()
        self._kept.append(capture)
        capture.received(body)
        return capture

    def newest(self) -> list[Capture]:
        """Return all captures, the newest first."""
        return list(reversed(self._kept))

    def find(self, name: str) -> Capture | None:
        """Return the newest capture of a request with this id, if there is one: callers may choose their ids."""
        return next((capture for capture in reversed(self._kept) if capture.id == name), None)
