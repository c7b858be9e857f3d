"""The fake upstream of the measurements, running on the load's core."""

import contextlib
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

from measuring.machine import BUILD, LOAD_CORE, Tree, free_port, running


class Upstream:
    """`set` says what the next answers are like; see src/upstream.c."""

    def __init__(self, port: int, tree: Tree) -> None:
        self.port = port
        self.tree = tree
        self.base_url = f"http://127.0.0.1:{port}/v1"

    def set(self, tokens: int, interval_us: int = 0, *, together: int = 1, stall_at: int = -1) -> None:
        """How many content events, how far apart, how many in a write, silence after how many; counts start anew."""
        self._get(f"/set?tokens={tokens}&interval_us={interval_us}&together={together}&stall_at={stall_at}")

    def stats(self) -> dict[str, Any]:
        """What it has counted."""
        return dict(self._get("/stats"))

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return json.load(answer)


@contextlib.contextmanager
def running_upstream() -> Iterator[Upstream]:
    """A fresh one, for the length of a `with` block."""
    port = free_port()
    with running(Tree([BUILD / "upstream", str(port)], cores=[LOAD_CORE]), port) as tree:
        yield Upstream(port, tree)
