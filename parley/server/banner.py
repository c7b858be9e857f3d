"""The server's announcement at its start: where it listens, which model and voice answer, who may call."""

import ipaddress
import shlex
from urllib.parse import urlsplit

from parley.environment.variables import is_hosted
from parley.server import base_urls
from parley.server.memory_check import remembers
from parley.settings import Settings
from parley.speech import voice_package as embedded_speech
from parley.telemetry import logs
from parley.telemetry.logs import log
from parley.upstream.embedded import model_process

WANTED = "LLM_API_KEY (and LLM_BASE_URL for any API other than OpenAI's)"
WANTED_VOICE = "TTS_API_KEY (and TTS_BASE_URL for any API other than OpenAI's)"
QUOTED = "/rag is quoted from the knowledge"
UNIX = "unix:"
BANNER = """\
Parley listens on {url}
  model  {model}
  voice  {voice}
  try    {command}
"""
PAGE = "  page   {page}\n"
"""Line of the banner where the playground's page is served."""


def announce(settings: Settings, addresses: list[str]) -> None:
    """Announce the server once, in the master: several lines on a terminal, one log line elsewhere.

    `addresses` are gunicorn's listeners: URLs of IP addresses, or `unix:` and the path of a socket. Warn if no key is
    needed, louder if other machines can then spend the operator's money.
    """
    facts = {
        "url": addresses[0],
        "model": describe_model(settings),
        "voice": describe_voice(settings),
        "command": curl_command(settings, addresses[0]),
    }
    if page := page_address(settings, addresses[0]):
        facts["page"] = page
    if logs.is_text(settings.log_format):
        logs.announce((BANNER + (PAGE if page else "")).format(**facts))
    else:
        log.info("listening", **facts)
    for name, route in base_urls.cut_routes():
        log.warning("base_url_cut", setting=name, fault=f"{route} was cut off its end: Parley appends the route itself")
    for name, url in settings.named_base_urls:
        if hint := base_urls.advice(url):
            log.warning("base_url_doubtful", setting=name, hint=hint)
    if settings.capture:
        warn_of_capture(settings)
    if settings.api_keys is None:
        warn_of_open_server(settings, addresses)


def warn_of_capture(settings: Settings) -> None:
    """Warn that callers' words are kept, at every log level; or that they are not, although the operator wants it."""
    if settings.playground == "off" or (settings.playground == "auto" and is_hosted()):
        log.warning("capture_off", fault="CAPTURE is set, but nobody is served the page that shows it: nothing is kept")
        return
    kept = f"each worker keeps the last {settings.capture} requests and answers in its memory, callers' words included"
    log.error("capture_on", fault=f"CAPTURE is set: {kept}; for debugging, not for a server that callers use")


def warn_of_open_server(settings: Settings, addresses: list[str]) -> None:
    """Warn that no key is needed, and of what else is open therefore."""
    if settings.playground == "on":
        fault = "PLAYGROUND is on and API_KEYS is not set: the page shows its data on this machine only"
        log.warning("playground_open", fault=fault)
    # Only a loopback address and a Unix socket are out of the reach of other machines.
    hosts = [urlsplit(address).hostname or "" for address in addresses if not address.startswith(UNIX)]
    is_public = not all(ipaddress.ip_address(host).is_loopback for host in hosts)
    if is_public and settings.authenticates:
        spent = "LLM_API_KEY" if settings.llm_api_key else "the key in LLM_HEADERS or LLM_BASE_URL"
        log.error("open_to_everybody", fault=f"API_KEYS is not set: anybody on the network can spend {spent}")
    else:
        log.warning("open_to_everybody", fault="API_KEYS is not set: anybody who reaches the port can call")
    warn_of_strangers(settings)


def warn_of_strangers(settings: Settings) -> None:
    """Warn of what strangers could use of a server without keys, beside its model."""
    if "*" in (settings.cors_origins or ()):
        fault = "CORS_ORIGINS is * and API_KEYS is not set: web pages of any site can call and read the answers"
        log.warning("open_to_every_page", fault=fault)
    if remembers(settings):
        fault = "sessions are remembered and API_KEYS is not set: who knows a session's name can have its past told"
        log.warning("open_memory", fault=fault)


def page_address(settings: Settings, address: str) -> str:
    """Return the URL of the playground's page for a browser on this machine; empty where it is served none."""
    if settings.playground == "off" or (settings.playground == "auto" and is_hosted()) or address.startswith(UNIX):
        return ""
    url = from_here(address)
    # By its other addresses `auto` serves nobody.
    if settings.playground == "auto" and not ipaddress.ip_address(urlsplit(url).hostname or "").is_loopback:
        return ""
    return f"{url}/playground"


def from_here(address: str) -> str:
    """Return a listener's URL as this machine's programs can ask it."""
    # 0.0.0.0 and [::] mean every address of the machine; not every system lets a client connect to them.
    return address.replace("//0.0.0.0", "//127.0.0.1").replace("//[::]", "//[::1]")


def describe_model(settings: Settings) -> str:
    """Return the model that answers, and where it runs."""
    if settings.model_url:
        # Without its query, which may hold a key.
        return f"{settings.llm_model} at {(settings.llm_base_url or 'OpenAI').partition('?')[0]}"
    if model_process.running:
        small = f"{model_process.MODEL}, a small embedded demonstration model, often wrong ({QUOTED})"
        return f"{small}; for a real one set {WANTED}"
    return f"none yet ({QUOTED}); set {WANTED}"


def describe_voice(settings: Settings) -> str:
    """Return the voice of /audio, by AUDIO_MODE and by what is installed."""
    if settings.audio_mode == "assets":
        return f"the recordings in {settings.audio_dir}"
    if settings.audio_mode == "relay":
        return "the model's own"
    if settings.tts_base_url or settings.tts_api_key:
        return f"{settings.tts_voice} of {settings.tts_model} at {settings.tts_base_url or 'OpenAI'}"
    if embedded_speech.installed():
        return f"{embedded_speech.DESCRIPTION}; for a real one set {WANTED_VOICE}"
    return f"none, soft tones take its place; set {WANTED_VOICE}"


def curl_command(settings: Settings, address: str) -> str:
    """Return a shell command that asks the listener at `address` a question from this machine."""
    if address.startswith(UNIX):
        path = address.removeprefix(UNIX)
        # The name of a socket without a file (Linux) begins with a NUL, which no command line can hold.
        option = "--abstract-unix-socket" if path.startswith("\0") else "--unix-socket"
        target = f"{option} {shlex.quote(path.removeprefix(chr(0)))} http://localhost"
    else:
        target = from_here(address)
    key = "-H 'Authorization: Bearer ONE_OF_API_KEYS' " if settings.api_keys else ""
    question = '{"messages":[{"role":"user","content":"When are you open?"}]}'
    return f"curl -N {target}/rag/chat/completions {key}-H 'Content-Type: application/json' -d '{question}'"
