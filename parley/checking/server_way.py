"""Checks of what the way does to requests and answers: headers, large bodies, distance, the scheme (SV)."""

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

from parley.checking import network
from parley.checking.calling import CallFailed
from parley.checking.report import Outcome, fail, ok, skip, warn
from parley.checking.server import CHAT, Server, ask_nothing, refused

FAR_MS = 80
"""Round trip in milliseconds above which a server is far from whoever asks."""
LARGE_BYTES = 1_500_000
"""Size of a request with pictures or a long history, below the default of MAX_BODY."""


def headers(server: Server) -> Iterator[Outcome]:
    """Tell what the way has done to the headers of the streams."""
    streams = [one for one in (server.sound, server.words) if one and one.status == 200]
    if not streams:
        yield skip("no stream came")
        return
    told = streams[0].headers
    found = []
    if encoding := told.get("content-encoding"):
        fix = "gzip off, or text/event-stream out of the types that are compressed"
        found.append(fail(f"event streams are compressed ({encoding}): words wait for a full block", fix))
    if length := told.get("content-length"):
        fix = server.buffering_fix()
        found.append(fail(f"the stream has a length ({length}): the whole answer was held back", fix))
    if streams[0].media_type != "text/event-stream":
        fix = "have the proxy leave Content-Type alone"
        found.append(fail(f"the content type is {streams[0].media_type or 'missing'}, not text/event-stream", fix))
    if "no-transform" not in told.get("cache-control", ""):
        fix = "have the proxy leave Cache-Control alone"
        found.append(warn("Cache-Control lost its no-transform: a CDN may compress and buffer", fix))
    yield from found or [ok(f"headers arrive as they should; {server.way()}")]


def large_body(server: Server) -> Iterator[Outcome]:
    """Tell whether a request with much in it gets through. Parley refuses it for its last field, and asks nobody."""
    message = {"role": "user", "content": "x" * LARGE_BYTES}
    body = json.dumps({"messages": [message], "waiting": "nonsense"}).encode()
    try:
        got = server.caller().send("POST", server.url(CHAT), body, seconds=30)
    except CallFailed as exc:
        fix = "raise the proxy's limit (nginx: client_max_body_size 2m)"
        yield warn(f"a request of {len(body) / 1e6:.1f} MB broke off: {exc}", fix)
        return
    # Its last field is wrong: the refusal is ours only if all of it has arrived.
    if got.status == 400 and got.is_ours:
        yield ok(f"a request of {len(body) / 1e6:.1f} MB arrives")
    elif got.is_ours and got.status == 413:
        yield ok(f"a request of {len(body) / 1e6:.1f} MB is refused by MAX_BODY")
    elif got.is_ours:
        yield refused(got, "a large request")
    else:
        fix = "raise the proxy's limit to MAX_BODY (nginx: client_max_body_size 2m)"
        yield warn(
            f"a request of {len(body) / 1e6:.1f} MB is refused on the way, status {got.status}: {got.error()}", fix
        )


def distance(server: Server) -> Iterator[Outcome]:
    """Tell how far the server is, and when a caller hears something."""
    host, port = network.target_of(server.probe.address)
    if server.round_trip_ms:
        reached, _ = network.connect_each(network.resolve(host, port) * 2)
        server.round_trip_ms = min([server.round_trip_ms, *reached.values()])
    # Through a proxy of ours no connection to the server itself is seen.
    trip = server.round_trip_ms or server.health_ms
    # Most of a short answer over a long way is the way.
    first = first_bytes(server)
    if trip > FAR_MS:
        yield warn(
            f"a round trip takes {trip:.0f} ms{first}", "move it nearer to the platform's region", ms=round(trip, 1)
        )
    else:
        yield ok(
            f"a round trip takes {trip:.0f} ms, a short answer {server.health_ms:.0f} ms{first}", ms=round(trip, 1)
        )


def first_bytes(server: Server) -> str:
    """Return where the time to the first byte goes, in words."""
    if not server.words or not server.words.events:
        return ""
    return f"; first event of /rag after {server.words.events[0].ms:.0f} ms"


def own_page(server: Server) -> Iterator[Outcome]:
    """Tell whether the server knows that it is reached by https. It shows only where no key is asked for."""
    parts = urlsplit(server.probe.address)
    if parts.scheme != "https":
        yield skip("the address is http")
        return
    # Without a key only own pages may ask, and these are told by the scheme that the server sees.
    own = ask_nothing(server, {"origin": f"https://{parts.netloc}"})
    if own.status == 401:
        yield skip("pages are told apart only where no key is asked for")
    elif own.status != 403:
        yield ok("the server knows that it is reached by https")
    elif ask_nothing(server, {"origin": f"http://{parts.netloc}"}).status != 403:
        fix = "TRUSTED_PROXIES=1 where the server runs (the number of proxies in front of it)"
        yield warn("the server sees http where callers see https: its own pages are refused", fix)
    else:
        fix = f"API_KEYS=..., or TRUSTED_HOSTS={parts.netloc}"
        yield warn("the server's own pages are refused: it does not know its name", fix)
