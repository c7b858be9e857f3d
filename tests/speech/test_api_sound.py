"""The sound in the answer of a speech API: of every form, however it is cut, and never a text or a file as noise."""

import base64
import io
import json
import struct
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.errors import ParleyError, UpstreamBadResponse, UpstreamError
from parley.speech import api_sound, wav
from parley.speech.api_sound import Format, decoded, recognise

RATE = 16_000
SECONDS = 0.4


def tone(rate: int, channels: int = 1) -> np.ndarray:
    """A tone of 1 kHz, loud all the time."""
    samples = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(int(rate * SECONDS)) / rate)
    return np.repeat(samples[:, None], channels, axis=1)


def pcm(rate: int = 24_000, channels: int = 1) -> bytes:
    return (tone(rate, channels) * 32767).astype("<i2").tobytes()


def file(container: str, subtype: str | None = None, rate: int = 24_000, channels: int = 1) -> bytes:
    """A file that libsndfile writes."""
    written = io.BytesIO()
    soundfile.write(written, tone(rate, channels), rate, format=container, subtype=subtype)
    return written.getvalue()


def streamed_wav(size: int, rate: int = 24_000, riff_size: int | None = None) -> bytes:
    """A WAV file whose writer did not know its length."""
    head = bytearray(wav.pcm16_header(0, rate))
    head[4:8] = struct.pack("<I", size if riff_size is None else riff_size)
    head[40:44] = struct.pack("<I", size)
    return bytes(head) + pcm(rate)


def text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def events(*payloads: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(payload).encode() + b"\n\n" for payload in payloads)


def deltas(content: bytes, name: str = "audio") -> bytes:
    """Server-sent events of OpenAI's form, each with a piece of the content."""
    pieces = [content[start : start + 1001] for start in range(0, len(content), 1001)]
    told = [{"type": "speech.audio.delta", name: text(piece)} for piece in pieces]
    return events(*told, {"type": "speech.audio.done", "usage": {"total_tokens": 5}})


def listed_wav() -> bytes:
    content = wav.encode(pcm(), 24_000)
    info = b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"Lavf58.76.100\0"
    return content[:36] + info + content[36:] + info


SOUNDS: dict[str, tuple[bytes, str]] = {
    "pcm": (pcm(), "audio/pcm"),
    "pcm without a label": (pcm(), ""),
    "pcm labelled as a file": (pcm(), "audio/mpeg"),
    "pcm of 16 kHz": (pcm(16_000), "audio/L16;rate=16000;channels=1"),
    "pcm of 44.1 kHz": (pcm(44_100), "audio/pcm; sample_rate=44100"),
    "pcm in stereo": (pcm(48_000, 2), "audio/pcm; rate=48000; channels=2"),
    "a rate in its header": (pcm(8_000), "content-type=audio/pcm x-sample-rate=8000"),
    "wav": (wav.encode(pcm(), 24_000), "audio/wav"),
    "wav labelled as pcm": (wav.encode(pcm(), 24_000), "audio/pcm"),
    "wav of 48 kHz": (file("WAV", "PCM_16", 48_000), "audio/wav"),
    "wav in stereo": (file("WAV", "PCM_16", 22_050, 2), "audio/wav"),
    "wav of floats": (file("WAV", "FLOAT"), "audio/wav"),
    "wav of 24 bits": (file("WAV", "PCM_24", 44_100), "audio/x-wav"),
    "wav in mu-law": (file("WAV", "ULAW", 8_000), "audio/wav"),
    "extensible wav": (file("WAVEX", "PCM_16"), "audio/wav"),
    "wav, size 0": (streamed_wav(0), "audio/wav"),
    "wav, size unknown": (streamed_wav(0xFFFFFFFF), "audio/wav"),
    "wav, size of a placeholder": (streamed_wav(0x7FFFFFFF - 36), "audio/wav"),
    "wav with lists": (listed_wav(), "audio/wav"),
    "mp3": (file("MP3", "MPEG_LAYER_III"), "audio/mpeg"),
    "mp3 behind a tag": (b"ID3\4\0\0\0\0\0\x0a" + bytes(10) + file("MP3", "MPEG_LAYER_III"), "audio/mpeg"),
    "mp3 labelled as pcm": (file("MP3", "MPEG_LAYER_III", 44_100), "audio/pcm"),
    "ogg vorbis": (file("OGG", "VORBIS"), "audio/ogg"),
    "ogg opus": (file("OGG", "OPUS"), "audio/ogg;codecs=opus"),
    "flac": (file("FLAC", "PCM_16"), "audio/flac"),
    "aiff": (file("AIFF", "PCM_16"), "audio/aiff"),
    "json": (json.dumps({"audio": text(pcm())}).encode(), "application/json"),
    "json labelled as pcm": (json.dumps({"audio_data": text(pcm())}).encode(), "audio/pcm"),
    "json of Google": (b"{\n  " + json.dumps({"audioContent": text(wav.encode(pcm(), 24_000))}).encode()[1:], ""),
    "json in depth": (json.dumps({"status": "success", "data": {"audio": text(pcm()), "id": "a"}}).encode(), ""),
    "json with a rate": (json.dumps({"sample_rate": 8000, "audio_base64": text(pcm(8_000))}).encode(), ""),
    "json with mp3": (json.dumps({"format": "mp3", "content": text(file("MP3", "MPEG_LAYER_III"))}).encode(), ""),
    "json with hexadecimal": (json.dumps({"data": {"audio": pcm().hex(), "status": 2}}).encode(), ""),
    "json with a data url": (
        json.dumps({"url": "data:audio/wav;base64," + text(wav.encode(pcm(), 24_000))}).encode(),
        "",
    ),
    "json in lines": (b"\n".join(json.dumps({"audio": text(pcm()[at : at + 9600])}).encode() for at in (0, 9600)), ""),
    "json of an unknown name": (json.dumps({"id": "b" * 80, "sonido": text(pcm())}).encode(), ""),
    "base64 alone": (text(wav.encode(pcm(), 24_000)).encode(), "text/plain"),
    "base64 as a json string": (json.dumps(text(pcm())).encode(), "application/json"),
    "base64 in lines": (base64.encodebytes(pcm()), "text/plain"),
    "events": (deltas(pcm()), "text/event-stream"),
    "events labelled as pcm": (deltas(pcm()), "audio/pcm"),
    "events behind a comment": (b": ping, do not mind\n\n" + deltas(pcm(), "data"), "text/event-stream"),
    "events with a name": (b"event: speech.audio.delta\n" + deltas(pcm()), "text/event-stream"),
    "events of wav": (deltas(wav.encode(pcm(), 24_000)), "text/event-stream"),
    "events of mp3": (deltas(file("MP3", "MPEG_LAYER_III")), "text/event-stream"),
}


def refused(body: bytes) -> ParleyError:
    """What the voice makes of an error's text; the test looks for these words."""
    return UpstreamError(f"refused: {body[:40]!r}")


def heard(body: bytes, content_type: str, cut: int) -> np.ndarray:
    pieces = [body[start : start + cut] for start in range(0, len(body), cut)]
    return np.frombuffer(b"".join(decoded(iter(pieces), Format.labelled(content_type), RATE, refused)), "<i2")


def purity(samples: np.ndarray) -> float:
    """The share of the energy that lies near 1 kHz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    at = 1000 * len(samples) / RATE
    return float(spectrum[int(at * 0.95) : int(at * 1.05) + 1].sum() / spectrum.sum())


@pytest.mark.row("RA-14")
@pytest.mark.parametrize("cut", [1_000_000, 1000, 7])
@pytest.mark.parametrize("name", SOUNDS)
def test_every_form_of_sound_is_heard(name: str, cut: int) -> None:
    body, content_type = SOUNDS[name]

    samples = heard(body, content_type, cut)

    # An encoder may add silence at its ends.
    assert SECONDS * RATE - 4 <= len(samples) <= SECONDS * RATE * 1.3
    assert purity(samples) > 0.98 and np.abs(samples).max() > 14_000


NO_SOUNDS: dict[str, tuple[bytes, type[Exception]]] = {
    "an error": (b'{"error":{"message":"no such voice"}}', UpstreamError),
    "a detail": (b'{"detail":"Not Found"}', UpstreamError),
    "a long message": (json.dumps({"message": "The voice is not to be had today, " * 9}).encode(), UpstreamError),
    "words like base64": (json.dumps({"result": "success" * 20, "x": "a b" * 40}).encode()[:60], UpstreamError),
    "a link": (b'{"audio":"https://cdn.example.com/speech/0123456789/0123456789/0123456789/sound.wav"}', UpstreamError),
    "broken json": (b'{"audio": "AAAA', UpstreamError),
    "a page": (b"<!DOCTYPE html><title>502</title>", UpstreamError),
    "an XML error": (b"<?xml version='1.0'?><Error/>", UpstreamError),
    "plain text": (b"Internal Server Error", UpstreamError),
    "short text": (b"Error", UpstreamError),
    "an error event": (events({"type": "error", "error": {"message": "no"}}), UpstreamError),
    "an event of text": (b"data: no GPU\n\n", UpstreamError),
    "aac": (
        b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(9) + b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(9),
        UpstreamBadResponse,
    ),
    "m4a": (b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom\0\0\0\0" + bytes(100), UpstreamBadResponse),
    "webm": (b"\x1a\x45\xdf\xa3" + bytes(100), UpstreamBadResponse),
    "half a flac": (file("FLAC", "PCM_16")[:60], UpstreamBadResponse),
    "a wav head alone": (wav.pcm16_header(0, 24_000), UpstreamBadResponse),
}


@pytest.mark.row("RA-14")
@pytest.mark.parametrize("cut", [1_000_000, 1, 3])
@pytest.mark.parametrize("name", NO_SOUNDS)
def test_what_is_no_sound_is_a_failure(name: str, cut: int) -> None:
    body, error = NO_SOUNDS[name]

    with pytest.raises(error):
        heard(body, "audio/pcm", cut)


@pytest.mark.slow
@pytest.mark.row("RA-14")
@pytest.mark.parametrize("first", [0x7B, 0x3C, -1, 0x13C, 0, -1025, -3073, 0x4449])
def test_sound_may_begin_with_any_sample(first: int) -> None:
    body = struct.pack("<h", first) + pcm()

    assert len(heard(body, "audio/pcm", 5)) >= SECONDS * RATE - 4


@pytest.mark.row("RA-14")
@settings(deadline=None)
@given(st.lists(st.integers(-2000, 2000), min_size=8, max_size=200), st.integers(1, 9))
def test_quiet_samples_are_never_taken_for_a_file(samples: list[int], cut: int) -> None:
    body = struct.pack(f"<{len(samples)}h", *samples)
    pieces = [body[start : start + cut] for start in range(0, len(body), cut)]

    assert b"".join(decoded(iter(pieces), Format(RATE), RATE, refused)) == body


def test_the_first_samples_are_not_waited_for() -> None:
    assert recognise(b"\1\0" * 2) == "pcm" and recognise(bytes(16)) == "pcm"


def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_sound, "MAX_BYTES", 1000)

    with pytest.raises(UpstreamBadResponse, match="does not end"):
        heard(b'{"audio":"' + b"A" * 2000, "", 100)


def test_a_senseless_label_is_passed_over() -> None:
    assert Format.labelled("audio/pcm;rate=0;channels=99") == Format(24_000, 1)
    assert Format.labelled('audio/L16; rate="8000"') == Format(8000, 1)
