"""The files of the playground's page: read once, and asked for by their names in a table, never by a path."""

import gzip
import hashlib
from pathlib import Path
from typing import NamedTuple

from flask import Request, Response

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    "": "text/plain; charset=utf-8",
}
"""Types of files by the ends of their names; others are not served."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(self)",
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}
"""Headers of all files: nothing foreign is loaded or executed, nobody frames them, and browsers ask for changes."""


class PageFile(NamedTuple):
    """A file: its content, that as gzip packs it, a hash of it, and its type."""

    content: bytes
    packed: bytes
    digest: str
    kind: str


def read_files(folder: Path) -> dict[str, PageFile]:
    """Return the files of a folder and of those in it by their names below it, with `/` between."""
    return {
        file.relative_to(folder).as_posix(): read_file(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.suffix in TYPES and not file.name.startswith(".")
    }


def read_file(file: Path) -> PageFile:
    """Return a file as it is served."""
    content = file.read_bytes()
    # Without the time, so that all workers send the same bytes.
    packed = gzip.compress(content, 9, mtime=0)
    return PageFile(content, packed, hashlib.sha256(content).hexdigest()[:32], TYPES[file.suffix])


def file_response(file: PageFile, request: Request) -> Response:
    """Return the response with a file, packed for those who can unpack it, or 304 for those who have it."""
    packs = request.accept_encodings["gzip"] > 0 and len(file.packed) < len(file.content)
    response = Response(file.packed if packs else file.content, headers=HEADERS, content_type=file.kind)
    if packs:
        response.headers["Content-Encoding"] = "gzip"
    # Two forms are two entities.
    response.set_etag(f"{file.digest}-gzip" if packs else file.digest)
    response.make_conditional(request)
    return response
