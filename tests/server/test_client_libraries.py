"""The official client libraries at all three endpoints, in all three audio modes, under `/v1`.

openai-python is in the tests' requirements. openai-node and the AI SDK are installed from tests/node/package-lock.json
where node is there. Failures as exceptions: test_openai_client.py.
"""

import base64
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from fake_upstream import DONE, END, FakeUpstream, answer, chunk, chunks, completion, encode, event, events, whole
from fake_voice import says, tone
from running_server import ROOT, RunningServer

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]

NODE = ROOT / "tests" / "node"
INSTALLED = ROOT / ".cache" / "node"
"""A folder that git, and all that looks through the repository, passes over."""
LEAST_NODE = 18
BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "How much does a tune-up cost?"}]}
TEXT = "Certainly, it costs $45. Shall I book one for you?"
RELAYED = tone(0.5)
MODES = ["assets", "speech", "relay"]
PATHS = ["/v1", "/rag/v1", "/audio/v1"]


def audio_delta(**audio: Any) -> bytes:
    return chunk({"audio": audio})


def relayed_words(index: int, text: str) -> list[dict[str, Any]]:
    return [{"text": text, "start_ts": 100 * index, "end_ts": 100 * index + 90}]


def relay_stream() -> Any:
    """An answer in audio as OpenAI streams it, with words in time as other upstreams have them."""
    pieces = [RELAYED[at : at + 5000] for at in range(0, len(RELAYED), 5000)]
    sent = [
        audio_delta(
            data=base64.b64encode(piece).decode(), transcript=f"word{at} ", words=relayed_words(at, f"word{at}")
        )
        for at, piece in enumerate(pieces)
    ]
    start = [chunk({"role": "assistant", "content": None}), audio_delta(id="audio_up", transcript="")]
    return [*events([*start, *sent, audio_delta(expires_at=1_764_000_000), chunk({}, "stop")]), event(DONE), END]


def relay_whole() -> Any:
    audio = {"id": "audio_up", "data": base64.b64encode(RELAYED).decode(), "transcript": "Hi", "expires_at": 1}
    message = {"role": "assistant", "content": None, "audio": audio}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return whole(encode({"id": "a", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}))


@pytest.fixture(scope="module")
def voice() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        fake.script = says(tone(0.21), pieces=3)
        yield fake


@pytest.fixture(params=MODES)
def talking(
    request: pytest.FixtureRequest, upstream: FakeUpstream, voice: FakeUpstream, servers: Servers
) -> RunningServer:
    """A server in each audio mode, whose upstream answers streams and whole requests."""
    mode = request.param

    def script(call: Any) -> Any:
        asks = call.json
        if "audio" in asks.get("modalities", []):
            return relay_stream() if asks.get("stream") else relay_whole()
        return answer(TEXT) if asks.get("stream") else completion(TEXT)

    upstream.script = script
    settings = {"TTS_BASE_URL": voice.base_url, "AUDIO_LEAD_MS": "5000", "WAITING_MESSAGES": "Wait."}
    return servers(AUDIO_MODE=mode, **settings)


def sound_is_whole(found: dict[str, Any]) -> bool:
    """The sound is what a caller has who joins the base64 before decoding it; a WAV file has its header."""
    sound = base64.b64decode(found["data"], validate=True)
    return len(sound) > 12_000 and len(sound) % 2 == 0


def words_are_whole(words: list[dict[str, Any]]) -> bool:
    """The words are all there, in order, each with its place."""
    edges = [edge for word in words for edge in (word["start_ts"], word["end_ts"])]
    return edges == sorted(edges) and [word["index"] for word in words] == list(range(len(words)))


# openai-python


@pytest.fixture
def python(talking: RunningServer) -> Iterator[Callable[[str], Any]]:
    """`python("/rag/v1")` are the chat completions of OpenAI's client at that base URL."""
    with openai.OpenAI(base_url="http://unused", api_key="unused", max_retries=0, timeout=20) as client:
        yield lambda path: client.with_options(base_url=talking.url + path).chat.completions


def read(parts: Any) -> dict[str, Any]:
    """Join the deltas, or the message, of an answer as a caller would."""
    found: dict[str, Any] = {"text": "", "transcript": "", "words": [], "data": "", "finish": None}
    for part in parts:
        for choice in part.choices:
            said = getattr(choice, "delta", None) or choice.message
            audio = getattr(said, "audio", None)
            audio = audio if isinstance(audio, dict) else audio.model_dump() if audio else {}
            found["text"] += said.content or ""
            found["transcript"] += audio.get("transcript") or ""
            found["words"] += audio.get("words") or []
            found["data"] += audio.get("data") or ""
            found["finish"] = choice.finish_reason or found["finish"]
    return found


def is_right(found: dict[str, Any], path: str) -> bool:
    if path == "/audio/v1":
        return found["finish"] == "stop" and sound_is_whole(found) and words_are_whole(found["words"])
    return found["finish"] == "stop" and bool(found["text"].endswith(TEXT))


@pytest.mark.row("RE-05")
@pytest.mark.row("RE-06")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("stream", [True, False])
def test_openai_python_creates(python: Callable[[str], Any], path: str, stream: bool) -> None:
    answered = python(path).create(**BODY, stream=stream)

    assert is_right(read(answered if stream else [answered]), path)


@pytest.mark.row("RE-05")
@pytest.mark.row("RE-06")
@pytest.mark.parametrize("path", PATHS)
def test_the_stream_helper_of_openai_python(python: Callable[[str], Any], path: str) -> None:
    with python(path).stream(**BODY) as stream:
        found = read(event.chunk for event in stream if event.type == "chunk")
        message = stream.get_final_completion().choices[0].message

    assert is_right(found, path)
    if path == "/audio/v1":
        joined = message.audio.model_dump()
        assert joined["transcript"] == found["transcript"] and joined.get("words", []) == found["words"]
        assert base64.b64decode(joined["data"]) == base64.b64decode(found["data"])
    else:
        assert message.content == found["text"]


# openai-node, and Vercel's AI SDK


class Driver:
    """tests/node/drive.mjs as a process: a command a line, a result a line."""

    def __init__(self) -> None:
        command = ["node", "drive.mjs"]
        self._process = subprocess.Popen(
            command, cwd=INSTALLED, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def ask(self, client: str, base_url: str, *, stream: bool, **fields: Any) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        wish = {"client": client, "baseURL": base_url, "stream": stream, "body": {**BODY, **fields}}
        self._process.stdin.write(json.dumps(wish) + "\n")
        return dict(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        with self._process:
            assert self._process.stdin
            self._process.stdin.close()


def unavailable_reason() -> str | None:
    """Return why the JavaScript clients can't be driven here, or None."""
    if not (shutil.which("node") and shutil.which("npm")):
        return "node and npm are not installed: the JavaScript clients are NOT tested here (apt-get install nodejs npm)"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").partition(".")[0]) < LEAST_NODE:
        return f"node {version.strip()} is too old: the JavaScript clients are NOT tested here"
    return None


@pytest.fixture(scope="module")
def node() -> Iterator[Driver]:
    """The driver, its packages installed as the lock file says."""
    if reason := unavailable_reason():
        pytest.skip(reason)
    INSTALLED.mkdir(parents=True, exist_ok=True)
    locked, wanted = INSTALLED / "package-lock.json", (NODE / "package-lock.json").read_bytes()
    is_installed = (INSTALLED / "node_modules" / ".package-lock.json").exists() and locked.read_bytes() == wanted
    for file in NODE.iterdir():
        shutil.copy(file, INSTALLED)
    if not is_installed:
        install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(install, cwd=INSTALLED, capture_output=True, text=True, timeout=300)
        if done.returncode:
            pytest.skip(f"npm can't install: the JavaScript clients are NOT tested here: {done.stderr.strip()[-300:]}")
    driver = Driver()
    yield driver
    driver.close()


def test_node_clients_are_pinned_exactly() -> None:
    package = json.loads((NODE / "package.json").read_text())
    locked = json.loads((NODE / "package-lock.json").read_text())["packages"]

    assert package["dependencies"] == locked[""]["dependencies"]
    for name, version in package["dependencies"].items():
        assert version[0].isdigit() and locked[f"node_modules/{name}"]["version"] == version
    assert all(entry.get("integrity") for path, entry in locked.items() if path)


@pytest.mark.row("RE-05")
@pytest.mark.row("RE-06")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("stream", [True, False])
def test_openai_node_creates(node: Driver, talking: RunningServer, path: str, stream: bool) -> None:
    found = node.ask("openai", talking.url + path, stream=stream)

    assert "error" not in found and is_right(found, path), found


@pytest.mark.row("RE-05")
@pytest.mark.parametrize("path", PATHS)
def test_the_stream_helper_of_openai_node(node: Driver, talking: RunningServer, path: str) -> None:
    found = node.ask("openai-stream", talking.url + path, stream=True)

    assert found["finish"] == "stop", found
    assert path == "/audio/v1" or found["text"].endswith(TEXT)


@pytest.mark.row("RE-05")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("client", ["ai-openai", "ai-compatible"])
def test_vercels_ai_sdk(node: Driver, talking: RunningServer, client: str, path: str, stream: bool) -> None:
    found = node.ask(client, talking.url + path, stream=stream)

    # The SDK has no place for sound in an answer: it must take it without a complaint.
    assert found.get("finish") == "stop", found
    assert path == "/audio/v1" or found["text"].endswith(TEXT)


# Metadata in front of the first chunk. The AI SDK sends no fields of ours: the upstream's event is read there.


@pytest.mark.row("FC-01")
@pytest.mark.parametrize("path", ["/v1", "/rag/v1"])
def test_openai_python_reads_on_behind_metadata(server: RunningServer, upstream: FakeUpstream, path: str) -> None:
    upstream.script = answer(TEXT)
    fields = {"first_chunk": {"interruptable": False}, "waiting": "off"}
    with openai.OpenAI(base_url=server.url + path, api_key="unused", max_retries=0, timeout=20) as client:
        seen = list(client.chat.completions.create(**BODY, stream=True, extra_body=fields))
        with client.chat.completions.stream(**BODY, extra_body=fields) as stream:
            final = stream.get_final_completion()

    assert seen[0].object == "chat.completion.custom_metadata" and seen[0].id == seen[1].id
    assert read(seen)["text"] == TEXT and final.choices[0].message.content == TEXT


@pytest.mark.row("FC-01")
@pytest.mark.parametrize("client", ["openai", "openai-stream", "ai-openai", "ai-compatible"])
def test_javascript_reads_on_behind_metadata(
    node: Driver, server: RunningServer, upstream: FakeUpstream, client: str
) -> None:
    metadata = {"id": "a", "object": "chat.completion.custom_metadata", "created": 1, "model": "m", "choices": []}
    upstream.script = answer(TEXT)
    fields = {"first_chunk": {"interruptable": False}}
    if client.startswith("ai-"):
        sent = [encode({**metadata, "metadata": fields["first_chunk"]}), *chunks(TEXT)]
        fields, upstream.script = {}, [*events(sent), event(DONE), END]

    found = node.ask(client, server.url + "/v1", stream=True, **fields)

    assert (found.get("text"), found.get("finish")) == (TEXT, "stop"), found
