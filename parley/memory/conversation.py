"""The values that the memory works with: a turn that is stored, and the history that a request brings along.

Texts are compared folded: without case and white space, which platforms change where they cut an answer short.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from parley.wire.content import is_whole, join_halves, text_of, without_halves
from parley.wire.phrases import without_marks

MAX_TURNS = 40
"""Most turns that are kept of a session."""
MAX_CHARACTERS = 24_000
"""Most characters that are kept of a session, results of tools included."""
MAX_BYTES = 1 << 16
"""Largest stored session, in bytes."""
MAX_TEXT_CHARACTERS = 4_000
"""Most characters of one text that are kept and compared."""
MAX_RESULT_CHARACTERS = 2_000
"""Most characters of a tool's result that are kept."""
MAX_PLATFORM_TURNS = 64
"""Most turns of a request that are compared with the stored ones: a platform that sends more sends everything."""
MAX_DEPTH = 64
"""Most levels to which what is stored of a call may be nested; a request's own body may have as many."""
CALL_FIELDS = ("role", "content", "tool_calls")
RESULT_FIELDS = ("role", "tool_call_id", "content")
"""Fields of an exchange's messages that are kept; thoughts are not."""

Message = Mapping[str, Any]


class StoredTurn(msgspec.Struct, frozen=True, omit_defaults=True):
    """One turn of a session.

    `said` is the answer as a model may read it, `sent` as the caller heard it, waiting messages included; empty if both
    are the same. `heard` is the part that the platform's history shows, where it cut the answer short. `closed` tells
    that the caller left before the end. `exchange` holds the calls of tools and their results. `started` is a time in
    seconds; 0 for a turn that was learned from a platform's history. `speaker` names which of several users asked.
    """

    user: str
    said: str = ""
    sent: str = ""
    heard: str | None = None
    closed: bool = False
    turn: str = ""
    started: float = 0.0
    exchange: tuple[dict[str, Any], ...] = ()
    speaker: str = ""

    @property
    def returned(self) -> str:
        """The answer as a platform's history returns it, if it returns the whole."""
        return self.sent or self.said

    @property
    def reply(self) -> str:
        """The answer as the caller knows it: the whole, or what was heard of it."""
        return self.said if self.heard is None else self.heard

    @property
    def messages(self) -> int:
        """The number of messages that a model would read."""
        return bool(self.user) + len(self.exchange) + bool(self.reply.strip())

    @property
    def characters(self) -> int:
        """The number of characters of all texts."""
        exchanged = sum(len(text_of(each.get("content"))) + len(str(each.get("tool_calls"))) for each in self.exchange)
        return len(self.user) + len(self.said) + len(self.sent) + len(self.heard or "") + exchanged


class PlatformTurn(NamedTuple):
    """One earlier turn of a request: the position of its user message, that text, and the assistant's texts behind."""

    position: int
    user: str
    replies: tuple[str, ...]


@dataclass(frozen=True)
class History:
    """The conversation that a request brings along.

    `start` is the position of the first message that is no instruction; `lead` holds the assistant's texts before the
    first user message; `turns` are the earlier turns, the last `MAX_PLATFORM_TURNS` of them if there are `more`. `user`
    is the text of this turn, at `position`, and `continues` tells that results of tools follow it.
    """

    start: int
    position: int
    lead: tuple[str, ...]
    turns: tuple[PlatformTurn, ...]
    more: bool
    user: str
    continues: bool


def fold(text: str) -> str:
    """Return a text without case, white space and marks that no voice speaks."""
    return "".join(without_marks(text[:MAX_TEXT_CHARACTERS]).casefold().split())


def kept_text(text: str) -> str:
    """Return a text as it is kept and compared: cut to its limit, without halves of characters."""
    text = text[:MAX_TEXT_CHARACTERS]
    return text if is_whole(text) else join_halves(text)


def history_of(messages: Sequence[Message]) -> History | None:
    """Return the history of a request; None where no user message waits for an answer."""
    if not messages or messages[-1]["role"] == "assistant":
        return None
    found: list[PlatformTurn] = []
    replies: list[str] = []
    continues = False
    position = len(messages)
    # From the end, and no further than needed: a request may hold 4 096 messages.
    while position and len(found) <= MAX_PLATFORM_TURNS + 1:
        position -= 1
        role, content = messages[position]["role"], messages[position].get("content")
        if role == "user":
            found.append(PlatformTurn(position, kept_text(text_of(content)), tuple(reversed(replies))))
            replies = []
        elif role == "assistant" and (text := kept_text(text_of(content))):
            replies.append(text)
        elif role in ("tool", "function") and not found:
            # Behind the last user message: of a call that the platform ran.
            continues = True
    if not found:
        return None
    current, *earlier = found
    start = next(index for index, each in enumerate(messages) if each["role"] not in ("system", "developer"))
    turns = tuple(reversed(earlier[:MAX_PLATFORM_TURNS]))
    # What stands before the first user message was said in a turn whose question the platform has dropped.
    lead = () if len(earlier) > MAX_PLATFORM_TURNS else tuple(reversed(replies))
    return History(start, current.position, lead, turns, len(earlier) > MAX_PLATFORM_TURNS, current.user, continues)


def kept_exchange(messages: Sequence[Message]) -> tuple[dict[str, Any], ...]:
    """Return the calls and results of a turn as they are stored: results cut, thoughts left out.

    Nothing is kept where the calls themselves are too large, or of a form that would not be read back.
    """
    kept = []
    for message in messages:
        fields = CALL_FIELDS if message["role"] == "assistant" else RESULT_FIELDS
        each = {name: message[name] for name in fields if name in message}
        content = text_of(each.get("content"))
        limit = MAX_TEXT_CHARACTERS if message["role"] == "assistant" else MAX_RESULT_CHARACTERS
        if each.get("content") is not None:
            each["content"] = content if len(content) <= limit else f"{content[: limit - 1]}…"
        kept.append(without_halves(each))
    # Arguments that are cut would be broken.
    calls = sum(len(str(each["tool_calls"])) for each in kept if "tool_calls" in each)
    return tuple(kept) if calls <= MAX_CHARACTERS // 3 and _is_exchange(kept) else ()


def stored_turn(
    user: str,
    said: str,
    sent: str,
    *,
    closed: bool,
    turn: str,
    started: float,
    exchange: Sequence[Message] = (),
    speaker: str = "",
) -> StoredTurn:
    """Return a turn as it is stored, its texts cut to the limits. Arguments: see `StoredTurn`."""
    # Both texts cut alike: they are compared with each other.
    user, said, sent = map(kept_text, (user, said, sent))
    return StoredTurn(
        user=user,
        said=said,
        sent="" if sent == said else sent,
        closed=closed,
        turn=turn,
        started=started,
        exchange=kept_exchange(exchange),
        speaker=speaker,
    )


def encode(turns: Sequence[StoredTurn]) -> bytes:
    """Return the turns as they are stored, the oldest left out until they fit the limits."""
    turns = turns[-MAX_TURNS:]
    # Counted once: encoding after each turn that leaves would take milliseconds.
    characters = [turn.characters for turn in turns]
    first = 0
    while sum(characters[first:]) > MAX_CHARACTERS:
        first += 1
    data = msgspec.json.encode(turns[first:])
    # Letters of other alphabets take up to four bytes.
    while len(data) > MAX_BYTES:
        first += 1
        data = msgspec.json.encode(turns[first:])
    return data


def decode(data: bytes | None) -> tuple[StoredTurn, ...]:
    """Return the turns of what was stored; none where nothing was, or where it can't be read."""
    try:
        turns = _decoder.decode(data) if data and len(data) <= MAX_BYTES else ()
    # The decoder lets the two others out for bytes that are no UTF-8, and for values that are nested too deep.
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    # Others can write where a store is shared, and what they wrote must not cost a turn more than its memory.
    return turns if len(turns) <= MAX_TURNS and all(_is_exchange(turn.exchange) for turn in turns) else ()


def _is_exchange(messages: Sequence[Message]) -> bool:
    """Return true if messages have the form of `kept_exchange`, which policy and upstreams rely on."""
    for message in messages:
        calls, content = message.get("tool_calls", []), message.get("content")
        if not isinstance(content, str | None) or not isinstance(calls, list):
            return False
        if not all(isinstance(call, dict) and isinstance(call.get("id"), str) for call in calls):
            return False
        if not (message.get("role") == "assistant" or isinstance(message.get("tool_call_id"), str)):
            return False
        if message.get("role") not in ("assistant", "tool") or not _is_flat(calls, MAX_DEPTH):
            return False
    return True


def _is_flat(value: Any, levels: int) -> bool:
    """Return true if a value is nested at most so many levels deep."""
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_flat(each, levels - 1) for each in inner)


_decoder = msgspec.json.Decoder(tuple[StoredTurn, ...])
