"""The sessions of a server: the policy with a store behind it.

    recall       read once, before the upstream is asked
    remember     written once, behind the last byte; read again, since other turns of the session may have ended
    forget       on demand
    finish       the worker stops: what is being written may end

A store that fails costs a turn its memory and nothing else; so does what others have written into it.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec

import gevent
from gevent import monkey

from parley.memory import policy
from parley.memory.conversation import History, StoredTurn, decode, encode
from parley.memory.policy import Mode, Recollection
from parley.memory.stores import WAIT_SECONDS, Entry, Store, StoreFailed
from parley.telemetry import metrics
from parley.telemetry.logs import log

Args = ParamSpec("Args")

MAX_TRIES = 8
"""Most attempts at a write that fails."""
MAX_RACES = 100
"""Most attempts at a write that other writers of the session are faster than. Of these one succeeds each time."""
FORGET_SECONDS = 2.0
"""Longest time in seconds that a deletion waits for what is still being written of its session."""
NOTHING = encode(())
"""A session whose turns have all been taken out of it."""


def session_key(holder: str, session: str) -> str:
    """Return the key of a session of a holder: one key's sessions are never another's.

    `holder` has to stay the same for as long as a store lives, such as a digest of the caller's API key.
    """
    return f"{holder}:{hashlib.sha256(session.encode()).hexdigest()}"


class Sessions:
    """The memory in one worker. `ttl` is in seconds since a session's last turn.

    `reader` is the store as it is asked while a caller waits, if that differs.
    """

    def __init__(self, store: Store, *, ttl: float, reader: Store | None = None) -> None:
        self._store = store
        self._reader = reader or store
        self._ttl = ttl
        self._is_failing = self._is_unreadable_told = False
        # By the session's key: what is being written of turns that have ended.
        self._writing: dict[gevent.Greenlet, str] = {}

    def recall(
        self, key: str, messages: list[dict[str, Any]], turn: str, *, mode: Mode, with_tools: bool
    ) -> Recollection | None:
        """Return a request's messages with what is remembered; None if the store fails."""
        # A caller may ask again in the moment in which the last answer ends. A store that fails is not waited for.
        if not self._is_failing:
            self._wait_for_writes(key, WAIT_SECONDS)
        try:
            entry = self._reader.get(key)
        except StoreFailed as failure:
            self._failed(failure)
            return None
        self._works()
        stored = self._turns_of(entry)
        return policy.recall(stored, messages, turn=turn, mode=mode, with_tools=with_tools)

    def remember(self, key: str, history: History, turn: StoredTurn, *, mode: Mode) -> bool:
        """Store a turn that has ended; return false if the store fails."""
        return self._changed(key, lambda stored: policy.remember(stored, history, turn, mode=mode))

    def add_result(self, key: str, result: Mapping[str, Any]) -> bool:
        """Store the late result of a call; return false if the store fails."""
        return self._changed(key, lambda stored: policy.with_result(stored, result))

    def forget(self, key: str) -> bool:
        """Delete a session, if there is one; return false if the store fails."""
        if not self._wait_for_writes(key, FORGET_SECONDS):
            # A write that is being tried again would bring back what has been deleted.
            return False
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

    def _wait_for_writes(self, key: str, seconds: float) -> bool:
        """Wait for what is being written of this session, for so many seconds at most; return true if it is over."""
        before = [greenlet for greenlet, of in self._writing.items() if of == key]
        return not before or len(gevent.joinall(before, timeout=seconds)) == len(before)

    def _changed(self, key: str, change: Callable[[tuple[StoredTurn, ...]], tuple[StoredTurn, ...]]) -> bool:
        failures = races = 0
        while failures < MAX_TRIES and races < MAX_RACES:
            try:
                entry = self._store.get(key)
                stored = self._turns_of(entry)
                turns = change(stored)
                if turns == stored or self._store.put(key, encode(turns), self._ttl, entry.version if entry else 0):
                    self._works()
                    return True
                races += 1
            except StoreFailed as failure:
                # Nobody waits for a write: a busy moment costs no turn.
                failures += 1
                if failures == MAX_TRIES:
                    self._failed(failure)
                gevent.sleep(WAIT_SECONDS)
        metrics.MEMORY_LOST.inc()
        return False

    def _turns_of(self, entry: Entry | None) -> tuple[StoredTurn, ...]:
        """Return the turns of an entry; none of one that can't be read, which is told once."""
        turns = decode(entry.data) if entry else ()
        if entry and not turns and entry.data != NOTHING and not self._is_unreadable_told:
            self._is_unreadable_told = True
            log.warning("memory_unreadable", hint="what another program or release has stored counts as nothing")
        return turns

    def _failed(self, failure: StoreFailed) -> None:
        """Log the first of several failures."""
        if not self._is_failing:
            self._is_failing = True
            log.warning("memory_failed", reason=str(failure), hint="turns go on without a memory")

    def _works(self) -> None:
        if self._is_failing:
            self._is_failing = False
            log.info("memory_works_again")
