"""A request's body, off the socket: bounded in bytes and seconds, and in steps between which other streams flow.

A sender who is faster than we are never makes us wait, so we pause of our own accord. A body in chunks of one byte
costs microseconds for each of them: its steps are smaller.
"""

import contextlib
import socket
import struct
import time
from collections.abc import Iterator
from typing import Protocol

import gevent
from gunicorn.http.errors import ParseException

from parley.errors import InvalidRequest, RequestTimeout, RequestTooLarge

STEP_BYTES = 1 << 18
CHUNKED_STEP_BYTES = 1 << 12
BUSY_SECONDS = 0.002
PAUSE_SECONDS = 0.0001
"""After so long without a pause. A sleep of no time at all would let others run, but hear nothing of their sockets."""
DRAINED_BYTES = 1 << 24
DRAIN_SECONDS = 10
_RESET = struct.pack("ii", 1, 0)
"""Closing says so at once to a sender who still has more."""


class Source(Protocol):
    """A WSGI input: gives less than was asked for only at the body's end."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes."""


def read(source: Source, limit: int, seconds: float, announced: int | None) -> bytes:
    """The whole body; `announced` is its Content-Length, None where it comes in chunks.

    It is read to one byte beyond the limit, so that one too large is seen, not truncated. Raises RequestTooLarge,
    RequestTimeout, and InvalidRequest for one that breaks off or is badly framed.
    """
    if (announced or 0) > limit:
        raise RequestTooLarge(f"the body is larger than {limit} bytes")
    late = RequestTimeout(f"the body did not arrive within {seconds} seconds")
    try:
        with gevent.Timeout(seconds, late):
            body = b"".join(_pieces(source, limit + 1, chunked=announced is None))
    except (OSError, ParseException) as exc:
        raise InvalidRequest("the body broke off or is badly framed", code="invalid_json") from exc
    if len(body) > limit:
        raise RequestTooLarge(f"the body is larger than {limit} bytes")
    if len(body) < (announced or 0):
        raise InvalidRequest("the body is shorter than its Content-Length", code="invalid_json")
    return body


def drain(source: Source, announced: int | None, client: socket.socket) -> None:
    """After the answer: read away what is left of the body, or else end the connection.

    A connection that is closed on unread bytes is reset, and its client may lose the answer; one that stays must not
    take them for the next request.
    """
    with contextlib.suppress(OSError, ParseException):
        with gevent.Timeout(DRAIN_SECONDS, False):
            if _length(source, announced) < DRAINED_BYTES:
                return
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        client.shutdown(socket.SHUT_RDWR)
        _length(source, announced)  # what has come already, which gunicorn would read without a pause


def _length(source: Source, announced: int | None) -> int:
    return sum(map(len, _pieces(source, DRAINED_BYTES, chunked=announced is None)))


def refuse_more(client: socket.socket) -> None:
    """Let gunicorn close the connection after this answer: what may still come can't be told from a next request."""
    with contextlib.suppress(OSError):  # closed already
        client.shutdown(socket.SHUT_RD)


def _pieces(source: Source, most: int, *, chunked: bool) -> Iterator[bytes]:
    step = CHUNKED_STEP_BYTES if chunked else STEP_BYTES
    paused_at = time.monotonic()
    while most > 0:
        wanted = min(step, most)
        piece = source.read(wanted)
        yield piece
        if len(piece) < wanted:
            return
        most -= len(piece)
        if time.monotonic() - paused_at > BUSY_SECONDS:
            gevent.sleep(PAUSE_SECONDS)
            paused_at = time.monotonic()
