"""Removal of secrets and private addresses from text: the known ones, in the encodings that they travel in, and all
that has the form of one.

Nothing here knows where the text comes from or where it goes.
"""

import base64
import ipaddress
import json
import math
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, urlsplit

MIN_SECRET_CHARACTERS = 6
"""Length below which a key is not removed: it is no secret, and would take ordinary words out of the log."""
_KEY_LIKE = re.compile(r"\b(sk|pk|gsk|xai|hf|r8|nvapi|tgp|csk|fw)([-_])[A-Za-z0-9_*.-]{6,}|\b(AIza|AKIA)()[\w*.-]{8,}")
_BEARER = re.compile(r"(?<=bearer )[^\s\"']{4,}", re.IGNORECASE)
_BETWEEN = r"""(?:[\s"'+,]|\\[nrt"]){0,6}"""
"""Matches the characters that may stand inside a key that was broken into pieces, in source code or over lines."""

PRIVATE_NETWORKS = [
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::/127",
        "fc00::/7",
        "fe80::/10",
    )
]
"""Networks whose addresses mean nothing outside: unspecified, private, shared (RFC 6598), loopback, link-local, ULA."""
PRIVATE_NAMES = ("internal", "local", "lan", "svc", "test", "localdomain", "localhost", "intranet", "corp", "home.arpa")
"""Last labels of names that are resolved inside a network only."""
COUNTED = (
    "code|status|error|errno|line|column|col|char|chars|bytes?|position|offset|limit|max|min|tokens?|length|size|count|index|"
    "window|ctx|context|seed|id|time|timestamp|date|year|version|dims?|dimensions?|budget|used|requested|remaining|"
    "available|total|quota|usage|tpm|rpm|tpd|rpd|ms|seconds|duration|after|page|row|step|n|k"
)
"""Words whose colon and number are no host and port, by themselves or at the end of a longer word."""
_PORT = r"(?::\d{1,5}(?!\d))?"
_URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s\"'<>`|\\^{}]+", re.IGNORECASE)
_IPV4 = re.compile(rf"(?<![\w.-])(\d{{1,3}}(?:\.\d{{1,3}}){{3}})(?:/\d{{1,2}})?{_PORT}(?![\w-]|\.\d)")
_IPV6 = re.compile(
    rf"\[([0-9a-f:.]{{2,45}})(?:%[\w.-]{{1,20}})?\]{_PORT}"
    r"|(?<![\w:.\[])([0-9a-f]{0,4}:[0-9a-f:.]{1,40}[0-9a-f])(?:%[\w.-]{1,20})?(?:/\d{1,3})?(?!\w|:[\w:])",
    re.IGNORECASE,
)
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_PRIVATE_NAME = re.compile(
    rf"(?<![\w.-])(?:localhost|(?:{_LABEL}\.)+(?:{'|'.join(map(re.escape, PRIVATE_NAMES))})"
    # `svc` ends a name or stands before a cluster's own domain.
    rf"|(?:{_LABEL}\.){{2,}}svc(?:\.{_LABEL})+|ip(?:-\d{{1,3}}){{4}})\.?{_PORT}(?![\w-]|\.\w)",
    re.IGNORECASE,
)
# Ports of four digits and more, and those of the web: "error:404" and "limit:100" are no hosts.
_ONE_LABEL = re.compile(
    rf"(?<![\w.@/-])(?!(?:[\w-]*[_-])?(?:{COUNTED}):)(?=[\w-]*[a-z]){_LABEL}:(?:80|443|[1-9]\d{{3,4}})(?![\w-]|[.:]\d)"
    rf"|(?<=@){_LABEL}(?::\d{{2,5}})?(?=[/\s\"',)\]]|$)"
    rf"|(?<=host=['\"]){_LABEL}(?=['\"])",
    re.IGNORECASE,
)


class Redactor:
    """Replaces the given secrets in text, and all that looks like a key, by `***`.

    With `hosts` addresses too: those hosts, and all that are private by their form. A link to any other place stays.
    """

    def __init__(self, secrets: Iterable[str], *, hosts: Iterable[str] | None = None) -> None:
        long_enough = {secret for secret in secrets if len(secret) >= MIN_SECRET_CHARACTERS}
        # The longest first: where one secret begins with another, the whole of it must go.
        alternatives = sorted({form for secret in long_enough for form in patterns(secret)}, key=len, reverse=True)
        self._known = re.compile("|".join(alternatives)) if alternatives else None
        self._masks_addresses = hosts is not None
        named = "|".join(sorted(map(host_pattern, filter(None, hosts or ())), key=len, reverse=True))
        self._hosts = re.compile(named, re.IGNORECASE) if named else None

    def redact_known(self, text: str) -> str:
        """Return the text with `***` in place of each given secret, and of nothing that only looks like one."""
        return self._known.sub("***", text) if self._known else text

    def redact_keys(self, text: str) -> str:
        """Return the text with `***` in place of each secret, whatever addresses it holds."""
        return _BEARER.sub("***", _KEY_LIKE.sub(r"\1\2\3***", self.redact_known(text)))

    def redact(self, text: str) -> str:
        """Return the text with `***` in place of each secret, and of addresses if `hosts` were given."""
        text = self.redact_keys(text)
        if not self._masks_addresses:
            return text
        text = without_private_addresses(text)
        return self._hosts.sub("***", text) if self._hosts else text


def patterns(secret: str) -> Iterator[str]:
    """Yield regular expressions for the encodings of a secret: plain, JSON, URL, hexadecimal and Base64."""
    yield _BETWEEN.join(map(re.escape, secret))
    yield re.escape(json.dumps(secret)[1:-1])
    yield re.escape(quote(secret, safe=""))
    yield "(?i:" + secret.encode().hex() + ")"
    # Base64 encodes three bytes at a time, so the bytes before the secret shift its code by one of three offsets. Only
    # the characters that depend on the secret alone are known.
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + secret.encode()).decode()
        inside = encoded[math.ceil(offset * 8 / 6) : (offset + len(secret.encode())) * 8 // 6]
        yield re.escape(inside)
        yield re.escape(inside.translate(str.maketrans("+/", "-_")))


def host_pattern(host: str) -> str:
    """Return a regular expression for a host by itself, with or without scheme and port, not inside a longer name.

    A host that is one plain word ("ollama") may be meant otherwise: it must look like an address.
    """
    name = rf"(?:https?://)?(?<![\w.-])\[?{re.escape(host)}\]?{_PORT}(?![\w-]|\.\w)"
    if re.fullmatch("[a-z]+", host, re.IGNORECASE):
        return rf"https?://{host}{_PORT}(?![\w.-])|(?<![\w.-]){host}:\d{{1,5}}(?!\d)|(?<=host ){host}(?![\w.-])"
    return name


def without_private_addresses(text: str) -> str:
    """Return the text with `***` in place of URLs, addresses and names that are private by their form."""
    text = _URL.sub(lambda found: "***" if is_private_url(found[0]) else found[0], text)
    # Public links are set aside, so that nothing inside of them is taken for an address.
    pieces = []
    start = 0
    for link in _URL.finditer(text):
        pieces += [_without_private_hosts(text[start : link.start()]), link[0]]
        start = link.end()
    return "".join([*pieces, _without_private_hosts(text[start:])])


def _without_private_hosts(text: str) -> str:
    # IPv6 first: the last part of such an address may be written as an IPv4 address.
    for form in (_IPV6, _IPV4):
        text = form.sub(
            lambda found: "***" if is_private_address(found[1] or found[found.re.groups]) else found[0], text
        )
    return _ONE_LABEL.sub("***", _PRIVATE_NAME.sub("***", text))


def is_private_url(url: str) -> bool:
    """Return true for a URL whose host is private, or that holds a password."""
    try:
        parts = urlsplit(url.rstrip(".,;:!?)]"))
        host = parts.hostname or ""
    except ValueError:  # a broken IPv6 address
        return True
    if "@" in parts.netloc or ("." not in host and ":" not in host):
        return True
    return is_private_address(host) or bool(_PRIVATE_NAME.fullmatch(host))


def is_private_address(text: str) -> bool:
    """Return true for an IP address of one of the private networks; false for anything else."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return any(mapped in network for network in PRIVATE_NETWORKS)
