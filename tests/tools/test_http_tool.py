"""A call as a request: what is sent, and what the model is told of each answer."""

import contextlib
import dataclasses
import gzip
import http.server
import json
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gevent
import pytest
from fake_tls_upstream import Certificates, FakeTlsUpstream
from fake_upstream import HANG, FakeUpstream, Step, close, head, reset, whole
from running_server import free_port

from parley.http_client.pool import ConnectionPool
from parley.telemetry.redaction import Redactor
from parley.tools import definition_files
from parley.tools.http_tool import tool_of
from parley.tools.tool import Call, Result, Tool

SECRET = "t0p-secret-token"
JSON = {"content-type": "application/json"}
CALL = Call("call_1", "key-of-the-call", session="room", seconds=5.0)
PARAMETERS = {"type": "object", "properties": {"order_id": {}, "note": {}}}


@pytest.fixture
def service() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        fake.script = whole(b'{"state": "shipped"}', headers=JSON)
        yield fake


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def made(folder: Path, base_url: str, path: str = "/orders/{{args.order_id}}", **server: Any) -> Tool:
    """Return the tool of a file, as a Toolbox makes it."""
    function = {"name": "order_status", "description": "State of an order.", "parameters": PARAMETERS}
    origin = base_url.removesuffix("/v1")
    (folder / "a.json").write_text(json.dumps([{"function": function, "server": {"url": origin + path, **server}}]))
    read = definition_files.read(folder / "a.json", {"TOKEN": SECRET})
    assert not read.faults
    (definition,) = read.tools
    pool = ConnectionPool(origin, max_idle=4, connect_timeout=2.0)
    return tool_of(definition, pool, Redactor(read.secrets))  # type: ignore[arg-type]


def run(tool: Tool, call: Call = CALL, **arguments: Any) -> Result:
    return tool.run({"order_id": "A-1", **arguments}, call)


def told(folder: Path, service: FakeUpstream, script: Sequence[Step], seconds: float = 5.0, **server: Any) -> Result:
    """Return the result of a call that is answered by a script."""
    service.script = script
    return run(made(folder, service.base_url, **server), dataclasses.replace(CALL, seconds=seconds))


# --- what is sent ---


def test_a_get_sends_what_is_not_in_the_path_as_parameters(folder: Path, service: FakeUpstream) -> None:
    tool = made(folder, service.base_url, headers={"Authorization": "Bearer {{env.TOKEN}}"})
    assert run(tool, note="in a hurry", extra="invented") == Result('{"state":"shipped"}', status=200)
    (call,) = service.calls
    assert (call.method, call.path, call.body) == ("GET", "/orders/A-1?note=in%20a%20hurry", b"")
    assert call.headers["authorization"] == f"Bearer {SECRET}"
    assert not {"idempotency-key", "content-type", "content-length"} & call.headers.keys()
    assert (tool.read_only, tool.cancels) == (True, True)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_other_methods_send_the_arguments_as_json(folder: Path, service: FakeUpstream, method: str) -> None:
    tool = made(folder, service.base_url, method=method, headers={"x-session": "{{call.session}}"})
    run(tool, note="é", extra="invented")
    (call,) = service.calls
    assert (call.method, call.path, call.json) == (method, "/orders/A-1", {"order_id": "A-1", "note": "é"})
    assert call.headers["content-type"] == "application/json" and call.headers["x-session"] == "room"
    assert call.headers["idempotency-key"] == "key-of-the-call"
    assert (tool.read_only, tool.cancels) == (False, False)


def test_a_delete_has_no_body_and_a_key(folder: Path, service: FakeUpstream) -> None:
    run(made(folder, service.base_url, method="DELETE"), note="x")
    (call,) = service.calls
    assert (call.method, call.path, call.body) == ("DELETE", "/orders/A-1?note=x", b"")
    assert call.headers["idempotency-key"] == "key-of-the-call"


def test_a_template_of_a_body_replaces_the_arguments(folder: Path, service: FakeUpstream) -> None:
    tool = made(folder, service.base_url, "/book", method="POST", body={"order": {"id": "{{args.order_id}}"}, "n": 2})
    run(tool, note="x")
    assert service.calls[0].json == {"order": {"id": "A-1"}, "n": 2}


@pytest.mark.row("TL-17")
@pytest.mark.parametrize("value", ["", "..", "x" * (1 << 20), "\ud800", None], ids=["", "..", "1 MiB", "half", "null"])
def test_arguments_that_can_not_be_sent_send_nothing(folder: Path, service: FakeUpstream, value: Any) -> None:
    result = run(made(folder, service.base_url), order_id=value)
    assert result.outcome == "error" and result.text.startswith('{"error":"the arguments are not valid: ')
    assert len(result.text) < 200 and not service.calls


# --- what the model is told ---

LONG = "x" * 9_000


@pytest.mark.row("TL-10")
@pytest.mark.parametrize(
    ("script", "text"),
    [
        (whole(b'{ "a" : [1.0, "\xc3\xa9" ] }', headers=JSON), '{"a":[1.0,"é"]}'),
        (whole(b' [1, 2]\n', headers={"content-type": "text/plain"}), "[1,2]"),
        (whole(b'{"a": broken', headers=JSON), '{"a": broken'),
        (whole(b"\xef\xbb\xbfIt is open.\n"), "It is open."),
        (whole(b""), '{"ok":true}'),
        ([head(204, {})], '{"ok":true}'),
        (whole(b" \n ", 201), '{"ok":true}'),
        (whole(LONG.encode()), LONG[:8000] + " [cut]"),
        (whole(gzip.compress(b'{"a": 1}'), headers={**JSON, "Content-Encoding": "gzip"}), '{"a":1}'),
        (whole(b"caf\xe9", headers={"content-type": "text/plain; charset=ISO-8859-1"}), "café"),
    ],
    ids=["json", "labelled text", "no json", "text", "empty", "204", "blank", "long", "gzip", "latin-1"],
)  # fmt: skip
def test_a_success_is_told_as_it_is(folder: Path, service: FakeUpstream, script: Sequence[Step], text: str) -> None:
    result = told(folder, service, script)
    assert (result.text, result.outcome) == (text, "ok") and result.status in (200, 201, 204)


@pytest.mark.row("TL-10")
@pytest.mark.parametrize(
    ("script", "text"),
    [
        (whole(b'{"why": "no such order"}', 404), '{"error":"HTTP 404","body":"{\\"why\\":\\"no such order\\"}"}'),
        (whole(b"", 500), '{"error":"HTTP 500"}'),
        (whole(b"\xff\xfe", 503), '{"error":"HTTP 503","body":"\ufffd\ufffd"}'),
        (whole(LONG.encode(), 400), '{"error":"HTTP 400","body":"' + LONG[:1000] + '"}'),
        (whole(b"moved", 302, {"location": "http://127.0.0.1:1/"}), '{"error":"HTTP 302","body":"moved"}'),
        (whole(b"moved", 307, {"location": "/orders/B-2"}), '{"error":"HTTP 307","body":"moved"}'),
        (whole(b"caf\xe9"), '{"error":"the service\'s answer is not UTF-8"}'),
        (whole(b"x" * (2 << 20)), '{"error":"the service\'s answer is too large"}'),
        (
            whole(gzip.compress(b"x" * (2 << 20)), headers={"content-encoding": "gzip"}),
            '{"error":"the service\'s answer is too large"}',
        ),
        (whole(gzip.compress(b"gone"), 410, {"content-encoding": "gzip"}), '{"error":"HTTP 410","body":"gone"}'),
        (whole(b"gone", 410, {"content-encoding": "br"}), '{"error":"HTTP 410"}'),
    ],
    ids=[
        "404",
        "500",
        "503 of bytes",
        "400 long",
        "302",
        "307",
        "not UTF-8",
        "2 MiB",
        "bomb",
        "410 in gzip",
        "410 in br",
    ],
)
def test_an_answer_that_is_no_success_is_told(
    folder: Path, service: FakeUpstream, script: Sequence[Step], text: str
) -> None:
    result = told(folder, service, script)
    assert (result.text, result.outcome) == (text, "error") and len(service.calls) == 1


@pytest.mark.row("TL-10")
@pytest.mark.parametrize(
    "script",
    [
        [HANG],
        [head(200, {"content-length": "9"}), b"a", HANG],
        [head(200, {"content-length": "900"}), *[step for _ in range(900) for step in (b"x", 0.05)]],
        [b"HTTP/1.1 200 OK\r\n", *[step for _ in range(900) for step in (b"x-a: b\r\n", 0.05)]],
    ],
    ids=["no answer", "half an answer", "drops", "drops of a head"],
)
def test_a_late_answer_ends_with_its_time(folder: Path, service: FakeUpstream, script: Sequence[Step]) -> None:
    started = time.monotonic()
    result = told(folder, service, script, seconds=0.4)
    said = "no answer in 0.4 s. Do not say that it worked; say that you could not check."
    assert result == Result('{"error":"' + said + '"}', "timeout")
    assert 0.4 <= time.monotonic() - started < 5
    service.wait_until(lambda: not service.open_connections)


@pytest.mark.row("TL-10")
@pytest.mark.parametrize(
    "script",
    [[close], [reset], [b"nonsense\r\n\r\n"], [head(200, {"content-length": "9"}), b"a", close], [b"HTTP/1.1 2"]],
    ids=["closed", "reset", "no HTTP", "cut", "cut head"],
)
def test_a_broken_answer_is_unreachable(folder: Path, service: FakeUpstream, script: Sequence[Step]) -> None:
    if script == [b"HTTP/1.1 2"]:
        script = [*script, close]
    assert told(folder, service, script) == Result('{"error":"the service can\'t be reached"}', "unreachable")


@pytest.mark.row("TL-10")
def test_refused_connections_and_unknown_hosts_are_unreachable(folder: Path) -> None:
    for origin in (f"http://127.0.0.1:{free_port()}", "http://nowhere.invalid"):
        assert run(made(folder, origin)).outcome == "unreachable"


@pytest.mark.row("TL-10")
@pytest.mark.slow
@pytest.mark.parametrize("certificate", ["expired", "wrong_host", "self_signed"])
def test_a_bad_certificate_is_unreachable(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, certificate: str
) -> None:
    certificates = Certificates(tmp_path_factory.mktemp("certificates"))
    with FakeTlsUpstream(getattr(certificates, certificate)) as service:
        tool = made(folder, service.base_url, headers={"authorization": "Bearer {{env.TOKEN}}"})
        assert run(tool).outcome == "unreachable" and not service.calls


# --- secrets ---


@pytest.mark.row("TL-18")
@pytest.mark.parametrize("status", [200, 401])
@pytest.mark.parametrize(
    "form", ["{}", "Bearer {}", '{{"token": "{}"}}', "x" * 7_990 + "{}"], ids=["", "b", "j", "edge"]
)
def test_a_token_that_is_echoed_is_not_told(folder: Path, service: FakeUpstream, status: int, form: str) -> None:
    body = form.format(SECRET).encode()
    result = told(folder, service, whole(body, status), headers={"authorization": "Bearer {{env.TOKEN}}"})
    assert "t0p-secret" not in result.text
    assert result.outcome == "error" or "***" in result.text or len(result.text) > 8_000


def test_words_that_look_like_keys_are_left_alone(folder: Path, service: FakeUpstream) -> None:
    text = "the bearer certificate of sk-learning-for-all"
    assert told(folder, service, whole(text.encode())).text == text


# --- connections ---


@pytest.mark.parametrize("cut", [close, reset])
def test_a_post_is_sent_once_and_a_get_again(folder: Path, service: FakeUpstream, cut: Step) -> None:
    """Trap: a kept connection that closes without a byte says nothing about a booking."""
    for method, outcome, calls in (("GET", "ok", 3), ("POST", "unreachable", 2)):
        service.script = whole(b"fine")
        tool = made(folder, service.base_url, method=method)
        before = len(service.calls)
        assert run(tool).outcome == "ok"
        service.enqueue([cut])
        assert run(tool).outcome == outcome
        assert len(service.calls) == before + calls


def test_a_killed_call_closes_its_connection(folder: Path, service: FakeUpstream) -> None:
    service.script = [HANG]
    calling = gevent.spawn(run, made(folder, service.base_url))
    calling.join(0.01)
    gevent.get_hub().threadpool.apply(service.wait_for_calls, (1,))
    calling.kill()
    assert isinstance(calling.value, gevent.GreenletExit)
    service.wait_until(lambda: not service.open_connections)


class Handler(http.server.BaseHTTPRequestHandler):
    """Python's own server: head and body leave in two writes, under Nagle's algorithm, and the connection is kept."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def pythons_server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.row("TL-25")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_server_that_writes_twice_is_not_waited_for(folder: Path, method: str) -> None:
    seconds = []
    with pythons_server() as origin:
        tool = made(folder, origin, method=method)
        for _ in range(50):
            started = time.perf_counter()
            assert run(tool).text == "ok"
            seconds.append(time.perf_counter() - started)
    # 44 ms where the second write waits for a delayed acknowledgement: the quickest quarter, on a busy machine.
    assert statistics.quantiles(seconds)[0] < 0.02
