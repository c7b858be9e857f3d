"""Templates of HTTP tools: `{{args.x}}` and others in a URL, a header or a body, filled in for one call.

Arguments come from a model that repeats what a caller says, so a value never leaves its place: in a URL it is
percent-encoded, `/` included, and no path segment becomes empty, `.` or `..`; in a body it is a JSON value, or text
inside of a JSON string; in a header it comes from the operator or the platform, and holds no control character.

    {{env.NAME}}                                          resolved when the file is read, never when a call is made
    {{args.x}}                                            an argument; not in headers
    {{request.x}}  {{template_variables.x}}               of the platform's request
    {{call.session}}  {{call.turn_id}}  {{call.user}}     of the turn
    {{tool_call_id}}
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

from parley.tools.tool import Arguments, Call

MAX_TARGET_CHARACTERS = 8_000
"""Limit on path and query of a request, in characters: many servers refuse longer ones."""
MAX_BODY_BYTES = 1 << 20
"""Limit on the body of a request, in bytes."""
_VARIABLE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_URL = re.compile(r"(https?://[^/?#\\\s{}]+)((?:/[^?#]*)?)(?:\?([^#]*))?", re.IGNORECASE | re.DOTALL)
_OF_THE_CALL = ("session", "turn_id", "user")
_NO_HEADER = re.compile(r"[^\x20-\x7e\xa0-\xff]")
# What the operator wrote in a URL stays as it is, if it may stand there at all.
_AS_WRITTEN = "%/:@!$&'()*+,;=~-._"


class BadTemplate(Exception):
    """A template can't be used; the message says why."""


class BadValue(Exception):
    """A value of a call can't be put where the template has it; the message names it, without the value."""


class _Missing:
    """The type of MISSING."""


MISSING: Final = _Missing()
"""Stands for a variable that a call does not have, as the value `null` does."""


@dataclass(frozen=True)
class Variable:
    """One `{{...}}`: where its value comes from, and under which name."""

    source: str
    name: str

    def __str__(self) -> str:
        return self.name if self.source == "args" else f"{self.source}.{self.name}"

    def value(self, arguments: Arguments, call: Call) -> Any:
        """Return the value in a call, MISSING where there is none."""
        if self.source == "call":
            return getattr(call, self.name) or MISSING
        values: Mapping[str, Mapping[str, Any]] = {
            "args": arguments,
            "request": call.request,
            "template_variables": call.template_variables,
        }
        value = values[self.source].get(self.name, MISSING)
        if value is MISSING and self.source == "template_variables":
            value = call.request.get(self.name, MISSING)
        return MISSING if value is None else value


@dataclass(frozen=True)
class Template:
    """A text with variables in it: texts and variables in their order."""

    parts: tuple[str | Variable, ...]

    @property
    def variables(self) -> list[Variable]:
        """The variables, in order."""
        return [part for part in self.parts if isinstance(part, Variable)]

    @property
    def only(self) -> Variable | None:
        """The variable that is all of the template, if it is one."""
        return self.parts[0] if len(self.parts) == 1 and isinstance(self.parts[0], Variable) else None

    def fill(self, arguments: Arguments, call: Call, encode: Callable[[Any], str]) -> str:
        """Return the text of a call; a value that is missing leaves nothing."""
        filled = []
        for part in self.parts:
            if isinstance(part, Variable):
                value = part.value(arguments, call)
                filled.append("" if value is MISSING else encode(value))
            else:
                filled.append(part)
        return "".join(filled)


def parse(text: str, environ: Mapping[str, str], *, arguments: bool = True) -> Template:
    """Return the template of a text, with the environment's values in their places. Raises BadTemplate.

    Without `arguments` the template may hold none, as in a header.
    """
    parts: list[str | Variable] = []
    end = 0
    for found in _VARIABLE.finditer(text):
        parts += [text[end : found.start()], variable(found[1].strip(), environ)]
        end = found.end()
    parts.append(text[end:])
    if any("{{" in part or "}}" in part for part in parts if isinstance(part, str)):
        raise BadTemplate("has {{ or }} without the other")
    if not arguments and any(isinstance(part, Variable) and part.source == "args" for part in parts):
        raise BadTemplate("may not hold {{args...}}: a header would say what the caller said")
    return Template(tuple(part for part in parts if part != ""))


def variable(name: str, environ: Mapping[str, str]) -> str | Variable:
    """Return the variable between a pair of braces, or the environment's value in its place. Raises BadTemplate."""
    source, dot, rest = name.partition(".")
    if source == "env" and rest:
        if not environ.get(rest):
            raise BadTemplate(f"needs the environment variable {rest[:64]}, which is not set")
        return _EnvText(environ[rest])
    if name == "tool_call_id":
        return Variable("call", name)
    if source == "call" and rest in _OF_THE_CALL:
        return Variable(source, rest)
    if source in ("args", "request", "template_variables") and dot and rest and not re.search(r"[\s{}]", rest):
        return Variable(source, rest)
    raise BadTemplate(
        f"has the unknown variable {{{{{name[:64]}}}}}; known are args.NAME, request.NAME, template_variables.NAME, "
        "call.session, call.turn_id, call.user, tool_call_id and env.NAME"
    )


class _EnvText(str):
    """A value of the environment: text that no further look for braces concerns, and that a URL has to encode."""


@dataclass(frozen=True)
class UrlTemplate:
    """The URL of a tool: a fixed origin, and a template for each path segment and each query parameter.

    A parameter's name ends with its `=`.
    """

    origin: str
    segments: tuple[Template, ...]
    query: tuple[tuple[str, Template], ...]

    @property
    def variables(self) -> list[Variable]:
        """The variables of the whole URL."""
        templates = [*self.segments, *(template for _, template in self.query)]
        return [variable for template in templates for variable in template.variables]

    def fill(self, arguments: Arguments, call: Call, further: Mapping[str, Any]) -> str:
        """Return path and query of a call, with further parameters behind those of the template. Raises BadValue.

        A parameter whose only variable is missing is left out.
        """
        path = "".join(f"/{self.segment(template, arguments, call)}" for template in self.segments)
        pairs = [
            name + template.fill(arguments, call, encoded)
            for name, template in self.query
            if not (template.only and template.only.value(arguments, call) is MISSING)
        ]
        for name, value in further.items():
            values = value if isinstance(value, list) else [value]
            pairs += [f"{encoded(name)}={encoded(one)}" for one in values if one is not None]
        target = (path or "/") + ("?" + "&".join(pairs) if pairs else "")
        if len(target) > MAX_TARGET_CHARACTERS:
            raise BadValue("they are too long for a URL")
        return target

    def segment(self, template: Template, arguments: Arguments, call: Call) -> str:
        """Return one segment of the path. Raises BadValue if it would name another place than the template does."""
        filled = template.fill(arguments, call, encoded)
        names = ", ".join(map(str, template.variables))
        # An empty segment may list everything, and dots lead to the folder above: `/orders/`, `/orders/..`.
        missing = [str(one) for one in template.variables if one.value(arguments, call) in (MISSING, "")]
        if missing:
            raise BadValue(f"{', '.join(missing)} is missing or empty")
        if names and filled in (".", ".."):
            raise BadValue(f"{names} is not a name")
        return filled


def parse_url(text: str, environ: Mapping[str, str]) -> UrlTemplate:
    """Return the template of a URL. Raises BadTemplate."""
    found = _URL.fullmatch(text.strip())
    if not found:
        hint = "without templates before the path, and without a fragment"
        raise BadTemplate(f"is no URL such as https://api.example.com/orders/{{{{args.order_id}}}}, {hint}")
    origin, path, query = found.groups()
    try:
        parts = urlsplit(origin)
        is_usable = bool(parts.hostname) and parts.port != 0 and origin.isascii() and origin.isprintable()
    except ValueError:  # a port that is no number, a broken IPv6 address
        is_usable = False
    if not is_usable:
        raise BadTemplate("has no usable host and port")
    if "@" in parts.netloc:
        raise BadTemplate('holds a user name; send it as a header: "authorization": "Basic {{env.NAME}}"')
    segments = tuple(_in_url(segment, environ) for segment in _split(path, "/")[1:])
    return UrlTemplate(origin.lower(), segments, tuple(query_parameters(query or "", environ)))


def query_parameters(query: str, environ: Mapping[str, str]) -> Iterator[tuple[str, Template]]:
    """Yield name and template of each parameter of a query. Raises BadTemplate."""
    for pair in _split(query, "&"):
        name, *value = _split(pair, "=", 1)
        if "{{" in name:
            raise BadTemplate("has a template in the name of a query parameter")
        if name:
            yield quote(name, safe=_AS_WRITTEN) + ("=" if value else ""), _in_url("".join(value), environ)


def _split(text: str, separator: str, most: int = 0) -> list[str]:
    """Return the pieces of a text between separators that are in no pair of braces."""
    outside = re.compile(rf"\{{\{{.*?\}}\}}|({separator})", re.DOTALL)
    cuts = [found.start() for found in outside.finditer(text) if found[1]][: most or None]
    return [text[start + 1 : end] for start, end in zip([-1, *cuts], [*cuts, len(text)], strict=True)]


def _in_url(text: str, environ: Mapping[str, str]) -> Template:
    """Return the template of a part of a URL, whose fixed texts are encoded where that is needed."""
    parts = [
        encoded(str(part))
        if isinstance(part, _EnvText)
        else quote(part, safe=_AS_WRITTEN)
        if isinstance(part, str)
        else part
        for part in parse(text, environ).parts
    ]
    return Template(tuple(parts))


def encoded(value: Any) -> str:
    """Return a value as it stands in a URL, all but letters, digits and `-._~` percent-encoded. Raises BadValue."""
    try:
        return quote(as_text(value), safe="")
    except UnicodeEncodeError as exc:  # half of a surrogate pair
        raise BadValue("they hold half of a character") from exc


def as_text(value: Any) -> str:
    """Return a value as text: a string as it is, anything else as compact JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def parse_header(text: str, environ: Mapping[str, str]) -> Template:
    """Return the template of a header's value. Raises BadTemplate."""
    template = parse(text, environ, arguments=False)
    if any(_NO_HEADER.search(part) for part in template.parts if isinstance(part, str)):
        raise BadTemplate("holds a character that no header may hold")
    return template


def fill_header(name: str, template: Template, call: Call) -> str | None:
    """Return the value of a header in a call; None, to leave it out, where its only variable is missing.

    Raises BadValue.
    """
    if template.only and template.only.value({}, call) is MISSING:
        return None
    filled = template.fill({}, call, as_text).strip()
    if _NO_HEADER.search(filled):
        raise BadValue(f"the header {name} would hold a character that no header may hold")
    return filled


@dataclass(frozen=True)
class BodyTemplate:
    """The JSON body of a tool: a value whose strings are templates."""

    value: Any

    def fill(self, arguments: Arguments, call: Call) -> bytes:
        """Return the body of a call. Raises BadValue.

        A string that is one variable takes the variable's type; a missing one is left out of an object, and is null
        elsewhere.
        """
        return encode_body(_filled(self.value, arguments, call))


def encode_body(value: Any) -> bytes:
    """Return a value as the body of a request. Raises BadValue."""
    try:
        body = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except UnicodeEncodeError as exc:  # half of a surrogate pair
        raise BadValue("they hold half of a character") from exc
    except (ValueError, RecursionError) as exc:  # NaN, an infinity, or lists in lists in lists
        raise BadValue("they hold what JSON can't hold") from exc
    if len(body) > MAX_BODY_BYTES:
        raise BadValue("they are too long")
    return body


def parse_body(value: Any, environ: Mapping[str, str]) -> BodyTemplate:
    """Return the template of a body, an object or a list. Raises BadTemplate."""
    if not isinstance(value, dict | list):
        raise BadTemplate("must be an object or a list")
    return BodyTemplate(_body_part(value, environ))


def _body_part(value: Any, environ: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        if any("{{" in name for name in value):
            raise BadTemplate("has a template in the name of a field")
        return {name: _body_part(member, environ) for name, member in value.items()}
    if isinstance(value, list):
        return [_body_part(member, environ) for member in value]
    return parse(value, environ) if isinstance(value, str) else value


def _filled(value: Any, arguments: Arguments, call: Call) -> Any:
    if isinstance(value, dict):
        members = {name: _filled(member, arguments, call) for name, member in value.items()}
        return {name: member for name, member in members.items() if member is not MISSING}
    if isinstance(value, list):
        members_ = [_filled(member, arguments, call) for member in value]
        return [None if member is MISSING else member for member in members_]
    if not isinstance(value, Template):
        return value
    return value.only.value(arguments, call) if value.only else value.fill(arguments, call, as_text)


def body_variables(body: BodyTemplate) -> list[Variable]:
    """Return the variables of a body."""
    found, rest = [], [body.value]
    while rest:
        value = rest.pop()
        if isinstance(value, Template):
            found += value.variables
        elif isinstance(value, dict | list):
            rest += value.values() if isinstance(value, dict) else value
    return found
