"""`REDIS_URL` as a value, and as a client: one server, Sentinel or a cluster; by TCP, TLS or a Unix socket.

    redis://USER:PASS@host:6379/0         rediss:// with TLS; valkey:// and valkeys:// mean the same
    unix:///run/redis.sock
    redis+sentinel://host:26379,host:26379/NAME      the servers behind the name are asked with user and password
    redis+cluster://host:6379,host:6379

Time limits in a URL are refused: Parley's own hold, whatever stands there. Only the standard library is imported before
a client is made, because gunicorn's master reads the settings.
"""

import dataclasses
import functools
import importlib
import importlib.util
import ipaddress
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from redis import Redis

PORT = 6379
SENTINEL_PORT = 26_379
TLS_OPTIONS = ("ssl_ca_certs", "ssl_cert_reqs")
"""Names that the query of a URL may hold."""
REQUIREMENTS_FILE = "requirements-shared.txt"
_HOST = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>[0-9]{1,5}))?")
_PLACEHOLDER = re.compile(r"<.*>|\$\(.*\)|\$?\{.*\}|\$[A-Z][A-Z0-9_]+")


@dataclasses.dataclass(frozen=True)
class RedisAddress:
    """The parts of a `REDIS_URL`; `hosts` is empty for a Unix socket, whose file is `path`."""

    form: str
    tls: bool
    hosts: tuple[tuple[str, int], ...]
    path: str = ""
    database: int = 0
    service: str = ""
    user: str | None = dataclasses.field(default=None, repr=False)
    password: str | None = dataclasses.field(default=None, repr=False)
    authorities: str | None = None
    verifies: bool = True

    @property
    def shown(self) -> str:
        """The address without user and password."""
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        form = "" if self.form == "single" else f"+{self.form}"
        if self.path:
            return f"unix://{self.path}"
        end = self.service or (str(self.database) if self.form == "single" else "")
        return f"redis{'s' if self.tls else ''}{form}://{hosts}" + (f"/{end}" if end else "")

    @property
    def secrets(self) -> list[str]:
        """The user and the password; the user that every server has is none."""
        return [part for part in (self.password, self.user) if part and part != "default"]

    @property
    def warnings(self) -> list[str]:
        """Sentences on what others on the network could do, none for a safe connection."""
        if self.tls and not self.verifies:
            return ["REDIS_URL: ssl_cert_reqs=none accepts any certificate: anybody on the way can answer for Redis"]
        if not self.tls and not all(_is_loopback(host) for host, _ in self.hosts):
            return ["REDIS_URL: redis:// to another machine is not encrypted, its password included; use rediss://"]
        return []


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"


def parse(url: str) -> RedisAddress:
    """Return the parts of a URL. Raises ValueError, which says nothing of them."""
    parts = urlsplit(url)
    scheme = re.fullmatch(r"(?:redis|valkey)(s?)(?:\+(sentinel|cluster))?|unix", parts.scheme)
    # A fragment is the rest of a password whose # was not encoded.
    if not scheme or "#" in url or re.search(r"[^\x21-\x7e]", url):
        raise ValueError
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = (unquote(part) for part in credentials.partition(":"))
    if _PLACEHOLDER.fullmatch(password):
        raise ValueError
    common: dict[str, Any] = {"user": user or None, "password": password or None, **_tls_options(parts.query)}
    if parts.scheme == "unix":
        if hosts or parts.query or not parts.path.strip("/"):
            raise ValueError
        return RedisAddress("single", False, (), path=unquote(parts.path), **common)
    form, tls = scheme[2] or "single", bool(scheme[1])
    if parts.query and not tls:
        raise ValueError
    named = tuple(_host(text, SENTINEL_PORT if form == "sentinel" else PORT) for text in hosts.split(","))
    if form == "single" and len(named) > 1:
        raise ValueError
    service, database = _path(form, parts.path.strip("/"))
    return RedisAddress(form, tls, named, service=service, database=database, **common)


def _tls_options(query: str) -> dict[str, Any]:
    """Return the options of TLS in a URL's query. Raises ValueError for any other parameter."""
    options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True)) if query else {}
    required = options.get("ssl_cert_reqs", "required")
    if not options.keys() <= set(TLS_OPTIONS) or required not in ("required", "none"):
        raise ValueError
    return {"authorities": options.get("ssl_ca_certs"), "verifies": required == "required"}


def _host(text: str, usual_port: int) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    port = int(found["port"] or usual_port) if found else 0
    if not found or not 0 < port <= 65_535:
        raise ValueError
    return found["host"].strip("[]"), port


def _path(form: str, path: str) -> tuple[str, int]:
    """Return the name of the servers behind Sentinel, and the number of the database."""
    pattern = {"single": r"()(\d{1,4})?", "sentinel": r"([\w.-]+)(?:/(\d{1,4}))?", "cluster": r"()(0)?"}[form]
    found = re.fullmatch(pattern, path, re.ASCII)
    if not found:
        raise ValueError
    return found[1], int(found[2] or 0)


def missing_package() -> str:
    """Return the sentence on the client library that is not installed, empty if it is."""
    if importlib.util.find_spec("redis"):
        return ""
    return f"REDIS_URL needs the package redis: pip install -r {REQUIREMENTS_FILE}"


def load_client() -> None:
    """Import the client library, before a deadline runs: a busy or slow machine takes a second for it."""
    for name in ("redis.cluster", "redis.sentinel"):
        importlib.import_module(name)


def connect(address: RedisAddress, seconds: float) -> "Redis":
    """Return a client whose connections wait at most `seconds` for anything. Raises what the library raises.

    A client of a cluster has asked it for its nodes; other clients have connected to nothing.
    """
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    options: dict[str, Any] = {
        "username": address.user,
        "password": address.password,
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        "socket_keepalive": True,
        # A question is asked once: whoever asks has a deadline, and an answer without Redis.
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
        "client_name": "parley",
        # Protocol 3 and the name of the library cost a new connection three more round trips.
        "protocol": 2,
        "driver_info": None,
    }
    if address.path:
        del options["socket_keepalive"]
        pool = redis.ConnectionPool(connection_class=redis.UnixDomainSocketConnection, path=address.path, **options)
        return redis.Redis(connection_pool=pool)
    if address.tls:
        verifies = "required" if address.verifies else "none"
        options |= {"ssl_ca_certs": address.authorities, "ssl_cert_reqs": verifies}
        options["ssl_check_hostname"] = address.verifies
    if address.form == "cluster":
        return _cluster(address, options)
    options["db"] = address.database
    if address.form == "sentinel":
        return _sentinel(address, options)
    host, port = address.hosts[0]
    plain, encrypted = _connection_classes()
    kind = encrypted if address.tls else plain
    return redis.Redis(connection_pool=redis.ConnectionPool(connection_class=kind, host=host, port=port, **options))


def disconnect(address: RedisAddress, client: "Redis", *, is_replaced: bool) -> None:
    """Close the connections that are not in use: a server that is no longer the master would keep them for ever.

    Where another one has replaced it, its name is looked up again.
    """
    pool = getattr(client, "connection_pool", None)
    # A cluster's client finds out by itself.
    if pool is not None:
        pool.disconnect(inuse_connections=False)
    if is_replaced and address.form == "single":
        from parley.http_client import dns

        for host, port in address.hosts:
            dns.forget(host, port)


def _cluster(address: RedisAddress, options: dict[str, Any]) -> "Redis":
    from redis import cluster
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    # Without types, as its authors left it.
    library: Any = cluster
    nodes = [library.ClusterNode(host, port) for host, port in address.hosts]
    # One retry: the first failure makes the client ask which node has taken over.
    options["retry"] = Retry(NoBackoff(), 1)
    client: Redis = library.RedisCluster(startup_nodes=nodes, ssl=address.tls, **options)
    return client


def _sentinel(address: RedisAddress, options: dict[str, Any]) -> "Redis":
    from redis import sentinel

    library: Any = sentinel
    own = {name: options[name] for name in ("socket_timeout", "socket_connect_timeout", "retry", "protocol")}
    sentinels = library.Sentinel(address.hosts, sentinel_kwargs=own, ssl=address.tls, **options)
    plain, encrypted = _sentinel_connection_classes()
    master: Redis = sentinels.master_for(address.service, connection_class=encrypted if address.tls else plain)
    return master


@functools.cache
def _sentinel_connection_classes() -> tuple[type, type]:
    """Return the library's connections to a server behind Sentinel, plain and encrypted, closed by an interrupted read.

    The library's own keep such a connection open, and the reply that comes late would go to the next question.
    """
    from redis import sentinel

    library: Any = sentinel

    # Not for what the library calls by itself alone: its pipelines read in this way, too.
    class Closing(library.SentinelManagedConnection):  # type: ignore[misc]
        def read_response(self, *arguments: Any, disconnect_on_error: bool = True, **options: Any) -> Any:
            return super().read_response(*arguments, disconnect_on_error=disconnect_on_error, **options)

    class ClosingEncrypted(Closing, library.SentinelManagedSSLConnection):  # type: ignore[misc]
        """The order of the bases puts this `read_response` around that of the library."""

    return Closing, ClosingEncrypted


@functools.cache
def _connection_classes() -> tuple[type, type]:
    """Return the library's connections, plain and encrypted, with names looked up by `parley/http_client/dns.py`.

    A name whose lookup hangs then holds one thread, however often it is tried.
    """
    import redis

    from parley.http_client import dns

    class Resolved(redis.Connection):
        def _connect(self) -> Any:
            name, fault = self.host, OSError("the name has no address")
            for _, (address, _) in dns.addresses(name, self.port):
                self.host = address
                try:
                    return super()._connect()  # type: ignore[no-untyped-call]
                except OSError as error:
                    fault = error
                finally:
                    # TLS compares the certificate with the name.
                    self.host = name
            dns.forget(name, self.port)
            raise fault

    class ResolvedEncrypted(redis.SSLConnection, Resolved):
        """The order of the bases puts TLS, which checks the name, around the connection to the address."""

    return Resolved, ResolvedEncrypted
