"""Requests as a voice platform sends them, and when each piece of the answer came.

`requests` is imported when it is first needed: no server ever loads it, and commands that ask nobody start sooner.
"""

import contextlib
import json
import re
import ssl
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from parley.errors import ParleyError
from parley.wire import error_forms, sse

if TYPE_CHECKING:
    import requests

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
"""Longest silence of a server that is waited through."""
MAX_SHOWN = 300
"""Characters of an unexpected answer that are told."""
PIECE_BYTES = 1 << 16


class CallFailed(Exception):
    """There was no answer, or it broke off; the message says how, in words."""


@dataclass(frozen=True)
class Event:
    """A payload of an event stream, and when it came, in milliseconds since the request was sent."""

    ms: float
    payload: bytes

    def json(self) -> dict[str, Any]:
        """Return the payload as an object; an empty one for anything else."""
        try:
            value = json.loads(self.payload)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


@dataclass
class Exchange:
    """An answer. Times are milliseconds since the request was sent; `head_ms` is that of the status.

    `began` is the moment at which it was sent.
    `reads` are the moments at which bytes came, and how many. `is_done` is true if the stream said so at its end,
    `broke_off` says how it ended without.
    """

    status: int
    headers: Mapping[str, str]
    head_ms: float
    url: str = ""
    began: float = 0.0
    body: bytes = b""
    events: list[Event] = field(default_factory=list)
    reads: list[tuple[float, int]] = field(default_factory=list)
    comments: int = 0
    is_done: bool = False
    broke_off: str = ""
    end_ms: float = 0.0

    @property
    def media_type(self) -> str:
        """The content type without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def json(self) -> dict[str, Any]:
        """Return the body as an object; an empty one for anything else."""
        return Event(0, self.body).json()

    def error(self) -> str:
        """Return an error's words, or the beginning of what came in place of them."""
        text = self.body[: error_forms.MAX_READ_BYTES].decode(errors="replace")
        # A page says it in its title.
        if title := re.search(r"<title>(.*?)</title>", text, re.IGNORECASE | re.DOTALL):
            return f'a web page, "{shortened(title[1])}"'
        words = error_forms.read_refusal(self.body[: error_forms.MAX_READ_BYTES]).message
        return shortened(words or text) or "no words"

    @property
    def is_ours(self) -> bool:
        """True for an error in Parley's form, which bears its words twice."""
        told = self.json()
        return isinstance(told.get("error"), dict) and "detail" in told


def shortened(text: str) -> str:
    """Return a text on one line, at most `MAX_SHOWN` characters of it."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_SHOWN else line[:MAX_SHOWN] + "..."


class Caller:
    """A client that sends these headers with each request, follows no redirect, and times all that comes back."""

    def __init__(self, headers: Mapping[str, str] = {}) -> None:
        self._headers = dict(headers)

    def send(
        self,
        method: str,
        url: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] = {},
        seconds: float = READ_SECONDS,
        until: Callable[[Event], bool] | None = None,
        for_seconds: float = 600.0,
    ) -> Exchange:
        """Send a request and return its answer, read to its end.

        A stream is left early, by closing the connection, at the event for which `until` is true and after
        `for_seconds`. `seconds` is the longest silence. Raises CallFailed if there was no answer at all.
        """
        exchange, pieces = self.open(method, url, body, headers=headers, seconds=seconds)
        with contextlib.closing(pieces):
            read_into(exchange, pieces, until, for_seconds)
        return exchange

    def open(
        self,
        method: str,
        url: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] = {},
        seconds: float = READ_SECONDS,
    ) -> tuple[Exchange, Generator[tuple[float, bytes], None, None]]:
        """Send a request; return the head of its answer, and an iterator of its bytes with their times.

        Closing the iterator closes the connection. Raises CallFailed.
        """
        import requests
        from urllib3.exceptions import HTTPError

        session = new_session()
        # A body of bytes goes as it is: some requests are broken on purpose.
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        began = time.perf_counter()
        try:
            response = session.request(
                method,
                url,
                data=content,
                headers={**self._headers, **({"content-type": "application/json"} if content else {}), **headers},
                timeout=(CONNECT_SECONDS, seconds),
                # The body is read by the caller, piece by piece.
                stream=True,
                # A redirected POST becomes a GET: that it redirects is itself a finding.
                allow_redirects=False,
            )
        except (requests.RequestException, HTTPError, UnicodeError) as exc:
            session.close()
            raise CallFailed(reason_of(exc)) from None
        head_ms = (time.perf_counter() - began) * 1000
        told = {name.lower(): value for name, value in response.headers.items()}
        return Exchange(response.status_code, told, head_ms, url, began), pieces_of(session, response, began)


def new_session() -> "requests.Session":
    """Return a session that trusts what the server trusts, and takes no password from ~/.netrc."""
    import requests
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        """An adapter that uses the system's authorities, as the server does (SSL_CERT_FILE)."""

        def init_poolmanager(self, *args: Any, **named: Any) -> None:
            super().init_poolmanager(*args, ssl_context=ssl.create_default_context(), **named)

    session = requests.Session()
    session.mount("https://", Adapter())
    # Without one of its own, a session looks into ~/.netrc.
    session.auth = lambda request: request
    return session


def pieces_of(
    session: "requests.Session", response: "requests.Response", began: float
) -> Generator[tuple[float, bytes], None, None]:
    """Yield the bytes of a body as they come, with their times. Raises CallFailed if it breaks off."""
    from urllib3.exceptions import HTTPError

    try:
        while True:
            # Whatever is there by now: `iter_content` waits for a full piece where the length is known.
            piece = response.raw.read1(PIECE_BYTES, decode_content=True)
            if not piece and (response.raw.closed or not is_open(response)):
                return
            if piece:
                yield (time.perf_counter() - began) * 1000, piece
    except (HTTPError, OSError, ValueError) as exc:
        raise CallFailed(reason_of(exc)) from None
    finally:
        response.close()
        session.close()


def is_open(response: "requests.Response") -> bool:
    """Return whether more may come: compressed bytes may have given no text yet."""
    stream = getattr(response.raw, "_fp", None)
    return not (stream is None or getattr(stream, "isclosed", lambda: True)())


def read_into(
    exchange: Exchange,
    pieces: Iterator[tuple[float, bytes]],
    until: Callable[[Event], bool] | None = None,
    for_seconds: float = 600.0,
) -> None:
    """Read an answer into its exchange: the events of an event stream, the bytes of anything else."""
    decoder = sse.Decoder()
    is_stream = exchange.media_type == "text/event-stream"
    try:
        for ms, piece in pieces:
            # Some label their events wrongly; the server reads them by their bytes, too.
            is_stream = is_stream or (not exchange.reads and piece.startswith((b"data:", b"event:", b": ")))
            exchange.reads.append((ms, len(piece)))
            exchange.end_ms = ms
            if not is_stream:
                exchange.body += piece
                continue
            exchange.comments += piece.count(b"\n: ") + piece.startswith(b": ")
            for payload in decoder.feed(piece):
                if note(exchange, Event(ms, payload), until):
                    return
            # The rest is of no interest, and its connection is closed by the caller.
            if ms > for_seconds * 1000:
                exchange.broke_off = f"given up after {for_seconds:g} s"
                return
        for payload in decoder.end() if is_stream else []:
            note(exchange, Event(exchange.end_ms, payload), until)
    except (CallFailed, ParleyError) as exc:
        exchange.broke_off = str(exc)
        exchange.end_ms = (time.perf_counter() - exchange.began) * 1000


def note(exchange: Exchange, event: Event, until: Callable[[Event], bool] | None) -> bool:
    """Add an event to its exchange; return whether enough has been seen."""
    exchange.events.append(event)
    exchange.is_done = exchange.is_done or sse.is_done(event.payload)
    return until is not None and until(event)


def reason_of(exc: BaseException) -> str:
    """Return in words why a call failed, without the URL, whose query may hold a key."""
    text = f"{type(exc).__name__} {exc}"
    # By what the libraries write, for their own types tell less.
    known = {
        "Read timed out": "it says nothing in time",
        "ReadTimeout": "it says nothing in time",
        "Connection refused": "nobody listens there",
        "ConnectTimeout": "it can't be reached in time",
        "CERTIFICATE_VERIFY_FAILED": "its certificate is not trusted",
        "WRONG_VERSION_NUMBER": "it speaks no TLS",
        "NameResolutionError": "its name is not known",
        "LocationParseError": "its name can be none",
        "ProxyError": "the proxy named by HTTPS_PROXY or HTTP_PROXY does not let it through",
        "IncompleteRead": "the connection was closed within the answer",
        "InvalidChunkLength": "the connection was closed within the answer",
        "RemoteDisconnected": "it closed the connection without an answer",
        "Connection reset": "the connection was reset",
        "Broken pipe": "it closed the connection before it had the whole request",
    }
    return next((words for mark, words in known.items() if mark in text), shortened(type(exc).__name__))
