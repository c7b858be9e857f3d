"""Taking secrets out of text: the known ones, in the forms that they travel in, and whatever looks like a key.

Nothing here knows where the text comes from or goes to.
"""

import base64
import json
import math
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

LEAST_SECRET_CHARACTERS = 6
"""A shorter key is no secret, and taking it out would take half of the log along."""
_KEY_LIKE = re.compile(r"\b(sk|pk|gsk|xai)([-_])[A-Za-z0-9_*.-]{6,}")
_BEARER = re.compile(r"(?<=bearer )[^\s\"']{4,}", re.IGNORECASE)
_BETWEEN = r"""(?:[\s"'+,]|\\[nrt"]){0,6}"""
"""What may stand between the characters of a key that was broken into pieces: in source code, or over lines."""


class Redactor:
    """Takes these secrets out of text, and whatever looks like a key."""

    def __init__(self, secrets: Iterable[str]) -> None:
        long_enough = {secret for secret in secrets if len(secret) >= LEAST_SECRET_CHARACTERS}
        patterns = {pattern for secret in long_enough for pattern in _patterns(secret)}
        self._known = re.compile("|".join(sorted(patterns, key=len, reverse=True))) if patterns else None

    def redact(self, text: str) -> str:
        """The text with `***` in the secrets' place."""
        if self._known:
            text = self._known.sub("***", text)
        return _BEARER.sub("***", _KEY_LIKE.sub(r"\1\2***", text))


def _patterns(secret: str) -> Iterator[str]:
    """Regular expressions for the forms in which a secret may be quoted."""
    yield _BETWEEN.join(map(re.escape, secret))
    yield re.escape(json.dumps(secret)[1:-1])
    yield re.escape(quote(secret, safe=""))
    yield "(?i:" + secret.encode().hex() + ")"
    for offset in range(3):
        inside = _base64_inside(secret.encode(), offset)
        yield re.escape(inside)
        yield re.escape(inside.translate(str.maketrans("+/", "-_")))


def _base64_inside(secret: bytes, offset: int) -> str:
    """The characters that tell of the secret alone where it is encoded behind `offset` bytes of something else."""
    encoded = base64.b64encode(bytes(offset) + secret).decode()
    return encoded[math.ceil(offset * 8 / 6) : (offset + len(secret)) * 8 // 6]
