"""The voice platforms and clients that ask Parley: the URL that each one wants, and what to enter there.

A pure table. How a platform words its requests: `platform_requests.py`; the texts to enter: `platform_snippets.py`.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from parley.knowledge.folder_scan import is_base_name
from parley.operators import platform_requests as requests_of
from parley.operators import platform_snippets as snippets
from parley.operators.platform_requests import Message
from parley.operators.platform_snippets import Snippet
from parley.telemetry.redaction import PRIVATE_NAMES, is_private_address

ENDPOINTS = ("chat", "rag", "audio")
ADDRESS = "https://your-host"
"""Address that stands in the page of platforms, and where none is given."""
_ROUTE = re.compile(r"(/v1)?(/kb/[^/]+)?(/v1)?(/(rag|audio))?(/v1)?(/chat(/completions)?|/completions|/models)?$", re.I)
"""Matches the route at the end of a URL that was copied whole, in any of the forms under which Parley answers."""


class BadAddress(ValueError):
    """An address can't be used; the message says why."""


@dataclass(frozen=True)
class Platform:
    """One platform: `name` on the command line, `title` for people.

    `appends` is true if it takes a base URL and appends `/chat/completions`; otherwise it asks the very URL that it is
    given. `is_remote` is true if it calls from its own cloud, `needs_https` if it takes nothing else.
    `request` is a body as it sends it, `snippet` what to enter for a URL, an endpoint and a model.
    """

    name: str
    title: str
    appends: bool
    request: Callable[[Sequence[Message], str], dict[str, Any]]
    snippet: Callable[[str, str, str], Snippet]
    notes: tuple[str, ...] = ()
    is_remote: bool = True
    needs_https: bool = False
    endpoints: tuple[str, ...] = ("chat", "rag")
    query: str = ""

    def url(self, address: str, endpoint: str, kb: str = "") -> str:
        """Return the URL to enter for an endpoint of the server at `address`. Raises BadAddress."""
        # An unknown path would be answered with 404.
        if kb and endpoint == "chat":
            raise BadAddress("/chat answers without knowledge: a knowledge base goes with rag or audio")
        path = (f"/kb/{kb}" if kb else "") + ("" if endpoint == "chat" else f"/{endpoint}")
        if kb and not is_base_name(kb):
            raise BadAddress("the name of a knowledge base has letters, digits, dots, dashes and underscores only")
        return server_address(address) + path + ("/v1" if self.appends else "/chat/completions")


FULL = "It asks the very URL that is entered, so this one ends in /chat/completions."
BASE = "It appends /chat/completions to what is entered, so this one ends in /v1."
FILLERS = "If its own filler words are on, set WAITING=off, or both speak."

# Sources: the platforms' own documents and SDKs, as they were in November 2026.
PLATFORMS: Mapping[str, Platform] = {
    platform.name: platform
    for platform in (
        Platform(
            "agora",
            "Agora Conversational AI Engine (REST)",
            False,
            requests_of.agora,
            snippets.agora,
            (
                FULL,
                "With `vendor` `custom` it sends turn numbers and what the caller had heard; leave it in.",
                f"{FILLERS} They are set in `filler_words`.",
                "Without `geofence` the engine chooses the agent's region by the URL's address, which behind a CDN or "
                "a tunnel may be far away.",
                "`/audio` needs `output_modalities` `audio`; greeting and failure message are then asked of Parley.",
            ),
            endpoints=ENDPOINTS,
        ),
        Platform(
            "agora-python",
            "Agora Conversational AI Engine (Python SDK, agora-agents)",
            False,
            requests_of.agora,
            snippets.agora_python,
            (f"{FULL} The SDK calls it `base_url` all the same.", f"{FILLERS} They are set in `filler_words`."),
        ),
        Platform(
            "vapi",
            "Vapi",
            True,
            requests_of.vapi,
            snippets.vapi,
            (
                BASE,
                "The key is a credential of the kind Custom LLM in its dashboard.",
                "It gives up after 20 s without a token, unless `timeoutSeconds` says otherwise.",
            ),
        ),
        Platform(
            "elevenlabs",
            "ElevenLabs Agents",
            True,
            requests_of.elevenlabs,
            snippets.elevenlabs,
            (
                f"{BASE} Its examples show the full URL, too: if it finds nothing, enter that.",
                "Store the key as a secret of the workspace and enter the secret's id.",
                "It may ask before the caller's turn is over, and drop that request.",
            ),
        ),
        Platform(
            "livekit",
            "LiveKit Agents (Python)",
            True,
            requests_of.livekit,
            snippets.livekit,
            (BASE, "It gives up after 10 s without a byte: leave HEARTBEAT at 5."),
            is_remote=False,
        ),
        Platform(
            "pipecat",
            "Pipecat",
            True,
            requests_of.pipecat,
            snippets.pipecat,
            (BASE, "It may send the role `developer`."),
            is_remote=False,
        ),
        Platform(
            "hume",
            "Hume EVI (custom language model, SSE)",
            False,
            requests_of.hume,
            snippets.hume,
            (FULL, "It adds `custom_session_id` to the query of the URL."),
            query="custom_session_id=session-1",
        ),
        Platform(
            "deepgram",
            "Deepgram Voice Agent",
            False,
            requests_of.plain,
            snippets.deepgram,
            (FULL, "The provider's type stays `open_ai`, whatever answers."),
        ),
        Platform(
            "cartesia",
            "Cartesia Managed Agents",
            True,
            requests_of.cartesia,
            snippets.cartesia,
            (
                f"{BASE} It takes https only and follows no redirect.",
                "An answer may have 256 KiB with its framing, uncompressed.",
                "Requests of one call overlap: it asks before the caller's turn is over, unless "
                "`speculative_generation` is false.",
            ),
            needs_https=True,
        ),
        Platform("assemblyai", "AssemblyAI Voice Agent", True, requests_of.plain, snippets.assemblyai, (BASE,)),
        Platform(
            "openai-python",
            "OpenAI's client for Python",
            True,
            requests_of.plain,
            snippets.openai_python,
            (BASE,),
            is_remote=False,
            endpoints=ENDPOINTS,
        ),
        Platform(
            "openai-node",
            "OpenAI's client for JavaScript",
            True,
            requests_of.plain,
            snippets.openai_node,
            (BASE,),
            is_remote=False,
            endpoints=ENDPOINTS,
        ),
        Platform(
            "curl",
            "curl",
            False,
            requests_of.plain,
            snippets.curl,
            (FULL, "`-N` shows each event as it comes."),
            is_remote=False,
            endpoints=ENDPOINTS,
        ),
    )
}
"""Platforms by their names on the command line."""


def server_address(text: str) -> str:
    """Return the address of a server without a route, a query and last slashes. Raises BadAddress.

    A URL that was copied whole is taken, with any route of Parley's at its end; a path before that belongs to a proxy.
    Without a scheme it is https, or http for this machine and for private addresses.
    """
    # Quotes and brackets of a shell, a configuration file or a chat.
    text = text.strip().strip("\"'`<>")
    if not re.match(r"[a-z][a-z0-9+.-]*://", text, re.IGNORECASE):
        # Nobody has a certificate for an address of this kind.
        scheme = "http" if is_unreachable_host(urlsplit(f"//{text}").hostname or "") else "https"
        text = f"{scheme}://{text}"
    try:
        parts = urlsplit(text)
        # Read here because it raises for a port that is none.
        port = parts.port
    except ValueError as exc:
        raise BadAddress(f"this is no address of a server: {exc}") from None
    if parts.scheme.lower() not in ("http", "https"):
        raise BadAddress(f"an address begins with https:// or http://, not with {parts.scheme}://")
    if not parts.hostname or re.search(r"[\s\\]", text) or port == 0:
        raise BadAddress("this is no address of a server; write https://HOST or http://127.0.0.1:8000")
    if "@" in parts.netloc:
        raise BadAddress("leave user and password out of the address; the key goes into --key or PARLEY_KEY")
    # What remains before a route is where a proxy has put the server.
    path = re.sub(r"/{2,}", "/", parts.path).rstrip("/")
    return f"{parts.scheme.lower()}://{parts.netloc.lower()}{_ROUTE.sub('', path)}".rstrip("/")


def is_loopback(host: str) -> bool:
    """Return true for a name or an address of this machine itself."""
    name = host.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    # Any other name.
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def is_unreachable_host(host: str) -> bool:
    """Return true for a host that nobody outside of this machine, or of its network, can call."""
    name = host.strip("[]").lower()
    return is_loopback(name) or is_private_address(name) or name.rpartition(".")[2] in PRIVATE_NAMES


def warnings(platform: Platform, address: str) -> list[str]:
    """Return why this platform will not get through to this address, or at a risk, in sentences."""
    parts = urlsplit(address)
    found = []
    # The first is the worst: an address that can't be reached needs no advice on TLS.
    if platform.is_remote and is_unreachable_host(parts.hostname or ""):
        found.append(
            f"{platform.title} calls from its own cloud and can't reach {parts.hostname}: the agent would start and "
            "stay silent. Deploy Parley, or open a tunnel, and enter that address"
        )
    elif platform.needs_https and parts.scheme != "https":
        found.append(f"{platform.title} takes https only")
    elif platform.is_remote and parts.scheme != "https":
        found.append("over http the key and every word travel readably; put TLS in front")
    return found


def describe(platform: Platform, url: str, endpoint: str, model: str) -> dict[str, Any]:
    """Return all that is told of a platform for one URL."""
    # One text and one body for people, programs and the page.
    text = platform.snippet(url, endpoint, model)
    conversation = (Message("system", "You are a concise voice assistant."), Message("user", "Hi!"))
    # An address that nobody has given needs no warning.
    found = [] if url.startswith(ADDRESS) else warnings(platform, url)
    if endpoint not in platform.endpoints:
        found.append(f"{platform.title} speaks text; the sound of /{endpoint} is not played there")
    return {
        "platform": platform.name,
        "title": platform.title,
        "url": url,
        "url_form": "base" if platform.appends else "full",
        "query": platform.query,
        "endpoints": list(platform.endpoints),
        "is_remote": platform.is_remote,
        "language": text.language,
        "where": text.where,
        "snippet": text.text,
        "notes": list(platform.notes),
        "warnings": found,
        "request": platform.request(conversation, model),
    }
