"""Which voice the settings name."""

import pytest

from parley.factories.voice import speech_api_of
from parley.services import Services
from parley.settings import Settings


def settings(**environ: str) -> Settings:
    return Settings.from_environ(environ)


@pytest.mark.parametrize(
    ("environ", "description"),
    [
        ({"TTS_BASE_URL": "http://tts/v1"}, "alloy of gpt-4o-mini-tts at http://tts/v1"),
        ({"TTS_API_KEY": "k", "TTS_VOICE": "nova"}, "nova of gpt-4o-mini-tts at https://api.openai.com/v1"),
    ],
)
def test_the_voice_is_the_apis_that_the_settings_name(environ: dict[str, str], description: str) -> None:
    services = Services(settings(**environ))

    assert (services.synthesis.name, services.synthesis.description) == ("api", description)
    assert services.has_voice


def test_the_key_of_the_voice_is_not_shown() -> None:
    assert "tts-secret" not in repr(speech_api_of(settings(TTS_API_KEY="tts-secret")))


def test_the_voices_rate_is_that_of_the_audio() -> None:
    assert Services(settings(TTS_API_KEY="k", AUDIO_SAMPLE_RATE="8000")).synthesis.rate == 8000


@pytest.mark.parametrize(("language", "english"), [("en", True), ("EN", True), ("de", False)])
def test_readings_are_english_where_the_language_is(language: str, english: bool) -> None:
    assert Services(settings(TTS_API_KEY="k", TTS_LANGUAGE=language)).synthesis.english == english
