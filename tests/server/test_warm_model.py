"""`WARM_MODEL`: the upstream loads its model ahead of the first call, for one worker of all."""

import threading
from collections.abc import Iterable
from pathlib import Path

import pytest
from fake_upstream import Call, FakeUpstream, Step, completion, refusal
from heard import ask
from running_server import hooked, running_server
from waiting import wait_until

pytestmark = pytest.mark.server


@pytest.fixture
def settings(first: FakeUpstream) -> dict[str, str]:
    return {"LLM_BASE_URL": first.base_url, "LLM_API_KEY": "sk-ours-0123456789", "WARM_MODEL": "on"}


@pytest.mark.row("RA-12")
def test_one_tiny_answer_is_asked_for_at_the_start(first: FakeUpstream, settings: dict[str, str]) -> None:
    first.script = completion("Hi")
    with running_server({**settings, "LLM_PARAMS": '{"seed": 7}'}, argv=("-w", "2")) as server:
        first.wait_for_calls(1)
        wait_until(lambda: "model_loaded" in server.output())
        wait_until(lambda: len(server.worker_pids()) == 2)
    (call,) = first.calls
    assert call.json == {
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 1,
        "model": "gpt-4o-mini",
        "seed": 7,
        "stream": False,
    }
    assert call.headers["authorization"] == "Bearer sk-ours-0123456789"


@pytest.mark.row("RA-12")
def test_nothing_is_asked_where_it_is_off(first: FakeUpstream, settings: dict[str, str]) -> None:
    with running_server({**settings, "WARM_MODEL": "off"}) as server:
        ask(server).answered("Hello there")
    assert len(first.calls) == 1


@pytest.mark.row("RA-12")
def test_a_model_that_loads_slowly_is_waited_for(first: FakeUpstream, settings: dict[str, str]) -> None:
    loaded = threading.Event()
    first.script = [loaded, *completion("Hi")]
    with running_server({**settings, "TTFT_TIMEOUT": "0.3", "PRECOMMIT_TIMEOUT": "0.5"}) as server:
        first.wait_for_calls(1)
        assert ask(server).status == 504  # A call keeps to its own limits meanwhile.
        loaded.set()
        wait_until(lambda: "model_loaded" in server.output())
    assert first.calls[0].outcome == "done"


@pytest.mark.row("RA-12")
@pytest.mark.parametrize("status", [503, 404])
def test_a_failure_is_repeated(first: FakeUpstream, settings: dict[str, str], tmp_path: Path, status: int) -> None:
    soon = "from parley.server import worker as of_ours; of_ours.LOAD_AGAIN_SECONDS = 0.1"
    asked: list[Call] = []

    def script(call: Call) -> Iterable[Step]:
        asked.append(call)
        return refusal(status, {"message": "no"}) if len(asked) < 3 else completion("Hi")

    first.script = script
    with running_server(settings, argv=hooked(tmp_path, soon)) as server:
        wait_until(lambda: "model_loaded" in server.output())
        output = server.output()
    # The second warning is held back, as each that is repeated within a minute.
    assert output.count('"model_not_loaded"') == 1 and len(asked) == 3
