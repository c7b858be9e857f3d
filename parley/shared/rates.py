"""`RATE_LIMIT` over all workers that share a Redis; while it is away, this worker's share.

The limit is kept as a hash of slices of the stretch. A slice expires as a whole: never more than the limit begin in any
stretch, and a turn counts for at most a slice too long. Only the clock of Redis counts, so that those of the machines
may differ.
"""

import math
from collections.abc import Callable

from parley.errors import LimitsUnavailable
from parley.shared.link import Link, Script, Unanswered
from parley.shared.local import LocalRate

SLICES = 60
"""Slices of the stretch: Redis reads all of them for each turn, so there are fewer than in a worker."""

BEGIN = """
local function begin(key, limit, width, slices)
    local t = redis.call('TIME') local now = t[1] * 1000000 + t[2]
    local current = math.floor(now / width)
    local found, live, dead, sum = redis.call('HGETALL', key), {}, {}, 0
    for i = 1, #found, 2 do
        local slice, turns = tonumber(found[i]), tonumber(found[i + 1])
        -- A slice from the future was counted by the clock of a server that has been replaced.
        if slice and turns and slice >= current - slices and slice <= current + slices then
            live[#live + 1] = {slice, turns}
            sum = sum + turns
        else
            dead[#dead + 1] = found[i]
        end
    end
    for i = 1, #dead do redis.call('HDEL', key, dead[i]) end
    if sum >= limit then
        table.sort(live, function(a, b) return a[1] < b[1] end)
        local over, wait = sum - limit, width
        for i = 1, #live do
            over = over - live[i][2]
            wait = (live[i][1] + slices + 1) * width - now
            if over < 0 then break end
        end
        return math.ceil(wait / 1000)
    end
    redis.call('HINCRBY', key, string.format('%.0f', current), 1)
    redis.call('PEXPIRE', key, math.ceil((slices + 2) * width / 1000))
    return 0
end
"""
"""Function of a script: count a turn in a hash of slices; return 0, or the milliseconds until the next may begin."""
TAKE = Script(BEGIN + "return begin(KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]))")


class SharedRate:
    """Limit over all workers that share a Redis. `name_of` returns a name of a holder that all of them know.

    `without` tells what to do while Redis is away: `share`, `open` or `refuse`.
    """

    def __init__(self, link: Link, rate: str, name_of: Callable[[str], str], without: str) -> None:
        self._link = link
        link.fall_back = without
        self._name_of = name_of
        self._without = without
        self._local = LocalRate(rate)
        # Of `begin`, behind the key.
        self.arguments = (self._local.amount, f"{self._local.seconds * 1_000_000 / SLICES:.3f}", SLICES)

    def take(self, holder: str) -> None:
        """Count a turn. Raises RateLimited and LimitsUnavailable."""
        try:
            wait_ms = self._link.ask("rate", lambda client: TAKE.run(client, self.key(holder), *self.arguments))
        except Unanswered:
            self.take_without(holder)
        else:
            self.taken(holder, int(wait_ms))

    def key(self, holder: str) -> str:
        """Return the key of a holder's slices."""
        return f"{self._link.prefix}:{{{self._name_of(holder)}}}:rate"

    def taken(self, holder: str, wait_ms: int) -> None:
        """Take over what the script has returned. Raises RateLimited, unless the turn may begin at once."""
        self._link.count_limit("shared")
        if wait_ms:
            seconds = math.ceil(wait_ms / 1000)
            raise self._local.refusal(min(max(1, seconds), 2 * self._local.seconds))
        # Here as well, so that a worker that must count by itself does not begin with an empty stretch.
        self._local.note(holder)

    def take_without(self, holder: str) -> None:
        """Count a turn while Redis is away. Raises RateLimited and LimitsUnavailable."""
        if self._without == "refuse":
            raise LimitsUnavailable.in_a_second()
        self._link.count_limit(self._without)
        if self._without == "share":
            self._local.take_share(holder, self._link.share_of(self._local.amount))
        else:
            self._local.note(holder)
