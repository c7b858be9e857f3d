"""The choices of a stream, and which of them have ended.

    begun ---- finish_reason ---> ended ---- new content ---> begun (or ended again, by its own finish_reason)
                                  ended ---- named again without content ---> ended

A finish_reason alone is a weak sign: some servers write one on every chunk, others behind each step of an agent. New
content behind it proves that it was none.
"""

from collections.abc import Iterable
from typing import Any

from parley.wire.chunks import Choice

WITHHELD_REASONS = frozenset(
    {
        *("blocklist", "content_filter", "content_filtered", "error_toxic", "guardrail_intervened", "image_safety"),
        *("prohibited_content", "recitation", "refusal", "safety", "sensitive", "spii"),
    }
)
"""Finish reasons, in small letters, of an answer that was withheld on purpose: it need not hold a word.

Any other reason before the first word is a doubtful one.
"""


def is_withheld(finish_reason: Any) -> bool:
    """Return True for the finish reason of an answer that was withheld on purpose."""
    return str(finish_reason).lower().replace("-", "_") in WITHHELD_REASONS


class Endings:
    """The choices of one stream.

    `unfinished` holds those that have begun and not ended. `doubtful` is true if the last ending may be none: it came
    with content or before any, or an ending of this stream has been proved wrong.
    """

    def __init__(self) -> None:
        self.unfinished: set[object] = set()
        self.ended: set[object] = set()
        self.doubtful = False
        self._heard: set[object] = set()
        self._proved_wrong = False

    @property
    def all_ended(self) -> bool:
        """True if a choice has begun, and each that has begun has ended."""
        return bool(self.ended) and not self.unfinished

    def take(self, choices: Iterable[Choice]) -> None:
        """Take the choices of one chunk."""
        for choice in choices:
            key, heard = choice.key, choice.heard
            if heard:
                self._proved_wrong = self._proved_wrong or key in self.ended
                self.ended.discard(key)
                self._heard.add(key)
            if choice.ends:
                said_nothing = key not in self._heard and not is_withheld(choice.reason)
                self.doubtful = self._proved_wrong or heard or said_nothing
                self.ended.add(key)
                self.unfinished.discard(key)
            elif key not in self.ended:
                self.unfinished.add(key)
