"""What a hidden pass costs: a turn in which the model calls a tool of the server's, beside one in which it does not.

    python bench/passes.py                  500 turns of each kind, one after the other, kept connections, loopback
    python bench/passes.py --turns 2000

The tool is a Python function that returns at once, so that all which a hidden turn takes longer than a plain one is
the second question to the upstream, which is measured directly as well, and the server's own work.
"""

import argparse
import http.client
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from fake_upstream import DONE, END, Call, FakeUpstream, Step, chunk, event, head  # noqa: E402
from running_server import running_server  # noqa: E402 - found by the line above

TOOL = '''
from parley.tools import tool


@tool
def look(order: str) -> str:
    """Look up an order."""
    return "Friday"
'''
CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"order":"1"}'}}
ENDING = event(DONE) + END
CALLED: list[Step] = [head() + event(chunk({"tool_calls": [CALL]})) + event(chunk({}, "tool_calls")) + ENDING]
SAID: list[Step] = [
    head() + event(chunk({"role": "assistant", "content": "Friday."})) + event(chunk({}, "stop")) + ENDING
]


def script(call: Call) -> Iterable[Step]:
    """Call the tool if the caller wants it, once; else answer. Each answer is one write."""
    messages = call.json["messages"]
    return CALLED if messages[-1]["content"] == "call" else SAID


class Asker:
    """A kept connection on which questions are asked."""

    def __init__(self, url: str, path: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
        self._path = path

    def seconds(self, question: str) -> float:
        """Return the seconds from a question to the end of its answer."""
        body = json.dumps({"messages": [{"role": "user", "content": question}], "stream": True, "model": "m"})
        began = time.perf_counter()
        self._connection.request("POST", self._path, body, {"content-type": "application/json"})
        answer = self._connection.getresponse().read()
        took = time.perf_counter() - began
        assert question == "direct" or b"Friday." in answer, answer
        return took


def taken(turns: int) -> list[tuple[float, float, float]]:
    """Return the seconds of so many answers of the upstream alone, plain turns, and turns with a hidden pass."""
    with tempfile.TemporaryDirectory() as folder, FakeUpstream() as upstream:
        (Path(folder) / "look.py").write_text(TOOL)
        upstream.script = script
        with running_server({"LLM_BASE_URL": upstream.base_url, "TOOLS_DIR": folder}) as server:
            direct, asked = Asker(upstream.base_url, "/v1/chat/completions"), Asker(server.url, "/chat/completions")
            for asker, question in ((direct, "direct"), (asked, "plain"), (asked, "call")) * 20:
                asker.seconds(question)
            # In turn, so that whatever else the machine does meets all three alike.
            return [(direct.seconds("direct"), asked.seconds("plain"), asked.seconds("call")) for _ in range(turns)]


def main() -> None:
    """Measure, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=500)
    turns = taken(parser.parse_args().turns)
    columns = dict(
        zip(("upstream alone", "plain turn", "turn with a hidden pass"), zip(*turns, strict=True), strict=True)
    )
    beyond = [hidden - plain - alone for alone, plain, hidden in turns]
    for name, seconds in {**columns, "hidden pass beyond tool and upstream": beyond}.items():
        p99 = statistics.quantiles(seconds, n=100)[98]
        print(f"{name:40}{1000 * statistics.median(seconds):7.2f} ms p50 {1000 * p99:7.2f} ms p99")


if __name__ == "__main__":
    main()
