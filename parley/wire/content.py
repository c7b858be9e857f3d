r"""The words in a content: in an upstream's whatever JSON type it has, in a caller's message by `text_of`.

    "text"                                             most
    [{"type": "text", "text": "..."}, ...]             Mistral, and servers that pass parts on
    {"type": "text", "text": {"value": "..."}}         gateways in front of agents
    42                                                 models that are told to answer with a number

What can't be said (a picture, a type that nobody knows) is named, so that the log line can tell of it. Words cut inside
a character are put together by `PairJoiner`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from parley.wire.thoughts import PART_TYPE

SAID_FIELDS = ("content", "refusal")
"""Fields of a delta or message that are said."""
HEARD_FIELDS = (*SAID_FIELDS, "tool_calls", "function_call", "audio")
"""Fields of a delta or message that a caller hears or acts on. Thoughts are in none of them: `reasoning_content`,
`reasoning`, `reasoning_details`, `thinking`, `thinking_blocks`."""
SAID_PARTS: Mapping[str, str] = {
    "text": "text",
    "output_text": "text",
    "input_text": "text",
    "text_delta": "text",
    "refusal": "refusal",
}
"""Types of a part that is said, and the field that holds its words."""
UNTYPED_FIELDS = ("text", "value", "content", "output_text", "parts")
"""Fields that may hold the words of an object without a type."""
UNSAID_FIELDS = ("audio", "images", "image", "video")
"""Fields of a delta or message beside its content that hold output without words."""
MAX_DEPTH = 8
"""Most lists and objects inside one another in which words are looked for."""


class Words(NamedTuple):
    """The words of a content, and the names of what else is in it."""

    text: str = ""
    unsaid: tuple[str, ...] = ()


def words_of(content: Any, depth: int = 0) -> Words:
    """Return the words of a content; see the table at the top of this module."""
    if isinstance(content, str):
        return Words(content)
    if content is None:
        return Words()
    if isinstance(content, int | float) and not isinstance(content, bool):
        return Words(msgspec.json.encode(content).decode())
    if depth < MAX_DEPTH and isinstance(content, list):
        found = [words_of(part, depth + 1) for part in content]
        return Words("".join(each.text for each in found), tuple(name for each in found for name in each.unsaid))
    if depth < MAX_DEPTH and isinstance(content, dict):
        return words_of_part(content, depth + 1)
    return Words("", (type(content).__name__,))


def words_of_part(part: dict[str, Any], depth: int) -> Words:
    """Return the words of a content that is an object, or of one of its parts."""
    kind = part.get("type")
    # Gemini marks its thoughts beside their text.
    if part.get("thought") is True or (isinstance(kind, str) and PART_TYPE.search(kind)):
        return Words()
    if kind is None:
        name = next((name for name in UNTYPED_FIELDS if name in part), None)
        return words_of(part[name], depth) if name else Words("", ("object",))
    if not isinstance(kind, str):
        return Words("", (type(kind).__name__,))
    if kind in SAID_PARTS:
        return words_of(part.get(SAID_PARTS[kind]), depth)
    # The name goes into the log, and an upstream chose it.
    return Words("", (kind[:32] if kind.isascii() and kind.isprintable() else "unknown",))


def is_thought(fields: Mapping[str, Any]) -> bool:
    """Return true for a delta whose content is a thought by the note beside it: {"google": {"thought": true}}."""
    # perf: saves a walk for nearly every delta.
    if "extra_content" not in fields:
        return False
    notes = fields["extra_content"]
    return isinstance(notes, dict) and any(
        isinstance(note, dict) and note.get("thought") is True for note in notes.values()
    )


def words_in(message: Mapping[str, Any]) -> Words:
    """Return the words of a delta or a message, and the names of what else of it can't be said."""
    found = [words_of(message.get(name)) for name in SAID_FIELDS]
    others = tuple(name for name in UNSAID_FIELDS if message.get(name))
    return Words("".join(each.text for each in found), (*found[0].unsaid, *found[1].unsaid, *others))


def text_of(content: Any) -> str:
    """Return the words of a message's content: of a string, or of the text parts of a list; other parts have none."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return " ".join(text for text in texts if isinstance(text, str))


class PairJoiner:
    r"""Joins a character that was cut in two, `\ud83d` at the end of one text and `\ude00` at the start of the next.

    A half whose other half does not come is left out.
    """

    def __init__(self) -> None:
        self._half = ""

    def feed(self, text: str) -> str:
        """Return the text that is whole with this piece."""
        # perf: saves looking through each piece: nearly all encode (speech).
        if not self._half and is_whole(text):
            return text
        text = self._half + text
        self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        return join_halves(text.removesuffix(self._half) if self._half else text)


def is_whole(text: str) -> bool:
    """Return true if a text holds no surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def join_halves(text: str) -> str:
    """Return a text with the halves of each pair joined, and without halves that stand alone."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")


def without_halves(value: Any) -> Any:
    """Return a JSON value with the halves of pairs joined in all its texts, so that it can be written as UTF-8."""
    if isinstance(value, str):
        return value if is_whole(value) else join_halves(value)
    if isinstance(value, dict):
        return {without_halves(name): without_halves(each) for name, each in value.items()}
    return [without_halves(each) for each in value] if isinstance(value, list) else value
