"""Each type of setting accepts one form and gives a value; everything else is a ValueError."""

from typing import Any

import pytest

from parley import setting_types as types
from parley.setting_types import SettingType, UpstreamSetting


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
