"""A conversation with a running server over HTTP, as a voice platform would have it: what was said, heard and when.

The memory is the platform's: it is sent with each turn, and of an answer that was interrupted it holds what was heard.
"""

import base64
import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from parley.checking.calling import Caller, Event, Exchange, read_into, shortened
from parley.operators.platform_requests import Message
from parley.operators.platforms import Platform

SENTENCE = re.compile(r"[.!?…:。！？](\s|$)")
"""Matches the end of a first sentence, with which a voice can begin."""
_TIMING = re.compile(r"([\w-]+)(?:;[^,]*?)?;dur=([0-9.]+)")


@dataclass
class Turn:
    """An answer as it is heard. Times are milliseconds since the question was sent, None for what did not come.

    `waiting_ms` is that of a waiting message, `first_ms` that of the answer behind it. `pieces` counts pieces of text,
    `tokens` is the upstream's own count. `failure` is empty for a whole answer, and for one that was interrupted.
    """

    text: str = ""
    waiting_ms: float | None = None
    first_ms: float | None = None
    sentence_ms: float | None = None
    end_ms: float = 0.0
    pieces: int = 0
    tokens: int = 0
    pcm: bytes = b""
    citations: list[dict[str, Any]] = field(default_factory=list)
    timing: Mapping[str, float] = field(default_factory=dict)
    is_interrupted: bool = False
    failure: str = ""

    def take(self, event: Event, *, may_wait: bool) -> str:
        """Note an event; return the words in it. `may_wait` is true if a waiting message may come first."""
        chunk = event.json()
        if isinstance(error := chunk.get("error"), dict):
            self.failure = f"{error.get('code')}: {shortened(str(error.get('message')))}"
        # On the chunk that ends the answer.
        self.citations = chunk.get("citations") or self.citations
        self.tokens = (chunk.get("usage") or {}).get("completion_tokens") or self.tokens
        choices = chunk.get("choices") or [{}]
        delta = choices[0].get("delta") or {}
        audio = delta.get("audio") or {}
        self.pcm += base64.b64decode(audio.get("data") or "")
        words = str(delta.get("content") or audio.get("transcript") or "")
        if words:
            self.note_words(event.ms, words, may_wait and "role" in delta and words.endswith(" "))
        return words

    def note_words(self, ms: float, words: str, is_waiting: bool) -> None:
        """Note words and their moment. A waiting message bears the role, and blanks at its end."""
        if is_waiting and not self.text:
            self.waiting_ms = ms
        else:
            self.first_ms = ms if self.first_ms is None else self.first_ms
            self.pieces += 1
        self.text += words
        if self.sentence_ms is None and SENTENCE.search(self.text):
            self.sentence_ms = ms

    @property
    def figures(self) -> str:
        """The line below an answer."""
        told = []
        if self.waiting_ms is not None:
            told.append(f"waiting {self.waiting_ms:.0f} ms")
        if self.first_ms is not None:
            told.append(f"first {self.first_ms:.0f} ms")
            # Before the first word of the answer it is the waiting message's.
            if self.sentence_ms is not None and self.waiting_ms is None:
                told.append(f"sentence {self.sentence_ms:.0f}")
            seconds = (self.end_ms - self.first_ms) / 1000
            if seconds > 0 and self.pieces > 1:
                told.append(f"{(self.tokens or self.pieces) / seconds:.0f}{'' if self.tokens else ' pieces'}/s")
        if "ours" in self.timing:
            lookup = f" (look-up {self.timing['lookup']:.0f})" if "lookup" in self.timing else ""
            told.append(f"ours {self.timing['ours']:.0f}{lookup}")
        return " · ".join([*told, *(["interrupted"] if self.is_interrupted else [])])


class Conversation:
    """The platform's side of a call: the memory, and the way to the server."""

    def __init__(self, address: str, key: str, platform: Platform, *, endpoint: str, system: str, kb: str) -> None:
        self.endpoint = endpoint
        self._address = address
        self._platform = platform
        self._kb = kb
        self._opening = [Message("system", system)] if system else []
        self._caller = Caller({"authorization": f"Bearer {key}"} if key else {})
        self.memory = list(self._opening)

    def forget(self) -> None:
        """Begin anew."""
        self.memory = list(self._opening)

    @property
    def url(self) -> str:
        """The URL that the platform would ask."""
        kb = self._kb if self.endpoint != "chat" else ""
        url = self._platform.url(self._address, self.endpoint, kb)
        url += "/chat/completions" if self._platform.appends else ""
        return f"{url}?{self._platform.query}" if self._platform.query else url

    def ask(self, words: str, show: Callable[[str], None], raw: Callable[[Event], None] | None = None) -> Turn:
        """Say something; return the answer once it has ended, failed or been interrupted (Ctrl-C).

        `show` is given each piece of text as it comes, `raw` each event. Raises CallFailed if nobody answers.
        """
        said = Message("user", words)
        body = self._platform.request([*self.memory, said], "")
        # The server's own model, whatever it is.
        body.pop("model", None)
        # A field of Parley's own.
        more = {"include_citations": True} if self.endpoint == "rag" else {}
        turn = Turn()

        def note(event: Event) -> bool:
            if raw:
                raw(event)
            if text := turn.take(event, may_wait=self.endpoint == "rag"):
                show(text)
            return False

        # A person waits, and sees that nothing comes: longer than any model may think.
        exchange, pieces = self._caller.open("POST", self.url, {**body, **more, "stream": True}, seconds=120)
        with contextlib.closing(pieces):
            try:
                read_into(exchange, pieces, note)
            except KeyboardInterrupt:
                turn.is_interrupted = True
        finish(turn, exchange)
        self.remember(said, turn)
        return turn

    def remember(self, said: Message, turn: Turn) -> None:
        """Add a turn to the memory, unless nothing was heard of its answer."""
        if turn.text:
            original = turn.text if turn.is_interrupted else ""
            self.memory += [said, Message("assistant", turn.text, original)]


def finish(turn: Turn, exchange: Exchange) -> None:
    """Note how an answer ended."""
    turn.end_ms = exchange.end_ms
    turn.timing = {name: float(ms) for name, ms in _TIMING.findall(exchange.headers.get("server-timing", ""))}
    if turn.is_interrupted or turn.failure:
        return
    if exchange.status == 401:
        turn.failure = "the server wants one of its API_KEYS: --key, or PARLEY_KEY in the environment"
    elif exchange.status != 200:
        turn.failure = f"status {exchange.status}: {exchange.error()}"
    elif not exchange.is_done and exchange.body:
        turn.failure = f"no event stream came, but {exchange.media_type or 'something'}: {exchange.error()}"
    elif not exchange.is_done:
        turn.failure = f"incomplete: it ended without DONE{f' ({exchange.broke_off})' if exchange.broke_off else ''}"
