"""The caller behind a request, as voice platforms name it: the session, the user, the platform.

    body, query, headers --caller_of--> Caller

Each platform is a row of `PLATFORMS`. Nothing here is ever an error: a name of another form counts as none.
"""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

MAX_OBJECT_CHARACTERS = 16_384
"""Longest text that is read as a JSON object."""
_CLEAN = re.compile(r"(?![\[{])[ -~]{1,128}")
"""Matches a name that is kept: no JSON, nor a variable that nothing has filled in."""
_DIGITS = re.compile(r"(?<![\w-])\+?\(?\d[\d ().-]{4,}\d(?![\w-])")
"""Matches what may be a phone number, but no part of a UUID."""


@dataclass(frozen=True)
class Caller:
    """The names of a request's session, user and platform, each empty where it has none.

    `turn` names the turn where the platform does, behind the name of the field: a request that repeats a turn bears the
    same one.
    """

    session: str = field(default="", repr=False)
    user: str = field(default="", repr=False)
    platform: str = ""
    turn: str = field(default="", repr=False, compare=False)


class Headers(Protocol):
    """Headers of a request, in any case: a mapping, or those of an HTTP library."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Return the names and values."""


NOBODY = Caller()
"""The caller of a request that names none."""


class Source(NamedTuple):
    """A value in a request; `message` is the user's last one."""

    place: Literal["body", "query", "header", "message"]
    path: tuple[str, ...]


def body(path: str) -> Source:
    """Return a source in the body; a JSON object on its path may also be a text."""
    return Source("body", tuple(path.split(".")))


def query(name: str) -> Source:
    """Return a parameter of the query."""
    return Source("query", (name,))


def header(name: str) -> Source:
    """Return a header."""
    return Source("header", (name.lower(),))


@dataclass(frozen=True)
class Platform:
    """One row: how a platform is known, and where it keeps its names.

    A request is the platform's if it has all of the `names` and all of the `objects`, fields of the body, or if it
    offers one of the `tools`. Of `sessions` the first counts that is there with all its parts. `fields` are those of
    the body that no upstream may see.
    """

    name: str
    names: tuple[Source, ...] = ()
    objects: tuple[str, ...] = ()
    tools: frozenset[str] = frozenset()
    sessions: tuple[tuple[Source, ...], ...] = ()
    users: tuple[Source, ...] = ()
    turns: tuple[Source, ...] = ()
    fields: frozenset[str] = frozenset()

    @functools.cached_property
    def keys(self) -> frozenset[str]:
        """The fields, parameters and headers one of which each request has that tells anything by this row."""
        sources = [*self.names, *self.users, *self.turns, *(source for each in self.sessions for source in each)]
        return frozenset({*self.objects, *(source.path[0] for source in sources), *(("tools",) if self.tools else ())})


EXPLICIT = Platform(
    "",
    sessions=((body("session_id"),), (query("session_id"),), (header("X-Session-Id"),)),
    users=(body("user"),),
    turns=(header("Idempotency-Key"),),
    # Settings and variables of an agent, which mean nothing to a model's API.
    fields=frozenset({"agent", "first_chunk"}),
)
"""Names that operators give themselves, whatever the platform. They win."""
PLATFORMS = (
    Platform(
        "agora",
        names=(body("turn_id"), body("timestamp")),
        # Nothing of it comes by itself: operators put it into `llm.params`.
        sessions=(
            (body("app_id"), body("channel")),
            (body("app_id"), body("channel_name")),
            (body("context.appId"), body("context.channel")),
            (body("app_id"), body("context.channel")),
            (body("channel"),),
            (body("channel_name"),),
            (body("context.channel"),),
        ),
        turns=(body("turn_id"),),
        fields=frozenset({"turn_id", "timestamp", "interruptable", "context", "app_id", "channel", "channel_name"}),
    ),
    Platform(
        "vapi",
        objects=("call",),
        sessions=((body("call.id"),),),
        users=(body("customer.number"), body("call.customer.number")),
        fields=frozenset({"call", "customer", "phoneNumber"}),
    ),
    Platform(
        "elevenlabs",
        objects=("elevenlabs_extra_body",),
        tools=frozenset({"language_detection", "skip_turn"}),
        sessions=((body("elevenlabs_extra_body.session_id"),), (body("elevenlabs_extra_body.conversation_id"),)),
        users=(body("user_id"),),
        fields=frozenset({"elevenlabs_extra_body", "user_id"}),
    ),
    Platform("hume", names=(query("custom_session_id"),), sessions=((query("custom_session_id"),),)),
    Platform(
        "trtc",
        names=(header("X-Room-Id"), header("X-Task-Id")),
        sessions=((header("X-Room-Id"), header("X-Task-Id")),),
        users=(header("X-User-Id"),),
        turns=(header("X-Request-Id"),),
        fields=frozenset({"MetaInfo"}),
    ),
    Platform(
        "alibaba",
        objects=("extendData",),
        sessions=((body("extendData.instanceId"),),),
        fields=frozenset({"extendData"}),
    ),
    Platform(
        "telnyx",
        names=(body("extra_metadata.call_control_id"),),
        sessions=((body("extra_metadata.call_control_id"),),),
        fields=frozenset({"extra_metadata"}),
    ),
    Platform(
        "volcengine",
        names=(body("custom.session_id"),),
        sessions=((body("custom.session_id"),),),
        fields=frozenset({"custom"}),
    ),
    Platform(
        "openwebui",
        names=(header("X-OpenWebUI-Chat-Id"),),
        sessions=((header("X-OpenWebUI-Chat-Id"),),),
        users=(header("X-OpenWebUI-User-Id"),),
    ),
)
SPEAKER = Source("message", ("metadata", "user"))
"""The user who spoke last, as Agora tells it."""
PRIVATE_FIELDS = frozenset().union(*(platform.fields for platform in (EXPLICIT, *PLATFORMS)))
"""Top-level fields of the platforms' own: they tell of calls and callers, and strict upstreams answer 400 to them."""


def caller_of(content: Any, params: Mapping[str, Any], headers: Headers) -> Caller:
    """Return the caller of a request, by its body, the parameters of its query and its headers."""
    values = _Values(content, params, headers)
    keys = values.keys
    # perf: saves 25 µs a request (S0): most rows have nothing to do with it.
    rows = [row for row in PLATFORMS if not row.keys.isdisjoint(keys)]
    if not rows and EXPLICIT.keys.isdisjoint(keys):
        _, speaker = values.first((SPEAKER,))
        return Caller(user=speaker) if speaker else NOBODY
    platform = next((row for row in rows if values.are_of(row)), EXPLICIT)
    # A platform that is known goes before those of which a request happens to have a name.
    sessions = [each for row in (EXPLICIT, platform, *rows) for each in row.sessions]
    return Caller(
        next((name for each in sessions if (name := values.joined(each))), ""),
        values.first((*EXPLICIT.users, *platform.users, SPEAKER))[1],
        platform.name,
        # An operator's own header is the last to be asked: each platform knows its turns best.
        " ".join(filter(None, values.first((*platform.turns, *EXPLICIT.turns)))),
    )


class _Values:
    """The values of one request by their sources."""

    def __init__(self, content: Any, params: Mapping[str, Any], headers: Headers) -> None:
        self._body = content if isinstance(content, dict) else {}
        self._query = params
        self._headers = {name.lower(): value for name, value in headers.items()}

    @property
    def keys(self) -> set[str]:
        """The names of all fields, parameters and headers."""
        return {*self._body, *self._query, *self._headers}

    def first(self, sources: Iterable[Source]) -> tuple[str, str]:
        """Return the first of these names that there is, behind that of its field; two empty texts if there is none."""
        return next(((source.path[-1], name) for source in sources if (name := clean(self._at(source)))), ("", ""))

    def joined(self, sources: Iterable[Source]) -> str:
        """Return the names at these sources as one; empty if one is missing, or if they are too long together."""
        names = [clean(self._at(source)) for source in sources]
        return clean("/".join(names)) if all(names) else ""

    def are_of(self, platform: Platform) -> bool:
        """Return true if the request is of this platform."""
        if not platform.tools.isdisjoint(self._tools()):
            return True
        objects = (as_object(self._body.get(name)) for name in platform.objects)
        return all(isinstance(each, dict) for each in objects) and all(clean(self._at(each)) for each in platform.names)

    def _at(self, source: Source) -> Any:
        if source.place == "header":
            return self._headers.get(source.path[0])
        if source.place == "query":
            return self._query.get(source.path[0])
        value: Any = self._body if source.place == "body" else self._last_message()
        for name in source.path:
            value = as_object(value)
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return value

    def _last_message(self) -> Any:
        messages = self._body.get("messages")
        dicts = (each for each in reversed(messages if isinstance(messages, list) else []) if isinstance(each, dict))
        return next((message for message in dicts if message.get("role") == "user"), None)

    def _tools(self) -> Iterator[str]:
        """Yield the names of the functions that the request offers."""
        tools = self._body.get("tools")
        for tool in tools if isinstance(tools, list) else ():
            function = tool.get("function") if isinstance(tool, dict) else None
            name = function.get("name") if isinstance(function, dict) else None
            if isinstance(name, str):
                yield name


def clean(value: Any) -> str:
    """Return a name as text; empty unless it is a number, or at most 128 printable ASCII characters."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    if not isinstance(value, str):
        # A number of thousands of digits is none, and Python refuses to write it.
        value = repr(value) if abs(value) < 1e21 else ""
    value = value.strip()
    return value if _CLEAN.fullmatch(value) else ""


def as_object(value: Any) -> Any:
    """Return the object that a text holds as JSON, or the value itself."""
    if not isinstance(value, str) or len(value) > MAX_OBJECT_CHARACTERS or not value.lstrip().startswith("{"):
        return value
    try:
        return msgspec.json.decode(value)
    except (ValueError, RecursionError):
        return value


def masked(session: str) -> str:
    """Return a session's name for the log: of what looks like a phone number the last two digits are left."""
    return _DIGITS.sub(_masked_number, session)


def _masked_number(match: "re.Match[str]") -> str:
    # A phone number has up to 15 digits (E.164), an international prefix apart.
    digits = re.sub(r"\D", "", match[0])
    return f"…{digits[-2:]}" if 7 <= len(digits) <= 17 else match[0]
