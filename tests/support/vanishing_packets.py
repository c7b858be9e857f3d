"""Requests on kept connections whose packets vanish, as behind a firewall that has forgotten them.

    unshare -rn python vanishing_packets.py BODY_BYTES

Two network namespaces are joined by a pair of interfaces. Four connections are kept; then the server's side loses the
client's address, and new connections come from another one. Prints one JSON object: the seconds that four calls at once
took, the seconds of one more, and the number of requests that arrived.
"""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVER = "10.9.0.2"
OLD_CLIENT, NEW_CLIENT = "10.9.0.1", "10.9.0.3"
CALLS = 4


def sh(command: str) -> None:
    subprocess.run(command.split(), check=True, capture_output=True)


def serve() -> None:
    """Answer every request, and print how many came when standard input ends."""
    from fake_upstream import FakeUpstream, whole

    sys.stdin.readline()  # until the network is there
    with FakeUpstream(port=9000, host=SERVER) as fake:
        fake.script = whole(b"hello")
        print("ready", flush=True)
        sys.stdin.readline()
        print(len(fake.calls), flush=True)


def main(size: int) -> None:
    sh("ip link set lo up")
    sh("ip link add near type veth peer name far")
    command = ["unshare", "-n", sys.executable, __file__, "serve"]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin and server.stdout
    try:
        inside = f"nsenter -t {server.pid} -n"
        own = Path("/proc/self/ns/net").readlink()
        while Path(f"/proc/{server.pid}/ns/net").readlink() == own:
            time.sleep(0.01)
        sh(f"ip link set far netns {server.pid}")
        for client in (OLD_CLIENT, NEW_CLIENT):
            sh(f"ip addr add {client}/24 dev near")
        sh("ip link set near up")
        sh(f"{inside} ip link set lo up")
        sh(f"{inside} ip addr add {SERVER}/24 dev far")
        sh(f"{inside} ip link set far up")
        server.stdin.write("\n")
        server.stdin.flush()
        server.stdout.readline()

        def vanish() -> None:
            # Both ways. The table of own addresses comes first as a rule, and would let the client's packets in.
            sh(f"{inside} ip rule add pref 100 lookup local")
            sh(f"{inside} ip rule add pref 50 from {OLD_CLIENT} blackhole")
            sh(f"{inside} ip rule del pref 0")
            sh(f"{inside} ip route add blackhole {OLD_CLIENT}/32")
            sh(f"ip route change 10.9.0.0/24 dev near src {NEW_CLIENT}")

        took = calls(size, vanish)
        server.stdin.write("\n")
        server.stdin.flush()
        print(json.dumps({"took": took[:-1], "next": took[-1], "requests": int(server.stdout.readline())}))
    finally:
        server.kill()


def calls(size: int, vanish: Callable[[], None]) -> list[float]:
    from gevent import monkey

    monkey.patch_all()
    import gevent

    from parley.http_client.pool import ConnectionPool

    pool = ConnectionPool(f"http://{SERVER}:9000", max_idle=9, connect_timeout=2, keeps_spares=True)

    def ask(_number: int = 0) -> float:
        started = time.monotonic()
        with contextlib.closing(pool.request("POST", "/x", headers={}, body=b"x" * size, timeout=6)) as response:
            assert response.read(5) == b"hello"
        return time.monotonic() - started

    first = [pool.request("POST", "/x", headers={}, body=b"x", timeout=5) for _ in range(CALLS)]
    for response in first:
        response.read(5)
        response.close()
    vanish()
    took = [asking.get() for asking in gevent.joinall([gevent.spawn(ask) for _ in range(CALLS)], raise_error=True)]
    return [*took, ask()]


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
    serve() if sys.argv[1] == "serve" else main(int(sys.argv[1]))
