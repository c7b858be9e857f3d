"""Callers who talk to a balancer until they are told to stop, and what each of them heard.

with calling(url, keys) as turns:
    ...                     what happens to the servers meanwhile
print(summary(turns))

Each caller makes one turn after the other, each on a connection of its own: a streamed answer, a long one, one from the
knowledge, one in JSON. A turn's key is used again only when all others have been.
"""

import contextlib
import http.client
import itertools
import json
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from exchange import CHAT, RAG

SERVED_BY = "x-served-by"
"""Header of the balancer's: the addresses that it has tried, the last one is that which answered."""
QUESTION = "When do you open?"
LONG = "Tell me a long story."
KINDS: tuple[tuple[str, dict[str, Any]], ...] = (
    (CHAT, {"stream": True}),
    (CHAT, {"stream": True, "question": LONG}),
    (RAG, {"stream": True, "waiting": "off"}),
    (CHAT, {"stream": False}),
)
LONGEST_SECONDS = 30.0
"""Seconds of silence after which a caller gives up."""
CALLERS = 6
"""Turns that run at a time."""
THOUGHT_SECONDS = 0.05
"""Seconds between an answer and the caller's next question."""
CUT = (OSError, http.client.HTTPException)


@dataclass
class Turn:
    """One question and what was heard; the times are those of `time.monotonic`."""

    path: str
    stream: bool
    began: float = field(default_factory=time.monotonic)
    status: int = 0
    tried: tuple[str, ...] = ()
    body: bytes = b""
    is_cut: bool = False
    first_word: float = 0.0
    ended: float = 0.0

    @property
    def host(self) -> str:
        """The address of the host that answered, empty if none did."""
        return self.tried[-1] if self.tried else ""

    @property
    def is_whole(self) -> bool:
        """True for an answer from its first word to its end."""
        if self.status != 200 or self.is_cut:
            return False
        return not self.stream or (self.body.endswith(b"data: [DONE]\n\n") and b'"error"' not in self.body)

    @property
    def is_refused(self) -> bool:
        """True if a limit was in the way."""
        return self.status == 429

    @property
    def wait(self) -> float:
        """Seconds until the first word."""
        return (self.first_word or self.ended) - self.began

    @property
    def words(self) -> str:
        """The words of the answer."""
        if not self.stream:
            return str(json.loads(self.body)["choices"][0]["message"]["content"])
        payloads = re.findall(rb"^data: (\{.*)$", self.body, re.MULTILINE)
        choices = [choice for payload in payloads for choice in json.loads(payload).get("choices", ())]
        return "".join(choice["delta"].get("content") or "" for choice in choices)


def take_turn(url: str, key: str, path: str = CHAT, question: str = QUESTION, **fields: Any) -> Turn:
    """Ask, and hear the answer to its end."""
    turn = Turn(path, bool(fields.get("stream")))
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=LONGEST_SECONDS)
    body = json.dumps({"messages": [{"role": "user", "content": question}], **fields})
    headers = {"content-type": "application/json", "x-api-key": key, "connection": "close"}
    try:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        turn.status = response.status
        turn.tried = tuple(re.findall(r"[\d.]+(?=:\d)", response.headers.get(SERVED_BY, "")))
        while some := response.read1(65536):
            turn.first_word = turn.first_word or time.monotonic()
            turn.body += some
    except CUT:
        turn.is_cut = True
    finally:
        turn.ended = time.monotonic()
        connection.close()
    return turn


@contextlib.contextmanager
def calling(url: str, keys: Sequence[str], callers: int = CALLERS) -> Iterator[list[Turn]]:
    """Yield the turns of so many callers, who call for the length of a `with` block and hear their last answer out."""
    turns: list[Turn] = []
    enough = threading.Event()
    kinds, next_key = itertools.cycle(KINDS), itertools.cycle(keys)

    def call() -> None:
        while not enough.is_set():
            path, fields = next(kinds)
            turns.append(take_turn(url, next(next_key), path, **fields))
            enough.wait(THOUGHT_SECONDS)

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield turns
    finally:
        enough.set()
        for thread in threads:
            thread.join(LONGEST_SECONDS)


def failed(turns: Sequence[Turn]) -> list[Turn]:
    """Return the turns that were neither answered to the end nor refused by a limit."""
    return [turn for turn in turns if not turn.is_whole and not turn.is_refused]


def summary(turns: Sequence[Turn]) -> str:
    """Return the counts, in a line."""
    refused = sum(turn.is_refused for turn in turns)
    moved = sum(len(turn.tried) > 1 for turn in turns)
    wait = max(turn.wait for turn in turns)
    counts = f"{len(turns)} turns, {len(failed(turns))} failed, {refused} refused, {moved} sent on by the balancer"
    return f"{counts}, longest wait for a first word {wait * 1000:.0f} ms"


@dataclass(frozen=True)
class OpenStream:
    """A stream that goes on until somebody ends it."""

    connection: socket.socket
    host: str


def has_ended(connection: socket.socket) -> bool:
    """Return whether the other side has closed a connection, on which nothing is sent."""
    connection.settimeout(0.01)
    try:
        while connection.recv(65_536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True
