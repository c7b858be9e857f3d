"""Clients that leave, and what the server and its upstream make of it."""

import socket
import struct
import time

import requests
from fake_upstream import FakeUpstream
from running_server import RunningServer

FIN, RST, HALF = "fin", "rst", "half-close"
SOON = 2.0
"""Seconds for what takes a few milliseconds on an idle machine, and a tenth of a second on a busy one, most times."""


def leave(connection: socket.socket, way: str = FIN) -> float:
    """Leave in one of the three ways; return the time."""
    if way == HALF:
        connection.shutdown(socket.SHUT_WR)
        return time.monotonic()
    if way == RST:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    return time.monotonic()


def streams(server: RunningServer) -> int:
    """Return how many streams the server counts as open."""
    return int(requests.get(f"{server.url}/ready", timeout=20).json()["details"]["streams"])


def check_let_go(upstream: FakeUpstream, at: float, within: float = SOON) -> None:
    """Check that the one call upstream was closed within so many seconds after `at`."""
    (call,) = upstream.calls
    assert call.finished.wait(within + 5) and call.outcome == "peer_left" and call.peer_left_at is not None
    assert call.peer_left_at - at < within


def check_cancelled(server: RunningServer, request_id: str, at: float, within: float = SOON) -> None:
    """Check that the request was logged as left by its client within so many seconds after `at`."""
    end = server.wait_for_end(request_id, within + 5)
    assert time.monotonic() - at < within + 0.1
    assert (end["outcome"], end["code"], end["level"]) == ("client_closed", None, "info")


def check_sound(server: RunningServer) -> None:
    """Check that the server had no fault of its own, logged one line a request, and freed every slot."""
    ids = [end["id"] for end in server.request_ends()]
    assert "Traceback" not in server.output() and len(ids) == len(set(ids))
    assert streams(server) == 0
