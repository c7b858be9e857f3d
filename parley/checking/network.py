"""Name, connection and TLS of an address, one step at a time, each with its time: by the standard library alone.

The server's own client reports one error for a call; here each step is tried by itself, and every address of a name.
"""

import contextlib
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

STEP_SECONDS = 5.0
"""Seconds that each step may take."""
FAMILIES = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}
CERTIFICATE_FAULTS = {
    9: "the certificate is not valid yet",
    10: "the certificate has expired",
    18: "the certificate is signed by itself",
    19: "the certificate's chain ends in an authority that this machine does not know",
    20: "no authority that this machine knows has signed the certificate",
    62: "the certificate is for another name",
    64: "the certificate is for another address",
}
"""Meaning of the codes of OpenSSL's verification."""
CERTIFICATE_FIXES = {
    9: "set the clock of this machine",
    10: "renew the certificate; certbot and caddy do it by themselves while port 80 or 443 is reachable",
    18: "get a certificate of a public authority, or name this one's file in SSL_CERT_FILE",
    19: "get a certificate of a public authority, or name the authority's file in SSL_CERT_FILE",
    20: "have the server send its whole chain (fullchain.pem), or install ca-certificates here",
    62: "use the name that the certificate is for, or get one for this name",
    64: "use the name that the certificate is for, not the address",
}


class StepFailed(Exception):
    """A step failed; `fix` is what to do."""

    def __init__(self, detail: str, fix: str = "") -> None:
        super().__init__(detail)
        self.fix = fix


@dataclass(frozen=True)
class Address:
    """One address of a name."""

    family: socket.AddressFamily
    ip: str
    port: int


@dataclass(frozen=True)
class Tls:
    """A handshake: `version` of the protocol, days for which the certificate is still valid."""

    version: str
    days_left: float
    ms: float


def target_of(url: str) -> tuple[str, int]:
    """Return the host and the port of a URL."""
    parts = urlsplit(url)
    return parts.hostname or "", port_of(parts)


def port_of(parts: SplitResult) -> int:
    """Return the port of a URL that was taken apart."""
    return parts.port or (443 if parts.scheme == "https" else 80)


def resolve(host: str, port: int) -> list[Address]:
    """Return the addresses of a name, each once. Raises StepFailed."""
    found: list[Address] = []
    failures: list[OSError] = []

    def look_up() -> None:
        try:
            for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                found.append(Address(family, str(address[0]), port))
        # A name of odd letters, such as one with an empty label, fails in its encoding.
        except (OSError, UnicodeError) as exc:
            failures.append(exc if isinstance(exc, OSError) else socket.gaierror(str(exc)))

    # The resolver has no time limit of its own.
    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(STEP_SECONDS)
    if failures:
        raise StepFailed(
            f"the name {host} is not known: {failures[0].strerror or failures[0]}",
            "correct the host name; a new name may take minutes to be known everywhere",
        )
    if not found:
        fix = "name a resolver that answers in /etc/resolv.conf"
        raise StepFailed(f"the name {host} was not resolved within {STEP_SECONDS:g} s", fix)
    return list(dict.fromkeys(found))


def connect(address: Address) -> tuple[socket.socket, float]:
    """Return a connection to an address and the milliseconds that it took. Raises StepFailed."""
    began = time.perf_counter()
    connection = socket.socket(address.family, socket.SOCK_STREAM)
    connection.settimeout(STEP_SECONDS)
    try:
        # By its address: a connection to the name would try them all, and hide those that fail.
        connection.connect((address.ip, address.port))
    except ConnectionRefusedError:
        connection.close()
        fix = "start what should listen there, or correct the port"
        raise StepFailed(f"nobody listens at {address.ip} port {address.port}", fix) from None
    except TimeoutError:
        connection.close()
        fix = f"open port {address.port} in the firewall, or correct the address"
        raise StepFailed(f"{address.ip} port {address.port} says nothing for {STEP_SECONDS:g} s", fix) from None
    except OSError as exc:
        connection.close()
        fix = "this machine has no way to that address"
        raise StepFailed(f"{address.ip} port {address.port} can't be reached: {exc.strerror or exc}", fix) from None
    return connection, (time.perf_counter() - began) * 1000


def connect_each(addresses: list[Address]) -> tuple[dict[Address, float], list[StepFailed]]:
    """Return the milliseconds to each address that takes connections, and what is wrong with the others."""
    reached, failures = {}, []
    for address in addresses:
        try:
            connection, reached[address] = connect(address)
        except StepFailed as exc:
            failures.append(exc)
        else:
            connection.close()
    return reached, failures


def handshake(host: str, address: Address) -> Tls:
    """Return what a TLS handshake shows of the server `host` at an address. Raises StepFailed."""
    connection, _ = connect(address)
    began = time.perf_counter()
    with contextlib.closing(connection):
        try:
            with ssl.create_default_context().wrap_socket(connection, server_hostname=host) as secured:
                # Empty only where nobody verifies.
                certificate = secured.getpeercert() or {}
                ends = ssl.cert_time_to_seconds(str(certificate["notAfter"])) if "notAfter" in certificate else 0.0
                ms = (time.perf_counter() - began) * 1000
                return Tls(secured.version() or "TLS", (ends - time.time()) / 86_400, ms)
        except ssl.SSLCertVerificationError as exc:
            told = CERTIFICATE_FAULTS.get(exc.verify_code, exc.verify_message)
            raise StepFailed(told, CERTIFICATE_FIXES.get(exc.verify_code, "")) from None
        except ssl.SSLError as exc:
            # Plain HTTP answers a handshake with text, or with an alert of another protocol.
            if exc.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
                fix = f"write http:// in front of this address, or the port on which {host} speaks TLS"
                raise StepFailed(f"port {address.port} speaks no TLS, but plain HTTP", fix) from None
            raise StepFailed(f"the handshake failed: {exc.reason or exc}") from None
        except OSError as exc:
            fix = "does this port speak TLS? If not, write http://"
            raise StepFailed(f"the connection ended in the handshake ({exc.strerror or exc})", fix) from None
