"""The playground on the real server: who is served it, its data, and that nothing of it is there for anybody else."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from fake_upstream import FakeUpstream
from running_server import RunningServer, receive_until, running_server
from servers import Servers
from waiting import wait_until

KEY = "door-key-0123456789"
HELLO = {"messages": [{"role": "user", "content": "Hello"}], "stream": True}
API = ("status", "turns", "presets", "passages", "recordings", "captures")
PATHS = ("/playground", "/playground/", "/playground/index.html", "/playground/api/status", "/playground/api/search")


@pytest.fixture(scope="module")
def usual(servers: Servers) -> RunningServer:
    """Return a server with every default."""
    return servers()


@pytest.fixture(scope="module")
def shown(servers: Servers) -> RunningServer:
    """Return a server that shows the page to everybody, and its data with a key."""
    return servers(PLAYGROUND="on", API_KEYS=KEY, RATE_LIMIT="5/hour")


@pytest.fixture(scope="module")
def off(servers: Servers) -> RunningServer:
    """Return a server without the page."""
    return servers(PLAYGROUND="off")


@pytest.fixture
def several(upstream: FakeUpstream) -> Iterator[RunningServer]:
    """Return a server with two workers."""
    with running_server({"LLM_BASE_URL": upstream.base_url, "WEB_CONCURRENCY": "2"}) as running:
        yield running


def answered(server: RunningServer, method: str, path: str, host: str = "", **headers: str) -> tuple[int, str]:
    """Return the status and the whole answer without what differs from one to the next: path, id, length and date."""
    fields = {"Host": host or f"127.0.0.1:{server.port}", "X-Request-ID": "same", "Connection": "close"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    with server.connect() as connection:
        connection.sendall("\r\n".join(lines).encode())
        came = receive_until(connection, b"no such bytes").decode()
    told = [line for line in came.splitlines() if not line.startswith(("Date: ", "Content-Length: "))]
    return int(came.split()[1]), "\n".join(told).replace(path, "PATH")


def is_absent(server: RunningServer, host: str = "", **headers: str) -> None:
    """Check that each route of the page is, by every method, as one that does not exist."""
    for path in PATHS:
        for method in ("GET", "HEAD", "POST", "OPTIONS", "BREW"):
            there = answered(server, method, path, host, **headers)
            assert there[0] == 404 and there == answered(server, method, "/nowhere", host, **headers), (method, path)


@pytest.mark.row("PG-01")
@pytest.mark.parametrize(
    ("host", "header"),
    [
        ("evil.example", {}),
        ("localhost.evil.example", {"sec_fetch_site": "same-origin"}),
        ("192.168.1.5", {"origin": "http://192.168.1.5"}),
        ("", {"x_forwarded_for": "1.2.3.4"}),
        ("", {"forwarded": "for=1.2.3.4"}),
        ("", {"via": "1.1 x"}),
        ("localhost", {"x_real_ip": "1.2.3.4"}),
    ],
    ids=["host", "like-localhost", "address", "x-forwarded", "forwarded", "via", "x-real-ip"],
)
def test_who_is_not_served_finds_no_route(usual: RunningServer, host: str, header: dict[str, str]) -> None:
    is_absent(usual, host, **header)
    # A plain request of this machine is served: only the host or the header made the difference.
    assert requests.get(f"{usual.url}/playground", timeout=30).status_code == 200


@pytest.mark.row("PG-01")
def test_on_a_hosting_platform_there_is_no_page(upstream: FakeUpstream) -> None:
    with running_server({"LLM_BASE_URL": upstream.base_url, "PORT": "8123"}) as hosted:
        is_absent(hosted)


@pytest.mark.row("PG-02")
def test_where_it_is_off_nothing_is_there_or_kept(upstream: FakeUpstream, off: RunningServer) -> None:
    is_absent(off)
    index = requests.get(off.url, headers={"accept": "text/html"}, timeout=30)
    assert index.status_code == 200 and "/playground" not in off.output()


@pytest.mark.row("PG-02")
def test_where_it_is_off_workers_share_no_turns(upstream: FakeUpstream, tmp_path: Path) -> None:
    settings = {"LLM_BASE_URL": upstream.base_url, "WEB_CONCURRENCY": "2", "PLAYGROUND": "off"}
    with running_server(settings, argv=("--worker-tmp-dir", str(tmp_path))) as running:
        requests.post(f"{running.url}/chat/completions", json=HELLO, timeout=30)
        assert list(tmp_path.rglob("*.ring")) == [] and list(tmp_path.rglob("*.db"))


def test_a_browser_is_led_from_the_root_to_the_page(usual: RunningServer) -> None:
    for accept, status in (
        ("text/html,*/*;q=0.8", 303),
        ("*/*", 200),
        ("application/json", 200),
        ("text/html;q=0", 200),
    ):
        index = requests.get(usual.url, headers={"accept": accept}, allow_redirects=False, timeout=30)
        assert (index.status_code, index.headers["vary"]) == (status, "Accept")
    page = requests.get(usual.url, headers={"accept": "text/html"}, timeout=30)
    assert page.url == f"{usual.url}/playground" and page.headers["content-type"].startswith("text/html")


@pytest.mark.row("PG-04")
@pytest.mark.parametrize("name", API)
def test_with_keys_the_data_need_one_and_the_page_none(shown: RunningServer, name: str) -> None:
    address = f"{shown.url}/playground/api/{name}"
    assert requests.get(f"{shown.url}/playground", headers={"host": "any.example"}, timeout=30).status_code == 200
    refused = requests.get(address, timeout=30)
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    for key in ({"authorization": f"Bearer {KEY}"}, {"x-api-key": KEY}):
        told = requests.get(address, headers={"host": "any.example", **key}, timeout=30)
        assert (told.status_code, told.headers["cache-control"]) == (200, "no-store")
    assert requests.head(f"{address}/", headers={"x-api-key": KEY}, timeout=30).content == b""


@pytest.mark.row("PG-05")
def test_without_keys_other_machines_are_told_nothing(upstream: FakeUpstream) -> None:
    with running_server({"LLM_BASE_URL": upstream.base_url, "PLAYGROUND": "on"}) as server:
        assert requests.get(f"{server.url}/playground", headers={"host": "any.example"}, timeout=30).status_code == 200
        for name in API:
            address = f"{server.url}/playground/api/{name}"
            for header in ({"host": "any.example"}, {"x-forwarded-for": "1.2.3.4"}):
                refused = requests.get(address, headers=header, timeout=30)
                assert (refused.status_code, refused.json()["error"]["code"]) == (403, "api_keys_not_set")
            assert requests.get(address, timeout=30).status_code == 200
        assert '"playground_open"' in server.output()


@pytest.mark.row("PG-07")
def test_no_foreign_page_frames_it_or_asks_for_data(usual: RunningServer, shown: RunningServer) -> None:
    page = requests.get(f"{usual.url}/playground", timeout=30).headers
    assert "frame-ancestors 'none'" in page["content-security-policy"] and page["x-frame-options"] == "DENY"
    assert page["cross-origin-resource-policy"] == "same-origin" and page["referrer-policy"] == "no-referrer"
    for server in (usual, shown):
        for header in (
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"origin": "http://evil.example"},
        ):
            address = f"{server.url}/playground/api/search"
            refused = requests.post(address, json={"question": "x"}, headers={**header, "x-api-key": KEY}, timeout=30)
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden_origin")
    own = {"origin": usual.url, "sec-fetch-site": "same-origin"}
    asked = requests.post(f"{usual.url}/playground/api/search", json={"question": "x"}, headers=own, timeout=30)
    assert asked.status_code == 200


@pytest.mark.row("PG-07")
def test_an_origin_that_may_call_reads_no_data(servers: Servers) -> None:
    server = servers(CORS_ORIGINS="*")
    header = {"origin": "https://app.example", "sec-fetch-site": "cross-site"}
    assert requests.get(f"{server.url}/models", headers=header, timeout=30).status_code == 200
    assert requests.get(f"{server.url}/playground/api/turns", headers=header, timeout=30).status_code == 403


@pytest.mark.row("PG-09")
@pytest.mark.parametrize(
    "name", ["..%2f..%2fapp.py", "../app.py", "%2e%2e/app.py", "/etc/passwd", "%00", "vendor/../index.html", "x" * 3500]
)
def test_an_assets_name_is_a_key_of_a_table(usual: RunningServer, name: str) -> None:
    assert answered(usual, "GET", f"/playground/{name}")[0] == 404


def turns_of(server: RunningServer, query: str = "limit=200") -> dict[str, object]:
    told: dict[str, object] = requests.get(f"{server.url}/playground/api/turns?{query}", timeout=30).json()
    return told


def ids(server: RunningServer) -> list[str]:
    return [turn["id"] for turn in turns_of(server)["turns"]]  # type: ignore[attr-defined]


def ask(server: RunningServer, name: str, **fields: object) -> None:
    answer = requests.post(
        f"{server.url}/rag/chat/completions", json={**HELLO, **fields}, headers={"x-request-id": name}, timeout=20
    )
    assert answer.content.endswith(b"[DONE]\n\n")


def test_a_turn_at_any_worker_is_told_by_each(several: RunningServer) -> None:
    wanted = [f"turn-{number}" for number in range(8)]
    for name in wanted:
        ask(several, name, turn_id=3, timestamp=1)
    wait_until(lambda: sorted(ids(several)) == wanted, tell=lambda: str(ids(several)))

    told = [turns_of(several) for _ in range(8)]
    assert all(one["workers"] == 2 and one["turns"] == told[0]["turns"] for one in told)
    turns: list[dict[str, object]] = told[0]["turns"]  # type: ignore[assignment]
    ends = [turn["seq"] for turn in turns]
    assert ends == sorted(ends, reverse=True) and told[0]["seq"] == ends[0]
    assert turns_of(several, f"after={ends[2]}")["turns"] == turns[:2]
    assert {(turn["platform"], turn["turn_id"], turn["endpoint"]) for turn in turns} == {("agora", 3, "rag")}
    for turn in turns:
        assert 0 <= float(str(turn["asked_ms"])) <= float(str(turn["ttft_ms"])) <= float(str(turn["ms"]))


def test_the_turns_of_workers_that_ended_are_still_told(several: RunningServer) -> None:
    ask(several, "before")
    wait_until(lambda: "before" in ids(several))
    old = set(several.worker_pids())
    for pid in old:
        # As if it had crashed: nothing of its own stop is run.
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(several.worker_pids()) == 2 and not old & set(several.worker_pids()))
    wait_until(lambda: turns_of(several)["workers"] == 2)
    assert ids(several) == ["before"]


@pytest.mark.row("PG-10")
@pytest.mark.parametrize("where", ["memory", "files"])
def test_no_word_of_a_call_is_in_the_data(upstream: FakeUpstream, tmp_path: Path, where: str) -> None:
    workers = {"WEB_CONCURRENCY": "2"} if where == "files" else {}
    settings = {"LLM_BASE_URL": upstream.base_url, "LLM_API_KEY": "sk-CANARYKEY0123456789", **workers}
    with running_server(settings, argv=("--worker-tmp-dir", str(tmp_path))) as server:
        said = [{"role": "system", "content": "CANARYSYSTEM"}, {"role": "user", "content": "CANARYWORD?"}]
        ask(server, "call", messages=said, user="CANARYUSER", filters={"a": "CANARYFILTER"})
        wait_until(lambda: ids(server) == ["call"])
        told = [requests.get(f"{server.url}/playground/api/{name}", timeout=30).text for name in API]
        told += [file.read_bytes().decode(errors="replace") for file in tmp_path.rglob("*.ring")]
        assert bool(workers) == (len(told) > len(API))
    assert not [text for text in told if "CANARY" in text]
    # Nor the caller's address: that of the turns is in their rows, and in the files.
    assert not [text for text in (told[1], *told[len(API) :]) if "127.0.0.1" in text]


@pytest.mark.row("PG-11")
def test_the_data_tell_no_address_key_or_path(upstream: FakeUpstream, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("[")
    (tmp_path / "mute.txt").write_text("Only a text.")
    secrets = {"LLM_API_KEY": "sk-upstreams-0123456789", "API_KEYS": KEY, "TTS_BASE_URL": "http://voices.example/v1"}
    folders = {"KB_DIR": str(tmp_path), "AUDIO_DIR": str(tmp_path), "MARKED_VARIABLE": "CANARYENV"}
    with running_server({"LLM_BASE_URL": upstream.base_url, **secrets, **folders}) as server:
        for name in (*API, "search"):
            method = "POST" if name == "search" else "GET"
            body = {"question": "When are you open?"} if name == "search" else None
            address = f"{server.url}/playground/api/{name}"
            told = requests.request(method, address, json=body, headers={"x-api-key": KEY}, timeout=20)
            assert told.status_code == 200
            for secret in (upstream.base_url, "voices.example", *secrets.values(), str(tmp_path), "CANARYENV"):
                assert secret not in told.text, name


def test_a_search_counts_for_the_rate_limit(shown: RunningServer) -> None:
    address, key = f"{shown.url}/playground/api/search", {"x-api-key": KEY}
    statuses = [
        requests.post(address, json={"question": "How much?"}, headers=key, timeout=30).status_code for _ in range(6)
    ]
    assert statuses == [200] * 5 + [429]
    assert requests.get(f"{shown.url}/playground/api/turns", headers=key, timeout=30).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "search", b"", 400),
        ("POST", "search", b"[]", 400),
        ("POST", "search", b'{"question": " "}', 400),
        ("POST", "search", b'{"question": 7}', 400),
        ("POST", "search", b'{"question": "x", "filters": {"a": []}}', 400),
        ("POST", "search", b'{"question": "x", "kb": "nowhere"}', 404),
        ("POST", "search", b'{"question": "' + b"x" * 300_000 + b'"}', 413),
        ("GET", "search", None, 405),
        ("POST", "turns", b"", 405),
        ("GET", "turns?after=-1", None, 400),
        ("GET", "turns?limit=201", None, 400),
        ("GET", "turns?after=9e9", None, 400),
        ("GET", "passages?kb=nowhere", None, 404),
        ("GET", "passages?from=x", None, 400),
        ("GET", "presets?url=ftp://x", None, 400),
        ("GET", "presets?endpoint=x", None, 400),
        ("GET", "presets?endpoint=chat&kb=x", None, 400),
        ("POST", "request", b'{"platform": "none", "messages": []}', 400),
        ("POST", "request", b'{"platform": "agora", "messages": 7}', 400),
        ("GET", "nothing", None, 404),
    ],
    ids=lambda value: str(value)[:24] if isinstance(value, str | bytes) else None,
)
def test_what_can_not_be_answered(
    usual: RunningServer, method: str, path: str, body: bytes | None, status: int
) -> None:
    refused = requests.request(method, f"{usual.url}/playground/api/{path}", data=body, timeout=30)
    assert refused.status_code == status and refused.json()["error"]["message"]


def test_hostile_names_come_back_as_json(usual: RunningServer) -> None:
    name = '<img src=x onerror="alert(1)"></script>'
    requests.post(
        f"{usual.url}/chat/completions", json={**HELLO, "model": name}, headers={"x-request-id": "odd"}, timeout=30
    )
    wait_until(lambda: "odd" in ids(usual))
    told = requests.get(f"{usual.url}/playground/api/turns", timeout=30)
    assert told.headers["content-type"] == "application/json" and told.headers["x-content-type-options"] == "nosniff"
    assert name in [turn["model"] for turn in told.json()["turns"]]


def test_a_request_is_worded_as_the_platform_words_it(usual: RunningServer) -> None:
    said = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Welcome to", "original": "Welcome to us."},
        {"role": "user", "content": "How much?"},
    ]
    address = f"{usual.url}/playground/api/request"
    body = requests.post(address, json={"platform": "agora", "messages": said}, timeout=30).json()["request"]
    assert body["turn_id"] == 2 and "Welcome to us." in json.dumps(body["messages"][1])
    answer = requests.post(f"{usual.url}/rag/chat/completions", json=body, timeout=20)
    assert answer.status_code == 200


def test_where_the_time_went_is_in_the_head(usual: RunningServer, upstream: FakeUpstream) -> None:
    def parts(path: str, **fields: object) -> list[str]:
        told = requests.post(f"{usual.url}{path}", json={**HELLO, **fields}, timeout=20).headers.get(
            "server-timing", ""
        )
        return [part.split(";")[0] for part in told.split(", ") if part]

    assert parts("/chat/completions") == ["ours", "upstream"]
    question = [{"role": "user", "content": "How much is a tune-up?"}]
    # A waiting message has left before anything else is known.
    assert parts("/rag/chat/completions", messages=question) == []
    assert parts("/rag/chat/completions", messages=question, waiting="off") == ["lookup", "ours", "upstream"]
    assert parts("/rag/chat/completions", messages=question, stream=False) == ["lookup", "ours", "upstream"]
