"""A server behind whatever answers in its place: reached or not, keys; at a fake that answers as told."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_server import HEALTH, KEY, PAGE, READY, ours, server_of
from fake_upstream import Call, FakeUpstream, Script, refusal, whole
from running_server import free_port

from parley.checking import server
from parley.checking.calling import Exchange
from parley.checking.probe import Probe
from parley.checking.report import Outcome
from parley.checking.server import Server
from parley.operators.platforms import PLATFORMS
from parley.settings import Settings

Routes = Callable[..., Server]


@pytest.fixture
def routes(upstream: FakeUpstream) -> Routes:
    """Return a function that makes a server of answers by path."""
    return functools.partial(server_of, upstream)


def last(outcomes: Iterator[Outcome]) -> Outcome:
    return list(outcomes)[-1]


def test_a_server_that_is_ready(routes: Routes) -> None:
    one = routes({})
    assert [found.status for found in server.reach(one)] == ["ok", "ok"]
    assert one.model == "m" and one.health_ms > 0


@pytest.mark.parametrize(
    ("answer", "said", "blocks"),
    [
        (
            whole(b"<title>502 Bad Gateway</title>", 502, {**PAGE, "server": "nginx"}),
            "reaches no server behind it",
            True,
        ),
        (whole(b"<title>Just a moment</title>", 403, {**PAGE, "server": "cloudflare"}), "refuses before Parley", True),
        (whole(b"<title>Welcome to nginx!</title>", 200, PAGE), "no Parley answers", True),
        (refusal(404, {"message": "Not Found"}), "no Parley answers", True),
    ],
    ids=["502", "403", "page", "404"],
)
def test_what_is_no_parley(routes: Routes, answer: Script, said: str, blocks: bool) -> None:
    found = last(server.reach(routes({"/health": answer})))
    assert found.status == "fail" and said in found.detail and found.fix and found.blocks == blocks


def test_a_proxy_may_pass_questions_on_alone(routes: Routes) -> None:
    page = whole(b"<title>404</title>", 404, PAGE)
    one = routes({"/health": page, "/chat/completions": ours(401)})
    found = last(server.reach(one))
    assert found.status == "warn" and "does not pass /health on" in found.detail and one.health_ms > 0


def test_the_reason_why_it_is_not_ready_is_told(routes: Routes) -> None:
    not_ready = whole(b'{"status": "not ready", "reason": "the knowledge is being read"}', 503)
    found = last(server.reach(routes({"/ready": not_ready})))
    assert found.status == "fail" and "the knowledge is being read" in found.detail and not found.blocks


def test_a_redirect_is_told_and_followed(routes: Routes, upstream: FakeUpstream) -> None:
    target = f"http://localhost:{upstream.port}/parley"
    moved = whole(b"", 301, {"location": f"{target}/health"})
    one = routes({"/health": moved, "/parley/health": HEALTH, "/parley/ready": READY})
    found = list(server.reach(one))
    assert [outcome.status for outcome in found] == ["ok", "fail", "ok"] and "a posted question is lost" in found[
        1
    ].detail
    assert one.probe.address == target and target in found[1].fix


def test_nobody_there_is_told() -> None:
    one = Server(Probe(Settings(), Path(), address=f"http://127.0.0.1:{free_port()}"))
    (found,) = server.reach(one)
    assert found.blocks and "nobody listens" in found.detail


def test_a_platform_can_not_reach_this_machine(routes: Routes) -> None:
    found = last(server.reach(routes({}, platform=PLATFORMS["agora"])))
    assert found.status == "fail" and "stay silent" in found.detail


def by_key(*accepted: str) -> Callable[[Call], Script]:
    """Return an answer that lets callers in by these headers only."""
    return lambda call: ours(400) if any(KEY in call.headers.get(name, "") for name in accepted) else ours(401)


@pytest.mark.parametrize(
    ("accepted", "status", "blocks"),
    [
        (("authorization", "x-api-key"), "ok", False),
        (("x-api-key",), "fail", False),
        (("authorization",), "warn", False),
        ((), "fail", True),
    ],
    ids=["both", "no-authorization", "no-x-api-key", "neither"],
)
def test_both_forms_of_the_key_are_tried(routes: Routes, accepted: tuple[str, ...], status: str, blocks: bool) -> None:
    one = routes({"/chat/completions": by_key(*accepted)})
    (found,) = server.keys(one)
    assert (found.status, found.blocks) == (status, blocks)
    if accepted == ("x-api-key",):
        assert one.key_name == "x-api-key"


def test_a_limit_of_a_proxy_is_no_lost_key(routes: Routes) -> None:
    def script(call: Call) -> Script:
        return whole(b"<title>503</title>", 503, PAGE) if KEY in str(call.headers) else ours(401)

    (found,) = server.keys(routes({"/chat/completions": script}))
    assert found.status == "fail" and "limit_req" in found.fix and not found.blocks


def test_a_password_of_a_proxy_is_no_key_of_ours(routes: Routes) -> None:
    basic = whole(b"<title>401</title>", 401, {**PAGE, "www-authenticate": 'Basic realm="staging"'})
    (found,) = server.keys(routes({"/chat/completions": basic}))
    assert found.blocks and "staging" in found.detail


@pytest.mark.parametrize(
    ("host", "status"), [("127.0.0.1", "ok"), ("localhost", "ok"), ("10.0.0.5", "warn"), ("voice.example.com", "fail")]
)
def test_an_open_server_is_told_by_who_reaches_it(host: str, status: str) -> None:
    answer = Exchange(400, {}, 1.0, body=b'{"error": {"code": "x"}, "detail": "No."}')
    assert server.open_server(Server(Probe(Settings(), Path(), address=f"https://{host}")), answer).status == status


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ({"server": "nginx/1.2"}, "proxy_pass_header"),
        ({"via": "1.1 Caddy"}, "flush_interval"),
        ({"server": "cloudflare", "cf-ray": "1"}, "Cloudflare"),
        ({}, "every proxy"),
    ],
    ids=["nginx", "caddy", "cloudflare", "unknown"],
)
def test_the_remedy_depends_on_what_stands_in_front(seen: dict[str, str], said: str) -> None:
    assert said in Server(Probe(Settings(), Path()), seen=seen).buffering_fix()
