"""What must not show, and how log lines may not be abused: the rows SE-01 to SE-08 of docs/reliability.md."""

import base64
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from fake_upstream import DONE, END, FakeUpstream, answer, chunks, completion, event, events, head, refusal
from running_server import INHERITED, ROOT, RunningServer, free_port, hooked, receive_until, running_server
from waiting import wait_until

CHAT, RAG, AUDIO = ENDPOINTS = ("/chat/completions", "/rag/chat/completions", "/audio/chat/completions")
OUR_KEY = "sk-ours-CANARY0123456789"
PLAIN_KEY = "plainCANARYkey/9876543210"
"""One that looks like nothing in particular: it can only be known, not guessed."""
DOOR_KEY = "doorCANARYkey0123456789"
WRONG_KEY = "sk-wrong-CANARY0123456789"
DOOR = {"authorization": f"Bearer {DOOR_KEY}"}
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello?"}], "waiting": "off"}
ENCODED = base64.b64encode(f"api:{PLAIN_KEY}".encode()).decode()
FORMS = {
    "as it is": PLAIN_KEY,
    "our other key": OUR_KEY,
    "base64": ENCODED,
    "hex": PLAIN_KEY.encode().hex(),
    "in two strings": f'"{PLAIN_KEY[:9]}" + "{PLAIN_KEY[9:]}"',
    "over lines": "\n".join(PLAIN_KEY),
    "masked by them": "sk-ours-*****6789",
}
TELLTALES = (PLAIN_KEY, OUR_KEY, ENCODED[6:-4], PLAIN_KEY.encode().hex(), PLAIN_KEY[9:], "\n".join(PLAIN_KEY), "*6789")


@pytest.fixture(scope="module")
def server(upstream_url: str) -> Iterator[RunningServer]:
    """A server that tells all it may, with a key at its door; its fallback's key is `OUR_KEY`."""
    fallback = json.dumps([{"base_url": upstream_url, "api_key": OUR_KEY}])
    keys = {"LLM_API_KEY": PLAIN_KEY, "API_KEYS": DOOR_KEY, "LLM_FALLBACKS": fallback}
    with running_server({"LLM_BASE_URL": upstream_url, "LOG_LEVEL": "debug", **keys}, argv=TALKATIVE) as running:
        yield running


TALKATIVE = ("--log-level", "debug", "--access-logfile", "-")


def ask(server: RunningServer, path: str = CHAT, headers: Any = (), **fields: Any) -> requests.Response:
    return requests.post(server.url + path, json={**HELLO, **fields}, headers={**DOOR, **dict(headers)}, timeout=20)


def worker_lines(server: RunningServer) -> list[str]:
    """What was printed since the server was ready; what gunicorn says before is its own."""
    text = server.output()
    return text[text.index('{"') :].split("\n")[:-1]


@pytest.mark.row("SE-02")
@pytest.mark.server
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
def test_a_key_that_an_upstream_repeats_reaches_nobody(
    server: RunningServer, upstream: FakeUpstream, form: str, stream: bool
) -> None:
    said = f"Incorrect API key provided: {FORMS[form]}. Ask again."
    token = re.sub(r"[^A-Za-z0-9._-]", "-", FORMS[form])[:64]
    error = {"message": said, "type": token, "param": said, "code": token}
    headers = {"x-request-id": token, "x-ratelimit-limit-requests": token, "retry-after": "60"}
    for status in (400, 401, 404, 422, 429, 500, 503):
        upstream.script = refusal(status, error, headers)
        answered = ask(server, stream=stream)
        shown = json.dumps(answered.json(), ensure_ascii=False) + str(answered.headers)
        assert answered.status_code >= 400
        assert not [telltale for telltale in TELLTALES if telltale in shown.replace("\\n", "\n")], shown
    assert not [telltale for telltale in TELLTALES if telltale in server.output()]


@pytest.mark.row("SE-02")
@pytest.mark.server
@pytest.mark.parametrize("begun", [True, False], ids=["inside", "before the first word"])
def test_a_key_in_an_event_reaches_nobody(server: RunningServer, upstream: FakeUpstream, begun: bool) -> None:
    part = events(chunks("Hello there")[:3]) if begun else [head()]
    upstream.script = [*part, event(json.dumps({"error": {"message": OUR_KEY, "code": OUR_KEY}}).encode()), END]
    answered = ask(server, headers={"x-request-id": f"event-{begun}"})
    assert "error" in answered.text and OUR_KEY not in answered.text + str(answered.headers)
    server.wait_for_end(f"event-{begun}")
    assert OUR_KEY not in server.output()


@pytest.mark.row("SE-02")
@pytest.mark.server
def test_a_key_as_an_upstreams_request_id_reaches_nobody(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = [head(headers={"x-request-id": OUR_KEY}), *map(event, chunks("Hello")), event(DONE), END]
    answered = ask(server)
    assert answered.status_code == 200 and OUR_KEY not in str(answered.headers)


STRANGE_IDS = ("a\tb", "a b", "a;b", "a\x1b[31mred", "é", "x" * 129, '{"event":"forged"}')


@pytest.mark.row("SE-01")
@pytest.mark.server
def test_no_key_is_logged_even_at_debug(server: RunningServer, upstream: FakeUpstream) -> None:
    words = "the caller's CANARYWORDS"
    said = {"messages": [{"role": role, "content": words} for role in ("system", "assistant", "user")]}
    upstream.script = completion(words)
    for path in ENDPOINTS:
        for key in (WRONG_KEY, OUR_KEY, PLAIN_KEY):
            assert ask(server, path, {"authorization": f"Bearer {key}"}).status_code == 401
            assert ask(server, path, {"authorization": "", "x-api-key": key}).status_code == 401
            assert ask(server, f"{path}?api_key={key}", {"authorization": ""}).status_code == 401
        assert ask(server, f"{path}?key={DOOR_KEY}", stream=False, **said).status_code == 200
        assert ask(server, path, model=DOOR_KEY, stream=False, **{DOOR_KEY: words}, **said).status_code == 200
        broken = json.dumps({**said, "user": WRONG_KEY})[:-1].encode()
        assert requests.post(server.url + path, data=broken, headers=DOOR, timeout=5).status_code == 400
    for line in (f"authorization : Bearer {WRONG_KEY}", f"authorization\tBearer {WRONG_KEY}", f"x: {OUR_KEY}\0"):
        with server.connect() as connection:
            connection.sendall(f"GET /health HTTP/1.1\r\nhost: x\r\n{line}\r\n\r\n".encode())
            assert b" 400 " in receive_until(connection, b"no such bytes")
    ask(server, headers={"x-request-id": "last-of-all"}, stream=False)
    server.wait_for_end("last-of-all")
    told = [key for key in (OUR_KEY, PLAIN_KEY, DOOR_KEY, WRONG_KEY, "CANARYWORDS") if key in server.output()]
    assert told == []


FAILING = """
from parley import answers, services
def fail(self, *_):
    raise RuntimeError("cannot reach https://llm/?key=" + self.settings.llm_api_key + "\\nforged line \\x1b[31m")
services.Services.waiting_message = fail
from parley.admission import Admission
usual = Admission.admit
def admit(self, turn, holder="anybody"):
    if turn.record.id.startswith("early"):
        raise RuntimeError("early CANARY " + __file__ if "__file__" in globals() else "early CANARY")
    usual(self, turn, holder)
Admission.admit = admit
import gevent
gevent.spawn(lambda: 1 / int("0 sk-ours-CANARY0123456789".split()[0]) or OUR)
"""


@pytest.mark.row("SE-03")
@pytest.mark.server
@pytest.mark.parametrize("form", ["json", "text"])
def test_our_own_fault_is_logged_and_hidden_from_the_caller(upstream: FakeUpstream, form: str, tmp_path: Path) -> None:
    settings = {"LLM_BASE_URL": upstream.base_url, "LLM_API_KEY": PLAIN_KEY, "FLASK_DEBUG": "1", "LOG_FORMAT": form}
    with running_server({**settings, "LOG_LEVEL": "debug"}, argv=hooked(tmp_path, FAILING)) as running:
        early = requests.post(running.url + CHAT, json=HELLO, headers={"x-request-id": "early"}, timeout=9)
        inside = requests.post(running.url + RAG, json={**HELLO, "waiting": "always"}, timeout=9)
        lost = requests.get(f"{running.url}/nowhere?__debugger__=yes&cmd=resource&f=debugger.js", timeout=9)
        text = running.output()
    assert (early.status_code, inside.status_code, lost.status_code) == (500, 500, 404)
    for answered in (early, inside):
        assert answered.json()["error"]["code"] == "internal_error"
        assert answered.headers["x-request-id"] in answered.text
    shown = early.text + inside.text + lost.text
    assert not re.search(r"Traceback|RuntimeError|\.py|/site-packages|CANARY|debugger\.js\(", shown)
    assert "Traceback" in text and "RuntimeError" in text and "early CANARY" in text
    assert PLAIN_KEY not in text and "\x1b[31m" not in text
    if form == "json":
        assert all(json.loads(line) for line in text[text.index('{"') :].splitlines() if line.startswith("{"))
        assert not [line for line in text.splitlines() if line.startswith("forged line")]


@pytest.mark.row("SE-03")
@pytest.mark.server
@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"messages":"%s"}' % (b"x" * 200_000), b" " * 200_000])
def test_a_large_bad_body_is_no_traceback(server: RunningServer, body: bytes) -> None:
    refused = requests.post(server.url + CHAT, data=body, headers=DOOR, timeout=9)
    assert refused.status_code == 400
    server.wait_for_end(refused.headers["x-request-id"])
    assert "Traceback" not in server.output()


INJECTIONS = [
    "\r\nforged",
    "\u2028forged\u2029",
    "\x1b[2Jforged\x07",
    '","event":"forged","x":"',
    'bearer aaaa\\","event":"forged',
    'Bearer sk-aaaaaaaaaaa","event":"forged","a":"\\',
    "\u202eforged\u0085\x7f",
    "%0d%0aforged",
    "%(message)s {0} {level} ${jndi:ldap://x} %n",
]


@pytest.mark.row("SE-04")
@pytest.mark.server
@pytest.mark.parametrize("form", ["json", "text"])
def test_no_callers_value_makes_a_log_line_of_its_own(upstream: FakeUpstream, form: str) -> None:
    settings = {"LLM_BASE_URL": upstream.base_url, "LOG_FORMAT": form, "LOG_LEVEL": "debug"}
    with running_server(settings, argv=TALKATIVE) as running:
        for number, text in enumerate(INJECTIONS):
            fields = {"model": text, "user": text, "asset": text, text: 1, "turn_id": text}
            for path in ENDPOINTS:
                sent = {**HELLO, "stream": False, **fields}
                requests.post(running.url + path, json=sent, params={"asset": text, text: text}, timeout=9)
            requests.post(running.url + CHAT, json={**HELLO, **fields, "model": f"m{number}"}, timeout=9)
            requests.get(f"{running.url}/{text}", timeout=9)
            raw = text.encode("utf-8", "surrogatepass").replace(b"\r\n", b"\r")
            for line in (b"x-request-id: " + raw, b"user-agent: " + raw, b"x-forwarded-for: " + raw, raw + b": x"):
                with running.connect() as connection:
                    head = b"GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" + line + b"\r\n\r\n"
                    connection.sendall(head)
                    receive_until(connection, b"no such bytes")
        requests.post(running.url + CHAT, json=HELLO, headers={"x-request-id": "last-of-all"}, timeout=9)
        wait_until(lambda: "last-of-all" in running.output())
        lines = worker_lines(running) if form == "json" else running.output().split("\n")[:-1]
    assert len(lines) > 50
    assert not [line for line in lines if any(not mark.isprintable() for mark in line)]
    if form == "json":
        assert not [line for line in map(json.loads, lines) if line["event"] == "forged"]
    else:
        assert not [line for line in lines if line.lstrip().startswith("forged")]


PINNED = re.compile(r"^[A-Za-z0-9._-]+(?:\[[a-z0-9,-]+\])?==\S+( ; .+)?$")


@pytest.mark.row("SE-06")
def test_every_requirement_is_pinned_with_its_hash() -> None:
    files = sorted(ROOT.glob("requirements*.txt"))
    assert {file.with_suffix(".in") for file in files} == set(ROOT.glob("requirements*.in")) != set()
    for file in files:
        entries = file.read_text().replace("\\\n", " ").splitlines()
        for entry in (entry for entry in entries if entry.strip() and not entry.startswith("#")):
            name, _, hashes = entry.partition("--hash=sha256:")
            assert PINNED.match(name.strip()) and re.match(r"[0-9a-f]{64}\b", hashes), (file.name, entry[:60])


SECRETS = re.compile(
    r"""-----BEGIN [A-Z ]*PRIVATE KEY-----            # any private key
      | \bAKIA[0-9A-Z]{16}\b                          # AWS
      | \bgh[pousr]_[A-Za-z0-9]{36} | github_pat_\w{40} # GitHub
      | \bglpat-[\w-]{20}                             # GitLab
      | \bsk-(?:proj-|ant-)?[A-Za-z0-9_-]{40,}        # OpenAI, Anthropic
      | \b(?:gsk_|xai-|hf_)[A-Za-z0-9]{30,}           # Groq, xAI, Hugging Face
      | \bAIza[\w-]{35} | \bxox[baprs]-[\w-]{20,}     # Google, Slack
      | ://[^\s/:@"'<>{}%]+:[^\s/@"'<>{}]{6,}@         # an address with a password
    """,
    re.VERBOSE,
)
NOT_OURS = {
    ".git",
    ".venv",
    "__pycache__",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".hypothesis",
    "node_modules",
}


@pytest.mark.row("SE-06")
def test_the_repository_holds_no_secret() -> None:
    files = [file for file in ROOT.rglob("*") if file.is_file() and not NOT_OURS & set(file.parts)]
    found = [
        (str(file.relative_to(ROOT)), match[0][:12])
        for file in files
        if file.suffix != ".wav" and file.name != ".env"
        for match in SECRETS.finditer(file.read_text(errors="replace"))
    ]
    assert len(files) > 100 and found == []
    assert {".env", ".venv/"} <= set((ROOT / ".gitignore").read_text().split())


@pytest.mark.row("SE-06")
def test_the_scan_finds_a_secret() -> None:
    for made_up in ("sk-" + "a1B2" * 12, "AKIA" + "A1" * 8, "ghp_" + "a1" * 18, "https://me:hunter" + "22@host/"):
        assert SECRETS.search(f"key = '{made_up}'")


PROBES = """/debug /env /.env /config /settings /console /admin /server-status /actuator/env /proc/self/environ /docs
/../../etc/passwd /..%2f..%2fetc/passwd /static/../app.py /app.py /kb_data/faq.json /audio_assets/welcome.wav
/health/../metrics /metrics.json /debug/pprof /phpinfo.php /.git/config /%2e%2e/%2e%2e/proc/self/environ""".split()  # noqa: SIM905


@pytest.mark.row("SE-07")
@pytest.mark.server
def test_no_route_shows_the_environment_or_configuration(upstream: FakeUpstream) -> None:
    marked = {"MARKED_VARIABLE": "CANARYENV", "KB_DIR": "kb_data", "LLM_API_KEY": PLAIN_KEY, "API_KEYS": DOOR_KEY}
    with running_server({"LLM_BASE_URL": upstream.base_url, **marked}) as running:
        known = ("/health", "/ready", "/metrics", "/models", "/openapi.json")
        for path in (*PROBES, *known):
            with running.connect() as connection:  # as it is: a client of HTTP would tidy the path
                lines = f"GET {path} HTTP/1.1", "host: x", f"x-api-key: {DOOR_KEY}", "connection: close"
                connection.sendall("\r\n".join([*lines, "", ""]).encode())
                shown = receive_until(connection, b"no such bytes").decode()
            assert shown.split()[1] == ("200" if path in known else "404"), path
            for secret in ("CANARYENV", PLAIN_KEY, DOOR_KEY, upstream.base_url, str(ROOT), "PYTHONUNBUFFERED"):
                assert secret not in shown, path


@pytest.mark.row("SE-08")
@pytest.mark.server
def test_a_repeated_complaint_is_written_once_a_minute(upstream: FakeUpstream, tmp_path: Path) -> None:
    with running_server({"LLM_BASE_URL": upstream.base_url, "AUDIO_DIR": str(tmp_path)}) as running:
        for _ in range(50):
            with running.connect() as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nbad header\r\n\r\n")
                receive_until(connection, b"no such bytes")
            answered = requests.post(running.url + AUDIO, json={**HELLO, "stream": False}, timeout=9)
            assert answered.status_code == 200
        ends = running.request_ends()
        warnings = [line for line in running.lines() if '"warning"' in line]
    assert len(ends) >= 49
    assert len([line for line in warnings if "Invalid request" in line]) == 1
    assert len([line for line in warnings if "simulated_audio" in line]) == 1


@pytest.mark.row("SE-08")
@pytest.mark.server
def test_a_log_reader_that_stops_delays_no_stream(upstream: FakeUpstream) -> None:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-k", "gevent", "-b", f"127.0.0.1:{port}", *TALKATIVE, "app:app"]
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    env = {**inherited, "LLM_BASE_URL": upstream.base_url, "LOG_LEVEL": "debug", "LLM_API_KEY": PLAIN_KEY}
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        assert process.stdout
        while b'"knowledge_loaded"' not in process.stdout.readline():
            pass
        waits: list[float] = []
        with requests.Session() as session:
            for number in range(400):  # some 400 KB of lines, into a pipe that holds 64 KiB and that nobody reads
                started = time.monotonic()
                upstream.script = answer("Hello there") if number % 3 else refusal(400, {"message": "no"})
                sent = {**HELLO, f"held{number}": 1}
                assert session.post(f"http://127.0.0.1:{port}{CHAT}", json=sent, timeout=9).content
                waits.append(time.monotonic() - started)
                if not number % 20:
                    bad = socket.create_connection(("127.0.0.1", port), timeout=5)
                    bad.sendall(b"GET /" + b"x" * 3000 + b" HTTP/1.1\r\nbad header\r\n\r\n")
                    bad.close()
        assert sorted(waits)[-5] < 0.5  # all but one in a hundred: the machine may pause, a full pipe stays full
        os.set_blocking(process.stdout.fileno(), True)
        process.terminate()
        rest = process.stdout.read()
        assert process.wait(30) == 0 and rest.count(b"request_end") > 100
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
