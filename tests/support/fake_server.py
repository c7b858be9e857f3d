"""A server in front of which something stands: a fake that answers by path, as Parley or as a proxy would."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from fake_upstream import Call, FakeUpstream, Script, refusal, whole

from parley.checking.probe import Probe
from parley.checking.server import Server
from parley.settings import Settings

KEY = "canary-of-a-caller-0123"
HEALTH = whole(b'{"status": "ok"}')
READY = whole(b'{"status": "ready", "details": {"model": "m"}}')
PAGE = {"content-type": "text/html"}


def ours(status: int, code: str = "x") -> Script:
    """Return an error as Parley words it."""
    error = {"error": {"message": "No.", "type": "t", "param": None, "code": code}, "detail": "No."}
    return whole(json.dumps(error).encode(), status)


def server_of(
    upstream: FakeUpstream, answers: Mapping[str, Script | Callable[[Call], Script]], **more: object
) -> Server:
    """Return a server of answers by path; it has the usual ones of Parley for /health and /ready."""

    def script(call: Call) -> Script:
        usual = {"/health": HEALTH, "/ready": READY}
        found = {**usual, **answers}.get(call.path, refusal(404, {"message": "no"}))
        return found(call) if callable(found) else found

    upstream.script = script  # type: ignore[assignment]
    usual = {"address": f"http://127.0.0.1:{upstream.port}", "key": KEY}
    return Server(Probe(Settings(), Path(), **{**usual, **more}))  # type: ignore[arg-type]
