"""The rows of `make bench-audio` for AUDIO_MODE=speech, with the embedded voice: how soon it is heard, and stalls."""

import asyncio
import contextlib
import itertools
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from promises import Table
from sentences import SENTENCES
from stalls import Probe, ms
from talkers import quantile

# The tests' folder is on the path now.
import fake_upstream as fake  # isort: skip
from engine import Engine, Heard
from fake_upstream import Call, FakeUpstream
from running_server import RunningServer, hooked, running_server

from parley.operators import audio_align
from parley.speech import voice_package
from parley.speech.embedded_voice import EmbeddedVoice
from parley.speech.speech_text import to_clause
from parley.speech.word_timing import is_mark

RATE = 16_000
TOKEN_SECONDS = 0.02
OPENINGS = ("Certainly,", "We are open from nine to five.", "Yes, we can.")
"""First clauses, complete with the token behind them, which tells that they have ended."""


@dataclass
class Model:
    """An upstream that writes a token each 20 ms, and notes when the first clause was complete."""

    complete_at: dict[str, float] = field(default_factory=dict)

    def answer(self, call: Call) -> Iterator[fake.Step]:
        """An opening, then three sentences; which ones is the question's to say."""
        question = call.json["messages"][-1]["content"]
        number = int(question.rpartition(" ")[2])
        opening = OPENINGS[number % len(OPENINGS)]
        rest = [SENTENCES[(number + place) % len(SENTENCES)] for place in range(3)]
        yield fake.head()
        *tokens, last = fake.chunks(opening)[:-1]
        for payload in tokens:
            yield fake.event(payload)
            yield TOKEN_SECONDS
        yield fake.event(last)
        yield TOKEN_SECONDS
        self.complete_at[question] = time.monotonic()
        for payload in fake.chunks(" " + " ".join(rest))[1:]:
            yield fake.event(payload)
            yield TOKEN_SECONDS
        yield from (fake.event(fake.DONE), fake.END)


class Talker:
    """Asks one question after the other; every question has a number of its own."""

    numbers = itertools.count()

    def __init__(self, server: RunningServer, model: Model) -> None:
        self._server = server
        self._model = model

    async def ask(self, barge_in_ms: float | None = None) -> tuple[float, Heard]:
        """Seconds from the token behind the first clause to the first sound; and what was heard."""
        question = f"Question {next(self.numbers)}"
        heard = await Engine(self._server.url).ask(question, barge_in_ms=barge_in_ms)
        return heard.arrivals[0][0] - self._model.complete_at[question], heard


@contextlib.contextmanager
def speaking_server(model: Model) -> Iterator[tuple[RunningServer, Probe]]:
    """The server with the embedded voice, and a probe in its worker."""
    with FakeUpstream() as upstream, tempfile.TemporaryDirectory() as name:
        upstream.script = model.answer
        probe = Probe(Path(name) / "late")
        env = {"LLM_BASE_URL": upstream.base_url, "LLM_API_KEY": "sk-upstream", "AUDIO_MODE": "speech"}
        with running_server(env, argv=hooked(Path(name), probe.code)) as server:
            yield server, probe


async def measure_speech(table: Table, questions: int, talkers: int, rounds: int) -> None:
    """Alone, then with many at once."""
    model = Model()
    with speaking_server(model) as (server, probe):
        await asyncio.sleep(1)
        alone = [(await Talker(server, model).ask(barge_in_ms=0))[0] for _ in range(questions)]
        probe.begin()
        many = await asyncio.gather(*(talk(server, model, number / talkers, rounds) for number in range(talkers)))
        stalls = probe.seconds()
        stops = [await stop(server, model) for _ in range(questions)]
    heard = [one for of_talker in many for one in of_talker]
    first = [seconds for seconds, _ in heard]
    row(table, "first sound after the first clause, alone", "p50 <= 60 ms", alone, 0.5, 0.060)
    row(table, f"the same, {talkers} talkers at once", "p99 <= 150 ms", first, 0.99, 0.150)
    row(table, f"stalls of the worker, {talkers} talkers", "p99 <= 10 ms", stalls, 0.99, 0.010)
    dry = sum(one.underruns(tolerance=0.02) for _, one in heard)
    table.row(f"{talkers} talkers: gaps inside {len(heard)} answers", "0", str(dry), dry == 0)
    row(table, "barge-in: synthesis and upstream stop", "max <= 100 ms", stops, 1.0, 0.100)


async def talk(server: RunningServer, model: Model, wait: float, rounds: int) -> list[tuple[float, Heard]]:
    """One talker's questions, heard to the end in real time."""
    await asyncio.sleep(wait)
    return [await Talker(server, model).ask() for _ in range(rounds)]


async def stop(server: RunningServer, model: Model) -> float:
    """Seconds from the hang-up to the end of the turn in the log."""
    ended = len(server.request_ends())
    await Talker(server, model).ask(barge_in_ms=300)
    left = time.monotonic()
    while len(server.request_ends()) == ended and time.monotonic() < left + 10:
        await asyncio.sleep(0.001)
    return time.monotonic() - left


def row(table: Table, what: str, required: str, seconds: list[float], share: float, most: float) -> None:
    """One row: kept where that share of the values is small enough."""
    p50, p99 = quantile(seconds, 0.5), quantile(seconds, 0.99)
    told = f"p50 {ms(p50)}, p99 {ms(p99)}, max {ms(max(seconds))}"
    table.row(what, required, told, quantile(seconds, share) <= most)


def measure_words(table: Table, sentences: int) -> None:
    """The embedded voice's own times against forced alignment."""
    what, required = "the voice's own word starts against alignment", "median <= 60 ms"
    if not voice_package.installed():
        table.row(what, required, "not measured: the embedded voice is not installed", True)
        return
    voice = EmbeddedVoice(RATE)
    try:
        off = np.array([each for text in SENTENCES[:sentences] for each in apart(voice, text)])
    except audio_align.AlignmentError as exc:
        table.row(what, required, f"not measured: {exc}", True)
        return
    constant = float(np.median(off))
    error = float(np.median(np.abs(off - constant)))
    table.row(what, required, f"{error:.0f} ms ({len(off)} words, less {constant:.0f} ms)", error <= 60)


def apart(voice: EmbeddedVoice, text: str) -> list[int]:
    """How far each word's start is from the measured one, in ms."""
    said = to_clause(text, english=True)
    assert said is not None
    (piece,) = voice.say(said)
    measured = audio_align.align(said.text, piece.pcm, RATE)
    pairs = zip(piece.words, measured, strict=True)
    return [own.start_ms - word.start_ms for own, word in pairs if not is_mark(own.text)]
