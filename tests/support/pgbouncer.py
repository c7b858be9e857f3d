"""A real pgbouncer in transaction mode, in front of a PostgreSQL of the tests."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from postgres import NOBODY, OWNER, PASSWORD, Postgres, as_nobody
from running_server import free_port


@contextlib.contextmanager
def pgbouncer(server: Postgres) -> Iterator[int]:
    """Yield the port of a pooler that hands a server's connection to another client after each transaction."""
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="parley-bouncer-"))
    (folder / "users").write_text(f'"{OWNER}" "{PASSWORD}"\n')
    (folder / "ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port} user={OWNER} password={PASSWORD}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = plain\nauth_file = {folder}/users\n"
        "pool_mode = transaction\ndefault_pool_size = 2\nunix_socket_dir =\n"
    )
    if not os.getuid():
        for path in (folder, *folder.iterdir()):
            os.chown(path, NOBODY, NOBODY)
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    process = subprocess.Popen(
        as_nobody([program, "-q", str(folder / "ini")]),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
    )
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)
