"""The cache of recurring clauses, the timeline, and the null object where no voice is installed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from parley.errors import UpstreamError
from parley.speech import placeholder
from parley.speech.pronunciation import FILE_NAME, PronunciationFile
from parley.speech.speech_text import Clause, to_clauses
from parley.speech.synthesis import CachingSynthesiser, PlaceholderVoice, Timeline
from parley.speech.utterance import AudioPiece
from parley.speech.word_timing import Word

RATE = 16_000


class Recorder:
    """A synthesiser that records its calls: each clause is two pieces, 100 ms in all."""

    name = description = "recorder"
    english = True
    rate = RATE

    def __init__(self) -> None:
        self.said: list[str] = []
        self.fails = False

    def say(self, clause: Clause, *, urgent: bool = True) -> Iterator[AudioPiece]:
        self.said.append(clause.spoken)
        yield AudioPiece(b"\1\0" * 800, clause.text)
        if self.fails:
            raise UpstreamError("no more")
        yield AudioPiece(b"\2\0" * 800, words=(Word(clause.text, 10, 90),))

    def warm(self) -> None:
        self.said.append("warm")

    def close(self) -> None:
        self.said.append("closed")


def clause(text: str) -> Clause:
    (found,) = to_clauses(text, english=True)
    return found


@pytest.fixture
def voice() -> Recorder:
    return Recorder()


def test_a_recurring_phrase_is_said_once_and_then_cached(voice: Recorder) -> None:
    caching = CachingSynthesiser(voice, ["One moment. I look."])

    heard = [list(caching.say(clause("One moment."))) for _ in range(3)]

    assert voice.said == ["One moment."]
    assert heard[0] == heard[1] == heard[2] and len(heard[0]) == 2


def test_other_clauses_are_not_cached(voice: Recorder) -> None:
    caching = CachingSynthesiser(voice, ["One moment."])

    for _ in range(2):
        list(caching.say(clause("It costs five dollars.")))

    assert len(voice.said) == 2


def test_a_clause_marked_as_recurring_is_cached(voice: Recorder) -> None:
    caching = CachingSynthesiser(voice)

    list(caching.say(clause("Welcome."), recurs=True))
    list(caching.say(clause("Welcome.")))

    assert voice.said == ["Welcome."]


def test_a_rehearsal_caches_all_phrases(voice: Recorder) -> None:
    caching = CachingSynthesiser(voice, ["One moment. I look.", ""])

    caching.warm()
    caching.rehearse()
    list(caching.say(clause("I look.")))

    assert sorted(voice.said) == ["I look.", "One moment.", "warm"]


def test_the_cache_is_bounded_and_forgets_the_least_recent(voice: Recorder) -> None:
    caching = CachingSynthesiser(voice, max_bytes=2 * 3200)

    for text in ("A one.", "B two.", "A one.", "C three.", "A one.", "B two."):
        list(caching.say(clause(text), recurs=True))

    assert voice.said == ["A one.", "B two.", "C three.", "B two."]


def test_an_incomplete_clause_is_not_cached(voice: Recorder) -> None:
    caching = CachingSynthesiser(voice)
    next(caching.say(clause("Welcome."), recurs=True))
    voice.fails = True
    with pytest.raises(UpstreamError):
        list(caching.say(clause("Welcome."), recurs=True))
    voice.fails = False

    assert len(list(caching.say(clause("Welcome."), recurs=True))) == 2
    assert len(voice.said) == 3


def test_an_utterance_times_its_words_from_its_start(voice: Recorder) -> None:
    utterance = CachingSynthesiser(voice).utterance("**One** moment. I look.")

    assert utterance.transcript == "One moment. I look." and not utterance.simulated
    assert len(utterance.pcm) == 2 * 3200
    assert utterance.words == (Word("One moment.", 10, 90), Word("I look.", 110, 190))


def test_late_words_are_timed_from_their_own_clause() -> None:
    timeline = Timeline(RATE)
    timeline.append(AudioPiece(b"\0" * 3200, "A."))
    timeline.end_clause()
    timeline.append(AudioPiece(b"\0" * 3200, "B."))

    late = timeline.append(AudioPiece(words=(Word("B", 0, 50),)))

    assert late.words == (Word("B", 100, 150),)


def test_without_a_voice_words_get_simulated_sound() -> None:
    (piece,) = PlaceholderVoice(RATE).say(clause("Hello there."))

    assert (piece.text, piece.pcm) == ("Hello there.", placeholder.utterance("Hello there.", RATE).pcm)
    assert CachingSynthesiser(PlaceholderVoice(RATE)).utterance("Hello there.").simulated


def test_a_text_is_remembered_as_it_is_pronounced(voice: Recorder, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text('{"Agora": "uh gora"}')
    caching = CachingSynthesiser(voice, ["Ask Agora."], pronunciation_file=PronunciationFile(tmp_path))

    assert not caching.remembers("Ask Agora.")
    caching.rehearse()

    assert voice.said == ["Ask uh gora."] and caching.remembers("Ask Agora.")
