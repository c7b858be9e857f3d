"""What the server says when it starts: where it listens, which model answers, who may come in."""

import ipaddress
import shlex
from urllib.parse import urlsplit

from parley.settings import Settings
from parley.speech import voice_package as embedded_speech
from parley.telemetry import logs
from parley.telemetry.logs import log
from parley.upstream.embedded import model_process

WANTED = "LLM_API_KEY (and LLM_BASE_URL for any API other than OpenAI's)"
WANTED_VOICE = "TTS_API_KEY (and TTS_BASE_URL for any API other than OpenAI's)"
UNIX = "unix:"
BANNER = """\
Parley listens on {url}
  model  {model}
  voice  {voice}
  try    {command}
"""


def announce(settings: Settings, addresses: list[str]) -> None:
    """Say it once, in the master: as lines to read on a terminal, as one log line elsewhere.

    `addresses` are gunicorn's listeners: URLs of IP addresses, or `unix:` and the path of a socket.
    """
    facts = {
        "url": addresses[0],
        "model": _model(settings),
        "voice": _voice(settings),
        "command": _curl(settings, addresses[0]),
    }
    if logs.is_text(settings.log_format):
        print(BANNER.format(**facts), flush=True)
    else:
        log.info("listening", **facts)
    if settings.api_keys is None:
        _warn_open(settings, public=any(map(_is_public, addresses)))


def _model(settings: Settings) -> str:
    if settings.llm_base_url or settings.llm_api_key:
        return f"{settings.llm_model} at {settings.llm_base_url or 'OpenAI'}"
    if model_process.running:
        kind = "an embedded demonstration model, small and often wrong"
        return f"{model_process.MODEL}, {kind}; for a real one set {WANTED}"
    return f"none yet; set {WANTED}"


def _voice(settings: Settings) -> str:
    if settings.audio_mode == "assets":
        return f"the recordings in {settings.audio_dir}"
    if settings.audio_mode == "relay":
        return "the model's own"
    if settings.tts_base_url or settings.tts_api_key:
        return f"{settings.tts_voice} of {settings.tts_model} at {settings.tts_base_url or 'OpenAI'}"
    if embedded_speech.installed():
        return f"{embedded_speech.DESCRIPTION}; for a real one set {WANTED_VOICE}"
    return f"none, so soft tones stand for it; set {WANTED_VOICE}"


def _is_public(address: str) -> bool:
    """Return whether other machines may reach a listener: by any address but a loopback one."""
    if address.startswith(UNIX):
        return False
    return not ipaddress.ip_address(urlsplit(address).hostname or "").is_loopback


def _curl(settings: Settings, address: str) -> str:
    key = "-H 'Authorization: Bearer ONE_OF_API_KEYS' " if settings.api_keys else ""
    question = '{"messages":[{"role":"user","content":"When are you open?"}]}'
    return f"curl -N {_reached(address)}/rag/chat/completions {key}-H 'Content-Type: application/json' -d '{question}'"


def _reached(address: str) -> str:
    """Return curl's arguments for the root of a listener, from this machine."""
    if address.startswith(UNIX):
        # The kernel's own names begin with a NUL, which no command line can hold.
        path = address.removeprefix(UNIX)
        option = "--abstract-unix-socket" if path.startswith("\0") else "--unix-socket"
        return f"{option} {shlex.quote(path.removeprefix(chr(0)))} http://localhost"
    return address.replace("//0.0.0.0", "//127.0.0.1").replace("//[::]", "//[::1]")


def _warn_open(settings: Settings, *, public: bool) -> None:
    """Louder where strangers can come in and would spend the operator's money."""
    if public and settings.llm_api_key:
        log.error("open_to_everybody", fault="API_KEYS is not set: anybody on the network spends LLM_API_KEY")
    else:
        log.warning("open_to_everybody", fault="API_KEYS is not set: whoever reaches the port may ask")
    if "*" in (settings.cors_origins or ()):
        log.warning("open_to_every_page", fault="CORS_ORIGINS=* and no API_KEYS: pages of any site may ask, and read")
