"""Strange requests by the thousand for `make promises`: none may be answered with a fault, or bring a worker down.

What is sent, and how answers are judged, is `tests/support/strange.py`'s; the tests send a share of it.
"""

from collections import Counter

import planned_upstream  # noqa: F401 - it says where the tests' modules are
from fake_upstream import FakeUpstream
from heard import says
from running_server import running_server
from strange import bombard


def sent(bodies: int, heads: int) -> tuple[Counter[int], int, str]:
    """How often each status was the answer, how many workers were lost, and what was wrong, if anything."""
    with FakeUpstream() as upstream, running_server({"LLM_BASE_URL": upstream.base_url}) as server:
        upstream.script = says("Hi")
        workers, statuses, wrong = server.worker_pids(), Counter[int](), ""
        try:
            statuses = bombard(server, bodies=bodies, heads=heads)
        except AssertionError as error:
            wrong = f"answered wrongly: {error}"
        lost = len(set(workers) - set(server.worker_pids()))
        return statuses, lost, wrong or ("a traceback in the log" if "Traceback" in server.output() else "")
