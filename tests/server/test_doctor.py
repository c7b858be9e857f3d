"""`flask doctor --url` through nine ways of standing in front of the real server, by a real nginx."""

import json
import shutil
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from click.testing import Result
from fake_upstream import FakeUpstream, answer
from proxies import running_proxy, temporary_paths
from running_server import RunningServer, free_port, running_server
from waiting import wait_until

from app import create_app
from blueprints.web import PROJECT
from parley.checking import examination
from parley.checking.probe import Probe
from parley.checking.report import Finding
from parley.operators import platforms
from parley.settings import Settings

pytestmark = pytest.mark.server
KEY, UPSTREAM_KEY = "canary-of-a-caller-0123456789", "sk-canary-of-an-upstream-01"
ANSWER_SECONDS = 1.5
"""Longer than a waiting message may take, so that a buffered one is late."""
PASS = "proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Host $host;"
PROXIES = {
    "default": "",
    "ignoring": "proxy_ignore_headers X-Accel-Buffering;",
    "gzip": "gzip on; gzip_proxied any; gzip_types text/event-stream application/json;",
    "two": "behind default",
    "timeout": "proxy_read_timeout 1s;",
    "small": "client_max_body_size 100k; proxy_set_header Authorization '';",
    "passing": "proxy_pass_header X-Accel-Buffering;",
    "two-passing": "behind passing",
    "shipped": f"{PASS} proxy_buffering off; proxy_request_buffering off; proxy_pass_header X-Accel-Buffering; "
    "proxy_read_timeout 65s; client_max_body_size 2m; gzip off;",
}
"""Ways of standing in front: directives, or the name of the proxy that is asked."""


@pytest.fixture(scope="module")
def slow() -> Iterator[FakeUpstream]:
    with FakeUpstream() as upstream:
        upstream.script = [ANSWER_SECONDS, *answer("We are open from nine to six.", interval=0.02)]
        yield upstream


@pytest.fixture(scope="module")
def guarded(slow: FakeUpstream) -> Iterator[RunningServer]:
    settings = {"LLM_BASE_URL": slow.base_url, "LLM_API_KEY": UPSTREAM_KEY, "LLM_MODEL": "fake-model", "API_KEYS": KEY}
    with running_server(settings) as server:
        wait_until(lambda: '"passages"' in server.output())
        yield server


@pytest.fixture(scope="module")
def ports(guarded: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """Yield the port of each way of standing in front."""
    if not shutil.which("nginx"):
        pytest.skip("nginx is not installed")
    folder, ports = tmp_path_factory.mktemp("nginx"), {name: free_port() for name in PROXIES}
    blocks = temporary_paths(folder)
    for name, directives in PROXIES.items():
        behind = directives.removeprefix("behind ") if directives.startswith("behind") else ""
        target = ports[behind] if behind else guarded.port
        inside = f"{'' if behind else directives} proxy_pass http://127.0.0.1:{target};"
        blocks += f"server {{ listen 127.0.0.1:{ports[name]}; location / {{ {inside} }} }}"
    moved = free_port()
    blocks += f"server {{ listen 127.0.0.1:{moved}; return 301 http://127.0.0.1:{ports['shipped']}$request_uri; }}"
    file = folder / "nginx.conf"
    file.write_text(f"pid {folder}/pid; error_log stderr; events {{}} http {{ access_log off; {blocks} }}")
    with running_proxy(["nginx", "-p", str(folder), "-c", str(file), "-g", "daemon off;"], moved):
        yield {**ports, "redirect": moved, "direct": guarded.port}


def worst(findings: Iterable[Finding]) -> dict[str, Finding]:
    """Return the worst finding of each check."""
    order = ("skip", "ok", "warn", "fail")
    return {one.id: one for one in sorted(findings, key=lambda one: order.index(one.status))}


@pytest.fixture(scope="module")
def reports(ports: dict[str, int]) -> dict[str, dict[str, Finding]]:
    """Return what is found behind each way, all at once: an examination is mostly waiting."""

    def examine(way: str) -> dict[str, Finding]:
        address = f"http://127.0.0.1:{ports[way]}"
        platform = platforms.PLATFORMS["curl" if way == "shipped" else "livekit"]
        probe = Probe(Settings(), PROJECT, [], address, KEY, platform, long_seconds=2 if way == "shipped" else 0)
        return worst(examination.examine(probe, ["SV"]))

    with ThreadPoolExecutor(len(ports)) as pool:
        return dict(zip(ports, pool.map(examine, ports), strict=True))


def faults(found: dict[str, Finding]) -> dict[str, str]:
    """Return the checks that are not well; a gap in the sound may be that of a machine that runs other tests."""
    bad = {name: one.status for name, one in found.items() if one.status in ("warn", "fail")}
    return {name: status for name, status in bad.items() if (name, status) != ("SV-3", "warn")}


def test_a_proxy_that_streams_has_no_findings(reports: dict[str, dict[str, Finding]]) -> None:
    assert faults(reports["shipped"]) == {}
    assert reports["shipped"]["SV-9"].status == "ok" and reports["shipped"]["SV-9"].data["seconds"] >= 2


@pytest.mark.parametrize("way", ["default", "passing", "two-passing"])
def test_a_proxy_is_told_for_its_body_limit_alone(reports: dict[str, dict[str, Finding]], way: str) -> None:
    assert faults(reports[way]) == {"SV-6": "warn"}


@pytest.mark.parametrize("way", ["ignoring", "two"])
def test_a_proxy_that_buffers_is_found(reports: dict[str, dict[str, Finding]], way: str) -> None:
    words = reports[way]["SV-4"]
    assert words.status == "fail" and "together with the answer" in words.detail
    assert "proxy_pass_header" in words.fix and "nginx" in words.detail
    # Of 75 chunks; a busy machine tells its own stalls apart, and may call this well.
    assert reports[way]["SV-3"].data["bursts"] < 55


def test_compressed_streams_are_found(reports: dict[str, dict[str, Finding]]) -> None:
    found = reports["gzip"]["SV-5"]
    assert found.status == "fail" and "gzip" in found.detail


def test_a_stream_that_is_cut_is_found(reports: dict[str, dict[str, Finding]]) -> None:
    found = reports["timeout"]["SV-4"]
    assert found.status == "fail" and "was cut 1." in found.detail and "proxy_read_timeout" in found.fix


def test_a_lost_key_is_found_and_the_rest_is_tried(reports: dict[str, dict[str, Finding]]) -> None:
    assert faults(reports["small"]) == {"SV-2": "fail", "SV-6": "warn"}
    assert reports["small"]["SV-2"].detail.startswith("Authorization is lost")


def test_a_redirect_is_found_and_followed(reports: dict[str, dict[str, Finding]]) -> None:
    assert faults(reports["redirect"]) == {"SV-1": "fail"}
    assert "redirects" in reports["redirect"]["SV-1"].detail


def doctor(port: int, *args: str) -> tuple[dict[str, Any], Result]:
    """Return the command's report on the server behind a port, and its result."""
    url = f"http://127.0.0.1:{port}"
    command = ["doctor", "--only", "SV", "--url", url, "--key", KEY, "--json", *args]
    result = create_app(Settings()).test_cli_runner().invoke(args=command)
    assert KEY not in result.output and UPSTREAM_KEY not in result.output
    report = json.loads(result.stdout)
    assert result.exit_code == (0 if report["ok"] else 1)
    return report, result


def test_a_healthy_server_has_no_findings_soon(guarded: RunningServer) -> None:
    began = time.monotonic()
    report, _ = doctor(guarded.port)
    bad = [one for one in report["checks"] if one["status"] in ("warn", "fail")]
    assert [one for one in bad if one["id"] != "SV-3" or one["status"] == "fail"] == []
    assert {one["id"] for one in report["checks"] if one["status"] == "skip"} == {"SV-9", "SV-11"}
    # Seven seconds on an idle machine.
    assert time.monotonic() - began < 20


def test_a_wrong_key_ends_the_examination(guarded: RunningServer) -> None:
    report, _ = doctor(guarded.port, "--key", "another-key")
    found = {one["id"]: one["status"] for one in report["checks"]}
    assert report["errors"] == 1 and found["SV-2"] == "fail" and found["SV-3"] == "skip"
