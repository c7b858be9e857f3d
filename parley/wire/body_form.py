"""The form of an upstream's answer, told by its first bytes: labels (Content-Type, Content-Encoding) are often wrong.

White space, a byte order mark and comments may come first, in each form.
"""

import enum
import re
from collections.abc import Mapping


class Form(enum.Enum):
    """The form of a body."""

    EVENTS = enum.auto()
    """An event stream."""
    OBJECTS = enum.auto()
    """JSON objects: a whole answer, or chunks of which each has a line of its own; `[DONE]` may follow."""
    FOREIGN = enum.auto()
    """Something else for certain, such as compressed bytes."""
    UNKNOWN = enum.auto()
    """No form that is known by its start: a page, a text."""


EVENT_STARTS = (b"data:", b"event:", b"id:", b"retry:")
"""Beginnings of the lines of an event stream, comments aside."""
STARTS: Mapping[bytes, Form] = {
    **dict.fromkeys(EVENT_STARTS, Form.EVENTS),
    b"{": Form.OBJECTS,
    b"\x1f\x8b": Form.FOREIGN,  # gzip
    b"\x28\xb5\x2f\xfd": Form.FOREIGN,  # zstd
}
"""The bytes with which each form begins."""
SNIFFED_BYTES = 4096
"""Bytes of white space and comments, after which an answer counts as an event stream."""
_BOM = b"\xef\xbb\xbf"
_LEADING = re.compile(rb"(?:\xef\xbb\xbf|\s+|:[^\r\n]*[\r\n])*")


def form_of(start: bytes) -> Form | None:
    """Return the form of a body that begins with these bytes; None if more of them are needed."""
    leading = _LEADING.match(start)
    begun = start[leading.end() :] if leading else start
    for known, form in STARTS.items():
        if begun.startswith(known):
            return form
    if len(start) >= SNIFFED_BYTES and (not begun or begun.startswith(b":")):
        return Form.EVENTS
    # A comment that has not ended, or the first half of a start.
    may_come = begun.startswith(b":") or any(known.startswith(begun) for known in (*STARTS, _BOM))
    return None if may_come else Form.UNKNOWN


def without_leading(body: bytes) -> bytes:
    """Return a body without the white space, byte order mark and comments before it."""
    leading = _LEADING.match(body)
    return body[leading.end() :] if leading else body
