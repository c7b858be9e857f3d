"""docs/scaling.md: its commands, one after the other, with two real servers, a Redis and a PostgreSQL."""

import contextlib
import os
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import requests
from fake_upstream import HANG, FakeUpstream, answer, chunks, events
from knowledge_folder import write_base
from postgres import needed_wheel, postgres
from proxies import running_balancer
from redis_servers import RedisServer
from running_server import ROOT, RunningServer, post, receive_until, running_server
from waiting import wait_until

from app import create_app
from parley.settings import Settings

pytestmark = [pytest.mark.server, pytest.mark.slow]
PAGE = (ROOT / "docs" / "scaling.md").read_text()
BLOCKS = [block for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if "# -> " in block]
STEPS = [
    (command, re.findall(r"# -> (.*)", printed))
    for block in BLOCKS
    for command, printed in re.findall(r"((?s:.+?))\n((?:# -> .*\n)+)", block)
]
KEY, OTHER_KEY = "a-key-of-a-caller-0123456789", "a-key-of-another-0123456789"


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def settings(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Yield the settings of all machines, with a database that is still empty."""
    folder = tmp_path_factory.mktemp("machine")
    write_base(folder / "kb", {"hours": "We open at nine."})
    with RedisServer() as redis, postgres(needed_wheel()) as database:
        yield {
            **{"LLM_BASE_URL": upstream.base_url, "LLM_MODEL": "fake-model", "API_KEYS": f"{KEY},{OTHER_KEY}"},
            **{"REDIS_URL": redis.url, "REDIS_TIMEOUT": "1000", "RATE_LIMIT": "3/minute"},
            **{"DATABASE_URL": database.database(), "KB_POLL": "0.1", "KB_DIR": str(folder / "kb")},
            **{"RAG_TIER": "lexical", "EMBEDDINGS_CACHE": str(folder / "copies")},
        }


@pytest.fixture(scope="module")
def machines(settings: dict[str, str]) -> Iterator[list[RunningServer]]:
    with running_server(settings) as one, running_server(settings) as two:
        yield [one, two]


def run(command: str, settings: Mapping[str, str], machines: list[RunningServer]) -> str:
    if command.startswith("flask "):
        # As quick as the shell, and without another process for each.
        runner = create_app(Settings.from_environ(dict(settings))).test_cli_runner()
        return str(runner.invoke(args=shlex.split(command)[1:]).output)
    env = {**os.environ, "ONE": machines[0].url, "TWO": machines[1].url, "KEY": KEY}
    return subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True, timeout=60).stdout


def test_the_walk_is_found_on_the_page() -> None:
    assert len(STEPS) == 7 and sum(len(printed) for _, printed in STEPS) == PAGE.count("# -> ")


def test_each_step_prints_what_the_page_says(
    settings: dict[str, str], machines: list[RunningServer], upstream: FakeUpstream
) -> None:
    upstream.script = answer("Nine to six.")
    for command, printed in STEPS:
        told = run(command, settings, machines)
        if "/ready" in command:
            # With the next beat, or as soon as what was published is served.
            wait_until(lambda command=command, printed=printed: says(run(command, settings, machines), printed))
        else:
            assert says(told, printed), told
    (line, *_) = [line for line in machines[0].output().splitlines() if '"request_end"' in line]
    (kb,) = re.findall(r"^\| `line_kb` \| ([\d.]+) ", PAGE, re.MULTILINE)
    assert len(line) == pytest.approx(float(kb) * 1000, rel=0.15)


def says(told: str, printed: list[str]) -> bool:
    return all(one in told for one in printed)


def test_the_balancer_asks_the_machine_with_fewer_calls(
    machines: list[RunningServer], upstream: FakeUpstream, tmp_path: Path
) -> None:
    if not shutil.which("nginx"):
        pytest.skip("nginx is not installed")
    upstream.script = [*events(chunks("Hello there")[:2]), HANG]
    ports = [machine.port for machine in machines]
    with running_balancer(*ports, tmp_path) as port, contextlib.ExitStack() as calls:
        for _ in machines:
            connection = calls.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            body = {"messages": [{"role": "user", "content": "Hello?"}]}
            connection.sendall(post("/chat/completions", body, x_api_key=OTHER_KEY))
            receive_until(connection, b"Hello")
        assert [open_calls(machine) for machine in machines] == [1, 1]


def open_calls(machine: RunningServer) -> int:
    answered = requests.get(f"{machine.url}/ready", headers={"x-api-key": KEY}, timeout=20)
    return int(answered.json()["details"]["streams"])
