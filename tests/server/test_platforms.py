"""Recorded requests of voice platforms on the real server: who calls is logged, and no upstream hears of it."""

import json

import pytest
import requests
from fake_upstream import FakeUpstream
from recorded_requests import PRIVATE, PRIVATE_NUMBER, REQUESTS, Recorded
from running_server import RunningServer
from servers import Servers

pytestmark = pytest.mark.server


@pytest.fixture
def forwarding(upstream: FakeUpstream, servers: Servers) -> RunningServer:
    """A server that forwards every field that it may."""
    return servers(LLM_FORWARD_FIELDS="*")


@pytest.mark.row("PF-02", "PF-03")
@pytest.mark.parametrize("recorded", REQUESTS, ids=lambda one: one.name)
def test_the_log_names_the_caller_and_no_upstream_does(
    forwarding: RunningServer, upstream: FakeUpstream, recorded: Recorded
) -> None:
    answer = requests.post(
        f"{forwarding.url}/chat/completions",
        params=dict(recorded.query),
        headers=dict(recorded.headers),
        json=recorded.content,
        timeout=20,
    )

    (call,) = upstream.wait_for_calls(1)
    upstream_sees = json.dumps([call.json, call.path, {**call.headers, "x-request-id": ""}])
    end = forwarding.wait_for_end(answer.headers["X-Request-ID"])
    assert answer.status_code == 200
    assert PRIVATE not in upstream_sees and str(PRIVATE_NUMBER) not in upstream_sees
    assert (end["session"], end["platform"]) == (recorded.session or None, recorded.platform or None)


@pytest.mark.row("PF-05")
def test_a_session_that_is_a_phone_number_is_not_logged(forwarding: RunningServer) -> None:
    body = {"messages": [{"role": "user", "content": "Hi"}], "session_id": "+4917012345678"}

    answer = requests.post(f"{forwarding.url}/v1/chat/completions", json=body, timeout=20)

    assert forwarding.wait_for_end(answer.headers["X-Request-ID"])["session"] == "…78"
    assert "17012345678" not in forwarding.output()
