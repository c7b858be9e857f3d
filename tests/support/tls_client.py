"""Two requests in a process that trusts an authority of the tests' own."""

import os
import subprocess
import sys
from pathlib import Path

from running_server import ROOT

TWO_REQUESTS = """
import os, sys
from parley.http_client import dns
from parley.http_client.pool import ConnectionPool
connections = ConnectionPool(sys.argv[1], max_idle=1, connect_timeout=5)
for _ in range(2):
    response = connections.request("POST", "/chat/completions", headers={"authorization": "Bearer sk-1"}, timeout=5)
    print(response.status, response.read(5).decode())
    response.close()
    if "AGAIN" in os.environ:
        connections.close()
connections.close()
"""


def two_requests(authority: Path, base_url: str, **variables: str) -> str:
    """Return what two requests print; with `AGAIN` set they use a connection each."""
    environment = {"PATH": os.environ["PATH"], "SSL_CERT_FILE": str(authority), **variables}
    command = [sys.executable, "-W", "error", "-c", TWO_REQUESTS, base_url]
    return subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True, timeout=20
    ).stdout
