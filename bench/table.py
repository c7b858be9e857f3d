"""The table that the measuring tools print: what is required, measured, kept or broken."""

import gc
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from talkers import quantile


@dataclass
class Table:
    """The rows, printed as they come, and how many tell of a broken promise."""

    broken: int = 0

    def row(self, promise: str, required: str, measured: str, kept: bool) -> None:
        """Print one promise."""
        self.broken += not kept
        print(f"{promise:<52} | {required:<28} | {measured:<58} | {'kept' if kept else 'BROKEN'}", flush=True)


Part = Callable[[Table, Any], Awaitable[None]]
"""It measures some promises, at its own sizes, and adds their rows."""


def ms(values: list[float]) -> str:
    """Quantiles of seconds, in milliseconds."""
    p50, p99, most = (1000 * quantile(values, share) for share in (0.5, 0.99, 1.0))
    return f"p50 {p50:.1f}, p99 {p99:.1f}, max {most:.1f} ms"


async def measure(parts: Sequence[Part], sizes: Any) -> int:
    """Measure one part after the other, and print; give the exit code."""
    table = Table()
    gc.disable()  # the pauses of this process would count as the server's
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.2f}: the figures are for an idle machine")
    for part in parts:
        await part(table, sizes)
    print(f"{table.broken} broken" if table.broken else "all kept")
    return 1 if table.broken else 0
