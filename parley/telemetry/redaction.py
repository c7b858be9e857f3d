"""Removal of secrets from text: the known ones, in the encodings that they travel in, and all that looks like a key.

Nothing here knows where the text comes from or where it goes.
"""

import base64
import json
import math
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

MIN_SECRET_CHARACTERS = 6
"""Length below which a key is not removed: it is no secret, and would take ordinary words out of the log."""
_KEY_LIKE = re.compile(r"\b(sk|pk|gsk|xai)([-_])[A-Za-z0-9_*.-]{6,}")
_BEARER = re.compile(r"(?<=bearer )[^\s\"']{4,}", re.IGNORECASE)
_BETWEEN = r"""(?:[\s"'+,]|\\[nrt"]){0,6}"""
"""Matches the characters that may stand inside a key that was broken into pieces, in source code or over lines."""


class Redactor:
    """Replaces the given secrets in text, and all that looks like a key, by `***`."""

    def __init__(self, secrets: Iterable[str]) -> None:
        long_enough = {secret for secret in secrets if len(secret) >= MIN_SECRET_CHARACTERS}
        # The longest first: where one secret begins with another, the whole of it must go.
        alternatives = sorted({form for secret in long_enough for form in patterns(secret)}, key=len, reverse=True)
        self._known = re.compile("|".join(alternatives)) if alternatives else None

    def redact(self, text: str) -> str:
        """Return the text with `***` in place of each secret."""
        if self._known:
            text = self._known.sub("***", text)
        return _BEARER.sub("***", _KEY_LIKE.sub(r"\1\2***", text))


def patterns(secret: str) -> Iterator[str]:
    """Yield regular expressions for the encodings of a secret: plain, JSON, URL, hexadecimal and Base64."""
    yield _BETWEEN.join(map(re.escape, secret))
    yield re.escape(json.dumps(secret)[1:-1])
    yield re.escape(quote(secret, safe=""))
    yield "(?i:" + secret.encode().hex() + ")"
    # Base64 encodes three bytes at a time, so the bytes before the secret shift its code by one of three offsets. Only
    # the characters that depend on the secret alone are known.
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + secret.encode()).decode()
        inside = encoded[math.ceil(offset * 8 / 6) : (offset + len(secret.encode())) * 8 // 6]
        yield re.escape(inside)
        yield re.escape(inside.translate(str.maketrans("+/", "-_")))
