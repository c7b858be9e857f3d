"""`DATABASE_URL`: what may stand in it, what of it is secret, and what is risky about it.

Only the standard library: gunicorn's master reads its settings before anything heavy is loaded.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from urllib.parse import parse_qsl, unquote, urlsplit

PACKAGES = ("psycopg", "psycopg_binary", "psycopg_pool", "pgvector")
"""Packages that a server with DATABASE_URL needs."""
PARAMETERS = frozenset(
    """
    channel_binding gssencmode host krbsrvname load_balance_hosts password port require_auth ssl_max_protocol_version
    ssl_min_protocol_version sslcert sslcrl sslkey sslmode sslnegotiation sslpassword sslrootcert target_session_attrs
    user
    """.split()  # noqa: SIM905 - easier to read than quoted names
)
"""Parameters of libpq that may stand in the query. Time limits are Parley's own, poolers drop `options`."""
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
SESSIONS = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")
"""Values of `target_session_attrs`."""
_SPACE_OR_CONTROL = re.compile(r"[\x00-\x20\x7f]")


@dataclass(frozen=True)
class DatabaseAddress:
    """A database. `parameters` are libpq's; `shown` is what may be told of them: hosts and the database's name."""

    parameters: Mapping[str, str] = field(repr=False)
    shown: str

    @property
    def secrets(self) -> list[str]:
        """All that no log line and no answer may hold, wherever it occurs."""
        return [self.parameters[name] for name in ("password", "sslpassword") if self.parameters.get(name)]

    @property
    def private(self) -> list[str]:
        """All that the texts of libpq must not show: the user as well, whose name may be an ordinary word elsewhere."""
        return [*self.secrets, *filter(None, [self.parameters.get("user")])]

    @property
    def is_remote(self) -> bool:
        """True if others may listen on the way: a host that is neither this machine nor a socket."""
        return any(not _is_local(host) for host in self.parameters.get("host", "").split(","))

    @property
    def warnings(self) -> list[str]:
        """Warnings of a connection that others could read or forge, for the log of a start."""
        if not self.is_remote:
            return []
        mode = self.parameters["sslmode"]
        if mode in ("disable", "allow", "prefer"):
            return [f"DATABASE_URL: with sslmode={mode} others on the way may read the password and the knowledge"]
        if mode == "require" and not self.parameters.get("sslrootcert"):
            return ["DATABASE_URL: the database's certificate is not verified; sslmode=verify-full would verify it"]
        return []


def parse(url: str) -> DatabaseAddress:
    """Return the address that a URL gives. Raises ValueError, which does not quote the URL."""
    if _SPACE_OR_CONTROL.search(url):
        raise ValueError("characters")
    parts = urlsplit(url)
    if parts.scheme not in ("postgres", "postgresql") or parts.fragment:
        raise ValueError("scheme")
    # Each once: of two values libpq would take the last, and a reader the first.
    given = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    if not PARAMETERS.issuperset(name for name, _ in given) or len({name for name, _ in given}) < len(given):
        raise ValueError("parameters")
    # By hand: several hosts, separated by commas, are no netloc to the standard library.
    login, _, places = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    parameters = {"user": unquote(user), "password": unquote(password), "dbname": unquote(parts.path[1:])}
    hosts, ports = zip(*(_place(place) for place in places.split(",")), strict=True)
    parameters |= {"host": ",".join(hosts), "port": ",".join(ports)}
    parameters = {name: value for name, value in parameters.items() if value.strip(",")}
    for name, value in given:
        if name in parameters or not value:
            raise ValueError("a parameter given twice, or empty")
        parameters[name] = value
    if "/" in parameters.get("dbname", ""):
        raise ValueError("path")
    address = DatabaseAddress(parameters, _shown(parameters))
    # Never in plain text by accident: libpq itself would fall back to it.
    parameters.setdefault("sslmode", "require" if address.is_remote else "prefer")
    if parameters["sslmode"] not in SSL_MODES or parameters.get("target_session_attrs", "any") not in SESSIONS:
        raise ValueError("a parameter's value")
    return address


def missing_package() -> str:
    """Return the fault that a package for the database is missing; empty if none is."""
    if all(find_spec(package) for package in PACKAGES):
        return ""
    return "DATABASE_URL needs packages that are not installed: pip install -r requirements-shared.txt"


def _place(text: str) -> tuple[str, str]:
    """Return host and port of one place among those of a URL; the port may be missing. Raises ValueError."""
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::(\d{1,5}))?", text)
    found = bracketed or re.fullmatch(r"([^:\[\]@]*)(?::(\d{1,5}))?", text)
    if not found or not 0 < int(found[2] or 5432) < 1 << 16:
        raise ValueError("host")
    return unquote(found[1]), found[2] or ""


def _is_local(host: str) -> bool:
    """Return True for this machine: a socket, libpq's default, or an address that does not leave it."""
    # "@" begins a socket's abstract name.
    if not host or host[0] in "/@" or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _shown(parameters: Mapping[str, str]) -> str:
    return f"{parameters.get('host', 'the local socket')}/{parameters.get('dbname', '')}"
