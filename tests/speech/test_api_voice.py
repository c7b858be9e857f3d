"""The voice of an API: its requests, its sound at our rate, its failures as our errors.

Deadlines are tested on the real server.
"""

import contextlib
import struct
from collections.abc import Callable, Iterator

import gevent
import numpy as np
import pytest
from fake_upstream import END, FakeUpstream, Script, close, head, http_chunk, refusal, reset, whole
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
from parley.speech.speech_text import Clause, to_clause
from parley.speech.utterance import AudioPiece

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
    """Return a factory of voices behind the fake API: `voice(rate=8000, language="de")`."""
    with contextlib.ExitStack() as made:

        def make(rate: int = 16_000, language: str = "en") -> ApiVoice:
            facts = Api(api.base_url, KEY, "speaker-1", "alto", language, connect=2.0, silence=0.3)
            return made.enter_context(contextlib.closing(ApiVoice(facts, rate)))

        yield make


def prepared(text: str = "It costs $5.") -> Clause:
    found = to_clause(text, english=True)
    assert found is not None
    return found


def test_a_fast_voice_passes_a_checkpoint_with_each_piece(
    api: FakeUpstream, voice: Voices, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[None] = []
    monkeypatch.setattr("parley.speech.api_voice.checkpoint", lambda: passed.append(None))
    api.script = [head(200, PCM_HEAD), b"1\r\nx\r\n" * 4800, END]
    said(list(voice().say(prepared())))
    assert len(passed) >= 4000


def said(pieces: list[AudioPiece]) -> np.ndarray:
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


def test_the_text_comes_first_and_the_timed_words_last(voice: Voices, api: FakeUpstream) -> None:
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
        gevent.sleep(0)  # the connection is returned in a greenlet of its own

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
def test_failures_become_our_errors_and_leak_no_secrets(
    voice: Voices, api: FakeUpstream, script: Script, error: type[ParleyError]
) -> None:
    api.script = script

    with capture_logs() as logged, pytest.raises(error) as raised:
        list(voice().say(prepared()))

    assert type(raised.value) is error and KEY not in raised.value.message
    assert [(entry["event"], entry["code"]) for entry in logged] == [("voice_failed", error.code)] or not logged
    assert KEY not in str(logged)


@pytest.mark.parametrize(
    "start", [b"RIFF\x00\x00\x00\x00WAVE", b"ID3\x04", b"OggS\x00", b'{"error": 1}', b"<!DOCTYPE html>"]
)
@pytest.mark.parametrize("first", [1, 2, 3])
def test_a_file_is_recognised_however_short_its_first_piece_is(
    voice: Voices, api: FakeUpstream, start: bytes, first: int
) -> None:
    api.script = [*begins(start[:first]), 0.05, http_chunk(start[first:] + tone(0.1)), END]

    with pytest.raises(UpstreamBadResponse):
        list(voice().say(prepared()))


@pytest.mark.parametrize("sample", [0x7B, 0x3C, -1, 0x13C])
def test_a_sound_may_begin_with_any_quiet_sample(voice: Voices, api: FakeUpstream, sample: int) -> None:
    api.script = says(struct.pack("<h", sample) + tone(0.5), pieces=3)

    assert len(said(list(voice().say(prepared())))) > 7000


def test_an_api_that_is_not_there_is_unreachable(voice: Voices, api: FakeUpstream) -> None:
    speaking = voice()
    api.stop()

    with pytest.raises(UpstreamUnreachable):
        list(speaking.say(prepared()))


def test_closing_the_pieces_closes_the_connection(voice: Voices, api: FakeUpstream) -> None:
    api.script = [*begins(struct.pack("<2400h", *[500] * 2400)), 1_000_000.0]
    pieces = voice().say(prepared())
    next(pieces)

    pieces.close()  # type: ignore[attr-defined]
    gevent.sleep(0)

    (call,) = api.calls
    assert call.finished.wait(5) and call.outcome == "peer_left"
