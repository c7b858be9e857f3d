"""The session, the turn and the user of a request."""

import json
from typing import Any

import pytest

from parley.wire.platforms import caller_of, is_from_agora
from parley.wire.request import ChatRequest, Origin, parse

MESSAGES = [{"role": "user", "content": "Hi", "metadata": {"user": "1002"}}, {"role": "assistant", "content": "Yes?"}]


def request(query: dict[str, str] | None = None, session: str = "", **fields: Any) -> ChatRequest:
    body = {"messages": MESSAGES, **fields}
    return parse(json.dumps(body).encode(), Origin("1", False, query or {}, session=session))


def test_the_body_names_the_session_before_query_and_header() -> None:
    query = {"session_id": "query"}

    assert caller_of(request(query, "header", session_id="body")).session == "body"
    assert caller_of(request(query, "header")).session == "query"
    assert caller_of(request(session="header")).session == "header"
    assert caller_of(request()).session == ""


@pytest.mark.parametrize("name", ["a\nb", "é", "x" * 129, "", True, ["a"], {"a": 1}, None, 1.5])
def test_a_name_that_is_not_clean_counts_as_none(name: Any) -> None:
    caller = caller_of(request(session_id=name, turn_id=name if name != 1.5 else None))

    assert (caller.session, caller.turn_id) == ("", "")


def test_numbers_name_sessions_and_turns() -> None:
    caller = caller_of(request(session_id=7, turn_id=3))

    assert (caller.session, caller.turn_id) == ("7", "3")


def test_the_user_is_the_bodys_or_the_last_speakers() -> None:
    assert caller_of(request()).user == "1002" and caller_of(request(user="mia")).user == "mia"


def test_private_scalars_are_for_tools() -> None:
    caller = caller_of(
        request({"shop": "a", "tenant": "query"}, tenant="acme", temperature=1, plan={"x": 1}, long="x" * 5000)
    )

    assert caller.request == {"shop": "a", "tenant": "acme"}
    assert caller_of(request(template_variables={"a": 1})).template_variables == {"a": 1}
    assert caller_of(request(template_variables=[1])).template_variables == {}


@pytest.mark.parametrize(
    ("fields", "is_agora"),
    [
        ({"turn_id": 1, "timestamp": 1764000012345}, True),
        ({"turn_id": 0, "timestamp": 0}, True),
        ({"turn_id": 1}, False),
        ({"timestamp": 1}, False),
        ({"turn_id": None, "timestamp": 1}, False),
        ({"context": {"turn_id": 1, "timestamp": 1}}, False),
    ],
    ids=["both", "zeros", "turn", "time", "null", "deeper"],
)
def test_agora_is_known_by_its_marks_at_the_top(fields: dict[str, Any], is_agora: bool) -> None:
    assert is_from_agora(request(**fields)) is is_agora
