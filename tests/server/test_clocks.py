"""The system clock is set back or forward while the server runs: no key is locked or let in early, no call is cut."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from fake_upstream import DONE, END, FakeUpstream, answer, chunks, event, events
from running_server import RunningServer, hooked, post, receive_until, running_server

pytestmark = [pytest.mark.server, pytest.mark.row("RF-05")]
CHAT, RAG, AUDIO = ENDPOINTS = ("/chat/completions", "/v1/rag/chat/completions", "/audio/chat/completions")
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Are you open?"}], "stream": True, "waiting": "off"}
SHIFTS = {"hour-back": -3600.0, "hour-forward": 3600.0, "year-1970": -1.7e9, "day-forward": 86_400.0}


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def shift(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that says by how many seconds the server's clock is wrong."""
    file = tmp_path_factory.mktemp("clock") / "shift"
    file.write_text("0")
    return file


@pytest.fixture(scope="module")
def server(upstream: FakeUpstream, shift: Path) -> Iterator[RunningServer]:
    code = f"import time; day = time.time; time.time = lambda: day() + float(open({str(shift)!r}).read() or 0)"
    settings = {"LLM_BASE_URL": upstream.base_url, "RATE_LIMIT": "2/minute", "AUDIO_LEAD_MS": "5000"}
    settings["API_KEYS"] = ",".join(f"door-{way}-{path}" for way in SHIFTS for path in ("rate", *ENDPOINTS))
    with running_server({**settings, "IDLE_TIMEOUT": "9"}, argv=hooked(shift.parent, code)) as running:
        yield running


@pytest.mark.parametrize("way", SHIFTS)
def test_a_rate_follows_no_clock_that_is_set(
    server: RunningServer, upstream: FakeUpstream, shift: Path, way: str
) -> None:
    upstream.script = answer("Hello")
    shift.write_text("0")
    sent: dict[str, Any] = {"json": HELLO, "headers": {"x-api-key": f"door-{way}-rate"}, "timeout": 20}
    assert [requests.post(server.url + CHAT, **sent).status_code for _ in range(2)] == [200, 200]
    shift.write_text(str(SHIFTS[way]))
    refused = requests.post(server.url + CHAT, **sent)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) == int(refused.headers["x-ratelimit-reset"]) <= 60


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("way", SHIFTS)
def test_an_open_stream_goes_on(
    server: RunningServer, upstream: FakeUpstream, shift: Path, way: str, path: str
) -> None:
    go_on = threading.Event()
    first, word, *rest = chunks("Hello there")
    upstream.script = [*events([first, word]), go_on, *map(event, rest), event(DONE), END]
    shift.write_text("0")
    with server.connect() as connection:
        connection.sendall(post(path, HELLO, x_api_key=f"door-{way}-{path}"))
        heard = receive_until(connection, b"data: ")
        shift.write_text(str(SHIFTS[way]))
        go_on.set()
        heard += receive_until(connection, b"0\r\n\r\n")
    assert b"data: [DONE]" in heard and b'"error"' not in heard and heard.count(b": keep-alive") <= 1
