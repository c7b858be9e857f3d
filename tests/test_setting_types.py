"""Each type of setting accepts one form and gives a value; everything else is a ValueError."""

import json
import re
from typing import Any

import pytest

from parley import setting_types as types
from parley.setting_types import BadCharacter, SettingType, UpstreamSetting


def refuses(kind: SettingType, text: str) -> bool:
    try:
        kind.parse(text)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (types.integer(1, 20), "007", 7),
        (types.seconds(10), "0.25", 0.25),
        (types.seconds(10, or_none=True), "0", 0.0),
        (types.choice("auto", "off"), "AUTO", "auto"),
        (types.milliseconds("", 1, off=None), "off", None),
        (types.milliseconds("", 0, always=0), "always", 0),
        (types.milliseconds("", 0), "60000", 60_000),
        (types.matching("[a-z]+", "", str.upper), "abc", "ABC"),
        (types.separated(",", str, ""), " b, a ,,b", ("b", "a")),
        (types.separated("|", int, "", into=frozenset, may_be_empty=True), "|", frozenset()),
        (types.URL, "http://host/v1//", "http://host/v1"),
        (types.UPSTREAMS, '[{"base_url": "http://b"}]', (UpstreamSetting("http://b", None, None),)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_accepted_form_gives_its_value(kind: SettingType, text: str, value: Any) -> None:
    assert kind.parse(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (types.integer(1, 20), "21"),
        (types.integer(1, 20), "1_0"),
        (types.seconds(10), "0"),
        (types.seconds(10), "nan"),
        (types.choice("auto", "off"), "on"),
        (types.milliseconds("", 1, off=None), "0"),
        (types.matching("[a-z]+", ""), "abc\n"),
        (types.separated(",", str, ""), " , "),
        (types.separated(",", int, ""), "1,x"),
        (types.TEXT, "a\x1bb"),
        (types.URL, "http://user@host"),
        (types.UPSTREAMS, '[{"base_url": "http://b", "other": "x"}]'),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_any_other_form_is_refused(kind: SettingType, text: str) -> None:
    assert refuses(kind, text)


def test_a_type_says_what_it_accepts() -> None:
    assert types.integer(1, 20).accepted == "a whole number from 1 to 20"
    assert types.seconds(60, or_none=True).accepted == "seconds above 0, at most 60, or 0 for none"
    assert types.choice("a", "b").accepted == "one of a, b"


def test_an_upstreams_key_does_not_show_in_its_repr() -> None:
    (upstream,) = types.UPSTREAMS.parse('[{"base_url": "http://b", "api_key": "hunter2"}]')

    assert upstream.key == "hunter2" and "hunter2" not in repr(upstream)


@pytest.mark.parametrize(
    ("value", "inside"),
    [
        ('"a"', "a"),
        ("' a '", "a"),
        ("`a`", "a"),
        ("‘a’", "a"),
        ('""', ""),
        ("'\"a\"'", '"a"'),
        ("Don't", "Don't"),
        ("'", "'"),
        ("\"a'", "\"a'"),
        ('"a", "b"', '"a", "b"'),
        ('"[{"a": "b", "c": "d"}]"', '[{"a": "b", "c": "d"}]'),
    ],
)
def test_one_pair_of_quotes_around_the_whole_is_dropped(value: str, inside: str) -> None:
    assert types.unquoted(value) == inside


def test_of_a_query_all_but_the_version_is_secret() -> None:
    url = "https://a.example/openai?api-version=2024-10-21&code=xyz"
    assert types.secret_query(url) == {"code": "xyz"}


@pytest.mark.row("RA-10")
@pytest.mark.parametrize(
    "url",
    [
        'https://api.example.com/v1"',
        "https://api.example.com/v1,",
        "https://api.example.com/v1;",
        "<https://api.example.com/v1>",
        "https://${HOST}/v1",
        "https://$HOST/v1",
        "https://api.example.com:0/v1",
        "https://api.example.com/v1\\",
    ],
)
def test_what_can_be_no_url_is_refused(url: str) -> None:
    assert refuses(types.URL, url) and refuses(types.MODEL_URL, url)


@pytest.mark.row("RA-10")
@pytest.mark.parametrize(
    ("url", "base", "route"),
    [
        ("http://a/v1/chat", "http://a/v1", "/chat"),
        ("http://a/v1/audio/", "http://a/v1", "/audio"),
        ("http://a/v1/chat/completion", "http://a/v1", "/chat/completion"),
        ("http://a/v1/audio/transcriptions", "http://a/v1", "/audio/transcriptions"),
        ("http://a/completion", "http://a", "/completion"),
        ("http://a/audio", "http://a/audio", ""),
        ("http://a/chat", "http://a/chat", ""),
    ],
)
def test_half_a_route_is_cut_off_behind_a_version(url: str, base: str, route: str) -> None:
    assert types.split_route(url) == (base, route) and types.URL.parse(url) == base


@pytest.mark.row("RA-10")
@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("${OPENAI_API_KEY}", "a placeholder"),
        ("$OPENAI_API_KEY", "a placeholder"),
        ("$(cat/key)", "a placeholder"),
        ("<your-key>", "a placeholder"),
        ("{{KEY}}", "a placeholder"),
        ('sk-1"', "U+0022 at 4"),
        ('["sk-1"', "U+0022 at 1"),
    ],
)
def test_a_key_that_can_open_nothing_is_refused(key: str, fault: str) -> None:
    for kind in (types.KEY, types.KEYS):
        with pytest.raises(BadCharacter, match=re.escape(fault)):
            kind.parse(key)
    if "placeholder" in fault:
        with pytest.raises(BadCharacter):
            types.HEADERS.parse(json.dumps({"authorization": f"Bearer {key}"}))


@pytest.mark.row("RA-10")
@pytest.mark.parametrize("key", ["$", "a$B", "sk-{1}x", "k<e>y", "$ecret"])
def test_an_odd_key_is_taken(key: str) -> None:
    assert types.KEY.parse(key) == key


@pytest.mark.row("RD-03")
@pytest.mark.parametrize(
    ("origin", "kept"),
    [("Tauri://localhost", "tauri://localhost"), ("vscode-webview://a%2Bb", "vscode-webview://a%2Bb")],
)
def test_an_apps_origin_keeps_its_form_but_for_the_scheme(origin: str, kept: str) -> None:
    assert types.ORIGINS.parse(origin) == (kept,)
