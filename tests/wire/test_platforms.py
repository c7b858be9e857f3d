"""The caller behind a request: recorded requests of the platforms, and junk of every kind in place of their names."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_requests import PRIVATE, PRIVATE_NUMBER, REQUESTS, Recorded

from parley.wire.platforms import EXPLICIT, NOBODY, PLATFORMS, PRIVATE_FIELDS, Caller, caller_of, clean, masked
from parley.wire.request import OUR_FIELDS, Origin, parse

JUNK = [
    None,
    True,
    False,
    "",
    " ",
    "x" * 129,
    "a\nb",
    "a\x00b",
    "\x7f",
    "Zoë",
    "名",
    [],
    ["a"],
    {},
    {"id": {"id": "a"}},
    float("inf"),
    float("nan"),
    10**400,
    "{",
    '{"id": ',
    '{"id": "a"',
    "[" * 5000,
    '{"a":' * 5000,
    "{" + " " * 20_000,
]
FIELDS = sorted({source.path[0] for row in (EXPLICIT, *PLATFORMS) for each in row.sessions for source in each})


@pytest.mark.row("PF-01")
@pytest.mark.parametrize("recorded", REQUESTS, ids=lambda one: one.name)
def test_each_platforms_request_tells_who_calls(recorded: Recorded) -> None:
    caller = caller_of(recorded.content, recorded.query, recorded.headers)

    assert caller == Caller(recorded.session, recorded.user, recorded.platform)
    assert caller.turn == recorded.turn


@pytest.mark.row("PF-02")
@pytest.mark.parametrize("forward", [frozenset[str](), frozenset({"*"})], ids=["none", "all"])
@pytest.mark.parametrize("recorded", REQUESTS, ids=lambda one: one.name)
def test_nothing_of_the_call_is_in_the_upstreams_body(recorded: Recorded, forward: frozenset[str]) -> None:
    chat = parse(json.dumps(recorded.content).encode(), Origin("r", False, recorded.query), recorded.headers)

    sent = chat.for_upstream("m", forward)

    assert PRIVATE not in json.dumps(sent) and str(PRIVATE_NUMBER) not in json.dumps(sent)
    assert sent.keys().isdisjoint(PRIVATE_FIELDS | OUR_FIELDS)
    kept = {name: value for name, value in recorded.body.items() if name in ("tools", "temperature", "stream_options")}
    assert {name: sent[name] for name in kept} == kept


def test_every_name_that_a_row_reads_of_a_body_stays_here() -> None:
    for row in PLATFORMS:
        sources = [*row.names, *row.users, *(source for each in row.sessions for source in each)]
        read = {source.path[0] for source in sources if source.place == "body"} | set(row.objects)
        assert read <= PRIVATE_FIELDS | OUR_FIELDS, row.name


@pytest.mark.row("PF-04")
@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: repr(junk)[:20])
@pytest.mark.parametrize("field", FIELDS)
def test_junk_in_place_of_a_name_is_no_session(field: str, junk: Any) -> None:
    inner = {name: junk for name in ("id", "session_id", "conversation_id", "instanceId", "call_control_id", "channel")}

    for value in (junk, inner):
        texts = {field: value} if isinstance(value, str) else {}
        caller = caller_of({field: value, "messages": junk, "tools": junk, "user": junk}, texts, texts)
        assert (caller.session, caller.user) == ("", "")


@pytest.mark.row("PF-04")
@pytest.mark.parametrize("content", [None, [], "x", 7], ids=repr)
def test_a_body_that_is_no_object_is_nobodys(content: Any) -> None:
    assert caller_of(content, {}, {}) is NOBODY


@pytest.mark.row("PF-04")
@settings(max_examples=200, deadline=None)
@given(
    content=st.dictionaries(
        st.sampled_from([*FIELDS, "messages", "tools", "call", "customer", "user", "turn_id", "timestamp"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["id", "session_id", "channel", "function", "role"]), inner, max_size=3
                )
            ),
            max_leaves=8,
        ),
    )
)
def test_no_body_is_ever_an_error(content: dict[str, Any]) -> None:
    caller = caller_of(content, {}, {})

    assert all(len(name) <= 128 and name.isascii() and name.isprintable() for name in (caller.session, caller.user))


def test_an_explicit_session_goes_before_the_platforms() -> None:
    vapi = {"call": {"id": "of-vapi"}, "channel": "of-agora"}

    assert caller_of(vapi, {}, {}) == Caller("of-vapi", "", "vapi")
    assert caller_of(vapi, {}, {"x-session-id": "header"}) == Caller("header", "", "vapi")
    assert caller_of(vapi, {"session_id": "query"}, {"X-SESSION-ID": "header"}).session == "query"
    assert caller_of({**vapi, "session_id": "body"}, {"session_id": "query"}, {}).session == "body"
    assert caller_of({**vapi, "session_id": True}, {"session_id": "query"}, {}).session == "query"


def test_a_session_of_several_parts_is_no_longer_than_another() -> None:
    assert caller_of({"app_id": "a" * 100, "channel": "c" * 27}, {}, {}).session == "a" * 100 + "/" + "c" * 27
    assert caller_of({"app_id": "a" * 100, "channel": "c" * 28}, {}, {}).session == "c" * 28


@pytest.mark.parametrize(
    ("value", "name"),
    [("a", "a"), (" a b ", "a b"), (7, "7"), (0, "0"), (1.5, "1.5"), (-3, "-3"), ("x" * 128, "x" * 128), (True, "")],
    ids=lambda value: repr(value)[:12],
)
def test_a_name_is_text_or_a_number(value: Any, name: str) -> None:
    assert clean(value) == name


@pytest.mark.row("PF-05")
@pytest.mark.parametrize(
    ("session", "logged"),
    [
        ("+49 170 1234567", "…67"),
        ("004917012345678", "…78"),
        ("(030) 123-4567", "…67"),
        ("5551234", "…34"),
        ("tel:+15551234567", "tel:…67"),
        ("sip:+4917012345678@example.com", "sip:…78@example.com"),
        ("room/+4917012345678", "room/…78"),
        ("123456", "123456"),
        ("room-7", "room-7"),
        ("71e0c1a2-4f0b-4d6e-9c1d-024212312002", "71e0c1a2-4f0b-4d6e-9c1d-024212312002"),
        ("12345678-1234-4123-8123-446655440000", "12345678-1234-4123-8123-446655440000"),
        ("", ""),
    ],
)
def test_of_a_phone_number_two_digits_are_logged(session: str, logged: str) -> None:
    assert masked(session) == logged
