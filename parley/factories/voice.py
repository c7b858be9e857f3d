"""The voice that the settings name."""

import functools
from urllib.parse import urlsplit

from parley.settings import OPENAI_BASE_URL, Settings
from parley.speech import voice_package as embedded_speech
from parley.speech.api_voice import Api, ApiVoice
from parley.speech.embedded_voice import EmbeddedVoice
from parley.speech.synthesis import PlaceholderVoice, Synthesiser
from parley.telemetry.redaction import Redactor
from parley.upstream.retries import retry_after
from parley.upstream.status_errors import error_for_status


def voice_of(settings: Settings) -> Synthesiser:
    """Return the voice that the settings name: an API's, else the embedded one if it is installed, else soft tones."""
    rate = settings.audio_sample_rate
    if settings.tts_base_url or settings.tts_api_key:
        return ApiVoice(speech_api_of(settings), rate)
    return EmbeddedVoice(rate) if embedded_speech.installed() else PlaceholderVoice(rate)


def speech_api_of(settings: Settings) -> Api:
    """Return the speech API that the settings name, with the model's limits in time and its meaning of refusals."""
    url = settings.tts_base_url or OPENAI_BASE_URL
    redactor = Redactor([url, urlsplit(url).netloc, *settings.secrets])
    return Api(
        url,
        settings.tts_api_key,
        settings.tts_model,
        settings.tts_voice,
        settings.tts_language,
        connect=settings.connect_timeout,
        first_sound=settings.ttft_timeout,
        precommit=settings.precommit_timeout,
        silence=settings.idle_timeout,
        total=settings.stream_timeout,
        max_idle=settings.max_streams,
        # With or without a key, what this API refuses is for the operator to mend.
        error_for_status=functools.partial(error_for_status, redactor=redactor, own_key=True),
        retry_after=retry_after,
    )
