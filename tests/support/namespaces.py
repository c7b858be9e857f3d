"""Hosts on one machine: a network namespace each, joined by a bridge. Their addresses exist nowhere else.

    with namespaces("alpha", "beta") as network:
        with network.inside("alpha"):       this thread, and what it starts from here, is on that host
            ...
        with network.parted("alpha", "beta"):
            ...                             no packet passes between the two

The bridge is in a namespace of its own, `SWITCH`, and has an address there for whoever calls the hosts. A namespace
is named after the process that made it, so two runs at once do not meet; what a run has left that was killed is
removed by the next one.
"""

import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SWITCH = "switch"
"""Host of the bridge, from which all others are reached."""
NETWORK = "10.77.0"
"""First three numbers of each address; the bridge's is the first."""
FOLDER = Path("/run/netns")
NAME = re.compile(r"parley-(\d+)-(\w+)")
NOT_PERMITTED = "Operation not permitted"
CLONE_NEWNET = 0x40000000
"""Kind of namespace, for setns(2), which the standard library has since Python 3.12 only."""

_libc = ctypes.CDLL(None, use_errno=True)


def missing(what: str) -> None:
    """Skip where hosts can't be had; fail where all must be there."""
    message = f"{what}: several hosts are not tested"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


class Namespaces:
    """The network of the hosts."""

    def __init__(self, hosts: tuple[str, ...]) -> None:
        self.addresses = {host: f"{NETWORK}.{number}" for number, host in enumerate((SWITCH, *hosts), start=1)}

    def make(self) -> None:
        """Make the namespaces and what joins them."""
        remove_orphans()
        for host in self.addresses:
            add(named(host))
        others = [host for host in self.addresses if host != SWITCH]
        joints = [f"link add name {host} type veth peer name uplink netns {named(host)}" for host in others]
        ports = [f"link set {host} master bridge up" for host in others]
        own = [f"addr add {self.addresses[SWITCH]}/24 dev bridge", "link set bridge up", "link set lo up"]
        configure(SWITCH, "link add name bridge type bridge", *joints, *ports, *own)
        for host in others:
            own = [f"addr add {self.addresses[host]}/24 dev uplink", "link set uplink up", "link set lo up"]
            configure(host, *own)

    def remove(self) -> None:
        """Remove the namespaces, and end what still runs there."""
        for host in self.addresses:
            remove(named(host))

    @contextlib.contextmanager
    def inside(self, host: str) -> Iterator[None]:
        """Move this thread to a host; sockets that it has stay where they were opened."""
        with open("/proc/thread-self/ns/net") as own, (FOLDER / named(host)).open() as other:
            enter(other.fileno())
            try:
                yield
            finally:
                enter(own.fileno())

    @contextlib.contextmanager
    def parted(self, host: str, *others: str) -> Iterator[None]:
        """Drop every packet between a host and these others, without a word to anybody."""
        addresses = ", ".join(self.addresses[other] for other in others)
        self._filter(
            host,
            "table ip parted {\n"
            f"chain incoming {{ type filter hook input priority 0; ip saddr {{ {addresses} }} drop; }}\n"
            f"chain outgoing {{ type filter hook output priority 0; ip daddr {{ {addresses} }} drop; }}\n"
            "}\n",
        )
        try:
            yield
        finally:
            self._filter(host, "delete table ip parted\n")

    def _filter(self, host: str, rules: str) -> None:
        with self.inside(host):
            subprocess.run(["nft", "-f", "-"], input=rules, check=True, capture_output=True, text=True)


@contextlib.contextmanager
def namespaces(*hosts: str) -> Iterator[Namespaces]:
    """Yield the network of these hosts; nothing of it is left behind."""
    for program in ("ip", "nft"):
        if not shutil.which(program):
            missing(f"{program} is not installed")
    if os.geteuid():
        missing("network namespaces need root")
    network = Namespaces(hosts)
    try:
        network.make()
        yield network
    finally:
        network.remove()


def named(host: str) -> str:
    """Return the name of a host's namespace, which no other run has."""
    return f"parley-{os.getpid()}-{host}"


def add(name: str) -> None:
    """Make a namespace; skip, wherever it is, if the kernel permits none: no package could mend that."""
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode and NOT_PERMITTED in made.stderr:
        pytest.skip(f"several hosts are not tested: root may make no network namespace here ({made.stderr.strip()})")
    assert made.returncode == 0, made.stderr


def configure(host: str, *lines: str) -> None:
    """Run commands of `ip` on a host."""
    command = ["ip", "-netns", named(host), "-batch", "-"]
    subprocess.run(command, input="\n".join(lines), check=True, capture_output=True, text=True)


def remove(name: str) -> None:
    """Remove a namespace if it is there, and end what runs in it."""
    if not (FOLDER / name).exists():
        return
    running = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True)
    for pid in map(int, running.stdout.split()):
        # A thread of the tests' own may be inside.
        if pid != os.getpid():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def remove_orphans() -> None:
    """Remove the namespaces of runs that have ended without doing so."""
    for name in os.listdir(FOLDER) if FOLDER.exists() else ():
        if (found := NAME.fullmatch(name)) and (int(found[1]) == os.getpid() or not is_alive(int(found[1]))):
            remove(name)


def is_alive(pid: int) -> bool:
    """Return whether a process lives."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def enter(namespace: int) -> None:
    """Move this thread to a namespace, by its open file. Raises OSError."""
    if _libc.setns(namespace, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
