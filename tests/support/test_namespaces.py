"""Network namespaces for tests: separate, cut off from each other, and gone afterwards whatever happened."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import namespaces as made
import pytest
from namespaces import SWITCH, Namespaces, namespaces
from waiting import wait_until

pytestmark = [pytest.mark.hosts, pytest.mark.slow]
KILLED = """
import subprocess, sys, time
from namespaces import namespaces
with namespaces("alpha") as network, network.inside("alpha"):
    print(subprocess.Popen(["sleep", "600"]).pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def network() -> Iterator[Namespaces]:
    with namespaces("alpha", "beta") as network:
        yield network


def own_namespaces() -> list[str]:
    return [name for name in os.listdir("/run/netns") if name.startswith(f"parley-{os.getpid()}-")]


def connects(network: Namespaces, host: str, listener: socket.socket, seconds: float = 20) -> bool:
    """Return whether a connection from a host comes about."""
    with network.inside(host), socket.socket() as client:
        client.settimeout(seconds)
        return client.connect_ex(listener.getsockname()) == 0


def test_hosts_are_parted_and_joined_again(network: Namespaces) -> None:
    with network.inside("beta"), socket.create_server((network.addresses["beta"], 0)) as listener:
        assert connects(network, "alpha", listener) and connects(network, SWITCH, listener)
        with network.parted("alpha", "beta"):
            assert not connects(network, "alpha", listener, 0.3)
            assert connects(network, SWITCH, listener)
        assert connects(network, "alpha", listener)


def test_addresses_exist_in_the_namespaces_only(network: Namespaces) -> None:
    own = subprocess.run(["ip", "-brief", "address"], capture_output=True, text=True, check=True).stdout
    assert network.addresses[SWITCH] not in own
    assert len(own_namespaces()) == 3


def test_nothing_is_left_behind_a_failure() -> None:
    with pytest.raises(RuntimeError), namespaces("alpha") as network, network.inside("alpha"):
        raise RuntimeError
    assert own_namespaces() == []


def test_what_a_killed_run_has_left_is_removed(network: Namespaces) -> None:
    folder = Path(made.__file__).parent
    command = [sys.executable, "-c", KILLED]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(folder)}
    ) as run:
        assert run.stdout
        left = int(run.stdout.readline())
        names = [name for name in os.listdir("/run/netns") if f"-{run.pid}-" in name]
        made.remove_orphans()
        assert len(names) == 2 and all(Path("/run/netns", name).exists() for name in names), "it still runs"
        run.send_signal(signal.SIGKILL)
    made.remove_orphans()
    assert not any(Path("/run/netns", name).exists() for name in names)
    wait_until(lambda: not made.is_alive(left))


def test_without_permission_hosts_are_skipped_even_in_ci(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name in ("ip", "nft"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho 'mount --make-shared failed: Operation not permitted' >&2\nexit 1\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(pytest.skip.Exception, match="may make no network namespace"), namespaces("alpha"):
        pass


@pytest.mark.parametrize("ci", ["true", ""])
def test_without_a_program_hosts_are_skipped_but_not_in_ci(monkeypatch: pytest.MonkeyPatch, ci: str) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PATH", "")
    expected = pytest.fail.Exception if ci else pytest.skip.Exception
    with pytest.raises(expected, match="ip is not installed"), namespaces("alpha"):
        pass
