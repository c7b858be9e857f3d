"""A text spoken while it is written: order, how far ahead, errors behind earlier sound, and closing at any moment."""

import contextlib
import itertools
import weakref
from collections.abc import Generator, Iterator

import gevent
import pytest
from gevent.event import Event
from structlog.testing import capture_logs

from parley.concurrency import SILENCE, Silence
from parley.errors import AnswerCapped, LanguageNotSpoken, UpstreamDisconnected, UpstreamError
from parley.speech import speech_stream as speech_stream_module
from parley.speech.speech_stream import SpeechStream
from parley.speech.speech_text import MAX_CHARACTERS, Clause
from parley.speech.utterance import AudioPiece
from parley.speech.word_timing import Word

RATE = 16_000
SOUND = b"\1\0" * 1600
LIMIT = 5


class Speaker:
    """A voice that says each clause in 100 ms of sound, once `go` is set; a clause with "fault" in it fails."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.urgent: list[bool] = []
        self.ended = 0
        self.go = Event()
        self.go.set()

    def say(self, clause: Clause, *, urgent: bool) -> Iterator[AudioPiece]:
        self.said.append(clause.text)
        self.urgent.append(urgent)
        try:
            self.go.wait()
            if "fault" in clause.text:
                raise UpstreamError("the voice failed")
            if "wir" in clause.text.casefold():
                raise LanguageNotSpoken("de")
            yield AudioPiece(SOUND, clause.text, (Word(clause.text, 0, 100),))
        finally:
            self.ended += 1


class Writer:
    """A text in pieces, with waits and errors between them, that records its closing."""

    def __init__(self, *pieces: str | Silence | Event | Exception | type[Exception]) -> None:
        self.pieces = pieces
        self.closed = False

    def text(self) -> Generator[str | Silence, None, None]:
        try:
            for piece in self.pieces:
                if isinstance(piece, type):
                    raise piece("")
                if isinstance(piece, Exception):
                    raise piece
                if isinstance(piece, Event):
                    piece.wait()
                else:
                    yield piece
        finally:
            self.closed = True


@pytest.fixture
def speaker() -> Speaker:
    return Speaker()


def speech_stream(writer: Writer, speaker: Speaker, tick: float = LIMIT) -> SpeechStream:
    return SpeechStream(writer.text(), speaker.say, rate=RATE, english=True, tick=tick)


def text_of(piece: AudioPiece | Silence) -> str:
    return piece.text if isinstance(piece, AudioPiece) else ""


def settle() -> None:
    """Let every greenlet run as far as it can."""
    for _ in range(10):
        gevent.sleep(0)


def test_clauses_come_in_order_and_are_timed_from_the_start(speaker: Speaker) -> None:
    pieces = list(speech_stream(Writer("Yes. We", " are op", "en. Come in"), speaker).pieces())

    assert [piece.text for piece in pieces] == ["Yes. ", "We are open. ", "Come in "]
    assert [piece.words[0][1:] for piece in pieces] == [(0, 100), (100, 200), (200, 300)]


def test_the_first_clause_comes_while_the_text_is_written(speaker: Speaker) -> None:
    with gevent.Timeout(LIMIT):
        assert next(speech_stream(Writer("Yes. We", Event()), speaker).pieces()).text == "Yes. "


def test_a_pause_ends_what_looks_like_a_clause(speaker: Speaker) -> None:
    with gevent.Timeout(LIMIT):
        assert next(speech_stream(Writer("Yes, we can.", Event()), speaker).pieces()).text == "Yes, we can. "


def test_the_next_clause_is_short_when_nothing_is_left_to_hear(speaker: Speaker) -> None:
    heard = Event()
    writer = Writer("Certainly! I would be ", heard, "glad to help ", "you find the right ", "bicycle here today.")
    pieces = speech_stream(writer, speaker).pieces()
    assert text_of(next(pieces)) == "Certainly! "
    gevent.spawn_later(0.05, heard.set)

    assert text_of(next(pieces)) == "I would be glad "
    assert list(pieces)
    assert " ".join(speaker.said) == "Certainly! I would be glad to help you find the right bicycle here today."


def test_a_clause_waits_for_its_mark_while_sound_is_left(speaker: Speaker) -> None:
    writer = Writer("Certainly! I would be glad to help ", "you find the right ", "bicycle here today. Bye.")
    list(speech_stream(writer, speaker).pieces())

    assert speaker.said == ["Certainly!", "I would be glad to help you find the right bicycle here today.", "Bye."]


def test_an_error_ends_what_looks_like_a_clause(speaker: Speaker) -> None:
    pieces = speech_stream(Writer("We can. We open.", UpstreamDisconnected("lost")), speaker).pieces()

    assert [next(pieces).text, next(pieces).text] == ["We can. ", "We open. "]
    with pytest.raises(UpstreamDisconnected):
        next(pieces)


@pytest.mark.row("RB-01")
def test_thoughts_that_wait_to_be_said_are_not_said(speaker: Speaker) -> None:
    closing = Event()
    writer = Writer("One. Two. Three. Four. ", closing, "Five</think>", "Six.")
    pieces = speech_stream(writer, speaker, tick=0.001).pieces()
    with gevent.Timeout(LIMIT):
        while speaker.said != ["One.", "Two."]:
            gevent.sleep(0)
        closing.set()
        while not writer.closed:
            gevent.sleep(0)

    assert [piece.text for piece in pieces if piece is not SILENCE] == ["One. ", "Two. ", "Six. "]


def test_one_clause_is_heard_and_one_waits_but_no_more(speaker: Speaker) -> None:
    pieces = speech_stream(Writer("One. Two. Three. Four."), speaker).pieces()
    first = next(pieces)
    settle()

    assert (first.text, speaker.said) == ("One. ", ["One.", "Two."])
    assert next(pieces).text == "Two. "  # the first has been heard
    settle()
    assert speaker.said == ["One.", "Two.", "Three."]


def test_a_clause_is_urgent_when_nothing_is_left_to_hear(speaker: Speaker) -> None:
    pause = Event()
    pieces = speech_stream(Writer("One. Two. ", pause, "Three. "), speaker, tick=0.001).pieces()
    settle()
    heard = [next(pieces), next(pieces), next(pieces)]
    pause.set()
    settle()

    assert heard[2] is SILENCE and next(pieces).text == "Three. "
    assert speaker.urgent == [True, False, True]


def test_the_text_is_read_while_no_piece_is_taken(speaker: Speaker) -> None:
    writer = Writer("One. Two. Three. Four.")
    stream = speech_stream(writer, speaker)
    with gevent.Timeout(LIMIT):
        while not writer.closed:
            settle()

    assert len(list(stream.pieces())) == 4


@pytest.mark.row("RF-20")
def test_the_sound_of_an_answer_ends_at_its_cap(speaker: Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech_stream_module, "MAX_SECONDS", 1)
    heard = b""

    with pytest.raises(AnswerCapped):
        for piece in speech_stream(Writer("It goes on. " * 50), speaker).pieces():
            heard += piece.pcm

    assert len(heard) == 2 * RATE and len(speaker.said) <= 13


@pytest.mark.slow
@pytest.mark.row("RF-20")
def test_one_long_piece_of_text_is_said_up_to_the_cap(speaker: Speaker) -> None:
    texts = []

    with pytest.raises(AnswerCapped):
        for piece in speech_stream(Writer("It goes on and on. " * 5000), speaker).pieces():
            texts.append(piece.text)

    assert 0.9 * MAX_CHARACTERS < len("".join(texts)) <= MAX_CHARACTERS


@pytest.mark.row("RF-10")
def test_an_answer_of_slow_clauses_has_an_end(speaker: Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech_stream_module, "MAX_SECONDS", 0)
    writer = Writer(*itertools.repeat(SILENCE, 1000))
    stream = SpeechStream(writer.text(), speaker.say, rate=RATE, english=True, tick=LIMIT, waits=0)

    with contextlib.closing(stream), pytest.raises(AnswerCapped):
        list(stream.pieces())


@pytest.mark.row("RF-10")
def test_the_side_that_failed_is_told(speaker: Speaker) -> None:
    for writer, is_voice in ((Writer("Yes. A fault."), True), (Writer("Yes. ", UpstreamDisconnected("broke")), False)):
        stream = speech_stream(writer, speaker)
        with pytest.raises(UpstreamError):
            list(stream.pieces())
        assert stream.voice_failed is is_voice


def test_silence_gives_empty_pieces(speaker: Speaker) -> None:
    with gevent.Timeout(LIMIT):
        assert next(speech_stream(Writer(Event()), speaker, tick=0.001).pieces()) is SILENCE


def test_an_empty_text_gives_an_empty_piece_at_once(speaker: Speaker) -> None:
    with gevent.Timeout(LIMIT):
        assert next(speech_stream(Writer(SILENCE, Event()), speaker).pieces()) is SILENCE


def test_a_text_that_fails_is_heard_to_its_last_full_clause(speaker: Speaker) -> None:
    pieces = speech_stream(Writer("One. Two. Thr", UpstreamDisconnected("broke")), speaker).pieces()

    assert [next(pieces).text, next(pieces).text] == ["One. ", "Two. "]
    with pytest.raises(UpstreamDisconnected):
        next(pieces)


def test_a_failing_voice_raises_behind_its_earlier_sound(speaker: Speaker) -> None:
    pieces = speech_stream(Writer("One. A fault. Three."), speaker).pieces()

    assert next(pieces).text == "One. "
    with pytest.raises(UpstreamError, match="the voice failed"):
        next(pieces)
    assert "Three." not in speaker.said


@pytest.mark.slow
def test_an_endless_answer_is_capped(speaker: Speaker) -> None:
    endless = "A sentence of words. " * (MAX_CHARACTERS // 21)

    with pytest.raises(AnswerCapped):
        list(speech_stream(Writer(endless, "One more sentence, then. "), speaker).pieces())


def test_a_text_without_words_has_no_sound(speaker: Speaker) -> None:
    assert list(speech_stream(Writer("😀", " ```x```"), speaker).pieces()) == []


@pytest.mark.parametrize("moment", ["before_it_begins", "while_the_text_is_awaited", "while_a_clause_is_made", "ahead"])
def test_close_ends_the_text_and_the_voice_at_any_moment(speaker: Speaker, moment: str) -> None:
    writer = Writer("One. Two. Three.") if moment == "ahead" else Writer("One. Two", Event())
    if moment == "while_a_clause_is_made":
        speaker.go.clear()
    stream = speech_stream(writer, speaker)
    greenlets = list(stream._greenlets)
    if moment != "before_it_begins":
        settle()

    stream.close()
    settle()

    assert all(greenlet.dead for greenlet in greenlets)
    assert writer.closed or moment == "before_it_begins"
    assert speaker.ended == len(speaker.said)


@pytest.mark.parametrize("heard", [True, False], ids=["heard", "left"])
@pytest.mark.parametrize("last", [Event, UpstreamDisconnected, ZeroDivisionError, "A fault.", "Come in."])
def test_a_closed_talk_holds_no_memory(
    no_collections: None, speaker: Speaker, last: type[Event | Exception] | str, heard: bool
) -> None:
    talking = speech_stream(Writer("Yes. ", last() if last is Event else last), speaker, tick=0.01)  # type: ignore[arg-type]
    settle()
    if heard:
        with contextlib.suppress(UpstreamError, ZeroDivisionError):
            for _ in itertools.islice(talking.pieces(), 3):
                pass
    talking.close()
    closed = weakref.ref(talking)
    del talking
    settle()
    assert closed() is None


GERMAN = "Wir haben heute leider bis abends geschlossen. "


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("Wir grüßen! We are open today until late.", ["We are open today until late. "]),
        (
            f"It says this on the door of the shop: {GERMAN}You may ring the bell.",
            ["It says", "You may ring the bell."],
        ),
        (f"We speak English in each of our forty-two shops. {GERMAN}", ["We speak English in"]),
    ],
    ids=["a greeting", "a quotation", "a quotation at the end"],
)
def test_a_foreign_clause_in_an_answer_is_left_out(speaker: Speaker, text: str, heard: list[str]) -> None:
    with capture_logs() as logged:
        said = [piece.text for piece in speech_stream(Writer(text), speaker).pieces()]

    assert len(said) == len(heard) and all(map(str.startswith, said, heard))
    assert [(entry["event"], entry["language"]) for entry in logged] == [("voice_cannot_say", "de")]


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        (GERMAN, []),
        ("Wir!", []),
        (f"Wir! {GERMAN}{GERMAN}", []),
        (f"One moment. {GERMAN}", ["One moment. "]),
        (f"One moment. {GERMAN}{GERMAN}Goodbye.", ["One moment. "]),
    ],
    ids=["a sentence", "a greeting", "both", "behind a waiting message", "all but the first"],
)
def test_a_foreign_answer_ends_in_one_error(speaker: Speaker, text: str, heard: list[str]) -> None:
    stream, said = speech_stream(Writer(text), speaker), []

    with capture_logs() as logged, pytest.raises(LanguageNotSpoken) as raised:
        for piece in stream.pieces():
            said.append(text_of(piece))

    assert said == heard and raised.value.language == "de"
    assert not stream.voice_failed, "the voice is well and may say FALLBACK_TEXT"
    assert [entry["event"] for entry in logged] == ["voice_cannot_say"]
