"""The types of settings: how a variable's text becomes a value, and the accepted form in words for the operator.

Used by `settings.py` alone, and like it limited to the standard library.
"""

import dataclasses
import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

_SPACE = re.compile(r"[^\S\x1c-\x1f]+")
"""White space as Unicode has it; Python alone counts four separators of the ASCII table as well."""


class BadCharacter(ValueError):
    """A text holds a character that it may not hold; the message names that one and its position, counted from 0."""

    def __init__(self, text: str, position: int) -> None:
        super().__init__(f"U+{ord(text[position]):04X} at {position}")


class SettingType(NamedTuple):
    """A parser and a description of what it accepts; `parse` raises ValueError for everything else."""

    parse: Callable[[str], Any]
    accepted: str


@dataclasses.dataclass(frozen=True, slots=True)
class UpstreamSetting:
    """One entry of `LLM_FALLBACKS`. An upstream without a model is asked for the model that the request names."""

    base_url: str
    key: str | None = dataclasses.field(repr=False)
    model: str | None


def matching(pattern: str, accepted: str, convert: Callable[[str], Any] = str) -> SettingType:
    """Return the type of a text that matches a regular expression as a whole."""

    def parse(value: str) -> Any:
        if not re.fullmatch(pattern, value):
            raise ValueError
        return convert(value)

    return SettingType(parse, accepted)


def choice(*allowed: str) -> SettingType:
    """Return the type of one of the allowed words, in any case."""

    def parse(value: str) -> str:
        if value.lower() not in allowed:
            raise ValueError
        return value.lower()

    return SettingType(parse, "one of " + ", ".join(allowed))


def integer(minimum: int, maximum: int) -> SettingType:
    """Return the type of a whole number within two limits, both included."""

    def parse(value: str) -> int:
        # int() alone would also take other scripts' digits, signs, underscores and spaces.
        if not re.fullmatch(r"[0-9]{1,12}", value) or not minimum <= int(value) <= maximum:
            raise ValueError
        return int(value)

    return SettingType(parse, f"a whole number from {minimum} to {maximum}")


def seconds(maximum: float, *, or_none: bool = False) -> SettingType:
    """Return the type of a duration above 0; with `or_none` 0 is accepted too."""

    def parse(value: str) -> float:
        # float() alone would also take "inf", "nan" and exponents.
        if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", value) or float(value) > maximum:
            raise ValueError
        if float(value) == 0 and not or_none:
            raise ValueError
        return float(value)

    return SettingType(parse, f"seconds above 0, at most {maximum:g}" + (", or 0 for none" if or_none else ""))


def milliseconds(accepted: str, minimum: int, **words: int | None) -> SettingType:
    """Return the type of a number of milliseconds up to a minute, or of one of some words that stand for a value."""

    def parse(value: str) -> int | None:
        number: int | None = words[value] if value in words else integer(minimum, 60_000).parse(value)
        return number

    return SettingType(parse, accepted)


def separated(
    mark: str,
    parse_item: Callable[[str], Any],
    accepted: str,
    *,
    into: type = tuple,
    may_be_empty: bool = False,
) -> SettingType:
    """Return the type of items that a mark separates, without empty and repeated ones, as a tuple or a frozenset."""

    def parse(value: str) -> Any:
        items = dict.fromkeys(parse_item(part.strip()) for part in value.split(mark) if part.strip())
        if not items and not may_be_empty:
            raise ValueError
        return into(items)

    return SettingType(parse, accepted)


def parse_text(value: str) -> str:
    """Return the text of a name. Raises BadCharacter for a control character, a line break and an invisible one."""
    for position, mark in enumerate(value):
        if not mark.isprintable():
            raise BadCharacter(value, position)
    return value


def parse_spoken(value: str) -> str:
    """Return a text in any language that is to be said, its white space of any kind as single spaces.

    Raises BadCharacter for other control characters, and for bytes of the environment that are not UTF-8 (surrogates).
    """
    for position, mark in enumerate(value):
        # Marks of direction and joiners belong to the text: Persian, Hindi and Hebrew are not written without them.
        if unicodedata.category(mark) in ("Cc", "Cs") and not _SPACE.match(mark):
            raise BadCharacter(value, position)
    return _SPACE.sub(" ", value).strip()


def parse_phrases(value: str) -> tuple[str, ...]:
    """Return spoken texts that | separates, without empty and repeated ones."""
    phrases: tuple[str, ...] = separated("|", str, "").parse(parse_spoken(value))
    return phrases


def parse_url(value: str) -> str:
    """Return a base URL without its last slashes; it has neither user nor query."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or not re.fullmatch(r"[\x21-\x7e]+", value):
        raise ValueError
    # A path is appended to it, and the start prints it: that rules out a query and a password.
    if "@" in parts.netloc or "?" in value or "#" in value:
        raise ValueError
    parts.port  # noqa: B018 - it raises ValueError for a port that is not a number below 65536
    return value.rstrip("/")


def parse_origin(value: str) -> str:
    """Return an origin as browsers and apps send it: that of a web page, of an app, or `*` for any.

    `null` is refused: pages of any site can have it, by asking from a sandboxed frame.
    """
    if re.fullmatch(r"\*|(?!https?:)[a-z][a-z0-9+.-]*://[A-Za-z0-9._-]*(:[0-9]{1,5})?", value):
        # Apps and extensions choose their own form, so it is compared as it is written.
        return value
    page = re.fullmatch(r"(https?)://([a-z0-9.-]+|\[[0-9a-f:]+])(:[0-9]{1,5})?", value.lower())
    if not page:
        raise ValueError
    scheme, host, port = page.groups("")
    # Browsers send names in lower case, and leave out the port that belongs to the scheme.
    return f"{scheme}://{host}" + ("" if port == {"http": ":80", "https": ":443"}[scheme] else port)


def parse_upstreams(value: str) -> tuple[UpstreamSetting, ...]:
    """Return the entries of a JSON list of upstreams."""
    entries = json.loads(value)
    if not isinstance(entries, list):
        raise ValueError
    upstreams = []
    for entry in entries:
        if not isinstance(entry, dict) or not {"base_url"} <= entry.keys() <= {"base_url", "api_key", "model"}:
            raise ValueError
        if not all(isinstance(part, str) for part in entry.values()):
            raise ValueError
        key, model = entry.get("api_key"), entry.get("model")
        upstreams.append(
            UpstreamSetting(
                parse_url(entry["base_url"]), KEY.parse(key) if key else None, parse_text(model) if model else None
            )
        )
    return tuple(upstreams)


TEXT = SettingType(parse_text, "text on one line")
# A key becomes a header's value: a line break in it would let it add headers.
KEY = matching(r"[\x21-\x7e]+", "a key of printable ASCII characters without spaces")
KEYS = separated(",", KEY.parse, "keys of printable ASCII characters without spaces, separated by commas")
NAMES = separated(",", str, "field names separated by commas, or *", into=frozenset, may_be_empty=True)
URL = SettingType(parse_url, "a base URL such as https://api.openai.com/v1")
FOLDER = SettingType(Path, "a path")
SPOKEN_TEXT = SettingType(parse_spoken, "text without control characters")
PHRASES = SettingType(parse_phrases, "phrases separated by |, without control characters")
SHARE = matching(r"0(\.[0-9]{1,6})?|1(\.0{1,6})?", "a number from 0 to 1 such as 0.25", float)
RATE = matching(r"[1-9][0-9]{0,6}/(second|minute|hour|day)", "a rate such as 60/minute or 5/second")
ORIGINS = separated(
    ",", parse_origin, "origins such as https://app.example.com or app://name separated by commas, or *"
)
HOSTS = separated(
    ",",
    matching(r"[A-Za-z0-9_.-]+(:[0-9]{1,5})?", "a host", str.lower).parse,
    "host names such as voice.example.com separated by commas",
    into=frozenset,
    may_be_empty=True,
)
UPSTREAMS = SettingType(
    parse_upstreams, 'a JSON list such as [{"base_url": "https://...", "api_key": "...", "model": "..."}]'
)
LANGUAGE = matching(r"[A-Za-z]{2,3}", "a language such as en or de", str.lower)
OPTIONAL_MS = milliseconds("off, or milliseconds up to 60000", 1, off=None)
# 0 is the waiting message at once, None never.
WAITING = milliseconds("always, off, or a number of milliseconds up to 60000", 0, always=0, off=None)
