"""Checks of each upstream, step by step: name, connection, TLS, key and model, one short answer (UP); the clock (CL).

named address --a--> addresses --b--> connection --c--> certificate --d--> key, models --e--> an answer
"""

import contextlib
import difflib
import email.utils
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from parley.checking import network
from parley.checking.calling import Caller, CallFailed, Exchange
from parley.checking.network import Address, StepFailed
from parley.checking.probe import Probe
from parley.checking.report import Outcome, block, fail, ok, skip, stop, warn
from parley.http_client.proxies import BadProxy, proxy_for
from parley.settings import OPENAI_BASE_URL
from parley.upstream.embedded import model_process

_ADDRESSING = re.compile(r"[A-Z_]*(BASE_URL|_KEY|HEADERS|FALLBACKS):|.*\.env")
"""Matches a fault of a setting by which an upstream is found, or of the file that may set it."""
REDIRECTS = (301, 302, 303, 307, 308)
CERTIFICATE_DAYS = 14
"""Days of a certificate's life below which it is time to renew it."""
MAX_DRIFT, LARGE_DRIFT = 5.0, 60.0
"""Seconds by which a clock may be wrong, and by which it is so wrong that certificates and signatures fail."""


@dataclass
class Target:
    """An upstream. `setting` is the prefix of its variables; `addresses` are filled in by the first check."""

    title: str
    kind: Literal["chat", "embeddings", "voice", "embedded", "none", "unknown"]
    probe: Probe
    url: str = ""
    key: str | None = field(default=None, repr=False)
    model: str = ""
    setting: str = "LLM"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, Any] = field(default_factory=dict)
    addresses: list[Address] = field(default_factory=list)
    is_proxied: bool = False

    @property
    def base(self) -> str:
        """The base URL without its query, for people."""
        return self.url.partition("?")[0]

    def route(self, path: str) -> str:
        """Return the URL of a route, with the query that each request bears."""
        base, mark, query = self.url.partition("?")
        return f"{base}{path}{mark}{query}"

    def caller(self) -> Caller:
        """Return a client with the headers that the server sends."""
        key = {"authorization": f"Bearer {self.key}"} if self.key else {}
        return Caller({**key, **self.headers})


def targets(probe: Probe) -> list[Target]:
    """Return the upstreams that the settings name, in the order in which they are asked."""
    settings = probe.settings
    found = []
    # With the default in the place of a bad address, a key would go to another provider.
    if any(map(_ADDRESSING.match, probe.faults)):
        return [Target("Upstreams", "unknown", probe)]
    # As services.py chooses them.
    if settings.model_url:
        found.append(
            Target(
                "Upstream primary",
                "chat",
                probe,
                settings.model_url,
                settings.llm_api_key,
                settings.llm_model,
                headers=settings.llm_headers,
                params=settings.llm_params,
            )
        )
    elif model_process.model_file():
        found.append(Target("Upstream embedded", "embedded", probe))
    else:
        found.append(Target("Upstream primary", "none", probe))
    # Whatever AUDIO_MODE is: greetings are said by it, too.
    if settings.tts_base_url or settings.tts_api_key:
        url = settings.tts_base_url or OPENAI_BASE_URL
        found.append(Target("Voice", "voice", probe, url, settings.tts_api_key, settings.tts_model, "TTS"))
    if settings.embeddings_base_url:
        url, key = settings.embeddings_base_url, settings.embeddings_api_key
        found.append(Target("Embeddings", "embeddings", probe, url, key, settings.embeddings_model, "EMBEDDINGS"))
    for number, one in enumerate(settings.llm_fallbacks, start=1):
        model, title = one.model or settings.llm_model, f"Upstream fallback-{number}"
        found.append(
            Target(title, "chat", probe, one.base_url, one.key, model, "LLM_FALLBACKS", one.headers, one.params)
        )
    return found


def name(target: Target) -> Iterator[Outcome]:
    """Tell whether the name of an upstream, or of the proxy before it, is known."""
    if target.kind == "embedded":
        yield ok(f"{model_process.MODEL}, the small model for a first try, is installed; no network is needed")
        return
    if target.kind == "unknown":
        yield stop("not asked: the settings that name them can't be used (ST-1)")
        return
    if target.kind == "none":
        fix = "LLM_API_KEY=... (and LLM_BASE_URL for any API other than OpenAI's)"
        yield block("no model is set, and none is installed: /chat ends with not_configured, /rag only quotes", fix)
        return
    try:
        proxy = proxy_for(target.url)
    except BadProxy as exc:
        yield block(str(exc), "correct that variable, or list the upstream in NO_PROXY")
        return
    host, port = network.target_of(target.url)
    # The proxy resolves the upstream's name; what can be tried here is the way to the proxy.
    if proxy:
        target.is_proxied = True
        host, port = proxy.hostname or "", network.port_of(proxy)
    began = time.perf_counter()
    try:
        target.addresses = network.resolve(host, port)
    except StepFailed as exc:
        yield block(str(exc), exc.fix)
        return
    ms = (time.perf_counter() - began) * 1000
    through = f"through the proxy {host}: " if proxy else f"{host}: "
    families = " and ".join(sorted({network.FAMILIES.get(one.family, "other") for one in target.addresses}))
    addresses = f"{len(target.addresses)} {'address' if len(target.addresses) == 1 else 'addresses'}"
    yield ok(f"{through}{addresses} ({families}) in {ms:.0f} ms", addresses=[one.ip for one in target.addresses])


def connection(target: Target) -> Iterator[Outcome]:
    """Tell whether each address of an upstream takes connections."""
    if not target.addresses:
        return
    # The further checks use those that answer.
    reached, failed = network.connect_each(target.addresses)
    target.addresses = list(reached)
    if not reached:
        yield block("\n".join(map(str, failed)), failed[0].fix)
    elif failed:
        # A call tries the addresses one after the other: each that says nothing costs its share of CONNECT_TIMEOUT.
        yield warn("\n".join(map(str, failed)) + "\nother addresses of the name answer", failed[0].fix)
    else:
        yield ok(f"TCP {min(reached.values()):.0f} ms")


def tls(target: Target) -> Iterator[Outcome]:
    """Tell whether the certificate is good, and for how long."""
    if not target.addresses:
        return
    host, _ = network.target_of(target.url)
    if urlsplit(target.url).scheme != "https":
        yield skip(f"{host} is asked over http")
    elif target.is_proxied:
        yield skip("TLS goes through the proxy")
    else:
        yield certificate(host, target.addresses[0])


def certificate(host: str, address: Address) -> Outcome:
    """Return what is told of the certificate of a server."""
    try:
        shown = network.handshake(host, address)
    except StepFailed as exc:
        return block(f"TLS with {host}: {exc}", exc.fix)
    version = shown.version.replace("TLSv", "TLS ")
    told = f"{version} in {shown.ms:.0f} ms, certificate for {shown.days_left:.0f} days"
    if shown.days_left < CERTIFICATE_DAYS:
        return warn(told, "renew the certificate", days=round(shown.days_left, 1))
    return ok(told, days=round(shown.days_left, 1))


def models(target: Target) -> Iterator[Outcome]:
    """Tell whether the key is accepted and the model is listed. It costs nothing."""
    if not target.addresses:
        return
    began = time.time()
    try:
        answer = target.caller().send("GET", target.route("/models"), seconds=10)
    except CallFailed as exc:
        fix = "the log line of a failed call names the same reason"
        if urlsplit(target.url).scheme == "http":
            fix = "if it speaks TLS on that port, write https://"
        yield block(f"GET {target.base}/models: {exc}", fix)
        return
    note_clock(target, answer, (began + time.time()) / 2)
    yield judge_list(target, answer)


def judge_list(target: Target, answer: Exchange) -> Outcome:
    """Return what the answer of `GET /models` tells."""
    base = "base_url in LLM_FALLBACKS" if target.setting == "LLM_FALLBACKS" else f"{target.setting}_BASE_URL"
    # A key of another provider is the most frequent fault of all.
    if answer.status in (401, 403):
        told = "is not accepted" if target.key or target.headers else "is missing"
        key = "api_key in LLM_FALLBACKS" if target.setting == "LLM_FALLBACKS" else f"{target.setting}_API_KEY"
        return block(
            f"the key {told} (status {answer.status}): {answer.error()}",
            f"correct {key}; it may be of another provider",
        )
    if answer.status in REDIRECTS:
        where = answer.headers.get("location", "").partition("?")[0].removesuffix("/models")
        told = f"it redirects (status {answer.status}); redirects are not followed, the key would go with them"
        return block(told, f"write {where}" if "://" in where else f"correct {base}")
    if answer.status == 200 and answer.media_type == "text/html":
        return block("a web page answers, not an API", f"write the address of the API into {base}; most end in /v1")
    if answer.status == 200 and isinstance(listed := answer.json().get("data"), list):
        return listing(target, [str(one.get("id", "")) for one in listed if isinstance(one, dict)])
    if answer.status in (404, 405):
        return ok(f"no list of models there (status {answer.status}); the answer below tells")
    return warn(f"GET /models: status {answer.status}, {answer.error()}", "the answer below tells more")


def listing(target: Target, names: list[str]) -> Outcome:
    """Return whether the model of the settings is among those listed."""
    # Google lists its models with their folder.
    if not names or target.model in names or f"models/{target.model}" in names:
        listed = f"{target.model} is listed" if names else "no model is listed"
        return ok(f"{'key accepted; ' if target.key else ''}{listed}", models=len(names))
    # Names differ by a date or a dash more often than by all.
    near = difflib.get_close_matches(target.model, names, 3, 0.4) or sorted(names)[:3]
    setting = "the model in LLM_FALLBACKS" if target.setting == "LLM_FALLBACKS" else f"{target.setting}_MODEL"
    return warn(
        f"{target.model} is not among its {len(names)} models; there are {', '.join(near)}",
        f"correct {setting}",
        near=near,
    )


def note_clock(target: Target, answer: Exchange, now: float) -> None:
    """Remember by how much this machine's clock is ahead of an upstream's."""
    with contextlib.suppress(KeyError, TypeError, ValueError):
        # It tells whole seconds: half of one is its mean error.
        theirs = email.utils.parsedate_to_datetime(answer.headers["date"]).timestamp() + 0.5
        target.probe.clocks[target.title] = now - theirs


def clock(probe: Probe) -> Iterator[Outcome]:
    """Tell whether this machine's clock is right, by the times that upstreams told."""
    for title, ahead in probe.clocks.items():
        told = f"this clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} that of {title}"
        fix = "timedatectl set-ntp true"
        if abs(ahead) > LARGE_DRIFT:
            yield fail(f"{told}: certificates and signed requests will be refused", fix, seconds=round(ahead, 1))
        elif abs(ahead) > MAX_DRIFT:
            yield warn(told, fix, seconds=round(ahead, 1))
        else:
            yield ok(f"within {MAX_DRIFT:g} s of {title}", seconds=round(ahead, 1))
    if not probe.clocks:
        yield skip("no upstream told the time")
