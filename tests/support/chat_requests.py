"""Checked requests for unit tests."""

import json
from typing import Any

from parley.upstream.timeouts import Timeouts
from parley.wire.request import ChatRequest, Origin, parse

TIMEOUTS = Timeouts(connect=2, first_content=2, precommit=2, idle=2, total=5)
"""Limits that a fake upstream on loopback reaches only if it is told to."""


def chat_request(*, token: str | None = None, traceparent: str | None = None, **fields: Any) -> ChatRequest:
    """Return a streamed request; `fields` replace or add to its body."""
    body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True, **fields}
    return parse(json.dumps(body).encode(), Origin("request-7", v1=True, token=token, traceparent=traceparent))
