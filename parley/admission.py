"""Who is let in, and how many at once."""

import hashlib
import hmac
from collections.abc import Iterable
from typing import TYPE_CHECKING

from parley.errors import InvalidApiKey, ServerOverloaded

if TYPE_CHECKING:
    from parley.turn import Turn


class Keyring:
    """The keys that open the door; without any it stands open."""

    def __init__(self, keys: Iterable[str] | None) -> None:
        self._digests = [_digest(key) for key in keys or ()]

    @property
    def is_open(self) -> bool:
        """Whether everybody may come in."""
        return not self._digests

    def admits(self, presented: Iterable[str]) -> bool:
        """Whether any of the presented keys is one of ours.

        Digests of bytes are compared, each with each, so that neither time nor an odd character tells anything.
        """
        digests = [_digest(key) for key in presented]
        matches = [hmac.compare_digest(ours, theirs) for ours in self._digests for theirs in digests]
        return self.is_open or any(matches)

    def check(self, presented: Iterable[str]) -> None:
        """Raise InvalidApiKey unless a presented key is one of ours."""
        if not self.admits(presented):
            raise InvalidApiKey(
                "a valid API key is needed: Authorization: Bearer KEY, or x-api-key: KEY",
                headers={"www-authenticate": "Bearer"},
            )


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


class Admission:
    """The turns that one worker runs, at most `limit`. Not for threads: a gevent worker has one."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.running: set[Turn] = set()

    def admit(self, turn: "Turn") -> None:
        """Let a turn in. Raises ServerOverloaded where it is full: nobody queues in a phone call."""
        if len(self.running) >= self._limit:
            raise ServerOverloaded("the server carries as many conversations as it can", headers={"retry-after": "1"})
        self.running.add(turn)

    def release(self, turn: "Turn") -> None:
        """Give an admitted turn's place back."""
        self.running.remove(turn)
