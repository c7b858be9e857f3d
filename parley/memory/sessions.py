"""The sessions of a server: the policy with a store behind it.

    recall       read once, before the upstream is asked
    remember     written once, behind the last byte; read again, since other turns of the session may have ended
    forget       on demand
    finish       the worker stops: what is being written may end

A store that fails costs a turn its memory and nothing else.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec

import gevent
from gevent import monkey

from parley.memory import policy
from parley.memory.conversation import History, StoredTurn, decode, encode
from parley.memory.policy import Mode, Recollection
from parley.memory.stores import WAIT_SECONDS, Store, StoreFailed
from parley.telemetry.logs import log

Args = ParamSpec("Args")

MAX_TRIES = 8
"""Most attempts at a write that fails, or that other writers of the session are faster than."""


def session_key(holder: str, session: str) -> str:
    """Return the key of a session of a holder: one key's sessions are never another's.

    `holder` has to stay the same for as long as a store lives, such as a digest of the caller's API key.
    """
    return hashlib.sha256(f"{holder}\0{session}".encode()).hexdigest()


class Sessions:
    """The memory in one worker. `ttl` is in seconds since a session's last turn."""

    def __init__(self, store: Store, *, ttl: float) -> None:
        self._store = store
        self._ttl = ttl
        self._is_failing = False
        # By the session's key: what is being written of turns that have ended.
        self._writing: dict[gevent.Greenlet, str] = {}

    def recall(
        self, key: str, messages: list[dict[str, Any]], turn: str, *, mode: Mode, with_tools: bool
    ) -> Recollection | None:
        """Return a request's messages with what is remembered; None if the store fails."""
        # A caller may ask again in the moment in which the last answer ends.
        self._wait_for_writes(key)
        try:
            entry = self._store.get(key)
        except StoreFailed as failure:
            self._failed(failure)
            return None
        self._works()
        stored = decode(entry.data) if entry else ()
        return policy.recall(stored, messages, turn=turn, mode=mode, with_tools=with_tools)

    def remember(self, key: str, history: History, turn: StoredTurn, *, mode: Mode) -> bool:
        """Store a turn that has ended; return false if the store fails."""
        return self._changed(key, lambda stored: policy.remember(stored, history, turn, mode=mode))

    def add_result(self, key: str, result: Mapping[str, Any]) -> bool:
        """Store the late result of a call; return false if the store fails."""
        return self._changed(key, lambda stored: policy.with_result(stored, result))

    def forget(self, key: str) -> bool:
        """Delete a session, if there is one; return false if the store fails."""
        self._wait_for_writes(key)
        try:
            self._store.delete(key)
        except StoreFailed as failure:
            self._failed(failure)
            return False
        return True

    def check(self) -> None:
        """Open the store, before the first caller would wait for it; warn if it can't be used."""
        for tries_left in reversed(range(MAX_TRIES)):
            try:
                self._store.get("")
                return
            except StoreFailed as failure:
                if not tries_left:
                    self._failed(failure)
            gevent.sleep(WAIT_SECONDS)

    def spawn(self, key: str, write: Callable[Args, object], *args: Args.args, **kwargs: Args.kwargs) -> None:
        """Call `write`, which stores something of this session, in a greenlet of its own."""
        greenlet = gevent.spawn(write, *args, **kwargs)
        self._writing[greenlet] = key
        greenlet.rawlink(self._writing.pop)
        if not monkey.is_module_patched("socket"):
            # A worker of another class than gevent's has no event loop that goes on behind its answers.
            greenlet.join()

    def finish(self, seconds: float) -> None:
        """Wait for what is being written, for so many seconds at most, and close the store."""
        gevent.joinall(list(self._writing), timeout=seconds)
        self._store.close()

    def _wait_for_writes(self, key: str) -> None:
        """Wait for what is being written of this session, for as long as a store may take."""
        if before := [greenlet for greenlet, of in self._writing.items() if of == key]:
            gevent.joinall(before, timeout=WAIT_SECONDS)

    def _changed(self, key: str, change: Callable[[tuple[StoredTurn, ...]], tuple[StoredTurn, ...]]) -> bool:
        for tries_left in reversed(range(MAX_TRIES)):
            try:
                entry = self._store.get(key)
                stored = decode(entry.data) if entry else ()
                turns = change(stored)
                if turns == stored or self._store.put(key, encode(turns), self._ttl, entry.version if entry else 0):
                    self._works()
                    return True
            except StoreFailed as failure:
                # Nobody waits for a write: a busy moment costs no turn.
                if not tries_left:
                    self._failed(failure)
                gevent.sleep(WAIT_SECONDS)
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
