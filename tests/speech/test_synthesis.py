"""What recurs is made once; and what stands where no voice is."""

from collections.abc import Iterator

import pytest

from parley.errors import UpstreamError
from parley.speech import simulated
from parley.speech.speakable import Line, lines
from parley.speech.synthesis import Remembering, Simulated, Timeline
from parley.speech.utterances import Piece
from parley.speech.words import Word

RATE = 16_000


class Recorder:
    """A synthesiser that counts: each line is two pieces, 100 ms in all."""

    name = description = "recorder"
    english = True
    rate = RATE

    def __init__(self) -> None:
        self.said: list[str] = []
        self.fails = False

    def say(self, line: Line, *, urgent: bool = True) -> Iterator[Piece]:
        self.said.append(line.spoken)
        yield Piece(b"\1\0" * 800, line.text)
        if self.fails:
            raise UpstreamError("no more")
        yield Piece(b"\2\0" * 800, words=(Word(line.text, 10, 90),))

    def warm(self) -> None:
        self.said.append("warm")

    def close(self) -> None:
        self.said.append("closed")


def line(text: str) -> Line:
    (found,) = lines(text, english=True)
    return found


@pytest.fixture
def voice() -> Recorder:
    return Recorder()


def test_what_recurs_is_said_once_and_then_remembered(voice: Recorder) -> None:
    remembering = Remembering(voice, ["One moment. I look."])

    heard = [list(remembering.say(line("One moment."))) for _ in range(3)]

    assert voice.said == ["One moment."]
    assert heard[0] == heard[1] == heard[2] and len(heard[0]) == 2


def test_what_does_not_recur_is_not_kept(voice: Recorder) -> None:
    remembering = Remembering(voice, ["One moment."])

    for _ in range(2):
        list(remembering.say(line("It costs five dollars.")))

    assert len(voice.said) == 2


def test_what_is_said_to_recur_is_kept(voice: Recorder) -> None:
    remembering = Remembering(voice)

    list(remembering.say(line("Welcome."), recurs=True))
    list(remembering.say(line("Welcome.")))

    assert voice.said == ["Welcome."]


def test_a_rehearsal_says_all_phrases_ahead(voice: Recorder) -> None:
    remembering = Remembering(voice, ["One moment. I look.", ""])

    remembering.warm()
    remembering.rehearse()
    list(remembering.say(line("I look.")))

    assert sorted(voice.said) == ["I look.", "One moment.", "warm"]


def test_the_memory_is_bounded_and_forgets_what_was_not_asked_for_the_longest(voice: Recorder) -> None:
    remembering = Remembering(voice, most_bytes=2 * 3200)

    for text in ("A one.", "B two.", "A one.", "C three.", "A one.", "B two."):
        list(remembering.say(line(text), recurs=True))

    assert voice.said == ["A one.", "B two.", "C three.", "B two."]


def test_what_broke_off_or_was_left_is_not_kept(voice: Recorder) -> None:
    remembering = Remembering(voice)
    next(remembering.say(line("Welcome."), recurs=True))
    voice.fails = True
    with pytest.raises(UpstreamError):
        list(remembering.say(line("Welcome."), recurs=True))
    voice.fails = False

    assert len(list(remembering.say(line("Welcome."), recurs=True))) == 2
    assert len(voice.said) == 3


def test_a_whole_utterance_keeps_its_transcript_and_times_words_from_its_start(voice: Recorder) -> None:
    utterance = Remembering(voice).utterance("**One** moment. I look.")

    assert utterance.transcript == "**One** moment. I look." and not utterance.simulated
    assert len(utterance.pcm) == 2 * 3200
    assert utterance.words == (Word("One moment.", 10, 90), Word("I look.", 110, 190))


def test_a_timeline_puts_words_that_come_late_into_their_own_line() -> None:
    timeline = Timeline(RATE)
    timeline.placed(Piece(b"\0" * 3200, "A."))
    timeline.end_line()
    timeline.placed(Piece(b"\0" * 3200, "B."))

    late = timeline.placed(Piece(words=(Word("B", 0, 50),)))

    assert late.words == (Word("B", 100, 150),)


def test_where_no_voice_is_the_words_get_simulated_sound() -> None:
    (piece,) = Simulated(RATE).say(line("Hello there."))

    assert (piece.text, piece.pcm) == ("Hello there.", simulated.utterance("Hello there.", RATE).pcm)
    assert Remembering(Simulated(RATE)).utterance("Hello there.").simulated
