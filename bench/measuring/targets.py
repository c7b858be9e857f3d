"""The targets: how each relay is started, with everything that it does in earnest, on the target's core."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from measuring.machine import BENCH, BUILD, ROOT, TARGET_CORE, Tree, free_port, running
from measuring.upstream import Upstream

sys.path.insert(0, str(ROOT))
from parley.settings import Settings

KEY = "sk-bench-caller"
UPSTREAM_KEY = "sk-bench-upstream"
PEERS = BENCH / "peers"
BARE = "/chat/completions"
VERSIONED = "/v1/chat/completions"

PARLEY_SETTINGS = {
    "API_KEYS": f"{KEY},sk-bench-another",
    "LLM_API_KEY": UPSTREAM_KEY,
    "MAX_STREAMS": "3000",
    "MAX_STREAMS_PER_KEY": "3000",
    "RATE_LIMIT": "9999999/minute",
    "LOG_LEVEL": "info",
    "LOG_FORMAT": "json",
}


class NotInstalled(Exception):
    """What a target needs is not there; the text says what."""


@dataclass
class Start:
    """How a target is started, once its port and its upstream are known."""

    command: Sequence[str | Path]
    env: dict[str, str] = field(default_factory=dict)
    cwd: Path = PEERS


@dataclass(frozen=True)
class Target:
    """`start` gives the command that listens on a port and relays to an upstream; None: the upstream itself."""

    start: Callable[[int, Upstream, Path], Start] | None
    path: str = BARE
    about: str = ""


class Running:
    """A target that listens on `port`."""

    def __init__(self, port: int, path: str, tree: Tree | None) -> None:
        self.port = port
        self.path = path
        self.tree = tree

    def cpu_seconds(self) -> float:
        """What all its processes have spent."""
        return self.tree.cpu_seconds() if self.tree else 0.0

    def memory_kib(self) -> int:
        """What all its processes hold, as PSS."""
        return self.tree.memory_kib() if self.tree else 0


def parley(root: Path = ROOT, **settings: str) -> Callable[[int, Upstream, Path], Start]:
    """Parley as a deployment runs it, out of this checkout: keys, limits, log lines (to a file) and metrics are on."""

    def start(port: int, upstream: Upstream, _folder: Path) -> Start:
        rows = fields(Settings)
        # Empty counts as unset, and keeps a `.env` from having a say.
        blank = dict.fromkeys((name for row in rows for name in (row.name.upper(), *row.metadata["aliases"])), "")
        env = {**blank, **PARLEY_SETTINGS, "LLM_BASE_URL": upstream.base_url, "WEB_CONCURRENCY": "1", **settings}
        return Start(_gunicorn(port, "app:app"), env, root)

    return start


def flask_peer(module: str) -> Callable[[int, Upstream, Path], Start]:
    """One of the small servers in peers/, under gunicorn's gevent worker as Parley is."""

    def start(port: int, upstream: Upstream, _folder: Path) -> Start:
        env = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": UPSTREAM_KEY}
        return Start(_gunicorn(port, f"{module}:app", "-c", str(PEERS / "gunicorn.conf.py")), env)

    return start


def nginx(port: int, upstream: Upstream, folder: Path) -> Start:
    """A proxy in C that looks at nothing: as cheap as it gets."""
    binary = _nginx_binary()
    text = (PEERS / "nginx.conf").read_text()
    for name, value in {"PORT": port, "UPSTREAM": upstream.port, "FOLDER": folder}.items():
        text = text.replace(f"@{name}@", str(value))
    file = folder / "nginx.conf"
    file.write_text(text)
    return Start([binary, "-c", file])


def litellm(port: int, upstream: Upstream, folder: Path) -> Start:
    """LiteLLM's proxy, where `litellm` is on the path or LITELLM names it."""
    binary = shutil.which(os.environ.get("LITELLM", "litellm"))
    if not binary:
        raise NotInstalled("set LITELLM to the `litellm` command of an environment that has litellm[proxy]")
    file = folder / "litellm.yaml"
    file.write_text((PEERS / "litellm.yaml").read_text().replace("@BASE_URL@", upstream.base_url))
    env = {"LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    return Start(
        [binary, "--config", file, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"], env, folder
    )


def agora(port: int, upstream: Upstream, _folder: Path) -> Start:
    """Agora's Python sample, where AGORA_SAMPLE names its folder and AGORA_PYTHON a Python with its requirements."""
    sample = Path(os.environ.get("AGORA_SAMPLE", ""))
    if not (sample / "custom_llm.py").exists():
        raise NotInstalled(
            "set AGORA_SAMPLE to the folder of custom_llm.py, and AGORA_PYTHON to a Python that can run it"
        )
    python = os.environ.get("AGORA_PYTHON", sys.executable)
    env = {"LLM_BASE_URL": upstream.base_url, "LLM_API_KEY": UPSTREAM_KEY, "LLM_MODEL": "fake"}
    quiet = ["--log-level", "error", "--no-access-log"]
    return Start(
        [python, "-m", "uvicorn", "custom_llm:app", "--host", "127.0.0.1", "--port", str(port), *quiet], env, sample
    )


TARGETS = {
    "direct": Target(None, VERSIONED, "no relay: the load asks the upstream"),
    "nginx": Target(nginx, BARE, "a proxy in C that looks at nothing"),
    "parley": Target(parley(), BARE, "with keys, limits, log and metrics"),
    "tutorial": Target(flask_peer("tutorial"), BARE, "Flask and the openai package, as tutorials have it"),
    "litellm": Target(litellm, VERSIONED, "LiteLLM's proxy"),
    "agora": Target(agora, BARE, "Agora's Python sample"),
}


def find(name: str) -> Target:
    """A target by its name; `parley@/path` is the Parley in another checkout."""
    base, _, root = name.partition("@")
    if root and base == "parley":
        return Target(parley(Path(root).resolve()))
    if name not in TARGETS:
        raise SystemExit(f"bench: no target {name!r}; there are {', '.join(TARGETS)} and parley@FOLDER")
    return TARGETS[name]


@contextlib.contextmanager
def running_target(name: str, target: Target, upstream: Upstream) -> Iterator[Running]:
    """A target, listening, for the length of a `with` block; its output stays in the build folder."""
    if not target.start:
        yield Running(upstream.port, target.path, None)
        return
    port = free_port()
    log_file = BUILD / f"{name.partition('@')[0]}.log"
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, log_file.open("wb") as log:
        start = target.start(port, upstream, Path(folder))
        tree = Tree(start.command, cores=[TARGET_CORE], env=os.environ | start.env, cwd=start.cwd, log=log)
        with running(tree, port):
            yield Running(port, target.path, tree)


def _gunicorn(port: int, app: str, *more: str) -> list[str]:
    return [sys.executable, "-m", "gunicorn", "-k", "gevent", "-b", f"127.0.0.1:{port}", *more, app]


def _nginx_binary() -> str:
    """Debian's nginx; installed where that may be done."""
    binary = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if not binary and os.geteuid() == 0 and shutil.which("apt-get"):
        print("bench: installing nginx-light, to measure beside it", flush=True)
        for command in (
            ["apt-get", "update", "-q"],
            ["apt-get", "install", "-qy", "--no-install-recommends", "nginx-light"],
        ):
            subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
        binary = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if not binary:
        raise NotInstalled("apt-get install -y nginx-light")
    return binary
