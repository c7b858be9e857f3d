"""One call of a tool, put together from the pieces of a stream, with the arguments that it turned out to have.

Whatever else a piece holds (a signature that the upstream wants back) is kept in the call.
"""

import contextlib
import dataclasses
import json
import os
import re
from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec

from parley.wire import assembly, upstream_json
from parley.wire.content import without_halves
from parley.wire.upstream_json import encode

NO_NAME = "unnamed"
"""Stands for the name of a call that has none, in what goes back to the model."""
_NAME = re.compile(r"\s*(?:(?:functions|default_api|tools)[.:])?([\w-]+?)(?::\d+)?\s*")
"""Matches a tool's name with the name space and the number that some models put around it."""
_FENCED = re.compile(r"\s*```\w*\s(.*?)(?:```\s*)?", re.DOTALL)
"""Matches arguments that a model wrote as a block of code."""


@dataclasses.dataclass(frozen=True)
class CalledTool:
    """A call of a tool of ours. `arguments` is None where they are no JSON object, for the reason `fault`.

    `message` is the call as an entry of the assistant message's `tool_calls`.
    """

    id: str
    name: str
    arguments: dict[str, Any] | None
    fault: str
    message: Mapping[str, Any] = dataclasses.field(repr=False)


class PartialCall:
    """A call as it is put together; `is_ours` is None until its name is known."""

    def __init__(self) -> None:
        self.is_ours: bool | None = None
        # Index for the caller; None as long as the upstream's own is right.
        self.number: int | None = None
        self.held: list[bytes] = []
        self.announced_id = ""
        self._gathered: dict[str, Any] = {}

    @property
    def id(self) -> str:
        """The call's id; empty if it has none."""
        call_id = self._gathered.get("id")
        return call_id if isinstance(call_id, str) else ""

    @property
    def name(self) -> str:
        """The tool's name; empty until it is known."""
        function = self._gathered.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        return name if isinstance(name, str) else ""

    @property
    def written(self) -> str:
        """The arguments as text, as far as they have come."""
        function = assembly.settled(self._gathered.get("function"))
        return str(function.get("arguments") or "") if isinstance(function, dict) else ""

    def add(self, piece: Mapping[str, Any]) -> None:
        """Add a piece in its usual form. A whole call that comes once more is the same one."""
        brought = text_field(piece.get("function"), "arguments").strip()
        # Only what may be a whole object is compared: joining what has come for every piece would take its square.
        may_be_whole = brought.startswith("{") and brought.endswith("}")
        if may_be_whole and brought == self.written.strip() and decoded(brought)[0] is not None:
            return
        # A first name or id that is empty must not stand in the way of the true one.
        assembly.merge(self._gathered, assembly.without_number(piece))

    def called(self, taken: set[str]) -> CalledTool:
        """Return the whole call under an id that is not among `taken`, which it joins."""
        written = self.written
        arguments, fault = decoded(written)
        if fault and written.startswith("{}"):
            # Some gateways write an empty object ahead of the pieces.
            written = written.removeprefix("{}")
            arguments, fault = decoded(written)
        call_id = self.id if self.id and self.id not in taken else f"call_{os.urandom(12).hex()}"
        taken.add(call_id)
        name = self.name or NO_NAME
        # Strict servers refuse a conversation with arguments that are no JSON object.
        if fault or not isinstance(strictly(written), dict):
            written = encode(arguments or {}).decode()
        gathered = assembly.settled(self._gathered)
        function = gathered.get("function")
        function = {**(function if isinstance(function, dict) else {}), "name": name, "arguments": written}
        others = {key: value for key, value in gathered.items() if key not in ("id", "type", "function")}
        message = {"id": call_id, "type": "function", "function": function, **others}
        return CalledTool(call_id, name, without_halves(arguments), fault, without_halves(message))


def begins_another(call: PartialCall, piece: Mapping[str, Any], call_id: str, name: str) -> bool:
    """Return true if a piece under a call's index begins another call."""
    is_other_id = bool(call_id and call.id and call_id != call.id)
    if not name:
        # A further id alone proves nothing: some servers invent one for each piece. The name behind it tells.
        call.announced_id = call_id if is_other_id else call.announced_id
        return False
    if not call.name:
        return False
    if is_other_id or call.announced_id or name != call.name:
        return True
    # The name in every piece, or a second call of one tool: only behind whole arguments.
    begins_object = text_field(usual(piece)["function"], "arguments").lstrip().startswith(("{", '"', "["))
    return begins_object and call.written.strip() != "" and not decoded(call.written)[1]


def text_field(value: Any, name: str) -> str:
    """Return a field of an object if it is a text; else an empty one."""
    field = value.get(name) if isinstance(value, dict) else None
    return field if isinstance(field, str) else ""


def decoded(written: str) -> tuple[dict[str, Any] | None, str]:
    """Return arguments as an object, or None and the reason why they are none. Nothing at all is an empty object."""
    value: Any = written
    # Twice: some gateways write the object as a text.
    for _ in range(2):
        if isinstance(value, str):
            value = readable(value) if value.strip() else {}
    if isinstance(value, list) and len(value) == 1:
        # Some models put the object into a list, as they do the call.
        value = value[0]
    if isinstance(value, Exception):
        return None, str(value) if isinstance(value, msgspec.DecodeError) else "they are no JSON"
    if value is None:
        return {}, ""
    return (value, "") if isinstance(value, dict) else (None, "expected an object")


def strictly(written: str) -> Any:
    """Return the JSON value of a text, or the error that it is none."""
    try:
        return upstream_json.decode(written.encode("utf-8", "surrogatepass"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        return fault


def readable(written: str) -> Any:
    """Return the JSON value of a text, also of one in a block of code or with raw line breaks; or the error."""
    value = strictly(written)
    if isinstance(value, Exception):
        fenced = _FENCED.fullmatch(written)
        # Not numbers that are none: a tool would be asked for something else than the model meant.
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(fenced[1] if fenced else written, strict=False, parse_constant=refuse_constant)
    return value


def refuse_constant(name: str) -> NoReturn:
    """Raise ValueError: NaN and infinities are no JSON."""
    raise ValueError(name)


def usual(piece: Mapping[str, Any]) -> dict[str, Any]:
    """Return a piece of a call in OpenAI's form: a plain name and arguments as text, in `function`, by a whole index.

    Gemini, Kimi, Ollama and the gateways before them write other forms.
    """
    piece, function = dict(piece), piece.get("function")
    if function is None and isinstance(piece.get("name"), str):
        function = {name: piece.pop(name) for name in ("name", "arguments", "parameters") if name in piece}
    if isinstance(function, dict):
        function = dict(function)
        if "arguments" not in function and "parameters" in function:
            function["arguments"] = function.pop("parameters")
        if not isinstance(arguments := function.get("arguments"), str | None):
            function["arguments"] = encode(arguments).decode()
        if found := _NAME.fullmatch(text_field(function, "name")):
            function["name"] = found[1]
        piece["function"] = function
    if isinstance(index := piece.get("index"), float) and index.is_integer():
        piece["index"] = int(index)
    return piece
