"""A running server whose knowledge a test writes while it runs.

kb.put("a.json", {"Parking": "Behind the shop."})
kb.wait_until(lambda: "Behind" in kb.told("Where is parking?"))
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from fake_upstream import FakeUpstream
from heard import Heard, ask
from running_server import RunningServer
from waiting import wait_until


class LivingKnowledge:
    """The folder, and what the server makes of it."""

    def __init__(self, server: RunningServer, folder: Path, upstream: FakeUpstream) -> None:
        self.server = server
        self.folder = folder
        self._upstream = upstream

    def put(self, name: str, content: Any) -> None:
        """A whole file at once: bytes as they are, strings as UTF-8, other values as JSON."""
        if not isinstance(content, str | bytes):
            content = json.dumps(content)
        file = self.folder / name
        file.parent.mkdir(exist_ok=True)
        aside = file.with_name(f".{file.name}.part")
        aside.write_bytes(content.encode() if isinstance(content, str) else content)
        aside.rename(file)

    def clear(self) -> None:
        """No files; the server has seen it."""
        for file in self.folder.rglob("*.json"):
            file.unlink() if not file.is_dir() or file.is_symlink() else file.rmdir()
        self.wait_until(lambda: self.state() == "empty")

    def ask(self, question: str, **fields: Any) -> Heard:
        """The answer on /rag, without a waiting message."""
        return ask(self.server, "rag", messages=[{"role": "user", "content": question}], **fields)

    def told(self, question: str, **fields: Any) -> str:
        """What the model is told, the caller's question included."""
        heard = self.ask(question, **fields)
        assert heard.status == 200, heard.body
        (call,) = heard.calls(self._upstream)
        return str(call.json["messages"][-1]["content"])

    def state(self) -> str:
        """As readiness tells it."""
        ready = requests.get(f"{self.server.url}/readyz", timeout=30)
        return str(ready.json()["details"]["kb"])

    def metric(self, name: str) -> float:
        """The value of a metric without labels."""
        text = requests.get(f"{self.server.url}/metrics", timeout=30).text
        (value,) = re.findall(rf"^{name} (\S+)$", text, re.MULTILINE)
        return float(value)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The lines of one event so far."""
        whole = self.server.output().rpartition("\n")[0].splitlines()
        lines = [json.loads(line) for line in whole if line.startswith("{") and event in line]
        return [line for line in lines if line["event"] == event]

    def faults(self) -> list[str]:
        """The faults that were logged, without the folder."""
        return [line["fault"].removeprefix(f"{self.folder}/") for line in self.logged("knowledge_fault")]

    def wait_until(self, predicate: Callable[[], bool], timeout: float = 30.0) -> None:
        """AssertionError if it does not become true in time."""
        wait_until(predicate, timeout, tell=lambda: self.server.output()[-3000:])
