"""An API's voice: what it is asked, its sound at our rate, its failures as ours. Its deadlines: on the real server."""

import contextlib
import struct
from collections.abc import Callable, Iterator

import gevent
import numpy as np
import pytest
from fake_upstream import END, FakeUpstream, Script, close, head, refusal, reset, whole
from fake_voice import PCM_HEAD, begins, says, tone
from structlog.testing import capture_logs

from parley.errors import (
    ParleyError,
    UpstreamAuthFailed,
    UpstreamBadResponse,
    UpstreamDisconnected,
    UpstreamEmptyResponse,
    UpstreamError,
    UpstreamRedirect,
    UpstreamStalled,
    UpstreamUnreachable,
)
from parley.speech.api_voice import Api, ApiVoice
from parley.speech.speakable import Line, line
from parley.speech.utterances import Piece

pytestmark = pytest.mark.slow

Voices = Callable[..., ApiVoice]
KEY = "sk-voice-0123456789"


@pytest.fixture
def api() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        fake.script = says(tone(0.5))
        yield fake


@pytest.fixture
def voice(api: FakeUpstream) -> Iterator[Callable[..., ApiVoice]]:
    """`voice(rate=8000, language="de")` speaks through the fake API."""
    with contextlib.ExitStack() as made:

        def make(rate: int = 16_000, language: str = "en") -> ApiVoice:
            facts = Api(api.base_url, KEY, "speaker-1", "alto", language, connect=2.0, silence=0.3)
            return made.enter_context(contextlib.closing(ApiVoice(facts, rate)))

        yield make


def prepared(text: str = "It costs $5.") -> Line:
    found = line(text, english=True)
    assert found is not None
    return found


def test_a_voice_that_never_pauses_passes_a_checkpoint_with_each_piece(
    api: FakeUpstream, voice: Voices, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[None] = []
    monkeypatch.setattr("parley.speech.api_voice.checkpoint", lambda: passed.append(None))
    api.script = [head(200, PCM_HEAD), b"1\r\nx\r\n" * 4800, END]
    said(list(voice().say(prepared())))
    assert len(passed) >= 4800


def said(pieces: list[Piece]) -> np.ndarray:
    return np.frombuffer(b"".join(piece.pcm for piece in pieces), "<i2")


def test_the_api_is_asked_for_the_readings_as_pcm(voice: Voices, api: FakeUpstream) -> None:
    list(voice().say(prepared()))

    (call,) = api.calls
    assert (call.method, call.path, call.headers["authorization"]) == ("POST", "/v1/audio/speech", f"Bearer {KEY}")
    assert call.json == {
        "input": "It costs five dollars.",
        "model": "speaker-1",
        "voice": "alto",
        "response_format": "pcm",
    }


@pytest.mark.parametrize("rate", [8000, 16_000, 24_000, 48_000])
def test_the_sound_comes_at_our_rate_however_it_was_cut(voice: Voices, api: FakeUpstream, rate: int) -> None:
    api.script = says(tone(0.5), pieces=7, interval=0.01)

    sound = said(list(voice(rate).say(prepared())))

    assert abs(len(sound) - rate // 2) <= 2
    # One tone, and no clicks: all its energy lies within a few Hz of 477 (24 kHz / 8 radians).
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
    near = slice(int(0.5 * 440), int(0.5 * 520))
    assert spectrum[near].sum() / spectrum.sum() > 0.999


def test_the_text_comes_with_the_first_sound_and_the_words_behind_the_last(voice: Voices, api: FakeUpstream) -> None:
    first, *more, last = voice().say(prepared("Hello there."))

    assert first.text == "Hello there." and first.pcm and not first.words
    assert not any(piece.text or piece.words for piece in more)
    assert [word.text for word in last.words] == ["Hello", "there", "."] and not last.pcm
    assert last.words[-1].end_ms <= 500


def test_other_languages_are_left_to_the_voice(voice: Voices, api: FakeUpstream) -> None:
    assert not voice(language="de").english
    assert voice().english


def test_a_connection_serves_one_clause_after_the_other(voice: Voices, api: FakeUpstream) -> None:
    speaking = voice()

    for _ in range(3):
        list(speaking.say(prepared()))
        gevent.sleep(0)  # it is given back aside

    assert (len(api.calls), api.connections) == (3, 1)


def test_a_failure_before_the_sound_is_tried_once_more(voice: Voices, api: FakeUpstream) -> None:
    api.enqueue(refusal(500, {"message": "busy"}))

    assert len(said(list(voice().say(prepared())))) == 8000
    assert len(api.calls) == 2


FAILURES: list[tuple[Script, type[ParleyError]]] = [
    (refusal(401, {"message": f"Incorrect API key provided: {KEY}"}), UpstreamAuthFailed),
    (refusal(500, {"message": "busy"}), UpstreamError),
    (refusal(404, {"message": "no such voice"}), UpstreamError),
    ([head(307, {"location": "http://127.0.0.1:1/elsewhere", "content-length": "0"})], UpstreamRedirect),
    ([head(200, PCM_HEAD), END], UpstreamEmptyResponse),
    (whole(b"RIFF\x00\x00\x00\x00WAVEfmt ", headers={"content-type": "audio/wav"}), UpstreamBadResponse),
    (whole(b'{"audio":"..."}'), UpstreamBadResponse),
    ([*begins(tone(0.1)), reset], UpstreamDisconnected),
    ([*begins(tone(0.1)), close], UpstreamDisconnected),
    ([*begins(tone(0.1)), 1.0], UpstreamStalled),
    (says(tone(61.0), pieces=200), UpstreamBadResponse),
]


@pytest.mark.parametrize(("script", "error"), FAILURES, ids=lambda value: getattr(value, "__name__", ""))
def test_its_failures_are_ours_and_keep_its_secrets(
    voice: Voices, api: FakeUpstream, script: Script, error: type[ParleyError]
) -> None:
    api.script = script

    with capture_logs() as logged, pytest.raises(error) as raised:
        list(voice().say(prepared()))

    assert type(raised.value) is error and KEY not in raised.value.message
    assert [(entry["event"], entry["code"]) for entry in logged] == [("voice_failed", error.code)] or not logged
    assert KEY not in str(logged)


def test_an_api_that_is_not_there_is_unreachable(voice: Voices, api: FakeUpstream) -> None:
    speaking = voice()
    api.stop()

    with pytest.raises(UpstreamUnreachable):
        list(speaking.say(prepared()))


def test_whoever_stops_listening_closes_the_connection(voice: Voices, api: FakeUpstream) -> None:
    api.script = [*begins(struct.pack("<2400h", *[500] * 2400)), 1_000_000.0]
    pieces = voice().say(prepared())
    next(pieces)

    pieces.close()  # type: ignore[attr-defined]
    gevent.sleep(0)

    (call,) = api.calls
    assert call.finished.wait(5) and call.outcome == "peer_left"
