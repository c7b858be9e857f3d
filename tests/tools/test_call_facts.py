"""The facts of a request that calls of tools may use: who calls, and the request's private scalars."""

import json
from typing import Any

from parley.tools.call_facts import call_facts
from parley.wire.request import ChatRequest, Origin, parse

MESSAGES = [{"role": "user", "content": "Hi", "metadata": {"user": "1002"}}]


def request(query: dict[str, str] | None = None, session: str = "", **fields: Any) -> ChatRequest:
    body = {"messages": MESSAGES, **fields}
    return parse(json.dumps(body).encode(), Origin("1", False, query or {}), {"X-Session-Id": session})


def test_session_and_user_are_the_callers() -> None:
    facts = call_facts(request({"session_id": "query"}, "header", turn_id=3, timestamp=1764000012345))

    assert (facts.session, facts.turn_id, facts.user) == ("query", "3", "1002")
    assert call_facts(request(turn_id=["a"])).turn_id == ""
    assert call_facts(request()).user == "1002"
    assert call_facts(request(user="mia", channel="room")).session == "room"


def test_private_scalars_are_for_tools() -> None:
    facts = call_facts(
        request({"shop": "a", "tenant": "query"}, tenant="acme", temperature=1, plan={"x": 1}, long="x" * 5000)
    )

    assert facts.request == {"shop": "a", "tenant": "acme"}
    assert call_facts(request(template_variables={"a": 1})).template_variables == {"a": 1}
    assert call_facts(request(template_variables=[1])).template_variables == {}
