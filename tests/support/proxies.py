"""Proxies as processes, and deploy/nginx.scale.conf as one of them."""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from running_server import ROOT, free_port
from waiting import is_listening, wait_until

BALANCER = ROOT / "deploy" / "nginx.scale.conf"


def temporary_paths(folder: Path) -> str:
    """Return lines of nginx's configuration that put its files into a folder, which may not be the system's."""
    return "".join(
        f"{kind}_temp_path {folder}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )


@contextlib.contextmanager
def running_proxy(command: Sequence[str], port: int, env: Mapping[str, str] = os.environ) -> Iterator[None]:
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: is_listening(port) or process.poll() is not None)
            assert process.poll() is None, command
            yield
        finally:
            process.terminate()


def balancer_file(folder: Path, listen: str, servers: Sequence[str], more: Mapping[str, str] | None = None) -> Path:
    """Write deploy/nginx.scale.conf into a folder, for these two servers, with `more` exchanged than a test must."""
    file, text = folder / "nginx.conf", BALANCER.read_text()
    changed = {
        "listen 8080;": f"listen {listen};",
        **{f"parley-{number}:8000": server for number, server in enumerate(servers, start=1)},
        "/tmp/nginx.pid": f"{folder}/pid",
        "http {": f"http {{ {temporary_paths(folder)}",
        # The limit of open files is that of whoever runs the tests.
        "worker_rlimit_nofile 65536;": "",
        "16384": "512",
        **(more or {}),
    }
    for old, new in changed.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    # Its workers write large bodies into our folder.
    user = "user root;\n" if os.geteuid() == 0 else ""
    file.write_text(user + text)
    return file


@contextlib.contextmanager
def running_balancer(first: int, second: int, folder: Path) -> Iterator[int]:
    """Yield the port of nginx, as deploy/nginx.scale.conf has it, in front of the servers on these two ports."""
    port = free_port()
    file = balancer_file(folder, f"127.0.0.1:{port}", [f"127.0.0.1:{first}", f"127.0.0.1:{second}"])
    arguments = ["-p", str(folder), "-c", str(file)]
    subprocess.run(["nginx", "-t", "-q", *arguments], check=True, capture_output=True)
    with running_proxy(["nginx", *arguments, "-g", "daemon off;"], port):
        yield port
