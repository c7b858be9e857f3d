"""The embedded demonstration voice: hibari, a small English network that runs in threads of this process.

It says a sentence in a hundredth of its length, and knows to 25 ms when each word is heard: how long it speaks every
sound is an inner value of its network, which is made an output when the network is loaded. That holds for one version
of the package; another one speaks all the same, and its words are timed by estimation.
"""

import contextlib
import functools
import importlib.metadata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gevent.lock import BoundedSemaphore

from parley import threads
from parley.concurrency import run_in_thread
from parley.errors import InternalError
from parley.logs import log
from parley.speech import embedded, estimation, simulated
from parley.speech.resampling import Resampler, to_int16
from parley.speech.speakable import Line
from parley.speech.utterances import Piece
from parley.speech.words import Word, is_mark, tokens, with_marks

DURATIONS = "/Round_output_0"
UNIT_MS = 25
THREADS = 2
"""More would only take the interpreter from the event loop, and from one another. One is kept for what is urgent."""
LAG_MS = 80
"""How much later the network's durations say that a sound begins than it is heard (forced alignment, 50 sentences)."""
QUIET = 0.01
ONSET_MS = 30
PAUSES_MS = {".": 300, "!": 300, "?": 300, "…": 300, ";": 200, ":": 200, ",": 140, "—": 140}
"""The silence behind a clause, by its last mark: the network's own is twice as long."""
LONGEST_PHONEMES = 500
GRAPH, OUTPUT, NAME = 7, 12, 1
"""Field numbers of ModelProto.graph, GraphProto.output and ValueInfoProto.name (onnx.proto)."""

Samples = npt.NDArray[np.float32]


class EmbeddedVoice:
    """A synthesiser; `rate` is that of the PCM it gives."""

    name = "embedded"
    description = embedded.DESCRIPTION
    english = True

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._pool = threads.pool(THREADS)
        # Whoever is ended while it waits its turn has given the threads nothing to do.
        self._turns = BoundedSemaphore(THREADS)
        self._patient_turns = BoundedSemaphore(THREADS - 1)

    def say(self, line: Line, *, urgent: bool = True) -> Iterator[Piece]:
        """The clause in one piece, with its words; what is not in Latin letters becomes simulated sound.

        Raises InternalError.
        """
        if not _is_latin(line.spoken):
            log.warning("voice_cannot_say", reason="the embedded voice speaks English only; set TTS_BASE_URL")
            utterance = simulated.utterance(line.text, self.rate)
            yield Piece(utterance.pcm, line.text, utterance.words)
            return
        with contextlib.nullcontext() if urgent else self._patient_turns, self._turns:
            said = run_in_thread(self._pool, self._rendered, line)
        yield said

    def warm(self) -> None:
        """Load the network, and run it once: the first time takes longer."""
        self._render(Line((("Hello", "Hello"),)))

    def close(self) -> None:
        """End the threads."""
        self._pool.kill()

    @functools.cached_property
    def _engine(self) -> "_Engine":
        return _Engine()

    def _rendered(self, line: Line) -> Piece:
        """Return the clause. Raise InternalError."""
        try:
            return self._render(line)
        except Exception:  # noqa: BLE001 - the boundary to the network's libraries
            log.exception("voice_failed", voice=self.name)
            raise InternalError("the embedded voice failed") from None

    def _render(self, line: Line) -> Piece:
        samples, chunks = self._engine.say(line.spoken)
        start, end = _bounds(samples, self._engine.rate, line.spoken)
        resampler = Resampler(self._engine.rate, self.rate)
        cut = np.pad(samples, (0, max(0, end - len(samples))))[start:end]
        pcm = to_int16(np.concatenate([resampler.more(cut), resampler.rest()]))
        if chunks is None:
            return Piece(pcm, line.text, estimation.estimate(line.text, pcm, self.rate))
        total_ms = len(pcm) // 2 * 1000 // self.rate
        return Piece(pcm, line.text, _timed(line, chunks, start * 1000 // self._engine.rate, total_ms))


class _Engine:
    """hibari, with its durations where they can be had."""

    def __init__(self) -> None:
        import hibari
        from hibari import dsp

        path = Path(hibari.voices.voice_path(hibari.voices.DEFAULT, download_missing=False))
        self._durations_known = importlib.metadata.version(embedded.PACKAGE) == embedded.VERSION
        model = _with_output(path.read_bytes(), DURATIONS) if self._durations_known else str(path)
        self._hibari = hibari.Hibari(model=model)
        self._synth = dsp.synth
        self.rate: int = hibari.SAMPLE_RATE
        if not self._durations_known:
            known = f"{embedded.PACKAGE} {embedded.VERSION}"
            log.warning("voice_times_estimated", reason=f"{known} is the version whose durations are known")

    def say(self, text: str) -> tuple[Samples, list[tuple[int, int]] | None]:
        """The sound of a text, and from when to when (ms) each of its words between blanks is heard, if known."""
        ids, spans = self._phonemes(text)
        inputs = {"ids": np.asarray([ids], np.int64), "speed": np.ones(1, np.float32)}
        spectrum: Sequence[Any] = self._hibari.sess.run(None, inputs)
        # A seed of its own: the same text, the same sound.
        samples = self._synth(*(part[0] for part in spectrum[:6]), np.random.default_rng(0))
        if not self._durations_known:
            return samples, None
        ends = np.cumsum(spectrum[6]) * UNIT_MS - LAG_MS
        return samples, [(int(ends[first - 1]), int(ends[last - 1])) for first, last in spans]

    def _phonemes(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The network's input, and for each word between blanks the places of its first sound and behind its last."""
        vocabulary = self._hibari.vocab
        ids, spans, first, last = [0], [], 1, 1
        for token in self._hibari.g2p.phonemize_tokens(self._hibari.g2p.tokenize(text)):
            ids += [vocabulary[sound] for sound in token.phonemes or "" if sound in vocabulary]
            if any(letter.isalnum() for letter in token.text):
                last = len(ids)
            if token.whitespace:
                spans.append((first, max(first, last)))
                ids.append(vocabulary[" "])
                first = last = len(ids)
        spans.append((first, max(first, last)))
        ids = ids[:LONGEST_PHONEMES]
        return [*ids, 0], [(min(first, len(ids)), min(last, len(ids))) for first, last in spans]


def _with_output(model: bytes, name: str) -> bytes:
    """An ONNX model with an inner value as one more output, the last.

    A protobuf message may be written in parts: fields of a part that is appended are added to what is there.
    https://protobuf.dev/programming-guides/encoding/#last-one-wins
    """

    def field(number: int, content: bytes) -> bytes:
        assert len(content) < 128, "a length of one byte"
        return bytes([number << 3 | 2, len(content)]) + content

    return model + field(GRAPH, field(OUTPUT, field(NAME, name.encode())))


def _is_latin(text: str) -> bool:
    letters = [letter for letter in text if letter.isalpha()]
    return 2 * sum(letter < "\u0250" for letter in letters) > len(letters)


def _bounds(samples: Samples, rate: int, text: str) -> tuple[int, int]:
    """Where the clause begins and ends, in samples: almost at once, and with a pause that suits its last mark."""
    loud = np.flatnonzero(np.abs(samples) > QUIET)
    if not len(loud):
        return 0, len(samples)
    mark = text.rstrip("\"')]}”’")[-1:]
    pause = PAUSES_MS.get(mark, 80)
    return max(0, int(loud[0]) - ONSET_MS * rate // 1000), int(loud[-1]) + pause * rate // 1000


def _timed(line: Line, spans: Sequence[tuple[int, int]], cut_ms: int, total_ms: int) -> tuple[Word, ...]:
    """The tokens of the written words, each within the time of its reading."""
    spoken: list[Word] = []
    place = 0
    for written, reading in line.words:
        first, place = place, place + len(reading.split())
        heard = [token for token in tokens(written) if not is_mark(token)]
        start, end = (max(0, at - cut_ms) for at in (spans[first][0], spans[place - 1][1]))
        for number, token in enumerate(heard):
            part = (end - start) / len(heard)
            spoken.append(Word(token, round(start + number * part), round(start + (number + 1) * part)))
    return with_marks(spoken, tokens(line.text), total_ms)
