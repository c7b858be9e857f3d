"""The types of settings: how a variable's text becomes a value, and the accepted form in words for the operator.

Used by `settings.py` alone, and like it limited to the standard library.
"""

import contextlib
import dataclasses
import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl, urlsplit

QUOTES = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u2018": "\u2019"}
"""Quotes, by their opening form, that may be left around a value."""
_ROUTE = re.compile(
    # Half of a route is one only behind a version: below other paths it may be the name of a gateway.
    r"/+(chat/+completions?|completions?|models|embeddings|audio/+(?:speech|transcriptions|translations)|responses"
    r"|messages|images/+generations|rerank|(?<=/v\d/)(?:chat|audio))$",
    re.IGNORECASE,
)
"""Matches the route at the end of a URL that was copied from an example; Parley appends the routes itself."""
PUBLIC_QUERY = frozenset({"api-version"})
"""Names in the query of a URL whose values are no secrets."""
_NO_URL = re.compile(r'[^\x21-\x7e]|["<>\\^`{|}]|[,;]$')
"""Matches what no URL holds, such as a quote without its other end, or what was around it in a list."""
_PLACEHOLDER = re.compile(r"<.*>|\$\(.*\)|\$?\{.*\}|\$[A-Z][A-Z0-9_]+")
"""Matches a key that is still to be filled in, as in an example or where nothing expands variables."""
KEPT_ROUTES = {".ai.azure.com": "models"}
"""Ends of host names whose base URL itself ends in what elsewhere is a route."""
RESERVED_HEADERS = frozenset(
    """
    accept accept-encoding connection content-encoding content-length content-type expect host keep-alive
    proxy-authorization proxy-connection te traceparent trailer transfer-encoding upgrade x-request-id
    """.split()  # noqa: SIM905 - easier to read than quoted names
)
"""Headers of a request to an upstream that Parley alone can write: they frame the message, or change with each call."""
RESERVED_PARAMS = frozenset({"messages", "model", "stream"})
"""Fields of a request that have another setting, or are the caller's alone."""
_SPACE = re.compile(r"[^\S\x1c-\x1f]+")
"""White space as Unicode has it; Python alone counts four separators of the ASCII table as well."""


class BadCharacter(ValueError):
    """A text holds a character that it may not hold; the message names that one and its position, counted from 0."""

    def __init__(self, text: str, position: int) -> None:
        super().__init__(f"U+{ord(text[position]):04X} at {position}")


class Placeholder(BadCharacter):
    """A text is still the placeholder of an example, or the name of a variable that nothing expanded."""

    def __init__(self) -> None:
        ValueError.__init__(self, "a placeholder in the value's place")


class SettingType(NamedTuple):
    """A parser and a description of what it accepts; `parse` raises ValueError for everything else."""

    parse: Callable[[str], Any]
    accepted: str


@dataclasses.dataclass(frozen=True, slots=True)
class UpstreamSetting:
    """One entry of `LLM_FALLBACKS`. An upstream without a model is asked for the model that the request names."""

    base_url: str = dataclasses.field(repr=False)
    key: str | None = dataclasses.field(repr=False)
    model: str | None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class StoreSetting(NamedTuple):
    """The place in which sessions are kept: of the kind `memory` or `redis`, or `sqlite` with the path of a file."""

    kind: str
    path: Path = Path()


def unquoted(value: str) -> str:
    """Return a value without the white space and the one pair of quotes around it, which `docker --env-file` keeps."""
    value = value.strip()
    inside = value[1:-1].strip()
    if len(value) < 2 or QUOTES.get(value[0]) != value[-1]:
        return value
    # Several items, each in quotes of its own; in JSON the quotes inside are those of its strings.
    are_items = re.search(rf"{value[-1]}\s*[,|]\s*{value[0]}", inside) and inside[:1] not in ("[", "{")
    return value if are_items else inside


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
        items = dict.fromkeys(parse_item(part) for part in map(unquoted, value.split(mark)) if part)
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


def split_route(url: str) -> tuple[str, str]:
    """Return a URL without its query, last slashes and routes, and the routes with their slashes, often none."""
    base = url = url.partition("?")[0].rstrip("/")
    host = urlsplit(url).hostname or ""
    while (route := _ROUTE.search(base)) and not any(
        host.endswith(end) and route[1] == kept for end, kept in KEPT_ROUTES.items()
    ):
        base = base[: route.start()].rstrip("/")
    return base, url[len(base) :]


def secret_query(url: str) -> dict[str, str]:
    """Return the parameters of a URL whose values are not to be shown."""
    return {name: value for name, value in parse_qsl(urlsplit(url).query) if name not in PUBLIC_QUERY}


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
    """Return a base URL without its last slashes and its route; it has neither user nor query."""
    # A path is appended to it.
    if "?" in value:
        raise ValueError
    return parse_model_url(value)


def parse_model_url(value: str) -> str:
    """Return a base URL as `parse_url` does, with the query that each request shall bear, if any."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not re.fullmatch(r"[a-z0-9._:%-]+", parts.hostname or ""):
        raise ValueError
    # The start prints the address, which rules out a password.
    if "@" in parts.netloc or "#" in value or _NO_URL.search(value):
        raise ValueError
    # `port` raises ValueError for a port that is not a number below 65536; nothing listens at port 0.
    if parts.port == 0:
        raise ValueError
    base, _ = split_route(value)
    return f"{base}?{parts.query}" if parts.query else base


def parse_json(value: str) -> Any:
    """Return a JSON value in which no name occurs twice and every number is finite."""
    if '\\"' in value:
        # Quotes that were escaped for a shell which the value never met.
        with contextlib.suppress(ValueError):
            value = json.loads(f'"{value}"')
    # int() refuses the constants, NaN and Infinity.
    return json.loads(value, object_pairs_hook=_unambiguous, parse_constant=int)


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError
    return dict(pairs)


def parse_headers(value: Any) -> dict[str, str]:
    """Return headers, a JSON object of texts or what was read from one, with their names in small letters."""
    headers = parse_json(value) if isinstance(value, str) else value
    if not isinstance(headers, dict):
        raise ValueError
    for name, text in headers.items():
        # A line break in a value would let it add headers.
        if not isinstance(text, str) or not re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]{0,8000}[\x21-\x7e])?", text):
            raise ValueError
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", name) or name.lower() in RESERVED_HEADERS:
            raise ValueError
        # "Bearer ${KEY}", too.
        if _PLACEHOLDER.fullmatch(text.rpartition(" ")[2]):
            raise Placeholder
    return _unambiguous([(name.lower(), text) for name, text in headers.items()])


def parse_params(value: Any) -> dict[str, Any]:
    """Return fields of a request, a JSON object or what was read from one."""
    params = parse_json(value) if isinstance(value, str) else value
    if not isinstance(params, dict) or RESERVED_PARAMS & params.keys():
        raise ValueError
    return params


def parse_key(value: str) -> str:
    """Return an API key. Raises ValueError for a placeholder, with which nobody could call."""
    # A key becomes a header's value: a line break in it would let it add headers.
    if not re.fullmatch(r"[\x21-\x7e]+", value):
        raise ValueError
    if _PLACEHOLDER.fullmatch(value):
        raise Placeholder
    if '"' in value:
        # One quote without the other, or a list in JSON.
        raise BadCharacter(value, value.index('"'))
    return value


def parse_store(value: str) -> StoreSetting:
    """Return the place of a store. Raises ValueError for SQLite's own `:memory:`, which each worker has for itself."""
    kind, _, place = value.partition(":")
    if value in ("memory:", "redis:"):
        return StoreSetting(value[:-1])
    if kind != "sqlite" or not place.strip("/") or place.startswith(":") or place.endswith("/"):
        raise ValueError
    return StoreSetting("sqlite", Path(parse_text(place)))


def parse_cache(value: str) -> Path | Literal["redis"]:
    """Return the folder of a cache, or `redis`. Raises ValueError for a URL of a Redis, which would name a folder."""
    if value.lower() == "redis":
        return "redis"
    if re.match(r"(redis|valkey|sqlite|memory)s?(\+\w+)?:", value, re.IGNORECASE):
        raise ValueError
    return Path(value)


def parse_origin(value: str) -> str:
    """Return an origin as browsers and apps send it: that of a web page, of an app, or `*` for any.

    `null` is refused: pages of any site can have it, by asking from a sandboxed frame.
    """
    if value == "*":
        return value
    if re.fullmatch(r"(?!https?:)[a-z][a-z0-9+.-]*://[A-Za-z0-9._%-]*(:[0-9]{1,5})?", value, re.IGNORECASE):
        # Apps and extensions choose their own form, so all but the scheme is compared as it is written.
        scheme, _, rest = value.partition("://")
        return f"{scheme.lower()}://{rest}"
    page = re.fullmatch(r"(https?)://([a-z0-9.-]+|\[[0-9a-f:]+])(:[0-9]{1,5})?", value.lower())
    if not page:
        raise ValueError
    scheme, host, port = page.groups("")
    # Browsers send names in lower case, and leave out the port that belongs to the scheme.
    return f"{scheme}://{host}" + ("" if port == {"http": ":80", "https": ":443"}[scheme] else port)


def parse_upstreams(value: str) -> tuple[UpstreamSetting, ...]:
    """Return the entries of a JSON list of upstreams."""
    entries = parse_json(value)
    if not isinstance(entries, list):
        raise ValueError
    upstreams = []
    for entry in entries:
        known = {"base_url", "api_key", "model", "headers", "params"}
        if not isinstance(entry, dict) or not {"base_url"} <= entry.keys() <= known:
            raise ValueError
        url, key, model = entry["base_url"], entry.get("api_key", ""), entry.get("model", "")
        if not all(isinstance(part, str) for part in (url, key, model)):
            raise ValueError
        upstreams.append(
            UpstreamSetting(
                parse_model_url(unquoted(url)),
                KEY.parse(key) if key else None,
                parse_text(model) if model else None,
                parse_headers(entry.get("headers", {})),
                parse_params(entry.get("params", {})),
            )
        )
    return tuple(upstreams)


TEXT = SettingType(parse_text, "text on one line")
KEY = SettingType(parse_key, "a key of printable ASCII characters without spaces")
KEYS = separated(",", parse_key, "keys of printable ASCII characters without spaces, separated by commas")
NAMES = separated(",", str, "field names separated by commas, or *", into=frozenset, may_be_empty=True)
URL = SettingType(parse_url, "a base URL such as https://api.openai.com/v1")
MODEL_URL = SettingType(parse_model_url, URL.accepted)
HEADERS = SettingType(
    parse_headers,
    'a JSON object of texts such as {"api-key": "..."}, without Host, Content-Length and others that Parley writes',
)
PARAMS = SettingType(
    parse_params, 'a JSON object such as {"temperature": 0.2}, without `model`, `messages` and `stream`'
)
SWITCH = matching("on|off", "on or off", lambda value: value == "on")
FOLDER = SettingType(Path, "a path")
STORE = SettingType(
    parse_store,
    "memory: for each worker's own memory, sqlite: and the path of a file, or redis: for the Redis of REDIS_URL",
)
CACHE = SettingType(parse_cache, "a path, or redis for the Redis of REDIS_URL")
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
