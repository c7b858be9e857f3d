"""One JSON file of the operator's while its value is checked; each fault gets the line and the column where it stands.

A key that is not known is a fault, so that a slip of the pen is not silent.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from parley.files.json_file import HINT_OF_LINES, InvalidFile, parse, read_text
from parley.files.location import Path as JsonPath
from parley.files.location import location

_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_HALF = re.compile("[\ud800-\udfff]")
"""Matches half of a surrogate pair; the decoder has joined whole pairs."""
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
"""Matches a step of the path in a message of msgspec's; `[...]` stands for any member."""

NO_CONTROLS = r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$"
"""Matches a text on one line that is not blank."""
Phrase = Annotated[str, msgspec.Meta(pattern=NO_CONTROLS, max_length=500)]
PHRASE_FORM = "a phrase is a text without control characters, of 500 characters at most"
"""Form of a phrase that callers hear while they wait, for the fault of another text."""
Shape = TypeVar("Shape", bound=msgspec.Struct)


class Closed(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """An object in which a key that is not known is a fault."""


class JsonDocument:
    """The value of a file, and the faults that were found in it, as `file:line:col: message`.

    `forms` describes the texts of some keys, for the faults of those that do not match their pattern.
    """

    def __init__(self, name: str, text: str, value: Any, forms: Mapping[str, str]) -> None:
        self.value = value
        self.faults: list[str] = []
        self._name = name
        self._text = text
        self._forms = forms

    @classmethod
    def read(cls, path: Path, content: bytes | None, forms: Mapping[str, str]) -> "JsonDocument":
        """Return the document of a file, which is read unless its `content` is given. Raises InvalidFile.

        The message of the error is a whole fault.
        """
        try:
            text = read_text(path, path.parent) if content is None else content.decode("utf-8-sig")
            value, repeated = parse(text, lambda: None)
        except InvalidFile as exc:
            raise InvalidFile(f"{path.name}{exc.where}: {str(exc).removesuffix(HINT_OF_LINES)}") from exc
        document = cls(path.name, text, value, forms)
        # Of two keys of one name the decoder keeps the last one, which may not be the one that the operator looks at.
        if repeated:
            document.fault((), f'an object has the key "{repeated[0][:64]}" twice')
        for place, message in unsendable(value):
            document.fault(place, message)
        return document

    def fault(self, path: JsonPath, message: str) -> None:
        """Note a fault of the value at a path."""
        line, column = location(self._text, path)
        self.faults.append(f"{self._name}:{line}:{column}: {message}")

    def shaped(self, value: Any, shape: type[Shape], path: JsonPath) -> Shape | None:
        """Return a value in its shape; a value of another shape is a fault, and None."""
        try:
            return msgspec.convert(value, shape)
        except msgspec.ValidationError as exc:
            message, _, inside = str(exc).partition(" - at `$")
            steps = [name or int(number) for name, number in _STEP.findall(inside.rstrip("`"))]
            # The path leads to the object; its unknown key is what the operator has to look at.
            if unknown := _UNKNOWN_FIELD.fullmatch(message):
                steps.append(unknown[1])
                message = f'"{unknown[1][:64]}" is not known; known are {", ".join(known_keys(shape, steps[:-1]))}'
            elif "matching regex" in message:
                message = next((form for key, form in self._forms.items() if key in steps), message)
            self.fault((*path, *steps), message[0].lower() + message[1:])
            return None


def unsendable(value: Any) -> Iterator[tuple[JsonPath, str]]:
    """Yield the path of each value that no request can hold, and why: the turns that need it would fail."""
    left: list[tuple[JsonPath, Any]] = [((), value)]
    while left:
        path, one = left.pop()
        if isinstance(one, dict):
            if any(_HALF.search(key) for key in one):
                yield path, "a key holds half of a surrogate pair, which is not a character"
                continue
            left += [((*path, key), inner) for key, inner in one.items()]
        elif isinstance(one, list):
            left += [((*path, index), inner) for index, inner in enumerate(one)]
        elif isinstance(one, str) and _HALF.search(one):
            yield path, "holds half of a surrogate pair, which is not a character"
        elif isinstance(one, float) and not math.isfinite(one):
            yield path, "must be a finite number"


def known_keys(shape: Any, steps: Sequence[str | int]) -> list[str]:
    """Return the keys of the object at a path inside of a shape."""
    for step in steps:
        shape = {one.name: one.type for one in msgspec.structs.fields(shape)}[str(step)]
    return [one.name for one in msgspec.structs.fields(shape)]
