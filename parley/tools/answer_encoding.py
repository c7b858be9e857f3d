"""A service's answer as text: unpacked if it came compressed, decoded as it is labelled.

Compression is not asked for, but some servers and proxies in front of them compress whatever leaves.
"""

import contextlib
import re
import zlib
from collections.abc import Mapping
from typing import Literal

from parley.errors import UpstreamBadResponse

PACKED = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
"""Content encodings that are understood, and zlib's window for each."""
GZIP_START = b"\x1f\x8b"
OLD_CHARSETS = re.compile(
    r"(iso-?8859-\d\d?|latin-?1|us-ascii|windows-125\d|cp125\d|koi8-[ru]|shift_?jis|euc-(jp|kr)|gbk|gb2312|gb18030|big5)$"
)
"""Matches charsets, in small letters, in which services still write; Python knows others that are none, or slow."""
WIDE_CHARSETS = frozenset({"utf-16", "utf-16le", "utf-16be"})
"""Charsets that UTF-8 may be mistaken for: ASCII in them is valid UTF-8, with zeros."""
CHARSET = re.compile(r"""charset\s*=\s*["']?([\w.:-]+)""", re.IGNORECASE)


def unpacked(received: bytes, headers: Mapping[str, str], limit: int) -> bytes:
    """Return a body without its compression, cut behind `limit` bytes. Raises UpstreamBadResponse."""
    encoding = headers.get("content-encoding", "").strip().lower()
    if not received or (encoding in ("", "identity") and not received.startswith(GZIP_START)):
        return received
    window = PACKED.get(encoding or "gzip")
    if window is None:
        raise UpstreamBadResponse(f"the answer is compressed as {encoding:.20}, which was not asked for")
    # Some servers write deflate without the frame that HTTP wants around it.
    for each in (window, -zlib.MAX_WBITS) if encoding == "deflate" else (window,):
        unpacker = zlib.decompressobj(each)
        try:
            body = unpacker.decompress(received, limit + 1)
        except zlib.error:
            continue
        if unpacker.eof or len(body) > limit:
            return body
    raise UpstreamBadResponse("the compressed answer is not whole")


def decoded(body: bytes, content_type: str, errors: Literal["strict", "replace"]) -> str:
    """Return a body as text: as UTF-8 if it is, which many mislabel, else by its label.

    With strict `errors`, raises UnicodeDecodeError if it is neither.
    """
    label = CHARSET.search(content_type)
    charset = label[1].lower() if label else ""
    usual = charset if charset in WIDE_CHARSETS else "utf-8-sig"
    try:
        return body.decode(usual).removeprefix("\ufeff")
    except UnicodeDecodeError:
        if OLD_CHARSETS.match(charset):
            with contextlib.suppress(UnicodeDecodeError, LookupError):
                return body.decode(charset)
        return body.decode(usual, errors)
