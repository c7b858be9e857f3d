"""When another attempt makes sense, and how soon: budget, backoff, and what an upstream asks for."""

import datetime
import math
import random
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

SHARE = 0.2
RESERVE = 10.0
FIRST_PAUSE_SECONDS = 0.05
PAUSE_SECONDS = (0.1, 0.4)


class RetryBudget:
    """A token bucket that keeps repeated attempts at a fifth of the questions, so that no storm hits a sick upstream.

    It starts full, with ten tokens; each question puts a fifth of one in, each repeated attempt takes one out.
    """

    def __init__(self) -> None:
        self._tokens = RESERVE

    def deposit(self) -> None:
        """A question arrived."""
        self._tokens = min(RESERVE, self._tokens + SHARE)

    def spend(self) -> bool:
        """Take a token for a repeated attempt, if there is one."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def backoff(attempts: int) -> float:
    """Seconds to wait after so many attempts: 50 ms at first, then 100 to 400 ms at random (full jitter)."""
    return FIRST_PAUSE_SECONDS if attempts == 1 else random.uniform(*PAUSE_SECONDS)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that an upstream asks to wait: `retry-after-ms`, or `retry-after` as a number or an HTTP date.

    None where it asks for nothing that makes sense: junk, the past, infinity.
    """
    millis = _number(headers.get("retry-after-ms"))
    if millis is not None:
        return millis / 1000
    text = headers.get("retry-after")
    return _number(text) or _until(text)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None


def _until(text: str | None) -> float | None:
    try:
        moment = parsedate_to_datetime(text or "")
        seconds = (moment - datetime.datetime.now(datetime.UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):  # TypeError: a date without a zone
        return None
    return seconds if seconds > 0 else None
