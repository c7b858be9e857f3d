"""The voice of an API: its requests, its sound at our rate, its failures as our errors.

Forms of answers are in test_api_sound.py, what callers hear is on the real server.
"""

import contextlib
import functools
import struct
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import numpy as np
import pytest
from fake_upstream import END, Call, FakeUpstream, Script, close, encode, head, http_chunk, refusal, reset, whole
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
    UpstreamRefused,
    UpstreamStalled,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from parley.speech import wav
from parley.speech.api_voice import Api, ApiVoice
from parley.speech.speech_text import Clause, to_clause
from parley.speech.utterance import AudioPiece
from parley.telemetry.redaction import Redactor
from parley.upstream.retries import retry_after
from parley.upstream.status_errors import error_for_status

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

        def make(rate: int = 16_000, language: str = "en", **limits: float) -> ApiVoice:
            usual = {"connect": 2.0, "first_sound": 2.0, "precommit": 3.0, "silence": 5.0, "total": 20.0}
            facts = Api(
                api.base_url,
                KEY,
                "speaker-1",
                "alto",
                language,
                **{**usual, **limits},
                max_idle=8,
                error_for_status=functools.partial(error_for_status, redactor=Redactor([KEY]), own_key=True),
                retry_after=retry_after,
            )
            return made.enter_context(contextlib.closing(ApiVoice(facts, rate)))

        yield make


def prepared(text: str = "It costs $5.") -> Clause:
    found = to_clause(text, english=True)
    assert found is not None
    return found


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

    assert (len(api.calls), api.connections) == (3, 1)


def test_a_failure_before_the_sound_is_tried_once_more(voice: Voices, api: FakeUpstream) -> None:
    api.enqueue(refusal(500, {"message": "busy"}))

    assert len(said(list(voice().say(prepared())))) == 8000
    assert len(api.calls) == 2


FAILURES: list[tuple[Script, type[ParleyError]]] = [
    (refusal(401, {"message": f"Incorrect API key provided: {KEY}"}), UpstreamAuthFailed),
    (refusal(500, {"message": "busy"}), UpstreamError),
    (refusal(404, {"message": "no such voice"}), UpstreamRefused),
    (refusal(422, {"message": "the text is too long"}), UpstreamRefused),
    ([head(307, {"location": "http://127.0.0.1:1/elsewhere", "content-length": "0"})], UpstreamRedirect),
    ([head(200, PCM_HEAD), END], UpstreamEmptyResponse),
    (whole(b"RIFF\x00\x00\x00\x00WAVEfmt ", headers={"content-type": "audio/wav"}), UpstreamBadResponse),
    (whole(b'{"audio":"..."}'), UpstreamBadResponse),
    (whole(b"<html><h1>Bad gateway</h1></html>", headers={"content-type": "audio/pcm"}), UpstreamBadResponse),
    (whole(b"Internal Server Error: no GPU", headers={"content-type": "audio/pcm"}), UpstreamBadResponse),
    (whole(b'{"error":{"message":"no GPU","code":503}}'), UpstreamError),
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


def test_a_fast_voice_lets_other_greenlets_run(voice: Voices, api: FakeUpstream) -> None:
    api.script = [head(200, PCM_HEAD), b"1\r\nx\r\n" * 48_000, END]
    passes = 0

    def count() -> None:
        nonlocal passes
        while True:
            passes += 1
            # Not at once: the voice runs in threads of this process, which would get no turn.
            gevent.sleep(0.001)

    other = gevent.spawn(count)
    try:
        list(voice().say(prepared()))
    finally:
        other.kill()

    assert passes >= 3


ASKED: list[tuple[Script, int, str]] = [
    (refusal(400, {"message": "voice alto is not available"}), 1, "voice alto is not available"),
    (refusal(404, {"message": "model speaker-1 does not exist"}), 1, "model speaker-1 does not exist"),
    (whole(b'{"detail":"the input is empty"}', 422), 1, ""),
    (refusal(401, {"message": "bad key"}), 1, ""),
    (refusal(500, {"message": "busy"}), 2, ""),
    (refusal(503, {"message": "busy"}, {"retry-after": "60"}), 1, ""),
]


@pytest.mark.row("RA-14")
@pytest.mark.parametrize(("script", "calls", "words"), ASKED, ids=["400", "404", "422", "401", "500", "503 for long"])
def test_a_refusal_keeps_its_words_and_is_not_asked_twice(
    voice: Voices, api: FakeUpstream, script: Script, calls: int, words: str
) -> None:
    api.script = script

    with capture_logs() as logged, pytest.raises(ParleyError) as raised:
        list(voice().say(prepared()))

    assert len(api.calls) == calls and words in raised.value.message
    assert len(logged) == 1 and words in logged[0]["reason"]


WAV = whole(wav.encode(tone(0.5), 24_000), headers={"content-type": "audio/wav"})
NO_PCM = [
    refusal(400, {"message": "response_format pcm is not supported", "param": "response_format"}),
    refusal(422, {"message": "Unsupported format", "type": "invalid_request_error"}),
    whole(b'{"detail":[{"loc":["body","response_format"],"msg":"Input should be \'wav\' or \'mp3\'"}]}', 422),
    refusal(500, {"message": "unknown audio format: pcm"}),
    whole(b"", 415),
    whole(b'{"error":{"message":"`response_format` must be one of `[wav]`"}}'),
]


@pytest.mark.row("RA-14")
@pytest.mark.parametrize("no_pcm", NO_PCM, ids=["OpenAI", "bare", "FastAPI", "as 500", "415", "with status 200"])
def test_wav_is_asked_for_where_pcm_is_refused(voice: Voices, api: FakeUpstream, no_pcm: Any) -> None:
    api.script = lambda call: no_pcm if call.json["response_format"] == "pcm" else WAV
    speaking = voice()

    sounds = [said(list(speaking.say(prepared()))) for _ in range(2)]

    assert [call.json["response_format"] for call in api.calls] == ["pcm", "wav", "wav"]
    assert all(abs(len(sound) - 8000) <= 2 for sound in sounds)


@pytest.mark.row("RA-14")
def test_an_api_without_any_format_tells_its_first_refusal(voice: Voices, api: FakeUpstream) -> None:
    def script(call: Call) -> Any:
        return refusal(400, {"message": f"response_format {call.json['response_format']} is not supported"})

    api.script = script
    speaking = voice()

    for _ in range(2):
        api.calls.clear()
        with pytest.raises(UpstreamRefused, match="response_format pcm"):
            list(speaking.say(prepared()))
        assert [call.json["response_format"] for call in api.calls] == ["pcm", "wav", "mp3"]


@pytest.mark.row("RA-14")
def test_an_echo_of_the_request_is_no_word_about_the_format(voice: Voices, api: FakeUpstream) -> None:
    echo = {"loc": ["body", "voice"], "msg": "Field required", "input": {"response_format": "pcm", "input": "Hi"}}
    api.script = whole(encode({"detail": [echo]}), 422)

    with pytest.raises(ParleyError):
        list(voice().say(prepared()))

    assert len(api.calls) == 1


@pytest.mark.row("RA-14")
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ([head(307, {"location": "http://127.0.0.1:1/elsewhere", "content-length": "0"})], "set TTS_BASE_URL"),
        (refusal(401, {"message": "no"}), "the speech synthesis refused the server's own key"),
        ([reset], "the speech synthesis"),
        (whole(b"not http")[1:], "the speech synthesis"),
    ],
    ids=["a redirect", "a refused key", "a reset", "no HTTP"],
)
def test_errors_speak_of_the_voice(voice: Voices, api: FakeUpstream, script: Script, words: str) -> None:
    api.script = script

    with pytest.raises(ParleyError) as raised:
        list(voice().say(prepared()))

    assert words in raised.value.message and "upstream" not in raised.value.message


@pytest.mark.row("RA-14")
def test_a_short_retry_after_is_waited_for(voice: Voices, api: FakeUpstream) -> None:
    api.enqueue(refusal(429, {"message": "slow down"}, {"retry-after-ms": "50"}))

    assert len(said(list(voice().say(prepared())))) == 8000


DRIPS: list[tuple[Script, type[ParleyError]]] = [
    ([head(200, PCM_HEAD), *[http_chunk(b"\1"), 0.05] * 400], UpstreamTimeout),
    ([head(200, PCM_HEAD), *[http_chunk(b" "), 0.05] * 400], UpstreamTimeout),
    ([*[b"HTTP/1.1 100 Continue\r\n\r\n", 0.02] * 1000], UpstreamTimeout),
    ([*[bytes([byte]) for byte in b"HTTP/1.1 200 OK\r\nX: "], *[b"x", 0.05] * 400], UpstreamTimeout),
    ([*begins(tone(0.1)), *[0.05, http_chunk(b"\1")] * 400], UpstreamStalled),
    ([*begins(tone(0.1)), *[0.1, http_chunk(tone(0.03))] * 400], UpstreamTimeout),
]


@pytest.mark.row("RF-10")
@pytest.mark.parametrize(
    ("script", "error"), DRIPS, ids=["bytes", "blanks", "100 Continue", "a head", "behind sound", "sound without end"]
)
def test_a_voice_that_drips_has_the_limits_of_the_model(
    voice: Voices, api: FakeUpstream, script: Script, error: type[ParleyError]
) -> None:
    api.script = script

    with capture_logs() as logged, pytest.raises(error), gevent.Timeout(10):
        # Where it is the silence that ends it, long before the end of all; else never.
        silence = 0.4 if error is UpstreamStalled else 10.0
        list(voice(first_sound=0.5, precommit=0.7, silence=silence, total=1.5).say(prepared()))

    # The operator learns which setting it was.
    assert "_TIMEOUT" in logged[0]["reason"]


@pytest.mark.row("RF-10")
def test_a_few_samples_at_a_time_are_put_together(voice: Voices, api: FakeUpstream) -> None:
    api.script = says(tone(0.2), pieces=400)

    pieces = [piece.pcm for piece in voice().say(prepared()) if piece.pcm]

    assert all(len(pcm) >= 640 for pcm in pieces[:-1]) and len(b"".join(pieces)) == 6400
