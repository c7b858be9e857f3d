"""The tools of a folder on the real server: what the model is told, what their services see, and faults in files."""

import json
import os
import signal
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import requests
from exchange import CHAT
from fake_tls_upstream import Certificates, FakeTlsUpstream
from fake_upstream import DONE, END, HANG, FakeUpstream, Step, chunk, chunks, close, event, events, head, whole
from running_server import RunningServer, ServerDidNotStart, free_port, payloads, running_server
from waiting import wait_until

pytestmark = pytest.mark.server

TOKEN = "t0ken-of-the-orders"
HELLO = {"messages": [{"role": "user", "content": "Where is A-1042?"}], "stream": True}
SCHEMA = {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}
PYTHON = '''
import dataclasses, time
from gevent import monkey
from parley.tools import Call, ToolError, tool

@dataclasses.dataclass
class Slot:
    day: str
    guests: int

@tool(thread=True)
def block(seconds: float) -> str:
    """Block a thread."""
    monkey.get_original("time", "sleep")(seconds)
    return "done"

@tool
def slot(day: str, guests: int = 2, *, call: Call) -> Slot:
    """Find a table."""
    if day == "never":
        raise ToolError("we are closed")
    if day == "broken":
        raise ValueError(f"secret words of {day}")
    return Slot(day, guests)
'''


def entry(name: str, url: str, **server: Any) -> dict[str, Any]:
    function = {"name": name, "description": f"The tool {name}.", "parameters": SCHEMA}
    return {"function": function, "server": {"url": url, "timeout_ms": 1000, **server}}


@pytest.fixture(scope="module")
def service() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def folder(service: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("tools")
    origin = service.base_url.removesuffix("/v1")
    dead = free_port()
    with FakeTlsUpstream(Certificates(tmp_path_factory.mktemp("certificates")).self_signed) as tls:
        bearer = {"authorization": "Bearer {{env.ORDERS_TOKEN}}"}
        tools = [
            entry("order_status", origin + "/orders/{{args.order_id}}", headers=bearer),
            entry("book", origin + "/bookings", method="POST", headers={"x-call": "{{tool_call_id}}"}),
            entry("refused", f"http://127.0.0.1:{dead}/{{{{args.order_id}}}}"),
            entry("tls", f"https://localhost:{tls.port}/{{{{args.order_id}}}}"),
        ]
        (folder / "orders.json").write_text(json.dumps(tools))
        (folder / "tables.py").write_text(PYTHON)
        yield folder


@pytest.fixture(scope="module")
def server(folder: Path, upstream_url: str) -> Iterator[RunningServer]:
    env = {"LLM_BASE_URL": upstream_url, "TOOLS_DIR": str(folder), "ORDERS_TOKEN": TOKEN, "KB_POLL": "0.05"}
    with running_server(env) as server:
        yield server


def calling(name: str, arguments: Any) -> list[Step]:
    """An answer that calls one tool."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": text}}
    return [*events([chunk({"role": "assistant", "tool_calls": [call]}), chunk({}, "tool_calls")]), event(DONE), END]


def told(server: RunningServer, upstream: FakeUpstream, name: str, arguments: Any) -> str:
    """Return what the model is told of a call, in a turn that is whole."""
    upstream.enqueue(calling(name, arguments), [*events(chunks("All right.")), event(DONE), END])
    request_id = uuid.uuid4().hex
    response = requests.post(server.url + CHAT, json=HELLO, headers={"x-request-id": request_id}, timeout=30)
    assert response.status_code == 200 and payloads(response.content)[-1] == DONE
    assert b'"All"' in response.content and name.encode() not in response.content
    assert server.wait_for_end(request_id)["outcome"] == "ok"
    (message,) = (one for one in upstream.calls[-1].json["messages"] if one["role"] == "tool")
    assert message["tool_call_id"] == "call_1"
    return str(message["content"])


UNREACHABLE = '{"error":"the service can\'t be reached"}'
LATE = '{"error":"no answer in 1 s. Do not say that it worked; say that you could not check."}'


@pytest.mark.row("TL-10")
@pytest.mark.parametrize(
    ("script", "text"),
    [
        (whole(b'{ "state" : "shipped" }'), '{"state":"shipped"}'),
        (whole(b"no such order", 404), '{"error":"HTTP 404","body":"no such order"}'),
        (whole(b"", 500), '{"error":"HTTP 500"}'),
        (whole(b"", 302, {"location": "/elsewhere"}), '{"error":"HTTP 302"}'),
        ([HANG], LATE),
        ([head(200, {"content-length": "999"}), *[step for _ in range(99) for step in (b"x", 0.05)]], LATE),
        ([close], UNREACHABLE),
        (whole(b"x" * (2 << 20)), '{"error":"the service\'s answer is too large"}'),
        (whole(b"caf\xe9"), '{"error":"the service\'s answer is not UTF-8"}'),
    ],
    ids=["json", "404", "500", "redirect", "hang", "drops", "closed", "2 MiB", "not UTF-8"],
)
def test_the_model_is_told_of_each_outcome(
    server: RunningServer, upstream: FakeUpstream, service: FakeUpstream, script: Sequence[Step], text: str
) -> None:
    service.script = script
    service.calls.clear()
    started = time.monotonic()
    assert told(server, upstream, "order_status", {"order_id": "A-1042"}) == text
    assert time.monotonic() - started < 10
    # A GET is asked for once more where nothing has come; a redirect is not followed.
    assert len(service.calls) == (2 if script == [close] else 1)
    assert {call.path for call in service.calls} == {"/orders/A-1042"}


@pytest.mark.row("TL-10")
@pytest.mark.parametrize("name", ["refused", "tls"])
def test_a_service_that_is_not_there_is_told(server: RunningServer, upstream: FakeUpstream, name: str) -> None:
    assert told(server, upstream, name, {"order_id": "A-1042"}) == UNREACHABLE


@pytest.mark.row("TL-17")
@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("../../admin?x=1#", "/orders/..%2F..%2Fadmin%3Fx%3D1%23"),
        ("a\r\nX-Evil: 1", "/orders/a%0D%0AX-Evil%3A%201"),
        ("😀", "/orders/%F0%9F%98%80"),
        ("..", None),
        ("x" * (1 << 20), None),
    ],
    ids=["path", "CRLF", "emoji", "dots", "1 MiB"],
)
def test_an_argument_stays_in_its_segment(
    server: RunningServer, upstream: FakeUpstream, service: FakeUpstream, value: str, path: str | None
) -> None:
    service.script = whole(b"fine")
    service.calls.clear()
    text = told(server, upstream, "order_status", {"order_id": value})
    assert [call.path for call in service.calls] == ([path] if path else [])
    assert not any("x-evil" in call.headers for call in service.calls)
    assert text == "fine" if path else text.startswith('{"error":"the arguments are not valid: ')


@pytest.mark.row("TL-18")
def test_a_token_stays_between_the_server_and_the_service(
    server: RunningServer, upstream: FakeUpstream, service: FakeUpstream
) -> None:
    service.calls.clear()
    service.script = lambda call: whole(b"You sent " + call.headers["authorization"].encode())
    assert told(server, upstream, "order_status", {"order_id": "A-1042"}) == "You sent Bearer ***"
    assert service.calls[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN.encode() not in upstream.calls[-1].body and TOKEN not in server.output()


def test_a_booking_bears_a_key_and_the_arguments(
    server: RunningServer, upstream: FakeUpstream, service: FakeUpstream
) -> None:
    service.calls.clear()
    service.script = whole(b"")
    assert told(server, upstream, "book", {"order_id": "A-1042", "admin": True}) == '{"ok":true}'
    (call,) = service.calls
    assert (call.method, call.path, call.json) == ("POST", "/bookings", {"order_id": "A-1042"})
    assert len(call.headers["idempotency-key"]) == 32 and call.headers["x-call"] == "call_1"


@pytest.mark.row("TL-21")
@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("slot", {"day": "2026-12-01", "guests": "3"}, '{"day":"2026-12-01","guests":3}'),
        ("slot", {"day": "never"}, '{"error":"we are closed"}'),
        ("slot", {"day": "broken"}, '{"error":"the tool failed"}'),
        ("slot", {"guests": 3}, '{"error":"the arguments are not valid: Object missing required field `day`"}'),
        ("block", {"seconds": 0.3}, "done"),
        ("block", {"seconds": "long"}, None),
    ],
    ids=["converted", "told", "broken", "missing", "thread", "type"],
)
def test_a_function_is_called(
    server: RunningServer, upstream: FakeUpstream, name: str, arguments: Any, text: str | None
) -> None:
    said = told(server, upstream, name, arguments)
    assert said == text if text else "`float`" in said
    assert "secret words" not in server.output()


@pytest.mark.row("TL-21")
def test_a_blocking_function_holds_up_nobody(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.enqueue(calling("block", {"seconds": 1.0}), [*events(chunks("Done.")), event(DONE), END])
    with requests.post(server.url + CHAT, json=HELLO, timeout=30, stream=True) as response:
        seconds = []
        for _ in range(10):
            started = time.monotonic()
            assert requests.get(f"{server.url}/health", timeout=30).status_code == 200
            seconds.append(time.monotonic() - started)
        assert payloads(response.content)[-1] == DONE
    assert min(seconds) < 0.3


@pytest.mark.row("TL-22")
def test_a_broken_file_leaves_the_tools_in_service(server: RunningServer, upstream: FakeUpstream, folder: Path) -> None:
    def named() -> list[str]:
        told(server, upstream, "slot", {"day": "x"})
        return [tool["function"]["name"] for tool in upstream.calls[-1].json["tools"]]

    def kept() -> list[Any]:
        return [json.loads(line) for line in server.lines() if '"tools_kept"' in line]

    before = named()
    (folder / "new.json").write_text('{"tools": [\n  {"function": }]}')
    wait_until(kept)
    assert named() == before == ["order_status", "book", "refused", "tls", "block", "slot"]
    assert requests.get(f"{server.url}/ready", timeout=30).json()["details"]["tools"] == 6
    (folder / "new.json").write_text(json.dumps([entry("another", "http://127.0.0.1:9/{{args.order_id}}")]))
    wait_until(lambda: "another" in named())
    (folder / "new.json").unlink()
    wait_until(lambda: "another" not in named())
    (line,) = kept()
    assert line["fault"].startswith("new.json:2:16: ") and line["level"] == "warning"


@pytest.mark.row("TL-22")
def test_faults_stop_the_start_with_all_of_them_listed(upstream_url: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"function": {"name": "a"}}]')
    (tmp_path / "b.json").write_text('{"tools": [\n  {]}')
    (tmp_path / "c.py").write_text("from parley.tools import tool\n\n@tool\ndef f(x): pass\n")
    env = {"LLM_BASE_URL": upstream_url, "TOOLS_DIR": str(tmp_path)}
    with pytest.raises(ServerDidNotStart) as caught, running_server(env):
        pass
    lines = [line for line in caught.value.output.splitlines() if line.startswith("parley: ")]
    assert caught.value.returncode == 1
    assert [line.partition(": ")[2].partition(" ")[0] for line in lines] == [
        f"{tmp_path}/{place}:" for place in ("a.json:1:3", "b.json:2:4", "c.py:3")
    ]


@pytest.mark.row("TL-22")
def test_a_reload_with_a_fault_keeps_the_old_workers(upstream: FakeUpstream, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(PYTHON)
    env = {"LLM_BASE_URL": upstream.base_url, "TOOLS_DIR": str(tmp_path), "KB_POLL": "0"}
    with running_server(env) as server:
        (tmp_path / "b.py").write_text("raise ValueError('not yet')\n")
        server.signal(signal.SIGHUP)
        wait_until(lambda: '"reload_failed"' in server.output())
        assert "b.py:1: ValueError: not yet" in server.output()
        assert told(server, upstream, "slot", {"day": "x"}) == '{"day":"x","guests":2}'
        (tmp_path / "b.py").write_text(PYTHON.replace("def slot", "def table").replace("def block", "def wait"))
        server.signal(signal.SIGHUP)
        # The old worker accepts for a moment more.
        wait_until(lambda: told(server, upstream, "table", {"day": "x"}) == '{"day":"x","guests":2}')


def test_an_open_server_warns_of_tools_that_change_something(server: RunningServer) -> None:
    (line,) = (json.loads(line) for line in server.lines() if '"open_tools"' in line)
    assert line["tools"] == "book, block, slot" and "API_KEYS is not set" in line["fault"]


@pytest.mark.parametrize("made", [False, True], ids=["absent", "empty"])
def test_without_tools_the_upstream_is_asked_as_ever(upstream: FakeUpstream, tmp_path: Path, made: bool) -> None:
    if made:
        os.mkdir(tmp_path / "tools")
    with running_server({"LLM_BASE_URL": upstream.base_url, "TOOLS_DIR": str(tmp_path / "tools")}) as server:
        assert requests.post(server.url + CHAT, json=HELLO, timeout=30).status_code == 200
        assert "tools" not in upstream.calls[-1].json
        assert "tools" not in requests.get(f"{server.url}/ready", timeout=30).json()["details"]
        assert "tools_loaded" not in server.output() and "open_tools" not in server.output()
        assert ("tools_missing" in server.output()) is not made
