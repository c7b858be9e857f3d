"""Real Redis servers that stand in for one another, on the loopback: behind Sentinel, and in a cluster.

with behind_sentinel() as (master, url):
    master.kill()                       the replica takes over
with cluster() as nodes:
    nodes[0].kill()                     the last of the nodes takes over
"""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from redis_servers import RedisServer, redis_server
from running_server import free_port
from waiting import is_listening, wait_until


def run(port: int, *command: str) -> str:
    """Return the reply of a server to a command."""
    import redis

    with redis.Redis(port=port, socket_timeout=5, decode_responses=True) as client:
        return str(client.execute_command(*command))


@contextlib.contextmanager
def behind_sentinel(down_after_ms: int = 500) -> Iterator[tuple[RedisServer, str]]:
    """Yield a master with a replica, and the URL of the sentinel that watches them."""
    port = free_port()
    with (
        RedisServer() as master,
        RedisServer("--replicaof", f"127.0.0.1 {master.port}"),
        tempfile.TemporaryDirectory(prefix="parley-sentinel-") as folder,
    ):
        file = Path(folder) / "sentinel.conf"
        file.write_text(
            f"port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {master.port} 1\n"
            f"sentinel down-after-milliseconds main {down_after_ms}\nsentinel failover-timeout main 3000\n"
        )
        process = subprocess.Popen([redis_server(), str(file), "--sentinel"], stdout=subprocess.DEVNULL)
        try:
            wait_until(lambda: is_listening(port))
            wait_until(lambda: "slave" in run(port, "SENTINEL", "REPLICAS", "main"))
            yield master, f"redis+sentinel://127.0.0.1:{port}/main"
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def cluster(node_timeout_ms: int = 1000) -> Iterator[list[RedisServer]]:
    """Yield a cluster of three masters; the last server is the replica of the first."""
    with contextlib.ExitStack() as stack:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(node_timeout_ms))
        options += ("--cluster-replica-validity-factor", "0")
        # Not the usual ports of the bus, 10 000 above: somebody else may have them.
        buses = [free_port() for _ in range(4)]
        nodes = [RedisServer(*options, "--cluster-port", str(bus)) for bus in buses]
        for node in nodes:
            stack.enter_context(node)
        first, *others = nodes
        for node in others:
            run(node.port, "CLUSTER", "MEET", "127.0.0.1", str(first.port), str(buses[0]))
        for number, node in enumerate(nodes[:3]):
            run(node.port, "CLUSTER", "ADDSLOTSRANGE", str(number * 5462), str(min(number * 5462 + 5461, 16_383)))
        wait_until(lambda: all(run(node.port, "CLUSTER", "NODES").count("connected") == 4 for node in nodes))
        wait_until(lambda: all("cluster_state:ok" in run(node.port, "CLUSTER", "INFO") for node in nodes))
        run(nodes[3].port, "CLUSTER", "REPLICATE", run(first.port, "CLUSTER", "MYID"))
        wait_until(lambda: "'connected_slaves': 1" in run(first.port, "INFO", "replication"))
        yield nodes
