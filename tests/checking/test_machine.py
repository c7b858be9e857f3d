"""Checks of packages and of the machine."""

import ssl
from pathlib import Path

import pytest
from fake_upstream import FakeUpstream, whole
from running_server import free_port

from parley.checking import machine
from parley.checking.probe import Probe
from parley.settings import Settings


def test_packages_are_compared_with_the_pins(tmp_path: Path) -> None:
    pins = "click==0.0.1 \\\n    --hash=sha256:00\nno-such-package==1.0 \\\nother==1 ; sys_platform == 'win32'\n"
    (tmp_path / "requirements.txt").write_text(pins)
    first, second = machine.differing(tmp_path / "requirements.txt")
    assert first.startswith("click ") and second == "no-such-package is missing"

    found = list(machine.packages(Probe(Settings(), tmp_path)))
    assert found[0].status == "warn" and "click" in found[0].detail


def test_a_machine_without_authorities_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")
    assert machine.authorities().status == "fail"


def test_this_machine_knows_authorities() -> None:
    if not ssl.create_default_context().get_ca_certs():
        pytest.skip("there are none here")
    assert machine.authorities().status == "ok"


def test_few_open_files_and_many_workers_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine.open_files, "hard_limit", lambda: 1024)
    monkeypatch.setenv("WEB_CONCURRENCY", "999")
    found = list(machine.resources(Probe(Settings(), tmp_path, offline=True)))
    assert [one.status for one in found] == ["warn", "warn", "skip"] and "MAX_STREAMS=231" in found[0].fix


@pytest.mark.parametrize(
    ("port", "status", "said"), [("", "", ""), ("http", "fail", "no port"), ("99999", "fail", "no port")]
)
def test_a_port_that_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, port: str, status: str, said: str
) -> None:
    monkeypatch.setenv("PORT", port or str(free_port()))
    found = machine.port_holder(Probe(Settings(), tmp_path))
    assert found.status == (status or "ok") and (said or "is free") in found.detail


def test_who_holds_the_port_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, upstream: FakeUpstream) -> None:
    monkeypatch.setenv("PORT", str(upstream.port))
    upstream.script = whole(b"{}", 404, {"server": "Werkzeug"})
    found = machine.port_holder(Probe(Settings(), tmp_path))
    assert found.status == "warn" and "Werkzeug" in found.detail
    upstream.script = whole(b'{"status": "ok"}', headers={"x-request-id": "1"})
    assert "Parley listens" in machine.port_holder(Probe(Settings(), tmp_path)).detail
