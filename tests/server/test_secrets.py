"""Secrets: keys and tracebacks in answers and in the log."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from fake_upstream import DONE, END, FakeUpstream, chunks, completion, event, events, head, refusal
from running_server import ROOT, RunningServer, hooked, receive_until, running_server

CHAT, RAG, AUDIO = ENDPOINTS = ("/chat/completions", "/rag/chat/completions", "/audio/chat/completions")
OUR_KEY = "sk-ours-CANARY0123456789"
PLAIN_KEY = "plainCANARYkey/9876543210"
"""One that looks like nothing in particular: it can only be known, not guessed."""
DOOR_KEY = "doorCANARYkey0123456789"
WRONG_KEY = "sk-wrong-CANARY0123456789"
DOOR = {"authorization": f"Bearer {DOOR_KEY}"}
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Are you open?"}], "waiting": "off"}
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
        assert requests.post(server.url + path, data=broken, headers=DOOR, timeout=20).status_code == 400
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
def admit(self, turn, *more):
    if turn.record.id.startswith("early"):
        raise RuntimeError("early CANARY " + __file__ if "__file__" in globals() else "early CANARY")
    usual(self, turn, *more)
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
        early = requests.post(running.url + CHAT, json=HELLO, headers={"x-request-id": "early"}, timeout=30)
        inside = requests.post(running.url + RAG, json={**HELLO, "waiting": "always"}, timeout=30)
        lost = requests.get(f"{running.url}/nowhere?__debugger__=yes&cmd=resource&f=debugger.js", timeout=30)
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
    refused = requests.post(server.url + CHAT, data=body, headers=DOOR, timeout=30)
    assert refused.status_code == 400
    server.wait_for_end(refused.headers["x-request-id"])
    assert "Traceback" not in server.output()


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
