"""Generated requests: the answer is 200 or a 4xx, and the server stays well. `PARLEY_LONG=1` generates more of them."""

import os
import sys
from typing import Any

import pytest
from fake_upstream import FakeUpstream
from heard import says
from running_server import held_by
from strange import bombard

pytestmark = pytest.mark.server

LONG = "PARLEY_LONG" in os.environ
BODIES, HEADS = (100_000, 5_000) if LONG else (1_000, 200)
MIB = 1 << 20


@pytest.mark.timeout(7200 if LONG else 180)
def test_generated_requests_are_answered_or_refused(quick_servers: Any, first: FakeUpstream) -> None:
    first.script, server = says("Hi"), quick_servers(alone="strange")
    workers = server.worker_pids()
    bombard(server, bodies=100, heads=100)
    before = held_by(*workers)

    statuses = bombard(server, bodies=BODIES, heads=HEADS)
    after = held_by(*workers)

    print(f"\n{statuses}, RSS {before.rss_bytes / MIB:.1f} -> {after.rss_bytes / MIB:.1f} MiB", file=sys.stderr)
    assert server.worker_pids() == workers and "Traceback" not in server.output()
    assert statuses[200] > BODIES / 20 and statuses[400] > BODIES / 20
    assert {end["outcome"] for end in server.request_ends()} <= {"ok", "refused", "client_closed"}
    assert after.fds <= before.fds + 10
