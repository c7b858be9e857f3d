"""Every URL that `flask snippet` prints answers, to a request as its platform sends it."""

import pytest
import requests
from fake_upstream import FakeUpstream, answer
from running_server import RunningServer

from parley.operators.platform_requests import Message
from parley.operators.platforms import PLATFORMS, Platform

pytestmark = pytest.mark.server
CONVERSATION = (
    Message("system", "You are a concise voice assistant."),
    Message("user", "What plans are there?"),
    Message("assistant", "We have three plans, the first ", "We have three plans, the first costs ten dollars."),
    Message("user", "How much is a tune-up?"),
)
PRIVATE = {
    "turn_id",
    "timestamp",
    "metadata",
    "speech_start_ms",
    "call",
    "customer",
    "elevenlabs_extra_body",
    "context",
}


@pytest.mark.parametrize("platform", PLATFORMS.values(), ids=lambda platform: platform.name)
def test_the_url_answers_the_platforms_request(
    patient: RunningServer, upstream: FakeUpstream, platform: Platform
) -> None:
    upstream.script = answer("It costs 65 dollars.")
    for endpoint in ("chat", "rag"):
        url = platform.url(patient.url, endpoint) + ("/chat/completions" if platform.appends else "")
        query = f"?{platform.query}" if platform.query else ""
        response = requests.post(url + query, json=platform.request(CONVERSATION, "fake-model"), timeout=20)

        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "text/event-stream" and response.text.endswith("data: [DONE]\n\n")
        assert "65" in response.text
        assert not PRIVATE & upstream.calls[-1].json.keys()
        assert {name for one in upstream.calls[-1].json["messages"] for name in one} == {"role", "content"}
