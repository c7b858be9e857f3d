"""Checks of a running server through whatever stands in front of it: is it reached, do keys arrive (SV).

What stands in front is checked further in `server_way.py`, what a caller hears in `server_streams.py`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from parley.checking import network, upstream
from parley.checking.calling import Caller, CallFailed, Exchange, shortened
from parley.checking.network import StepFailed
from parley.checking.probe import Probe
from parley.checking.report import Outcome, block, fail, ok, warn
from parley.http_client.proxies import BadProxy, proxy_for
from parley.operators import platforms
from parley.operators.platforms import is_loopback, is_unreachable_host

CHAT = "/chat/completions"
KEY_HEADERS = ("Authorization", "x-api-key")
"""Headers in which a caller may send its key."""
PROXY_FAULTS = {
    502: "the proxy in front reaches no server behind it",
    503: "the proxy in front has no server to send this to",
    504: "the server behind the proxy said nothing in time",
    521: "Cloudflare reaches no server behind it",
    522: "Cloudflare reaches no server behind it",
    530: "the tunnel is not running",
}
"""Meaning of statuses that come without Parley's own error."""
REFUSED_ON_THE_WAY = {
    401: "no password of the proxy's for these routes: keys are Parley's own work",
    403: "no bot check and no filter of the proxy's for these routes",
    404: "have the proxy pass every path on",
    405: "have the proxy pass POST on",
    413: "raise the proxy's limit for bodies (nginx: client_max_body_size 2m)",
    429: "the proxy limits the rate of requests: raise it (nginx: limit_req)",
    502: "is the server still running? Look at its log",
    503: "the proxy limits the rate of requests (nginx: limit_req), or the server has ended",
    504: "the proxy's time limit is too short (nginx: proxy_read_timeout 65s)",
}
"""Remedies where a proxy refuses single requests."""
BUFFERING = {
    "nginx": (
        "in the nginx next to the server  proxy_pass_header X-Accel-Buffering;\nor in each nginx  proxy_buffering off;"
    ),
    "cloudflare": "Cloudflare streams answers to POST; look for a proxy behind it, and turn off what rewrites answers",
    "caddy": (
        "take  encode  out of the site, and  response_buffers  out of reverse_proxy\n"
        "flush_interval -1  is no remedy: it hides that a caller has left"
    ),
    "haproxy": "option http-no-delay",
    "apache": "in mod_proxy  flushpackets=on, and no mod_deflate for text/event-stream",
    "envoy": "turn off the buffer and the compressor filter for these routes",
}
"""Remedies of buffering, by a word of the headers `Server` and `Via`."""


@dataclass
class Server:
    """The server that is examined. `probe.address` is replaced where a redirect leads elsewhere.

    `round_trip_ms` is the least time of a connection, `health_ms` that of a short answer on a connection of its own.
    `key_name` is the header in which a key arrives. `sound` and `words` are the answers of /audio and /rag, once they
    have been asked for, `seen` the headers that tell what stands in front.
    """

    probe: Probe
    round_trip_ms: float = 0.0
    health_ms: float = 0.0
    model: str = ""
    key_name: str = KEY_HEADERS[0]
    sound: Exchange | None = None
    words: Exchange | None = None
    seen: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The heading above its findings."""
        return self.probe.address

    def caller(self, *, key: bool = True) -> Caller:
        """Return a client, with the key if there is one."""
        given = key_header(self, self.key_name) if key else {}
        # As the platforms' clients send it: a proxy that may compress then shows it.
        return Caller({"accept-encoding": "gzip, deflate", "accept": "application/json", **given})

    def url(self, path: str) -> str:
        """Return the URL of a path of the server."""
        return self.probe.address + path

    def note(self, answer: Exchange) -> Exchange:
        """Remember what the headers of an answer tell of the way; return the answer."""
        for name in ("server", "via", "cf-ray", "x-served-by", "x-cache"):
            if name in answer.headers:
                self.seen[name] = answer.headers[name]
        return answer

    def way(self) -> str:
        """Return what is known of the way, for people."""
        told = [f"{name.title()}: {shortened(value)[:60]}" for name, value in self.seen.items()]
        return ", ".join(told) or "no header tells what stands in front"

    def buffering_fix(self) -> str:
        """Return how to turn off buffering in whatever stands in front."""
        words = (
            f"{self.seen.get('server', '')} {self.seen.get('via', '')} {'cloudflare' * ('cf-ray' in self.seen)}".lower()
        )
        fixes = [fix for mark, fix in BUFFERING.items() if mark in words]
        usual = "turn off buffering in every proxy, router and CDN on the way\n(haproxy: option http-no-delay)"
        return "\n".join(fixes) or usual


def servers(probe: Probe) -> list[Server]:
    """Return the server to examine, if one was named."""
    return [Server(probe)] if probe.address else []


def refused(got: Exchange, what: str) -> Outcome:
    """Return what it means that a request was not answered with 200."""
    told = f"{what}: status {got.status}, {got.error()}"
    error = got.json().get("error")
    # Our errors have a code, whatever their words.
    code = error.get("code") if got.is_ours and isinstance(error, dict) else None
    if code is None:
        fix = REFUSED_ON_THE_WAY.get(got.status, "this is no answer of Parley's: look at the proxy in front")
        return fail(f"{told}; Parley has not said this", fix)
    fixes = {
        "not_configured": "LLM_API_KEY=... where the server runs",
        "rate_limited": "RATE_LIMIT and MAX_STREAMS_PER_KEY count this examination, too: try later or with another key",
        "invalid_api_key": "--key ONE_OF_API_KEYS",
        "server_overloaded": "all places are taken: raise MAX_STREAMS, or try later",
    }
    fix = fixes.get(str(code), f"{code}: docs/api.md tells what it means, the server's log line why")
    if str(code).startswith("upstream"):
        fix = "flask doctor --only UP where the server runs"
    return (warn if code == "rate_limited" else fail)(told, fix, code=code)


def reach(server: Server) -> Iterator[Outcome]:
    """Tell whether the server is there, is Parley, and is ready."""
    probe = server.probe
    try:
        # Step by step first: the client would tell one error for all of them.
        yield steps(server)
        health = server.note(server.caller().send("GET", server.url("/health"), seconds=15))
        # The examination goes on where it leads, so that one run tells all that is wrong.
        if health.status in upstream.REDIRECTS:
            yield redirected(server, health)
            health = server.note(server.caller().send("GET", server.url("/health"), seconds=15))
    except StepFailed as exc:
        yield block(str(exc), exc.fix)
        return
    except CallFailed as exc:
        yield block(
            f"{probe.address}/health: {exc}",
            "does another server listen there? Write https:// or http://, and the port",
        )
        return
    server.health_ms = health.end_ms or health.head_ms
    outcome = presence(server, health)
    yield outcome
    if outcome.blocks:
        return
    parts = urlsplit(probe.address)
    if probe.platform:
        for warning in platforms.warnings(probe.platform, probe.address):
            yield warn(warning) if "readably" in warning else fail(warning, "enter an https:// address that is public")
    elif parts.scheme == "http" and not is_unreachable_host(parts.hostname or ""):
        yield warn("over http the key and every word travel readably", "put TLS in front, and enter https://")


def presence(server: Server, health: Exchange) -> Outcome:
    """Return whether Parley is there, by the answer to /health, and whether it is ready."""
    if health.json().get("status") == "ok":
        return readiness(server)
    # Some proxies pass questions on, and nothing else.
    question = ask_nothing(server, {})
    if not question.is_ours:
        return not_parley(health)
    server.health_ms = question.end_ms
    fix = "have the proxy pass /health and /ready on: balancers and this examination ask there"
    return warn("Parley answers questions, but the proxy in front does not pass /health on", fix)


def steps(server: Server) -> Outcome:
    """Return how name, connection and TLS went. Raises StepFailed."""
    address = server.probe.address
    host, port = network.target_of(address)
    try:
        if proxy := proxy_for(address):
            return ok(f"asked through the proxy {proxy.hostname}")
    except BadProxy as exc:
        raise StepFailed(str(exc), "correct that variable, or list the server in NO_PROXY") from None
    reached, failures = network.connect_each(network.resolve(host, port))
    # `localhost` has an IPv6 address as well, on which nothing needs to listen.
    if not reached or (failures and not is_loopback(host)):
        raise failures[0]
    server.round_trip_ms = min(reached.values())
    count = f"{len(reached)} {'address' if len(reached) == 1 else 'addresses'}"
    told = f"{host}: {count}, TCP {server.round_trip_ms:.0f} ms"
    if urlsplit(address).scheme != "https":
        return ok(told)
    certificate = upstream.certificate(host, next(iter(reached)))
    if certificate.status == "fail":
        raise StepFailed(certificate.detail, certificate.fix)
    return Outcome(certificate.status, f"{told}, {certificate.detail}", certificate.fix)


def redirected(server: Server, answer: Exchange) -> Outcome:
    """Return that the server redirects, and go on at the place where it leads."""
    target = urljoin(answer.url, answer.headers.get("location", ""))
    old = server.probe.address
    if target.endswith("/health"):
        server.probe.address = target.removesuffix("/health")
    return fail(
        f"{old} redirects to {target.partition('?')[0]} (status {answer.status}): a posted question is lost",
        f"enter {server.probe.address} at the platform; the checks below ask there",
    )


def not_parley(health: Exchange) -> Outcome:
    """Return that what answers is something else."""
    who = health.headers.get("server", "something without a name")
    # A proxy answers in place of the server.
    if health.status in PROXY_FAULTS:
        fix = "start the server, and correct the address behind the proxy (proxy_pass, the platform's PORT)"
        return block(f"{PROXY_FAULTS[health.status]} (status {health.status}, Server: {who})", fix)
    if health.status in (401, 403):
        fix = "let the platform through: no password and no bot check for these routes; keys are Parley's own work"
        return block(f"{who} refuses before Parley is reached (status {health.status}): {health.error()}", fix)
    fix = "correct the address, its port and its path; a proxy must pass every path on"
    if "HTTPS" in health.error():
        fix = "write https:// in front of the address"
    return block(f"no Parley answers there: status {health.status} from {who}: {health.error()}", fix)


def readiness(server: Server) -> Outcome:
    """Return whether the server can answer, or why not."""
    try:
        answer = server.caller().send("GET", server.url("/ready"), seconds=15)
    except CallFailed as exc:
        return fail(f"/ready: {exc}")
    told = answer.json()
    details = told.get("details")
    server.model = str(details.get("model", "")) if isinstance(details, dict) else ""
    if answer.status == 200:
        # Strangers see the status and this, nothing else.
        if warning := told.get("warning"):
            return warn(f"Parley is ready, but was started wrongly: {warning}", "start it in the project's folder")
        return ok(f"Parley is ready{f', model {server.model}' if server.model else ''}")
    reason = told.get("reason") or f"status {answer.status}"
    fix = (
        "LLM_API_KEY=... where the server runs"
        if "LLM_API_KEY" in str(reason)
        else "docs/api.md tells what /ready says"
    )
    return fail(f"Parley is not ready: {reason}", fix)


def keys(server: Server) -> Iterator[Outcome]:
    """Tell whether a key is asked for, and whether both forms of it survive the way."""
    stranger = ask_nothing(server, {})
    if stranger.status != 401:
        yield open_server(server, stranger)
        return
    # Basic authentication of a proxy, or a wall for browsers: no platform can pass.
    if not stranger.is_ours:
        fix = "let the platform through: keys are Parley's own work"
        yield block(f"the proxy in front asks for a password: {stranger.headers.get('www-authenticate', '')}", fix)
        return
    if not server.probe.key:
        fix = "--key ONE_OF_API_KEYS, or PARLEY_KEY in the environment"
        yield block("the server wants a key, and none was given", fix)
        return
    answers = {name: ask_nothing(server, key_header(server, name)) for name in KEY_HEADERS}
    lost = [name for name, answer in answers.items() if answer.status == 401]
    odd = [answer for answer in answers.values() if answer.status != 401 and not answer.is_ours]
    if odd:
        yield refused(odd[0], f"POST {CHAT}")
        return
    if len(lost) == len(KEY_HEADERS):
        fix = "--key ONE_OF_API_KEYS, as they are where the server runs; was it restarted since they were set?"
        yield block(
            "the key is not accepted: it is none of the server's API_KEYS, or no header with a key arrives", fix
        )
    elif lost:
        (arrives,) = set(KEY_HEADERS) - set(lost)
        server.key_name = arrives
        fix = f"have the proxy pass {lost[0]} on, or send the key as {arrives}"
        told = f"{lost[0]} is lost on the way: the key arrives as {arrives} only"
        # Platforms send the one; the other is our own offer.
        yield fail(told, fix) if lost == ["Authorization"] else warn(told, fix)
    else:
        yield ok("without a key 401; Authorization and x-api-key arrive")


def key_header(server: Server, name: str) -> dict[str, str]:
    """Return a header with the key; none without a key."""
    key = server.probe.key
    return {name: f"Bearer {key}" if name == "Authorization" else key} if key else {}


def ask_nothing(server: Server, headers: Mapping[str, str]) -> Exchange:
    """Return the answer to a request without content: it is refused after its key was checked, and costs nothing."""
    return server.caller(key=False).send("POST", server.url(CHAT), b"{}", headers=headers, seconds=15)


def open_server(server: Server, answer: Exchange) -> Outcome:
    """Return what it means that a stranger was not refused for want of a key."""
    host = urlsplit(server.probe.address).hostname or ""
    # An empty object is no question, so 400 is what a caller with leave gets.
    if not answer.is_ours or answer.status != 400:
        return refused(answer, f"POST {CHAT}")
    if is_loopback(host):
        return ok("no key is asked for; only this machine reaches the address")
    told = "no key is asked for: whoever finds the address may ask, and spend your money"
    fix = "API_KEYS=$(openssl rand -hex 24) where the server runs, and restart it"
    return (warn if is_unreachable_host(host) else fail)(told, fix)
