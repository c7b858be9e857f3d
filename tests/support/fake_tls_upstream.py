"""The fake upstream behind TLS, with certificates made for the occasion by the `openssl` command. Nothing knows Parley.

    certificates = Certificates(folder)
    with FakeTlsUpstream(certificates.good) as upstream:
        upstream.certificate = certificates.expired    # for the connections from now on

Its base URL names `localhost`. A client that is to trust it needs `SSL_CERT_FILE=certificates.authority`.
"""

import functools
import ssl
import subprocess
from pathlib import Path
from typing import Any

from fake_upstream import Connection, FakeUpstream

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
HANDSHAKE_SECONDS = 5.0


class Certificates:
    """An authority and what it signed; each certificate is a PEM file together with its key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.authority = self._own("authority")

    @functools.cached_property
    def good(self) -> Path:
        """For `localhost` and `upstream.test`, valid today."""
        return self._signed("good", "DNS:localhost,DNS:upstream.test")

    @functools.cached_property
    def expired(self) -> Path:
        """As the good one, until yesterday."""
        return self._signed("expired", "DNS:localhost", days=-1)

    @functools.cached_property
    def wrong_host(self) -> Path:
        """For another host."""
        return self._signed("wrong_host", "DNS:elsewhere.test")

    @functools.cached_property
    def self_signed(self) -> Path:
        """By nobody else than itself."""
        return self._own("self_signed", "-addext", "subjectAltName=DNS:localhost")

    def _own(self, name: str, *more: str) -> Path:
        key, certificate = (self._folder / f"{name}.{end}" for end in ("key", "crt"))
        self._openssl("req", "-x509", *NEW_KEY, "-keyout", key, "-out", certificate, "-subj", f"/CN={name}", *more)
        return self._together(name)

    def _signed(self, name: str, names: str, days: int = 2) -> Path:
        key, request, extensions, certificate = (self._folder / f"{name}.{end}" for end in ("key", "csr", "ext", "crt"))
        extensions.write_text(f"subjectAltName={names}")
        self._openssl("req", *NEW_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        signing = ("-CA", self.authority, "-CAkey", self.authority, "-CAcreateserial", "-days", str(days))
        self._openssl("x509", "-req", "-in", request, *signing, "-extfile", extensions, "-out", certificate)
        return self._together(name)

    def _together(self, name: str) -> Path:
        file = self._folder / f"{name}.pem"
        file.write_bytes(b"".join((self._folder / f"{name}.{end}").read_bytes() for end in ("key", "crt")))
        return file

    def _openssl(self, *arguments: str | Path) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class _Socket(ssl.SSLSocket):
    """One that has nothing to read says so as a plain socket does."""

    def recv(self, *arguments: Any) -> bytes:
        try:
            return super().recv(*arguments)
        except ssl.SSLWantReadError as exc:
            raise BlockingIOError from exc


class FakeTlsUpstream(FakeUpstream):
    """The server; without a certificate it speaks plain HTTP on its port."""

    def __init__(self, certificate: Path | None) -> None:
        super().__init__()
        self.certificate = certificate
        self.server_names: list[str | None] = []
        self.resumed: list[bool] = []  # for each handshake, whether the caller went on with an earlier session
        self._contexts: dict[Path, ssl.SSLContext] = {}

    def __enter__(self) -> "FakeTlsUpstream":
        super().__enter__()
        self.base_url = f"https://localhost:{self.port}/v1"
        return self

    def _serve(self, connection: Connection, number: int) -> None:
        if self.certificate:
            connection.socket.settimeout(HANDSHAKE_SECONDS)
            try:
                context = self._context(self.certificate)
                connection.socket.getpeername()  # of one who is gone, wrap_socket would leave the socket open
                connection.socket = context.wrap_socket(connection.socket, True, do_handshake_on_connect=False)
                connection.socket.do_handshake()
                self.resumed.append(bool(connection.socket.session_reused))
            except OSError:  # the caller did not like the certificate, or is gone
                connection.socket.close()
        super()._serve(connection, number)

    def _context(self, certificate: Path) -> ssl.SSLContext:
        if certificate not in self._contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            context.sslsocket_class = _Socket
            context.sni_callback = lambda _socket, name, _context: self.server_names.append(name)
            # Once it is complete: connections that come at the same time take it from here.
            self._contexts[certificate] = context
        return self._contexts[certificate]
