"""Templates: each variable's value stays in its place, whatever it holds."""

import json
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.tools import templates
from parley.tools.templates import BadTemplate, BadValue
from parley.tools.tool import Call

ENVIRON = {"TOKEN": "to/ken?&=#%", "EMPTY": ""}
CALL = Call("call_1", "key", session="room/1", turn_id="7", request={"lang": "de", "n": 3}, template_variables={"v": 1})
NASTY = [
    "../../admin?x=1#", "..", ".", "", "a/b", "a\r\nX-Evil: 1", "\x00", "é中😀", "%2e%2e", "%2F", "a&b=c", "a b", "\\",
    "{{env.TOKEN}}", "a;b", "//evil.example", "@evil.example",
]  # fmt: skip
values = (
    st.text() | st.sampled_from(NASTY) | st.text(st.sampled_from('./%?#&=\r\n{}"\\')) | st.integers() | st.booleans()
)


def target(url: str, arguments: dict[str, Any], **further: Any) -> str:
    return templates.parse_url(url, ENVIRON).fill(arguments, CALL, further)


def body(value: Any, arguments: dict[str, Any]) -> Any:
    return json.loads(templates.parse_body(value, ENVIRON).fill(arguments, CALL))


# --- URLs ---


@pytest.mark.row("TL-17")
@given(values)
def test_a_value_never_leaves_its_path_segment(value: Any) -> None:
    url = templates.parse_url("https://api.example.com/orders/{{args.x}}/lines", {})
    try:
        filled = url.fill({"x": value}, CALL, {})
    except BadValue:
        assert str(value) in ("", ".", "..") or not str(value).isascii()
        return
    parts = filled.split("/")
    assert [*parts[:2], *parts[3:]] == ["", "orders", "lines"]
    assert parts[2] not in ("", ".", "..") and not set(parts[2]) & set("?#&=\r\n \\%") - {"%"}
    assert filled.isascii() and filled.isprintable()
    assert unquote(parts[2]) == templates.as_text(value)


@pytest.mark.row("TL-17")
@given(values, values)
def test_a_value_never_leaves_its_query_parameter(first: Any, second: Any) -> None:
    try:
        filled = target("https://api.example.com/find?q={{args.x}}&mode=all", {"x": first}, y=second)
    except BadValue:
        return
    split = urlsplit("https://h" + filled)
    assert (split.path, split.fragment) == ("/find", "")
    assert parse_qsl(split.query, keep_blank_values=True) == [
        ("q", templates.as_text(first)),
        ("mode", "all"),
        ("y", templates.as_text(second)),
    ]


@pytest.mark.parametrize(
    ("url", "arguments", "filled"),
    [
        ("https://a.example", {}, "/"),
        ("https://a.example?x=1", {}, "/?x=1"),
        ("https://a.example/v1/", {}, "/v1/"),
        ("https://a.example/a b/é?q=ü&e=%20", {}, "/a%20b/%C3%A9?q=%C3%BC&e=%20"),
        ("https://a.example/{{args.x}}", {"x": "../../admin?x=1#"}, "/..%2F..%2Fadmin%3Fx%3D1%23"),
        ("https://a.example/{{ args.x }}-{{args.y}}.json", {"x": 1, "y": True}, "/1-true.json"),
        ("https://a.example/{{call.session}}/{{call.turn_id}}/{{tool_call_id}}", {}, "/room%2F1/7/call_1"),
        ("https://a.example/{{request.lang}}/{{template_variables.v}}", {}, "/de/1"),
        ("https://a.example/{{template_variables.n}}", {}, "/3"),
        (
            "https://a.example/{{env.TOKEN}}?key={{env.TOKEN}}",
            {},
            "/to%2Fken%3F%26%3D%23%25?key=to%2Fken%3F%26%3D%23%25",
        ),
        ("https://a.example/x?a={{args.gone}}&b={{args.none}}&c=x{{args.gone}}&d", {"none": None}, "/x?c=x&d"),
        ("https://a.example/x?a={{args.list}}", {"list": ["a", 1]}, "/x?a=%5B%22a%22%2C1%5D"),
    ],
    ids=str,
)
def test_a_url_is_filled(url: str, arguments: dict[str, Any], filled: str) -> None:
    assert target(url, arguments) == filled


def test_further_arguments_become_parameters() -> None:
    assert target("https://a.example/x", {}, a=[1, "b"], c=None, d={"e": 1}) == "/x?a=1&a=b&d=%7B%22e%22%3A1%7D"


@pytest.mark.parametrize(
    "value", [None, "", ".", "..", "\ud800", "x" * 9000], ids=["null", "", ".", "..", "half", "long"]
)
def test_a_segment_that_would_lead_elsewhere_is_refused(value: Any) -> None:
    with pytest.raises(BadValue) as raised:
        target("https://a.example/orders/{{args.order_id}}", {"order_id": value})
    assert "xxx" not in str(raised.value)


def test_values_that_make_dots_together_are_refused() -> None:
    with pytest.raises(BadValue, match="x, y is not a name"):
        target("https://a.example/orders/{{args.x}}{{args.y}}", {"x": ".", "y": "."})


@pytest.mark.parametrize(
    "url",
    [
        "", "api.example.com/x", "ftp://a.example/x", "https:///x", "https://{{args.host}}/x", "https://a.{{env.TOKEN}}/x",
        "https://a.example:{{args.port}}/", "{{env.TOKEN}}/x", "https://a.example:99999/", "https://a.example:0/",
        "https://me@a.example/x", "https://a.example/x#y", "https://a.example/x?{{args.x}}=1", "https://a.example/{{args.x",
        "https://a.example/{{args}}", "https://a.example/{{args.}}", "https://a.example/{{call.key}}", "https://a ex/x",
        "https://a.example/{{env.GONE}}", "https://a.example/{{env.EMPTY}}", "https://a.example/{{x}}", "https://é.example/",
        "https://[::1/x", "https://a.example/{{other.x}}", "https://a\\b/x",
    ],
)  # fmt: skip
def test_a_bad_url_is_refused(url: str) -> None:
    with pytest.raises(BadTemplate):
        templates.parse_url(url, ENVIRON)


def test_the_origin_is_fixed_and_keeps_its_port() -> None:
    assert templates.parse_url("HTTPS://API.Example.com:8443/X", {}).origin == "https://api.example.com:8443"
    assert templates.parse_url("http://[::1]:80/x", {}).origin == "http://[::1]:80"


# --- headers ---


def header(text: str, call: Call = CALL) -> str | None:
    return templates.fill_header("x-a", templates.parse_header(text, {"TOKEN": "t0ken"}), call)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("Bearer {{env.TOKEN}}", "Bearer t0ken"),
        ("{{request.lang}}", "de"),
        ("{{request.gone}}", None),
        ("a {{request.gone}}", "a"),
        ("{{call.session}} é", "room/1 é"),
        ("{{request.n}}", "3"),
    ],
)
def test_a_header_is_filled(text: str, filled: str | None) -> None:
    assert header(text) == filled


@pytest.mark.parametrize("text", ["{{args.x}}", "a {{ args.x }}", "a\nb", "😀", "{{env.GONE}}", "{{"])
def test_a_bad_header_is_refused(text: str) -> None:
    with pytest.raises(BadTemplate):
        header(text)


@pytest.mark.row("TL-17")
@given(st.text() | st.sampled_from(NASTY))
def test_no_value_adds_a_header(value: str) -> None:
    call = Call("", "", request={"lang": value})
    try:
        filled = header("x {{request.lang}}", call)
    except BadValue:
        return
    assert filled is not None and filled.startswith("x")
    assert not set(filled) & set("\r\n\0") and filled.encode("latin-1")


# --- bodies ---


@pytest.mark.row("TL-17")
@given(values)
def test_a_value_never_leaves_its_json_string(value: Any) -> None:
    try:
        filled = body({"a": "<{{args.x}}>", "b": ["{{args.x}}"], "c": 1}, {"x": value})
    except BadValue:
        assert isinstance(value, str) and not value.isascii()
        return
    assert filled == {"a": f"<{templates.as_text(value)}>", "b": [value], "c": 1}


@pytest.mark.parametrize("value", ["text", 1, 1.5, True, None, [1, {"a": None}], {"b": "c"}], ids=str)
def test_a_whole_template_takes_the_type_of_its_value(value: Any) -> None:
    expected = {} if value is None else {"a": value}
    assert body({"a": "{{args.x}}"}, {"x": value}) == expected
    assert body(["{{ args.x }}"], {"x": value}) == [value]


def test_a_body_has_values_of_all_sources() -> None:
    wanted = {"s": "{{call.session}}", "l": "{{request.lang}}", "v": "{{template_variables.v}}", "t": "{{env.TOKEN}}"}
    assert body(wanted, {}) == {"s": "room/1", "l": "de", "v": 1, "t": ENVIRON["TOKEN"]}


def test_a_value_that_looks_like_a_template_stays_text() -> None:
    assert body({"a": "{{args.x}}", "b": "-{{args.x}}"}, {"x": "{{env.TOKEN}}"}) == {
        "a": "{{env.TOKEN}}",
        "b": "-{{env.TOKEN}}",
    }


@pytest.mark.parametrize("value", ["text", 1, None, {"{{args.x}}": 1}, {"a": "{{nothing}}"}, [{"a": ["}}"]}]], ids=str)
def test_a_bad_body_is_refused(value: Any) -> None:
    with pytest.raises(BadTemplate):
        templates.parse_body(value, ENVIRON)


@pytest.mark.parametrize("value", [float("nan"), "\ud800", "x" * (1 << 20)], ids=["nan", "half", "long"])
def test_a_body_that_can_not_be_sent_is_refused(value: Any) -> None:
    with pytest.raises(BadValue):
        templates.encode_body({"a": value})


def test_the_variables_of_a_body_are_listed() -> None:
    parsed = templates.parse_body({"a": ["{{args.x}} {{args.y}}", {"b": "{{request.z}}"}], "c": 1}, {})
    assert sorted(map(str, templates.body_variables(parsed))) == ["request.z", "x", "y"]
