"""Removal of invisible characters from a text. A reader does not see them, but a model does."""

import re

_INVISIBLE = re.compile(
    "["
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # control characters, save tab and line ends
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u3164\uffa0"  # soft hyphen, fillers
    "\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # zero width, direction of writing
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"  # musical controls; tags and their kin
    "]"
    # The two joiners spell words of Persian and of many Indian scripts, and emoji: between such characters they stay.
    "|(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])"
)


def clean(text: str) -> tuple[str, int]:
    """Return the text without invisible and control characters, its line ends as LF, and the number removed."""
    # perf: saves 25 µs (a line of 700 ASCII characters)
    if text.isascii() and text.isprintable():
        return text, 0
    return _INVISIBLE.subn("", text.replace("\r\n", "\n").replace("\r", "\n"))
