"""What the way does to requests and answers, at a fake that answers as told."""

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_server import PAGE, ours, server_of
from fake_upstream import Call, FakeUpstream, Script, whole

from parley.checking import server, server_way
from parley.checking.calling import Event, Exchange
from parley.checking.probe import Probe
from parley.checking.server import Server
from parley.settings import Settings

Routes = Callable[..., Server]


@pytest.fixture
def routes(upstream: FakeUpstream) -> Routes:
    """Return a function that makes a server of answers by path."""
    return functools.partial(server_of, upstream)


@pytest.mark.parametrize(
    ("headers", "status", "said"),
    [
        ({"cache-control": "no-cache, no-transform"}, "ok", ""),
        ({"cache-control": "no-cache, no-transform", "content-encoding": "gzip"}, "fail", "compressed"),
        ({"cache-control": "no-transform", "content-length": "100"}, "fail", "has a length"),
        ({"cache-control": "no-cache"}, "warn", "no-transform"),
        ({"cache-control": "no-transform", "content-type": "text/plain"}, "fail", "text/plain"),
    ],
    ids=["good", "gzip", "length", "transform", "type"],
)
def test_headers_of_streams(headers: dict[str, str], status: str, said: str) -> None:
    one = Server(Probe(Settings(), Path()))
    one.sound = Exchange(200, {"content-type": "text/event-stream", **headers}, 1.0)
    (found,) = server_way.headers(one)
    assert found.status == status and said in found.detail


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (ours(400, "invalid_request"), "ok"),
        (ours(413, "request_too_large"), "ok"),
        (whole(b"<title>413</title>", 413, PAGE), "warn"),
        (ours(429, "rate_limited"), "warn"),
    ],
    ids=["arrives", "max-body", "proxy", "rate-limit"],
)
def test_a_large_request(routes: Routes, answer: Script, status: str) -> None:
    (found,) = server_way.large_body(routes({"/chat/completions": answer}))
    assert found.status == status


def test_the_first_event_is_part_of_the_distance(routes: Routes) -> None:
    one = routes({})
    list(server.reach(one))
    one.words = Exchange(200, {}, 1.0, events=[Event(12.0, b"{}")])
    (found,) = server_way.distance(one)
    assert found.status == "ok" and "first event of /rag after 12 ms" in found.detail
    one.round_trip_ms = one.health_ms = 0.0


@pytest.mark.parametrize(
    ("https", "http", "status", "said"),
    [
        (ours(400), ours(400), "ok", "by https"),
        (ours(403), ours(400), "warn", "TRUSTED_PROXIES"),
        (ours(403), ours(403), "warn", "TRUSTED_HOSTS"),
        (ours(401), ours(401), "skip", "no key"),
    ],
    ids=["good", "scheme", "host", "keys"],
)
def test_https_seen_as_http(
    routes: Routes, monkeypatch: pytest.MonkeyPatch, https: Script, http: Script, status: str, said: str
) -> None:
    def script(call: Call) -> Script:
        return https if call.headers["origin"].startswith("https") else http

    one = routes({"/chat/completions": script})
    plain = one.probe.address
    one.probe.address = plain.replace("http://", "https://")
    # The fake speaks no TLS.
    monkeypatch.setattr(Server, "url", lambda _, path: plain + path)
    (found,) = server_way.own_page(one)
    assert found.status == status and said in found.detail + found.fix
