"""The README's examples, run as they stand against a server with the embedded model: no key, no upstream."""

import base64
import json
import os
import re
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from running_server import ROOT, RunningServer, running_server

from parley.speech import sound_file

pytestmark = [pytest.mark.server, pytest.mark.embedded]

README = (ROOT / "README.md").read_text()
CURL_LINES = re.findall(r"```sh\n(curl .*?)```", README, re.DOTALL)
PYTHON_EXAMPLE = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running_server({"TTFT_TIMEOUT": "60"}) as running:
        yield running


def run(curl_line: str, server: RunningServer) -> str:
    command = curl_line.replace(ADDRESS, server.url)
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, timeout=60).stdout


def chunks(stream: str) -> list[dict]:
    payloads = [line.removeprefix("data: ") for line in stream.splitlines() if line and not line.startswith(":")]
    assert payloads.pop() == "[DONE]"
    return [json.loads(payload) for payload in payloads]


def words(stream: str) -> str:
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks(stream))


def test_the_chat_example_streams_the_quoted_answer(server: RunningServer) -> None:
    spoken = words(run(CURL_LINES[2], server))

    assert spoken in README
    assert "7 days" in spoken


def test_the_knowledge_example_answers_rightly_with_its_source(server: RunningServer) -> None:
    answer = json.loads(run(CURL_LINES[0], server))

    assert answer["choices"][0]["message"]["content"] == "A tune-up costs 65 dollars and takes one day."
    assert answer["citations"][0]["id"] == "tune-up"


def test_the_streamed_knowledge_example_says_to_wait_first(server: RunningServer) -> None:
    stream = run(CURL_LINES[1], server)

    first = chunks(stream)[0]["choices"][0]["delta"]["content"]
    assert first.endswith((". ", "? ", "! "))
    assert words(stream) == first + "A tune-up costs 65 dollars and takes one day."


def test_the_audio_example_gives_the_recording_bit_for_bit(server: RunningServer) -> None:
    stream = run(CURL_LINES[3], server)

    audio = [chunk["choices"][0]["delta"].get("audio", {}) for chunk in chunks(stream)]
    pcm = b"".join(base64.b64decode(part["data"]) for part in audio if "data" in part)
    assert audio[0]["transcript"] in README
    assert pcm == sound_file.read(ROOT / "audio_assets" / "welcome.wav", 16_000).pcm


def test_each_sample_agent_answers_with_its_own_phrase(server: RunningServer) -> None:
    receptionist, workshop = (words(run(line, server)) for line in CURL_LINES[4].splitlines())

    assert receptionist.startswith("One moment, I am looking that up. ") and "by card" in receptionist
    assert workshop.startswith("Let me check the price list. ") and "35 dollars" in workshop


def test_the_python_example_prints_the_owner(server: RunningServer, capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, object] = {}

    exec(PYTHON_EXAMPLE.replace(ADDRESS, server.url), namespace)
    namespace["client"].close()  # type: ignore[attr-defined]

    assert (
        capsys.readouterr().out == "The owner of Harbour Bicycle Works is Martha Quill. She opened the shop in 2009.\n"
    )


def test_the_model_is_labelled_as_what_it_is(server: RunningServer) -> None:
    *agents, model = requests.get(f"{server.url}/models", timeout=20).json()["data"]

    assert [agent["id"] for agent in agents] == ["receptionist", "workshop"]

    assert model["id"] == "local-demo"
    assert "demonstration" in model["owned_by"]
    assert "demonstration model" in server.output()


def test_its_server_ends_with_gunicorn() -> None:
    with running_server({}) as server:
        child = os.pidfd_open(_model_server_of(server.pid))
        server.signal(signal.SIGKILL)

        ended, _, _ = select.select([child], [], [], 20)
        os.close(child)

    assert ended


def _model_server_of(master: int) -> int:
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    (found,) = [pid for pid in children if b"model_server" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return int(found)


@pytest.mark.row("RE-10")
@pytest.mark.parametrize("path", ["/chat", "/rag", "/v1", "/rag/v1"])
def test_the_chunks_of_a_stream_share_one_envelope(server: RunningServer, path: str) -> None:
    body = {"messages": [{"role": "user", "content": "Count from one to thirty."}], "stream": True, "max_tokens": 16}
    address = f"{server.url}{path.removeprefix('/chat')}/chat/completions"
    told = chunks(requests.post(address, json=body, timeout=60).text)
    # On /rag a waiting message, what is said, and the end.
    assert len(told) >= 3
    assert len({(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in told}) == 1
