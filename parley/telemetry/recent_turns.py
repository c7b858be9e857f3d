"""The last turns of all workers, for the playground: what their log lines hold, without the callers' addresses.

One worker keeps them in its memory. Several write files into the folder of their metrics, so that whichever is asked
reads the turns of all. Where nobody is served the playground, nothing is kept: `kept` is None.
"""

import contextlib
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec

from parley.telemetry import turn_files
from parley.telemetry.shared_folder import READING, locked
from parley.telemetry.turn_files import ENDED, ROOM, SLOTS, Slot, TurnFile
from parley.turn_record import TurnRecord

LEFT_OUT = frozenset({"client", "client_by"})
"""Fields of the log line that a page does not show: a caller's address is nobody's business."""
FIELDS = tuple(name for name in TurnRecord.__dataclass_fields__ if name not in LEFT_OUT)
"""Fields of a turn, behind its order, time and worker."""
LONG = ("model", "reason", "tools", "unsaid", "session", "upstream_request_id")
"""Fields whose length others choose, in the order in which they are cut where a turn is too long for a slot."""
KEPT_CHARACTERS = 40
"""Characters that are kept of a text that is cut."""


class RecentTurns:
    """The last turns of one worker, and those of the others in `folder`, if they share one.

    `worker` is its number among all that the master has started.
    """

    def __init__(self, worker: int, folder: str | None, pid: int) -> None:
        self.worker = worker
        self._folder = folder
        self._last = 0
        self._memory: deque[dict[str, Any]] = deque(maxlen=SLOTS)
        self._file: TurnFile | None = None
        if folder:
            try:
                self._file = TurnFile(folder, pid)
            except OSError:
                # Each worker shows its own turns.
                self._folder = None

    def add(self, record: TurnRecord) -> None:
        """Keep a turn that has ended."""
        fields = {name: getattr(record, name) for name in FIELDS}
        turn = {"at": round(time.time() * 1000), "worker": self.worker, **fields}
        # The system's monotonic clock is one for all workers, and no correction of the time of day disturbs it. Taken
        # last: a reader who asks between this and the write passes the turn by.
        self._last = max(self._last + 1, now())
        if self._file:
            self._file.write(Slot(self._last, encoded(turn)))
        else:
            self._memory.append({"seq": self._last, **turn})

    def since(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Return at most `limit` turns of all workers behind this order, the newest first."""
        # Of an order that is still to come another run has spoken.
        after = after if after <= now() else 0
        if self._folder is None:
            return [turn for turn in reversed(self._memory) if turn["seq"] > after][:limit]
        # A turn may be in two files, where a merge was cut short.
        slots: dict[int, Slot] = {}
        # A folder that is gone holds no turns.
        with contextlib.suppress(OSError), locked(self._folder, READING):
            for file in turn_files.files_in(self._folder):
                slots.update((slot.order, slot) for slot in turn_files.read_slots(file, after))
        return [decoded(slots[order]) for order in sorted(slots, reverse=True)[:limit]]

    @property
    def workers(self) -> int:
        """The number of workers that keep turns now."""
        if self._folder is None:
            return 1
        ended = turn_files.path_of(self._folder, ENDED)
        return sum(file != ended for file in turn_files.files_in(self._folder)) or 1


kept: RecentTurns | None = None
"""The turns of this worker; None where nobody may see them."""


def now() -> int:
    """Return the order of a turn that ends now."""
    return time.monotonic_ns() // 1000


def encoded(turn: Mapping[str, Any]) -> bytes:
    """Return a turn as JSON that fits into a slot, without the fields that have no value; long texts are cut."""
    left = {name: value for name, value in turn.items() if value is not None}
    content = _to_json(left)
    for name in LONG:
        if len(content) <= ROOM:
            break
        if isinstance(left.get(name), str):
            left[name] = left[name][:KEPT_CHARACTERS]
            content = _to_json(left)
    # Of other scripts' letters forty may still be too many.
    while len(content) > ROOM:
        del left[max(left, key=lambda name: len(str(left[name])))]
        content = _to_json(left)
    return content


def _to_json(fields: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(fields)
    except UnicodeEncodeError:
        # Halves of surrogate pairs, which a caller's model name may hold.
        return msgspec.json.encode({name: _clean(value) for name, value in fields.items()})


def _clean(value: Any) -> Any:
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def decoded(slot: Slot) -> dict[str, Any]:
    """Return the turn in a slot, with all its fields."""
    return {"seq": slot.order, "at": 0, "worker": 0, **dict.fromkeys(FIELDS), **msgspec.json.decode(slot.content)}
