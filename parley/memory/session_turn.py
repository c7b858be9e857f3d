"""One turn of a session: what is recalled before its answer, what is heard of it, what is remembered behind it.

    begun --recall--> hearing --end--> writing --> written
                         |                            +-- late results of tools, one by one
                         +-- replaced: what follows is no answer of the model's, and is not kept

Two texts of an answer are kept: as it was sent, with which the platform's history is compared, and without waiting
messages, fillers and thoughts at its beginning, which is for a model to read.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from parley.errors import UpstreamBadResponse
from parley.memory.conversation import MAX_TEXT_CHARACTERS, History, StoredTurn, fold, history_of, stored_turn
from parley.memory.policy import Mode
from parley.memory.sessions import Sessions
from parley.telemetry import metrics
from parley.turn_record import TurnRecord
from parley.wire import chunks, sse
from parley.wire.chunks import Choice
from parley.wire.content import PairJoiner, is_thought, join_halves, words_in
from parley.wire.heard import is_open, without_thoughts
from parley.wire.phrases import without_marks

SAID = (b'"content"', b'"refusal"', b'"transcript"')
"""Names of the fields with words, one of which each payload has that tells any."""
UNHEARD_RESULT = '{"error":"the caller interrupted before the result was known"}'
"""Stands in for the result of a call until it comes, if it does."""


class SessionTurn:
    """A turn of the session under `key`; `name` is the platform's name of the turn. Implements `TurnNotes`.

    `speaker` is the name of the user who asks, where a model is to be told it.
    """

    def __init__(self, sessions: Sessions, key: str, mode: Mode, name: str, speaker: str = "") -> None:
        self._sessions, self._key, self._mode, self._name, self._speaker = sessions, key, mode, name, speaker
        # By the clock of the day, which all workers share.
        self._started = time.time()
        self._history: History | None = None
        self._heard: list[str] = []
        self._characters = 0
        self._pairs = PairJoiner()
        self._choice: object = None
        self._phrases: list[str] = []
        self._is_replaced = self._is_written = False
        self._exchange: list[dict[str, Any]] = []
        self._late: list[Mapping[str, Any]] = []

    def recall(self, messages: list[dict[str, Any]], record: TurnRecord, *, with_tools: bool) -> list[dict[str, Any]]:
        """Return a request's messages with what is remembered; the list itself if that adds nothing."""
        found = self._sessions.recall(self._key, messages, self._name, mode=self._mode, with_tools=with_tools)
        if found is None:
            record.memory = "failed"
            metrics.series(metrics.MEMORY_LOOKUPS, "failed").inc()
            # The store may work again when the turn ends.
            self._history = history_of(messages)
            return messages
        metrics.series(metrics.MEMORY_LOOKUPS, "hit" if found.stored else "miss").inc()
        record.memory = f"{found.added}/{found.stored}"
        self._history = found.history
        return found.messages

    def hear(self, payloads: Iterable[bytes]) -> None:
        """Take the payloads of a stream that are about to be sent."""
        for payload in payloads:
            if self._is_replaced or self._characters > MAX_TEXT_CHARACTERS:
                return
            # perf: saves reading each chunk of sound, whose transcript came before it.
            if not isinstance(payload, sse.Comment) and any(name in payload for name in SAID):
                for choice in choices_of(payload):
                    self._hear(choice.key, choice.fields)

    def hear_whole(self, body: bytes) -> None:
        """Take an answer in one piece that is about to be sent."""
        if self._is_replaced:
            return
        for choice in choices_of(body):
            self._hear(choice.key, choice.message if isinstance(choice.message, dict) else {})

    def phrase(self, text: str) -> None:
        """Note a waiting message or a filler."""
        self._phrases.append(without_marks(text))

    def replaced(self) -> None:
        """Note that from here on other words stand in the place of the model's answer."""
        self._is_replaced = True

    def follow(self, exchange: list[dict[str, Any]]) -> None:
        """Note the list that holds the turn's calls of tools and their results."""
        self._exchange = exchange

    def late_result(self, result: Mapping[str, Any]) -> None:
        """Store the result of a call that the turn has not waited for, behind the turn itself."""
        if self._is_written:
            self._sessions.add_result(self._key, result)
        else:
            self._late.append(result)

    def end(self, record: TurnRecord, report: Callable[[], object]) -> None:
        """Store the turn in a greenlet of its own, then call `report`: a store may take its time."""
        self._sessions.spawn(self._key, self._end, record, report)

    def _end(self, record: TurnRecord, report: Callable[[], object]) -> None:
        try:
            # Without a history nobody has asked, or nothing was recalled because the caller left before.
            if self._history and not self._sessions.remember(
                self._key, self._history, self._stored(record, self._history), mode=self._mode
            ):
                record.memory = "failed"
        finally:
            report()
        self._is_written = True
        for result in self._late:
            self._sessions.add_result(self._key, result)

    def _hear(self, key: object, fields: Mapping[str, Any]) -> None:
        # Of several answers (`n`) one is kept: the first that comes.
        self._choice = key if self._choice is None else self._choice
        if key != self._choice or is_thought(fields):
            return
        audio = fields.get("audio")
        transcript = audio.get("transcript") if isinstance(audio, dict) else None
        words = words_in(fields).text + (transcript if isinstance(transcript, str) else "")
        if words := self._pairs.feed(words):
            self._heard.append(words)
            self._characters += len(words)

    def _stored(self, record: TurnRecord, history: History) -> StoredTurn:
        """Return the turn as it is stored."""
        # Transcripts of speech end with a space.
        sent = without_marks(join_halves("".join(self._heard))).strip()
        is_closed = record.outcome in (None, "client_closed")
        said = without_leading_thoughts(without_phrases(sent, self._phrases))
        exchange = exchange_to_keep(self._exchange)
        return stored_turn(
            history.user,
            said,
            sent,
            closed=is_closed,
            turn=self._name,
            started=self._started,
            exchange=exchange,
            speaker=self._speaker,
        )


def choices_of(payload: bytes) -> list[Choice]:
    """Return the choices of a chunk or a whole answer; none of one that can't be read, which goes on as it is."""
    try:
        return chunks.look(payload).choices or []
    except UpstreamBadResponse:
        return []


def exchange_to_keep(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the calls of a turn and a result of each, without the words beside them, which the answer holds."""
    answered = {message["tool_call_id"] for message in messages if message["role"] == "tool"}
    kept = [{**message, "content": None} if message["role"] == "assistant" else message for message in messages]
    # The turn has ended while the calls of its last message were running.
    calls = [call for message in kept[-1:] for call in message.get("tool_calls") or ()]
    ids = [call["id"] for call in calls if call["id"] not in answered]
    return [*kept, *({"role": "tool", "tool_call_id": each, "content": UNHEARD_RESULT} for each in ids)]


def without_phrases(sent: str, phrases: Sequence[str]) -> str:
    """Return a text that was sent without these phrases, which stand in it in this order.

    Marks between their words may have been changed on the way; the last one may be cut.
    """
    kept, position = "", 0
    for phrase in phrases:
        rest, words = sent[position:], re.findall(r"\w+", phrase)
        # Of several clauses of a phrase the caller may have heard the first; one word of it may be anybody's.
        beginnings = ((words[:size], r"\W*$") for size in range(len(words) - 1, 1, -1))
        patterns = [(words, r"[^\w\s]*\s*"), *beginnings] if words else []
        found = next(filter(None, (re.search(_written(said) + end, rest) for said, end in patterns)), None)
        if found:
            kept += rest[: found.start()]
            position += found.end()
        elif fold(rest) and fold(phrase).startswith(fold(rest)):
            position = len(sent)
    return (kept + sent[position:]).strip()


def _written(words: Sequence[str]) -> str:
    """Return a pattern for these words, whatever stands between them."""
    return r"\b" + r"\W+?".join(map(re.escape, words)) + r"\b"


def without_leading_thoughts(said: str) -> str:
    """Return an answer without the thoughts at its beginning, if it has any."""
    left = without_thoughts(said)
    if is_open(left):
        return ""
    return said if left == said.lstrip() else left
