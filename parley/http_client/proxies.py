"""The proxy through which an upstream is reached: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.

The variables have the meaning that Python's standard library gives them; loopback addresses are never reached through a
proxy. Proxies are spoken to in plain HTTP, with CONNECT for an upstream behind TLS; a proxy of another kind is refused
by the name of its variable.
"""

import ipaddress
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies_environment, proxy_bypass


class BadProxy(ValueError):
    """A variable names a proxy that can't be used; the message names the variable, never its value."""


def proxy_for(base_url: str) -> SplitResult | None:
    """Return the proxy before a base URL, or None. Raises BadProxy."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if _is_loopback(host) or proxy_bypass(host):
        return None
    proxies = getproxies_environment()
    for kind in (parts.scheme, "all"):
        if url := proxies.get(kind):
            return _proxy(url, f"{kind.upper()}_PROXY")
    return None


def _proxy(url: str, variable: str) -> SplitResult:
    try:
        proxy = urlsplit(url if "://" in url else f"http://{url}")
        if proxy.scheme == "http" and proxy.hostname and proxy.port != 0:  # `port` raises ValueError for no number
            return proxy
    except ValueError:
        pass
    raise BadProxy(f"{variable}: expected a proxy such as http://proxy.example.com:3128 (not https:// or socks5://)")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
