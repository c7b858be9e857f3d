"""The policy of the memory: what is added to a request, what is kept of a turn; pure functions over plain values.

    request  --history_of-->  History  --match-->  the same turns, and where the platform's window begins
    recall:    stored turns before the window, then the request as it is
    remember:  stored turns before the window, then the platform's own, then this turn

So nothing is twice, and nothing is lost that a platform has dropped. A turn that is asked for once more (a retry, a
speculative request that grew, a result of the platform's tool) replaces the one that is stored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from parley.memory.alignment import Alignment, align
from parley.memory.conversation import (
    MAX_TURNS,
    History,
    Message,
    PlatformTurn,
    StoredTurn,
    fold,
    history_of,
    kept_exchange,
)
from parley.wire.content import text_of

Mode = Literal["tools", "full"]
"""`tools` keeps turns in which tools were called, `full` all turns."""
MAX_EXCHANGES = 8
"""Most exchanges with tools that are put back, the newest."""
OF_REQUESTS = "idempotency-key"
"""Name of turns of which each request has one: a request that grew has another."""


@dataclass(frozen=True)
class Recollection:
    """A request with what the memory adds: `added` messages of the `stored` ones. `history` is needed for `remember`.

    `messages` is the request's own list if nothing is added.
    """

    messages: list[dict[str, Any]]
    history: History | None = None
    added: int = 0
    stored: int = 0


@dataclass(frozen=True)
class Match:
    """Stored turns without the one that is asked for once more, and their alignment with the request's."""

    stored: tuple[StoredTurn, ...]
    repeated: StoredTurn | None
    alignment: Alignment


def recall(
    stored: Sequence[StoredTurn], messages: list[dict[str, Any]], *, turn: str, mode: Mode, with_tools: bool
) -> Recollection:
    """Return a request's messages with what the stored turns add. `turn` is the platform's name of this turn.

    Calls of tools are put back only `with_tools`: some upstreams refuse them where no tools are offered.
    """
    history = history_of(messages)
    if not stored or history is None:
        return Recollection(messages, history)
    match = match_turns(stored, history, turn)
    cut = match.alignment.cut if mode == "full" and not _is_unknown(match, history) else 0
    exchanges = _exchanges(match, cut, mode) if with_tools else set()
    front: list[dict[str, Any]] = []
    for index, each in enumerate(match.stored[:cut]):
        # The platform's own text of an answer whose question it has dropped goes before ours.
        leads = index == cut - 1 and _leads(each, history)
        front += _rendered(each, with_exchange=index in exchanges, with_reply=not leads)
    behind = _completed(messages, match, history, exchanges, with_tools)
    count = sum(each.messages for each in stored)
    if not front and behind is messages:
        return Recollection(messages, history, 0, count)
    merged = [*messages[: history.start], *front, *behind[history.start :]]
    return Recollection(merged, history, len(merged) - len(messages), count)


def remember(stored: Sequence[StoredTurn], history: History, turn: StoredTurn, *, mode: Mode) -> tuple[StoredTurn, ...]:
    """Return the stored turns with this one, which has ended, and with what its request told of those before it."""
    if turn in stored:
        # A write that seemed to fail had been made.
        return tuple(stored)
    # A turn that began later may have ended before this one, on another worker.
    newer = [each for each in stored if each.started > turn.started]
    older = stored[: len(stored) - len(newer)]
    match = match_turns(older, history, turn.turn)
    if match.repeated and history.continues:
        turn = _joined(match.repeated, turn)
    # Without all turns there is nothing to correct: turns without calls were never stored.
    base = match.stored if mode == "tools" else _corrected(match, history)
    # A speculative request may end after the one that it grew into has ended.
    is_outdated = bool(newer) and _is_grown(turn, newer[0].user, newer[0].turn) is not False
    is_kept = not is_outdated and (mode == "full" or bool(turn.exchange))
    return (*base, *([turn] if is_kept else []), *newer)[-MAX_TURNS:]


def with_result(stored: Sequence[StoredTurn], result: Message) -> tuple[StoredTurn, ...]:
    """Return the stored turns with the late result of a call, in place of the one that stands there."""
    found = kept_exchange([result])
    if not found:
        return tuple(stored)
    kept = found[0]
    return tuple(
        msgspec.structs.replace(
            each,
            exchange=tuple(
                kept if message.get("tool_call_id") == kept["tool_call_id"] else message for message in each.exchange
            ),
        )
        if each.exchange
        else each
        for each in stored
    )


def match_turns(stored: Sequence[StoredTurn], history: History, turn: str) -> Match:
    """Return the stored turns aligned with a request's, without the last one if the request asks for it once more."""
    turns = tuple(stored)
    if not turns:
        return Match((), None, align((), history))
    last, others = turns[-1], turns[:-1]
    is_repeated = _is_continued(last, history, turn) if history.continues else _is_grown(last, history.user, turn)
    if not is_repeated and is_repeated is not None:
        return Match(turns, None, align(turns, history))
    without = align(others, history)
    if is_repeated is None:
        # The platform may hold it as a turn of its own: "yes", said twice.
        whole = align(turns, history)
        if whole.cost < without.cost:
            return Match(turns, None, whole)
    return Match(others, last, without)


def _is_grown(last: StoredTurn, user: str, turn: str) -> bool | None:
    """Return true if a turn is asked for once more, false if another one is, None if only the history can tell."""
    before, now = fold(last.user), fold(user)
    is_learned = not last.started
    if is_learned:
        return before == now
    has_grown = bool(before) and now != before and now.startswith(before)
    if last.turn and turn:
        if last.turn == turn:
            return True
        # Such a name belongs to a request: one that has grown is another.
        is_open = has_grown and turn.startswith(OF_REQUESTS)
    else:
        # Equal words are a retry only of an answer that was not heard.
        is_open = has_grown or (now == before and (last.closed or not last.returned))
    return None if is_open else False


def _is_continued(last: StoredTurn, history: History, turn: str) -> bool:
    """Return true if results of the platform's tools continue the last stored turn."""
    return fold(last.user) == fold(history.user) and (not last.turn or not turn or last.turn == turn)


def _joined(before: StoredTurn, turn: StoredTurn) -> StoredTurn:
    """Return both parts of a turn in which the platform ran a tool."""
    said, sent = (" ".join(filter(None, each)) for each in ((before.said, turn.said), (before.returned, turn.returned)))
    exchange = (*before.exchange, *turn.exchange)
    return msgspec.structs.replace(turn, said=said, sent="" if sent == said else sent, exchange=exchange)


def _corrected(match: Match, history: History) -> tuple[StoredTurn, ...]:
    """Return the turns before this one: stored ones before the platform's window, in it the platform's own."""
    stored, alignment = match.stored, match.alignment
    if not history.turns:
        return stored
    if _is_unknown(match, history):
        return tuple(_learned(each) for each in history.turns)
    front = [*stored[: alignment.cut]]
    if front and history.lead:
        front[-1] = _as_heard(front[-1], history.lead)
    window = (
        _as_heard(stored[alignment.pairs[index]], each.replies) if index in alignment.pairs else _learned(each)
        for index, each in enumerate(history.turns)
    )
    return (*front, *window)


def _is_unknown(match: Match, history: History) -> bool:
    """Return true if nothing is known of a request's history: another conversation, or one that was long not stored.

    One turn alone may be missing because another worker has yet to write it.
    """
    return len(history.turns) > 1 and not match.alignment.pairs


def _learned(turn: PlatformTurn) -> StoredTurn:
    return StoredTurn(user=turn.user, said=" ".join(turn.replies))


def _as_heard(turn: StoredTurn, replies: Sequence[str]) -> StoredTurn:
    """Return a stored turn with the part of its answer that the platform's history shows."""
    heard = next((reply for reply in replies if is_cut(reply, turn.returned)), None)
    return msgspec.structs.replace(turn, heard=heard_of_said(turn, heard)) if heard is not None else turn


def heard_of_said(turn: StoredTurn, heard: str) -> str:
    """Return what was heard of an answer without the fillers in it, by the part that was heard of all that was sent."""
    if not turn.sent:
        return heard
    size, position, sent, said = len(fold(heard)), 0, turn.sent, turn.said
    while size > 0 and position < len(sent):
        size -= len(fold(sent[position]))
        position += 1
    # Between the words that both texts begin and end with, there are the fillers.
    begin = equal_characters(sent, said)
    end = min(equal_characters(sent[::-1], said[::-1]), len(said) - begin)
    if position <= len(sent) - end:
        return said[: min(position, begin)].rstrip()
    return said[: len(said) - (len(sent) - position)]


def equal_characters(one: str, other: str) -> int:
    """Return the number of characters with which both texts begin."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (mine, theirs) in pairs if mine != theirs), min(len(one), len(other)))


def is_cut(heard: str, sent: str) -> bool:
    """Return true if a text is the beginning of one that was sent, and lacks words of it."""
    beginning, whole = fold(heard), fold(sent)
    rest = whole[len(beginning) :]
    return bool(beginning) and whole.startswith(beginning) and any(map(str.isalnum, rest))


def _leads(turn: StoredTurn, history: History) -> bool:
    """Return true if a text before the request's first user message is the answer of this turn."""
    whole = fold(turn.returned)
    return any(whole.startswith(fold(text)) or fold(text).startswith(whole) for text in history.lead if whole)


def _exchanges(match: Match, cut: int, mode: Mode) -> set[int]:
    """Return the positions of the stored turns whose calls are put back."""
    alignment = match.alignment
    in_window = [index for j, index in alignment.pairs.items() if j not in alignment.doubtful]
    before = range(cut) if mode == "full" else ()
    found = sorted(index for index in (*before, *in_window) if match.stored[index].exchange)
    return set(found[-MAX_EXCHANGES:])


def _rendered(turn: StoredTurn, *, with_exchange: bool = True, with_reply: bool = True) -> list[dict[str, Any]]:
    """Return a stored turn as messages; an answer that was cut short bears Agora's marks."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": turn.user}] if turn.user else []
    if messages and turn.speaker:
        messages[0]["metadata"] = {"user": turn.speaker}
    messages += turn.exchange if with_exchange else ()
    if with_reply and turn.reply.strip():
        messages.append({"role": "assistant", "content": turn.reply})
        if turn.closed or turn.heard is not None:
            messages[-1]["metadata"] = _marks(turn.said if turn.heard is not None else None)
    return messages


def _marks(original: str | None) -> dict[str, Any]:
    return {"interrupted": True, **({} if original is None else {"original": original})}


def _completed(
    messages: list[dict[str, Any]], match: Match, history: History, exchanges: set[int], with_tools: bool
) -> list[dict[str, Any]]:
    """Return a request's messages with calls behind the users' texts, and marks where the platform cut an answer.

    The messages themselves are returned where nothing changes.
    """
    behind: dict[int, Sequence[dict[str, Any]]] = {}
    marked: dict[int, dict[str, Any]] = {}
    first = history.turns[0].position if history.turns else history.position
    ends = [each.position for each in history.turns[1:]] + [history.position]
    spans = [(index, history.turns[j].position, ends[j]) for j, index in match.alignment.pairs.items()]
    if match.alignment.cut and history.lead:
        # The answer whose question the platform has dropped; calls would stand before it without a user's message.
        spans.append((match.alignment.cut - 1, history.start - 1, first))
    for index, position, end in spans:
        turn = match.stored[index]
        if index in exchanges and position >= history.start:
            behind[position] = turn.exchange
        cut = ((place, _marked(messages[place], turn)) for place in range(position + 1, end))
        marked |= {place: message for place, message in cut if message}
    if match.repeated and history.continues and with_tools:
        # Our own calls of this very turn, before the platform's whose results came with it.
        behind[history.position] = match.repeated.exchange
    if not marked and not any(behind.values()):
        return messages
    return [
        each
        for position, message in enumerate(messages)
        for each in (marked.get(position, message), *behind.get(position, ()))
    ]


def _marked(message: dict[str, Any], turn: StoredTurn) -> dict[str, Any] | None:
    """Return an assistant's message with marks; None if its answer is whole, or is marked by the platform."""
    content = message.get("content")
    # perf: saves 40 µs a request (16 turns of 40): whole answers are not folded.
    if message["role"] != "assistant" or content == turn.returned or message.get("metadata") is not None:
        return None
    if not is_cut(text_of(content), turn.returned):
        return None
    return {**message, "metadata": _marks(turn.returned)}
