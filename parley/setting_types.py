"""The kinds of setting: how a variable's text becomes a value, and how the accepted form is put in words.

Standard library only, like `settings.py`, which is the only one to use it.
"""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class SettingType(NamedTuple):
    """How a variable's text becomes a value; `parse` raises ValueError for anything but `accepted`."""

    parse: Callable[[str], Any]
    accepted: str


def _text(value: str) -> str:
    if not value.isprintable():
        raise ValueError
    return value


def _key(value: str) -> str:
    # It becomes a header's value: a line break here would be a header of somebody else's.
    if not re.fullmatch(r"[\x21-\x7e]+", value):
        raise ValueError
    return value


def _keys(value: str) -> tuple[str, ...]:
    keys = tuple(_key(key.strip()) for key in value.split(",") if key.strip())
    if not keys:
        raise ValueError
    return keys


def _names(value: str) -> frozenset[str]:
    return frozenset(name.strip() for name in value.split(",") if name.strip())


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or not re.fullmatch(r"[\x21-\x7e]+", value):
        raise ValueError
    if "@" in parts.netloc or "?" in value or "#" in value:
        raise ValueError
    parts.port  # noqa: B018 - it raises ValueError for a port that is not a number below 65536
    return value.rstrip("/")


def _language(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{2,3}", value):
        raise ValueError
    return value.lower()


def _phrases(value: str) -> tuple[str, ...]:
    phrases = tuple(dict.fromkeys(phrase.strip() for phrase in value.split("|") if phrase.strip()))
    if not phrases or not all(phrase.isprintable() for phrase in phrases):
        raise ValueError
    return phrases


def _waiting(value: str) -> int | None:
    """Milliseconds without content after which the waiting message is spoken: 0 at once, None never."""
    if value == "off":
        return None
    return 0 if value == "always" else whole(0, 60_000).parse(value)


def whole(least: int, most: int) -> SettingType:
    def parse(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", value) or not least <= int(value) <= most:
            raise ValueError
        return int(value)

    return SettingType(parse, f"a whole number from {least} to {most}")


def seconds(most: float, *, or_none: bool = False) -> SettingType:
    def parse(value: str) -> float:
        if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", value) or float(value) > most:
            raise ValueError
        if float(value) == 0 and not or_none:
            raise ValueError
        return float(value)

    return SettingType(parse, f"seconds above 0, at most {most:g}" + (", or 0 for none" if or_none else ""))


def _share(value: str) -> float:
    if not re.fullmatch(r"0(\.[0-9]{1,6})?|1(\.0{1,6})?", value):
        raise ValueError
    return float(value)


def _rate(value: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,6}/(second|minute|hour|day)", value):
        raise ValueError
    return value


def _origins(value: str) -> tuple[str, ...]:
    origins = tuple(origin.strip() for origin in value.split(",") if origin.strip())
    if not origins or any(not re.fullmatch(r"\*|https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?", origin) for origin in origins):
        raise ValueError
    return origins


def _hosts(value: str) -> frozenset[str]:
    hosts = frozenset(host.strip().lower() for host in value.split(",") if host.strip())
    if any(not re.fullmatch(r"[a-z0-9_.-]+(:[0-9]{1,5})?", host) for host in hosts):
        raise ValueError
    return hosts


def _upstreams(value: str) -> tuple["UpstreamSetting", ...]:
    listed = json.loads(value)
    if not isinstance(listed, list):
        raise ValueError
    return tuple(_upstream(entry) for entry in listed)


def _upstream(entry: Any) -> "UpstreamSetting":
    if not isinstance(entry, dict) or not entry.keys() <= {"base_url", "api_key", "model"}:
        raise ValueError
    if not all(isinstance(value, str) for value in entry.values()) or "base_url" not in entry:
        raise ValueError
    key, model = entry.get("api_key"), entry.get("model")
    return UpstreamSetting(_url(entry["base_url"]), _key(key) if key else None, _text(model) if model else None)


def choice(*allowed: str) -> SettingType:
    def parse(value: str) -> str:
        if value.lower() not in allowed:
            raise ValueError
        return value.lower()

    return SettingType(parse, "one of " + ", ".join(allowed))


@dataclasses.dataclass(frozen=True, slots=True)
class UpstreamSetting:
    """One entry of `LLM_FALLBACKS`; without a model it is asked for the one that the request names."""

    base_url: str
    key: str | None = dataclasses.field(repr=False)
    model: str | None


TEXT = SettingType(_text, "text on one line")
KEY = SettingType(_key, "a key of printable ASCII characters without spaces")
KEYS = SettingType(_keys, "keys of printable ASCII characters without spaces, separated by commas")
NAMES = SettingType(_names, "field names separated by commas, or *")
URL = SettingType(_url, "a base URL such as https://api.openai.com/v1")
FOLDER = SettingType(Path, "a path")
PHRASES = SettingType(_phrases, "phrases separated by |")
SHARE = SettingType(_share, "a number from 0 to 1 such as 0.25")
RATE = SettingType(_rate, "a rate such as 60/minute or 5/second")
ORIGINS = SettingType(_origins, "origins such as https://app.example.com separated by commas, or *")
HOSTS = SettingType(_hosts, "host names such as voice.example.com separated by commas")
UPSTREAMS = SettingType(
    _upstreams, 'a JSON list such as [{"base_url": "https://...", "api_key": "...", "model": "..."}]'
)
LANGUAGE = SettingType(_language, "a language such as en or de")
HEDGE = SettingType(
    lambda value: None if value == "off" else whole(1, 60_000).parse(value), "off, or milliseconds up to 60000"
)
WAITING = SettingType(_waiting, "always, off, or a number of milliseconds up to 60000")
