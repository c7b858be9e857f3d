"""What reaches the caller is understood: a recogniser listens to the stream, converted as it may be."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soxr
import wav_files
from engine import Engine
from fake_upstream import FakeUpstream
from recogniser import Recogniser, word_error_rate
from running_server import ROOT, RunningServer

from parley.speech import sound_file
from parley.speech.pcm import from_int16

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]
GREETING = "Welcome to Harbour Bicycle Works. How can I help you today?"
# The dictionary spells as Americans do.
UNDERSTOOD = GREETING.replace("Harbour", "Harbor")


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    return Recogniser()


@pytest.mark.parametrize(("rate", "kind"), [(16000, "pcm24"), (24000, "float"), (8000, "mu-law")])
def test_a_converted_recording_is_understood(
    recogniser: Recogniser, upstream: FakeUpstream, servers: Servers, tmp_path: Path, rate: int, kind: str
) -> None:
    samples = from_int16(sound_file.read(ROOT / "audio_assets" / "welcome.wav", 16_000).pcm)
    stored_rate, tag, bits, channels = {
        "pcm24": (48_000, wav_files.PCM, 24, 2),
        "float": (44_100, wav_files.FLOAT, 32, 1),
        "mu-law": (16_000, wav_files.MU_LAW, 8, 1),
    }[kind]
    louder = np.asarray(soxr.resample(samples, 16_000, stored_rate), float)
    (tmp_path / "default.wav").write_bytes(wav_files.wav(louder, stored_rate, tag, bits, channels))
    (tmp_path / "default.txt").write_text(GREETING)
    server = servers(AUDIO_DIR=str(tmp_path), AUDIO_SAMPLE_RATE=str(rate), AUDIO_LEAD_MS="5000")

    heard = asyncio.run(Engine(server.url, rate=rate).greet(GREETING))

    assert recogniser.errors(bytes(heard.pcm), rate, UNDERSTOOD) <= (0.3 if rate == 8000 else 0.1)


def test_the_recogniser_does_not_understand_noise(recogniser: Recogniser) -> None:
    noise = np.random.default_rng(3).integers(-9000, 9000, 32_000).astype("<i2").tobytes()

    assert recogniser.errors(noise, 16_000, UNDERSTOOD) > 0.8


@pytest.mark.parametrize(
    ("heard", "rate"), [("how can i help", 0), ("how can help", 0.25), ("how can we help me", 0.5), ("", 1)]
)
def test_the_error_rate_counts_wrong_missing_and_extra_words(heard: str, rate: float) -> None:
    assert word_error_rate(heard.split(), ["how", "can", "i", "help"]) == rate
