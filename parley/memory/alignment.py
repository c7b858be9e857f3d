"""Matching of stored turns with the history that a platform sends.

    stored      a  b  c  d  e
    request              d' e' f?       the platform's window begins at d: a, b and c lie before it (`cut` is 3)

Users' texts decide, the assistant's only between users' texts that are equal ("yes" said five times). Stored turns
before the window cost nothing; one that the platform left out in its window costs a little (a request that it gave up),
one that is not stored much. The cheapest alignment wins.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

from parley.memory.conversation import History, PlatformTurn, StoredTurn, fold

LEFT_OUT = 5
GIVEN_UP = 1
"""Cost of a stored turn that the platform's history does not hold, within its window; less if the caller had left."""
UNKNOWN = 10
"""Cost of a turn of the platform's that is not stored."""
UNKNOWN_LAST = 6
"""Cost of the platform's last turn if it is not stored: another worker may be about to write it."""
OTHER_REPLY = 4
"""Cost of a match whose user texts are the same, but not the answers."""
REWORDED = 4
"""Cost of a match whose answers are the same, but not the user texts."""
ONE_REPLY = 2
"""Cost of a match whose user texts are the same, but of which one side alone has an answer."""
NO_MATCH = 1_000_000
MIN_PREFIX = 12
"""Fewest folded characters of an answer that tell a turn by themselves."""


@dataclass(frozen=True)
class Alignment:
    """Turns that both sides have; `cut` stored turns lie before the request's window.

    `pairs` maps positions in the platform's turns to those in the stored ones; `doubtful` are those whose answers
    differ.
    """

    cut: int
    cost: int = 0
    pairs: dict[int, int] = field(default_factory=dict)
    doubtful: frozenset[int] = frozenset()


class _Texts:
    """The texts of both sides. Folded when they are first needed: most are the same as they are."""

    def __init__(self, stored: Sequence[StoredTurn], turns: Sequence[PlatformTurn]) -> None:
        self.stored, self.turns = stored, turns
        self._returned: dict[int, str] = {}
        self._replies: dict[int, list[str]] = {}

    @functools.cached_property
    def _users(self) -> tuple[list[str], list[str]]:
        return [fold(turn.user) for turn in self.stored], [fold(turn.user) for turn in self.turns]

    def is_same_question(self, i: int, j: int) -> bool:
        """Return true if the user said the same in a stored turn and in a platform's."""
        return self.stored[i].user == self.turns[j].user or self._users[0][i] == self._users[1][j]

    def cost(self, i: int, j: int) -> int:
        """Return the cost of matching a stored turn with a platform's."""
        stored, replies = self.stored[i].returned, self.turns[j].replies
        is_same = self.is_same_question(i, j)
        if not stored or not replies:
            # The caller may have left before a word was heard.
            is_usual = bool(stored) == bool(replies) or (stored and self.stored[i].closed)
            return NO_MATCH if not is_same else 0 if is_usual else ONE_REPLY
        if is_same:
            return 0 if self._agree(i, j, 1) else OTHER_REPLY
        return REWORDED if self._agree(i, j, MIN_PREFIX) else NO_MATCH

    def matches(self) -> list[dict[int, int]]:
        """Return for each stored turn the platform's that it may be, and what each match costs."""
        stored, turns = self._users
        positions: dict[str, list[int]] = {}
        for i, user in enumerate(stored):
            positions.setdefault(user, []).append(i)
        found: list[dict[int, int]] = [{} for _ in stored]
        for j, user in enumerate(turns):
            # Answers tell a turn only where the user's words do not.
            for i in positions.get(user, range(len(stored))):
                if (cost := self.cost(i, j)) < NO_MATCH:
                    found[i][j] = cost
        return found

    def _agree(self, i: int, j: int, least: int) -> bool:
        """Return true if both answers are the same as far as they go."""
        stored, replies = self.stored[i].returned, self.turns[j].replies
        if stored in replies:
            return True
        if i not in self._returned:
            self._returned[i] = fold(stored)
        if j not in self._replies:
            self._replies[j] = [fold(reply) for reply in replies]
        return any(_same_as_far(self._returned[i], reply, least) for reply in self._replies[j])


def _same_as_far(one: str, other: str, least: int) -> bool:
    shorter, longer = sorted((one, other), key=len)
    return len(shorter) >= min(least, len(one)) and (longer.startswith(shorter) or one.endswith(other))


def align(stored: Sequence[StoredTurn], history: History) -> Alignment:
    """Return the cheapest alignment of the stored turns with the platform's; where it has none nothing is cut."""
    turns = history.turns
    if not turns:
        return Alignment(len(stored))
    texts = _Texts(stored, turns)
    found = _at_the_end(texts) or _cheapest(texts)
    # A platform that sends so many turns sends all of them.
    return found if not history.more else Alignment(0, found.cost, found.pairs, found.doubtful)


def _at_the_end(texts: _Texts) -> Alignment | None:
    """Return the alignment of histories that end with the same turns, which is the usual one."""
    n, m = len(texts.stored), len(texts.turns)
    count = min(n, m)
    pairs = {m - each: n - each for each in range(count, 0, -1)}
    # perf: saves 60 µs of 100 (16 turns of 40): nothing is folded where texts are the same as they are.
    if not pairs or any(texts.cost(i, j) for j, i in pairs.items()):
        return None
    return Alignment(n - count, UNKNOWN * (m - count), pairs)


def _cheapest(texts: _Texts) -> Alignment:
    """Return the cheapest alignment of all, by the costs of the turns' tails from each pair of positions on."""
    n, m = len(texts.stored), len(texts.turns)
    unknown = [*(UNKNOWN for _ in range(m - 1)), UNKNOWN_LAST]
    # A request that the platform gave up is one whose caller left; it rarely omits an answer that ended.
    left_out = [GIVEN_UP if turn.closed or not turn.returned else LEFT_OUT for turn in texts.stored]
    matches = texts.matches()
    last_row = [sum(unknown[j:]) for j in range(m + 1)]
    costs = [last_row]
    for i in reversed(range(n)):
        below, here, cost = costs[-1], matches[i], left_out[i]
        row = [0] * m + [cost + below[m]]
        # perf: saves 1.3 ms of 1.7 (16 turns of 40, one reworded): a table of matches, no call for each cell.
        for j in reversed(range(m)):
            row[j] = min(cost + below[j], unknown[j] + row[j + 1])
            if j in here:
                row[j] = min(row[j], here[j] + below[j + 1])
        costs.append(row)
    costs.reverse()
    # The latest of equals: what lies before the window is then added, not lost.
    cut = min(reversed(range(n + 1)), key=lambda i: costs[i][0])
    pairs = {}
    i, j = cut, 0
    while i < n and j < m:
        if j in matches[i] and costs[i][j] == matches[i][j] + costs[i + 1][j + 1]:
            pairs[j] = i
            i, j = i + 1, j + 1
        elif costs[i][j] == left_out[i] + costs[i + 1][j]:
            i += 1
        else:
            j += 1
    doubtful = {j for j, i in pairs.items() if matches[i][j] == OTHER_REPLY and texts.is_same_question(i, j)}
    return Alignment(cut, costs[cut][0], pairs, frozenset(doubtful))
