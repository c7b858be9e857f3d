"""The sessions of a server: the policy with a store behind it.

    recall       read once, before the upstream is asked
    remember     written once, behind the last byte; read again, since other turns of the session may have ended
    forget       on demand

A store that fails costs a turn its memory and nothing else.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from parley.memory import policy
from parley.memory.conversation import History, StoredTurn, decode, encode
from parley.memory.policy import Mode, Recollection
from parley.memory.stores import Store, StoreFailed
from parley.telemetry.logs import log

MAX_TRIES = 8
"""Most attempts at a write that other writers of the session are faster than."""


def session_key(holder: str, session: str) -> str:
    """Return the key of a session of a holder: one key's sessions are never another's.

    `holder` has to stay the same for as long as a store lives, such as a digest of the caller's API key.
    """
    return hashlib.sha256(f"{holder}\0{session}".encode()).hexdigest()


class Sessions:
    """The memory in one worker. `ttl` is in seconds since a session's last turn."""

    def __init__(self, store: Store, *, mode: Mode, ttl: float) -> None:
        self._store = store
        self._mode = mode
        self._ttl = ttl
        self._is_failing = False

    def recall(self, key: str, messages: list[dict[str, Any]], turn: str, *, with_tools: bool) -> Recollection | None:
        """Return a request's messages with what is remembered; None if the store fails."""
        try:
            entry = self._store.get(key)
        except StoreFailed as failure:
            self._failed(failure)
            return None
        self._works()
        stored = decode(entry.data) if entry else ()
        return policy.recall(stored, messages, turn=turn, mode=self._mode, with_tools=with_tools)

    def remember(self, key: str, history: History, turn: StoredTurn) -> bool:
        """Store a turn that has ended; return false if the store fails."""
        return self._changed(key, lambda stored: policy.remember(stored, history, turn, mode=self._mode))

    def add_result(self, key: str, result: Mapping[str, Any]) -> bool:
        """Store the late result of a call; return false if the store fails."""
        return self._changed(key, lambda stored: policy.with_result(stored, result))

    def forget(self, key: str) -> bool:
        """Delete a session, if there is one; return false if the store fails."""
        try:
            self._store.delete(key)
        except StoreFailed as failure:
            self._failed(failure)
            return False
        return True

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _changed(self, key: str, change: Callable[[tuple[StoredTurn, ...]], tuple[StoredTurn, ...]]) -> bool:
        try:
            for _ in range(MAX_TRIES):
                entry = self._store.get(key)
                stored = decode(entry.data) if entry else ()
                turns = change(stored)
                if turns == stored or self._store.put(key, encode(turns), self._ttl, entry.version if entry else 0):
                    self._works()
                    return True
        except StoreFailed as failure:
            self._failed(failure)
        return False

    def _failed(self, failure: StoreFailed) -> None:
        """Log the first of several failures."""
        if not self._is_failing:
            self._is_failing = True
            log.warning("memory_failed", reason=str(failure), hint="turns go on without a memory")

    def _works(self) -> None:
        if self._is_failing:
            self._is_failing = False
            log.info("memory_works_again")
