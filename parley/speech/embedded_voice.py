"""The embedded demonstration voice: hibari, a small English network that runs in threads of this process.

It speaks a sentence in a hundredth of the sentence's length, and times each word to 25 ms: the duration of every
phoneme is an inner value of the network, which becomes an output when the network is loaded. That holds for one version
of the package; with another version the voice speaks all the same, and its words are timed by estimate.
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

from parley import concurrency
from parley.concurrency import run_in_thread
from parley.errors import InternalError, LanguageNotSpoken
from parley.languages import LAST_LATIN
from parley.speech import voice_package, word_estimation
from parley.speech.foreign_words import foreign_language
from parley.speech.pcm import Resampler, to_int16
from parley.speech.speech_text import Clause
from parley.speech.utterance import AudioPiece
from parley.speech.word_timing import Word, is_mark, tokens, with_marks
from parley.telemetry.logs import log

DURATIONS = "/Round_output_0"
"""Name of the network's inner value that holds the duration of each phoneme."""
UNIT_MS = 25
"""Unit of these durations, in milliseconds."""
THREADS = 2
"""Number of threads, one of them kept for urgent clauses. More would only compete for the interpreter's lock."""
LAG_MS = 80
"""Lag of the network's durations behind the sound, in milliseconds (forced alignment of 50 sentences)."""
QUIET = 0.01
"""Limit on the level of silence, as a part of full scale."""
ONSET_MS = 30
"""Silence that stays before the first sound, in milliseconds."""
PAUSES_MS = {".": 300, "!": 300, "?": 300, "…": 300, ";": 200, ":": 200, ",": 140, "—": 140}
"""Silence behind a clause by its last mark, in milliseconds: the network's own is twice as long."""
OTHER_PAUSE_MS = 80
LONGEST_PHONEMES = 500
"""Limit on the input, in phonemes: 500 take 120 MiB of memory while they are spoken, 8000 take 2.8 GiB."""

Samples = npt.NDArray[np.float32]


class EmbeddedVoice:
    """A synthesiser whose clauses are spoken in this process; `rate` is that of the PCM it yields."""

    name = "embedded"
    description = voice_package.DESCRIPTION
    english = True

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._pool = concurrency.thread_pool(THREADS)
        # Waiting happens here, not in the pool: a turn that is ended while it waits leaves no work behind.
        self._turns = BoundedSemaphore(THREADS)
        self._patient_turns = BoundedSemaphore(THREADS - 1)

    def say(self, clause: Clause, *, urgent: bool = True) -> Iterator[AudioPiece]:
        """Yield the clause in one piece, with its words. Raises LanguageNotSpoken and InternalError."""
        letters = [letter for letter in clause.spoken if letter.isalpha()]
        # The network drops what is not Latin: a clause in another script would be silence. Another language is noise.
        is_latin = 2 * sum(letter <= LAST_LATIN for letter in letters) > len(letters)
        if language := foreign_language(clause.text) if is_latin else "another script":
            raise LanguageNotSpoken(language)
        with contextlib.nullcontext() if urgent else self._patient_turns, self._turns:
            said = run_in_thread(self._pool, self._rendered, clause)
        yield said

    def warm(self) -> None:
        """Load the network and run it once: the first run takes longer."""
        self._render(Clause((("Hello", "Hello"),)))

    def close(self) -> None:
        """End the threads."""
        self._pool.kill()

    @functools.cached_property
    def _engine(self) -> "_Engine":
        """The network, loaded when it is first needed."""
        return _Engine()

    def _rendered(self, clause: Clause) -> AudioPiece:
        """Return a clause as sound. Raise InternalError, whatever the network's libraries raise."""
        try:
            return self._render(clause)
        except Exception:  # noqa: BLE001 - the boundary to the network's libraries
            log.exception("voice_failed", voice=self.name)
            raise InternalError("the embedded voice failed") from None

    def _render(self, clause: Clause) -> AudioPiece:
        """Return a clause as sound at our rate, cut to its speech, with its words."""
        samples, chunks = self._engine.say(clause.spoken)
        samples_per_ms = self._engine.rate / 1000
        start, end = 0, len(samples)
        loud = np.flatnonzero(np.abs(samples) > QUIET)
        if len(loud):
            # The network begins late, and its own pauses are too long for a conversation.
            mark = clause.spoken.rstrip("\"')]}”’")[-1:]
            start = max(0, int(loud[0] - ONSET_MS * samples_per_ms))
            end = int(loud[-1] + PAUSES_MS.get(mark, OTHER_PAUSE_MS) * samples_per_ms)
        resampler = Resampler(self._engine.rate, self.rate)
        cut = np.pad(samples, (0, max(0, end - len(samples))))[start:end]
        pcm = to_int16(np.concatenate([resampler.resample(cut), resampler.flush()]))
        if chunks is None:
            return AudioPiece(pcm, clause.text, word_estimation.estimate(clause.text, pcm, self.rate))
        total_ms = len(pcm) // 2 * 1000 // self.rate
        return AudioPiece(pcm, clause.text, _timed(clause, chunks, start * 1000 // self._engine.rate, total_ms))


class _Engine:
    """The network of hibari, with its durations where the installed version is the known one."""

    def __init__(self) -> None:
        import hibari
        from hibari import dsp

        path = Path(hibari.voices.voice_path(hibari.voices.DEFAULT, download_missing=False))
        self._durations_known = importlib.metadata.version(voice_package.PACKAGE) == voice_package.VERSION
        model = _with_output(path.read_bytes(), DURATIONS) if self._durations_known else str(path)
        self._hibari = hibari.Hibari(model=model)
        # `Hibari.from_ids` keeps the network's outputs to itself; its two steps are called here one by one.
        self._synth = dsp.synth
        self.rate: int = hibari.SAMPLE_RATE
        if not self._durations_known:
            known = f"{voice_package.PACKAGE} {voice_package.VERSION}"
            log.warning("voice_times_estimated", reason=f"{known} is the version whose durations are known")

    def say(self, text: str) -> tuple[Samples, list[tuple[int, int]] | None]:
        """Return the sound of a text, and the start and end in ms of each word between blanks, or None if unknown."""
        ids, spans = self._phonemes(text)
        inputs = {"ids": np.asarray([ids], np.int64), "speed": np.ones(1, np.float32)}
        spectrum: Sequence[Any] = self._hibari.sess.run(None, inputs)
        # A fixed seed, so that equal texts sound alike: what is cached must not differ from what is not.
        samples = self._synth(*(part[0] for part in spectrum[:6]), np.random.default_rng(0))
        if not self._durations_known:
            return samples, None
        ends = np.cumsum(spectrum[6]) * UNIT_MS - LAG_MS
        return samples, [(int(ends[first - 1]), int(ends[last - 1])) for first, last in spans]

    def _phonemes(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the network's input, and for each word the indices of its first phoneme and behind its last."""
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
    """Return an ONNX model with one of its inner values as one more output, the last.

    Messages of protobuf merge where they are joined, so that the model itself need not be parsed (25 ms, 12 MiB).
    https://protobuf.dev/programming-guides/encoding/#last-one-wins
    """
    # perf: saves 120 ms and 7 MiB (start without this voice, which itself takes 1.2 s and 170 MiB)
    import onnx

    output = onnx.GraphProto(output=[onnx.ValueInfoProto(name=name)])
    added: bytes = onnx.ModelProto(graph=output).SerializeToString()
    return model + added


def _timed(clause: Clause, spans: Sequence[tuple[int, int]], cut_ms: int, total_ms: int) -> tuple[Word, ...]:
    """Return the tokens of the written words in time, each within the time of its reading."""
    spoken: list[Word] = []
    position = 0
    for written, reading in clause.words:
        first, position = position, position + len(reading.split())
        heard = [token for token in tokens(written) if not is_mark(token)]
        start, end = (max(0, at - cut_ms) for at in (spans[first][0], spans[position - 1][1]))
        for number, token in enumerate(heard):
            part = (end - start) / len(heard)
            spoken.append(Word(token, round(start + number * part), round(start + (number + 1) * part)))
    return with_marks(spoken, tokens(clause.text), total_ms)
