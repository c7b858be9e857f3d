"""The figures as Markdown: all targets side by side, the goals, and whether the bench itself may be believed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from measuring.figures import Figures, added_to_direct
from measuring.scenarios import HELD, WATCHED_SECONDS

BUSY = 90
"""Per cent of its core at which the upstream or the load generator may have held a target back."""
WAITED = 10
"""Per cent of the time that a target waited for its core at which others disturbed the measurement."""


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = ["| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *rows)]
    return "\n".join(lines)


def number(value: float | None, digits: int = 0) -> str:
    """A figure for a table; a dash where there is none."""
    return "–" if value is None else f"{value:,.{digits}f}".replace(",", "\u202f")


def _figure(name: str, digits: int = 0) -> Callable[[Figures], str]:
    return lambda own: number(own.get(name), digits)


def _figures(*names: str, digits: int = 2) -> Callable[[Figures], str]:
    return lambda own: " / ".join(number(own.get(name), digits) for name in names)


def _cpu(scenario: str) -> Callable[[Figures], str]:
    name = f"{scenario} us a chunk"
    return lambda own: number(own[name], 1) if own.get(name) else "–"


def _held(own: Figures) -> str:
    if "S5 held" not in own:
        return "–"
    if not own["S5 held"] or own["S5 idle CPU %"] == 0:
        return number(own["S5 held"])
    return f"{number(own['S5 held'])}, {number(own['S5 KiB a stream'], 1)} KiB, {number(own['S5 idle CPU %'], 1)} %"


def _leaving(own: Figures) -> str:
    def told(kind: str) -> str:
        name = f"leave {kind} ms"
        if name not in own:
            return "–"
        return f"not in {WATCHED_SECONDS:.0f} s" if own[name] is None else f"{number(own[name], 1)} ms"

    return f"{told('talking')} / {told('silent')}"


def _payload(own: Figures) -> str:
    text = "rewritten" if own["altered"] else "identical"
    return f"{text}, {number(own['wrong'])} answers wrong" if own["wrong"] else text


COLUMNS: dict[str, Callable[[Figures], str]] = {
    "S0: CPU ms a request": lambda own: number(own.get("S0 ms a request") or None, 3),
    "S1: first content p50 / p99 ms": _figures("S1 first p50 ms", "S1 first p99 ms"),
    "S2: CPU µs a chunk": _cpu("S2"),
    "S2: relay latency p50 / p99 ms": _figures("S2 relay p50 ms", "S2 relay p99 ms"),
    "S3: CPU µs a chunk": _cpu("S3"),
    "S3: first content p50 ms": _figure("S3 first p50 ms", 1),
    "S4: chunks a CPU second": _figure("S4 chunks a CPU second"),
    f"S5: held of {HELD}, memory a stream, idle CPU": _held,
    "S6: JSON answers a CPU second": _figure("S6 a CPU second"),
    "upstream closed after the caller left, talking / silent": _leaving,
    "payload": _payload,
}


def of_targets(figures: dict[str, Figures]) -> str:
    """All targets side by side."""
    rows = [[name, *(cell(own) for cell in COLUMNS.values())] for name, own in figures.items()]
    return markdown(["relay", *COLUMNS], rows)


@dataclass(frozen=True)
class Goal:
    """A figure of Parley's and what it must be, and should be; `more` where more is better.

    A `portable` goal means the same on any machine: it compares with another relay of the same run, or counts faults.
    """

    what: str
    required: float
    wished: float | None
    measured: Callable[[dict[str, Figures]], float | None]
    digits: int = 2
    more: bool = False
    portable: bool = False

    def row(self, figures: dict[str, Figures]) -> list[str]:
        """A row of the table; empty where it was not measured."""
        value = self.measured(figures)
        if value is None:
            return []
        sign = "≥" if self.more else "≤"
        limits = [
            f"{sign} {number(limit, self.digits)}" if limit is not None else ""
            for limit in (self.required, self.wished)
        ]
        return [self.what, *limits, number(value, self.digits), self._verdict(value)]

    def _verdict(self, value: float) -> str:
        def reached(limit: float) -> bool:
            return value >= limit if self.more else value <= limit

        if not reached(self.required):
            return "**missed**"
        return "kept, and the wish" if self.wished is not None and reached(self.wished) else "kept"


def _own(name: str) -> Callable[[dict[str, Figures]], float | None]:
    return lambda figures: figures["parley"].get(name)


def _times(other: str, name: str) -> Callable[[dict[str, Figures]], float | None]:
    def ratio(figures: dict[str, Figures]) -> float | None:
        own, others = figures["parley"].get(name), figures.get(other, {}).get(name)
        return own / others if own and others else None

    return ratio


def _added(name: str) -> Callable[[dict[str, Figures]], float | None]:
    return lambda figures: added_to_direct(figures, "parley", name)


BARE_US, BARE_MS, BARE_CHUNKS = 21, 0.37, 123_000
"""A bare relay's chunk (S3), request (S0) and chunks a second (S4) on the machine on which the limits were set."""
GOALS = (
    Goal("S2: CPU µs a chunk", 26, None, _own("S2 us a chunk"), 1),
    Goal("S2: CPU of a chunk, in times nginx's", 5.5, None, _times("nginx", "S2 us a chunk"), 1, portable=True),
    Goal("S3: CPU µs a chunk", 26, None, _own("S3 us a chunk"), 1),
    Goal("S3: CPU of a chunk, in times nginx's", 5.5, 2, _times("nginx", "S3 us a chunk"), 1, portable=True),
    Goal(
        "S3: CPU of a chunk, in times the bare relay's",
        26 / BARE_US,
        None,
        _times("bare", "S3 us a chunk"),
        2,
        portable=True,
    ),
    Goal("S0: CPU ms a streamed request", 0.45, 0.25, _own("S0 ms a request"), 3),
    Goal(
        "S0: CPU of a streamed request, in times the bare relay's",
        0.45 / BARE_MS,
        None,
        _times("bare", "S0 ms a request"),
        2,
        portable=True,
    ),
    Goal("S1: first content, added to direct, p50 ms", 0.4, 0.2, _added("S1 first p50 ms")),
    Goal("S1: first content, added to direct, p99 ms", 0.8, None, _added("S1 first p99 ms")),
    Goal("S2: relay latency of an event, p50 ms", 0.05, None, _own("S2 relay p50 ms"), 3),
    Goal("S2: relay latency of an event, p99 ms", 2, None, _own("S2 relay p99 ms")),
    Goal("S3: first content when 500 calls start at once, p50 ms", 100, 40, _own("S3 first p50 ms"), 1),
    Goal("S4: chunks a CPU second", 150_000, 600_000, _own("S4 chunks a CPU second"), 0, more=True),
    Goal(
        "S4: chunks a CPU second, in times the bare relay's",
        150_000 / BARE_CHUNKS,
        None,
        _times("bare", "S4 chunks a CPU second"),
        2,
        more=True,
        portable=True,
    ),
    Goal("S4: streams starved", 0, None, _own("S4 starved"), 0, portable=True),
    Goal("S5: streams lost of 2 000", 0, None, _own("S5 lost"), 0, portable=True),
    Goal("S5: KiB a stream", 30, 15, _own("S5 KiB a stream"), 1),
    Goal("S5: idle CPU, % of a core", 8, None, _own("S5 idle CPU %"), 1),
    Goal("S6: JSON answers a CPU second", 2000, 5000, _own("S6 a CPU second"), 0, more=True),
    Goal("upstream closed after a silent stream's caller left, ms", 100, 20, _own("leave silent ms"), 1),
    Goal("payloads altered", 0, None, _own("altered"), 0, portable=True),
    Goal("answers wrong", 0, None, _own("wrong"), 0, portable=True),
)


def of_goals(figures: dict[str, Figures], *, portable: bool) -> str:
    """Return what is required of Parley beside what it does: the goals that are `portable`, or the others."""
    rows = [row for goal in GOALS if goal.portable == portable and (row := goal.row(figures))]
    return markdown(["what", "required", "wished for", "measured", ""], rows)


def of_the_bench(figures: dict[str, Figures]) -> str:
    """How busy each side was, and what upstream and load generator spent themselves."""
    rows = [
        [target, scenario, *_believable(own, scenario)]
        for target, own in figures.items()
        for scenario in ("S0", "S1", "S2", "S3", "S4", "S6")
        if f"{scenario} seconds" in own
    ]
    heads = ["relay", "scenario", "tools' core busy", "relay's core busy", "relay waited for it"]
    return markdown([*heads, "CPU µs a chunk, tools / relay", ""], rows)


def _believable(own: Figures, scenario: str) -> list[str]:
    tools, busy, waited = (own[f"{scenario} {name} %"] or 0 for name in ("tools busy", "target busy", "target waited"))
    chunk = (own.get(f"{scenario} tools us a chunk"), own.get(f"{scenario} us a chunk") or None)
    doubts = ["the tools held it back"] if tools > BUSY > busy > 0 else []
    if waited > WAITED:
        doubts.append("others were on its core")
    costs = " / ".join(number(value, 1) for value in chunk)
    return [f"{tools:.0f} %", f"{busy:.0f} %", f"{waited:.0f} %", costs, ", ".join(doubts)]
