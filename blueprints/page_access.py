"""The rule of who is served the playground, by the setting `PLAYGROUND` and the way by which a request came.

`auto` serves the machine's own browser: a request that arrived at a loopback address, for a name that means this
machine, and through no proxy. So the page is there after a start on one's own machine and through `ssh -L`, but neither
on a hosting platform nor behind a proxy on the same machine, which connects to a loopback address, too.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from blueprints.origins import is_loopback

ROUTE = "/playground"
"""Route of the page; everything of it is below."""
PROXIES_ADD = (
    "HTTP_FORWARDED",
    "HTTP_VIA",
    "HTTP_X_FORWARDED",
    "HTTP_X_REAL_IP",
    "HTTP_X_ORIGINAL_",
    "HTTP_X_CLIENT_IP",
    "HTTP_X_CLUSTER_CLIENT_IP",
    "HTTP_X_ENVOY_",
    "HTTP_TRUE_CLIENT_IP",
    "HTTP_CF_",
    "HTTP_CDN_LOOP",
    "HTTP_FLY_",
)
"""Beginnings of the headers, named as WSGI names them, by which proxies and tunnels are known."""


def is_served(environ: Mapping[str, Any], mode: str) -> bool:
    """Return whether the page is there for a request; `mode` is the value of `PLAYGROUND`."""
    return mode == "on" or (mode == "auto" and is_local(environ))


def is_local(environ: Mapping[str, Any]) -> bool:
    """Return whether a request was made on this machine, or through a tunnel that its user has opened."""
    client = environ.get("gunicorn.socket")
    if client is None or not is_loopback(client.getsockname()):
        return False
    # nginx names nobody unless it is told to, and asks for the address that it was given; but it speaks HTTP/1.0.
    if environ.get("SERVER_PROTOCOL") == "HTTP/1.0" or any(name.startswith(PROXIES_ADD) for name in environ):
        return False
    return is_loopback_name(environ.get("HTTP_HOST", ""))


def is_loopback_name(host: str) -> bool:
    """Return whether a host, with a port or without, can be no other machine than the one that asks."""
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname or "", parts.port
    except ValueError:  # brackets without an address, or a port that is no number
        return False
    if host.lower() not in (name, f"[{name}]", f"{name}:{port}", f"[{name}]:{port}"):
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ip = ipaddress.ip_address(name)
    except ValueError:
        return False
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback
