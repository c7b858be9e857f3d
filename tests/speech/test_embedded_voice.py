"""The embedded voice with its real network: English, at once, with the time of each word."""

import gevent
import numpy as np
import pytest
from structlog.testing import capture_logs

from parley.errors import InternalError, LanguageNotSpoken
from parley.speech import voice_package
from parley.speech.embedded_voice import EmbeddedVoice, _with_output
from parley.speech.speech_text import Clause, to_clause
from parley.speech.utterance import AudioPiece
from parley.speech.word_timing import is_mark

pytestmark = pytest.mark.embedded
RATE = 16_000


@pytest.fixture(scope="module")
def voice() -> EmbeddedVoice:
    voice = EmbeddedVoice(RATE)
    voice.warm()
    return voice


def prepared(text: str) -> Clause:
    found = to_clause(text, english=True)
    assert found is not None
    return found


def say(voice: EmbeddedVoice, text: str) -> AudioPiece:
    (piece,) = voice.say(prepared(text))
    return piece


def seconds(piece: AudioPiece, rate: int = RATE) -> float:
    return len(piece.pcm) / 2 / rate


def test_a_clause_is_said_in_one_piece_with_its_text(voice: EmbeddedVoice) -> None:
    piece = say(voice, "Certainly, I can **help**.")

    assert piece.text == "Certainly, I can help."
    assert 1.0 < seconds(piece) < 2.5
    assert 3000 < np.abs(np.frombuffer(piece.pcm, "<i2").astype(int)).max() < 32767


def test_a_clause_begins_at_once_and_pauses_by_its_mark(voice: EmbeddedVoice) -> None:
    def silence(text: str) -> tuple[float, float]:
        loud = np.flatnonzero(np.abs(np.frombuffer(say(voice, text).pcm, "<i2").astype(int)) > 400)
        return loud[0] / RATE, seconds(say(voice, text)) - loud[-1] / RATE

    sentence, clause = silence("We are open."), silence("We are open,")

    assert max(sentence[0], clause[0]) < 0.06
    assert 0.25 < sentence[1] < 0.4 and 0.1 < clause[1] < 0.2


def test_an_urgent_clause_overtakes_those_that_can_wait(voice: EmbeddedVoice) -> None:
    done: list[str] = []

    def saying(text: str, urgent: bool) -> None:
        list(voice.say(prepared(text), urgent=urgent))
        done.append(text)

    patient = [gevent.spawn(saying, "We are open from nine to five, every day of the week.", False) for _ in range(4)]
    gevent.sleep(0)
    gevent.joinall([*patient, gevent.spawn(saying, "Yes.", True)], timeout=20, raise_error=True)

    assert len(done) == 5 and done.index("Yes.") <= 2


def test_the_same_words_sound_the_same(voice: EmbeddedVoice) -> None:
    assert say(voice, "We are open.") == say(voice, "We are open.")


@pytest.mark.parametrize("rate", [8000, 22_050, 48_000])
def test_the_sound_is_as_long_at_every_rate(voice: EmbeddedVoice, rate: int) -> None:
    (piece,) = EmbeddedVoice(rate).say(prepared("We are open."))

    assert seconds(piece, rate) == pytest.approx(seconds(say(voice, "We are open.")), abs=0.002)


def test_every_word_and_mark_has_its_time(voice: EmbeddedVoice) -> None:
    piece = say(voice, 'It costs $45.50 ("really!"), doesn\'t it?')

    texts = [word.text for word in piece.words]
    assert "".join(texts) == 'Itcosts$45.50("really!"),doesn\'tit?'
    edges = [edge for word in piece.words for edge in word[1:]]
    assert edges == sorted(edges) and edges[-1] <= 1000 * seconds(piece)
    spoken = {word.text: word.end_ms - word.start_ms for word in piece.words if not is_mark(word.text)}
    assert spoken["45.50"] > 3 * spoken["costs"]  # forty-five dollars and fifty cents
    assert all(length >= 25 for length in spoken.values())


def test_words_lie_where_the_sound_is(voice: EmbeddedVoice) -> None:
    """Find the pause of the comma between the two halves, by the durations and in the samples."""
    piece = say(voice, "Yesterday it rained all day long, but tomorrow the sun will shine.")
    samples = np.abs(np.frombuffer(piece.pcm, "<i2").astype(int))
    long_word, but = (next(word for word in piece.words if word.text == text) for text in ("long", "but"))

    quiet = [samples[at : at + 320].max() < 500 for at in range(0, len(samples), 320)]
    pauses = [20 * index for index, is_quiet in enumerate(quiet) if is_quiet]

    assert any(long_word.start_ms < pause < but.start_ms + 80 for pause in pauses)


def test_durations_come_from_the_pinned_version(voice: EmbeddedVoice) -> None:
    samples, spans = voice._engine.say("Hello there.")

    assert spans is not None and len(spans) == 2
    # The network counts in units of 25 ms: the durations of all sounds add up to the length of the clause.
    assert spans[-1][1] <= len(samples) * 1000 // voice._engine.rate


def test_another_version_speaks_with_estimated_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice_package, "VERSION", "0.0.1")
    with capture_logs() as logged:
        piece = say(EmbeddedVoice(RATE), "Hello there.")

    assert [word.text for word in piece.words] == ["Hello", "there", "."]
    assert [entry["event"] for entry in logged] == ["voice_times_estimated"]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Wir haben von neun bis fünf Uhr geöffnet.", "de"),
        ("Abrimos de lunes a viernes.", "es"),
        ("你好，世界。", "another script"),
    ],
    ids=["german", "spanish", "chinese"],
)
def test_another_language_is_refused(voice: EmbeddedVoice, text: str, language: str) -> None:
    with pytest.raises(LanguageNotSpoken) as raised:
        say(voice, text)

    assert raised.value.language == language and raised.value.speakable


def test_a_failure_of_the_network_is_an_internal_error() -> None:
    voice = EmbeddedVoice(0)  # a rate that nothing can be converted to

    with capture_logs() as logged, pytest.raises(InternalError, match="the embedded voice failed"):
        say(voice, "Hello.")

    assert [entry["event"] for entry in logged] == ["voice_failed"]


@pytest.mark.parametrize("text", ["1,234,567,890,123 x 987654321", "Supercalifragilistic " * 11, "a!?", "I", "x²"])
def test_odd_texts_are_said_too(voice: EmbeddedVoice, text: str) -> None:
    piece = say(voice, text)

    assert seconds(piece) > 0.1 and piece.words


def test_an_inner_value_of_a_network_becomes_its_last_output() -> None:
    import onnx
    import onnxruntime

    doubled = onnx.helper.make_node("Add", ["x", "x"], ["doubled"])
    result = onnx.helper.make_node("Neg", ["doubled"], ["result"])
    floats = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "result")]
    graph = onnx.helper.make_graph([doubled, result], "graph", floats[:1], floats[1:])
    model = onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 17)])

    changed = _with_output(model.SerializeToString(), "doubled")

    session = onnxruntime.InferenceSession(changed, providers=["CPUExecutionProvider"])
    assert [float(value[0]) for value in session.run(None, {"x": np.ones(1, np.float32)})] == [-2, 2]
