"""The targets: how each relay is started, with everything that it does in earnest, on the target's core."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import urlsplit

from measuring.machine import BENCH, BUILD, ROOT, TARGET_CORE, Tree, free_port, running

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


Starter = Callable[[int, str, Path], Start]
"""How to listen on this port and relay to the upstream at this base URL; the folder is for files on the way."""


@dataclass(frozen=True)
class Target:
    """A relay to be measured; without `start` it is the upstream itself."""

    start: Starter | None
    path: str = BARE


class Running:
    """A target that listens on `port`."""

    def __init__(self, port: int, path: str, tree: Tree | None) -> None:
        self.port = port
        self.path = path
        self.tree = tree

    def cpu_seconds(self) -> float:
        """What all its processes have spent."""
        return self.tree.cpu_seconds() if self.tree else 0.0

    def waited_seconds(self) -> float:
        """How long its threads waited for a core that others had."""
        return self.tree.waited_seconds() if self.tree else 0.0

    def memory_kib(self) -> int:
        """What all its processes hold, as PSS."""
        return self.tree.memory_kib() if self.tree else 0


def parley(root: Path = ROOT, python: str = sys.executable) -> Starter:
    """Parley as a deployment runs it, out of this checkout: keys, limits, log lines (to a file) and metrics are on."""

    def start(port: int, base_url: str, _folder: Path) -> Start:
        rows = fields(Settings)
        # Empty counts as unset, and keeps a `.env` from having a say.
        blank = dict.fromkeys((name for row in rows for name in (row.name.upper(), *row.metadata["aliases"])), "")
        env = {**blank, **PARLEY_SETTINGS, "LLM_BASE_URL": base_url, "WEB_CONCURRENCY": "1"}
        return Start(_gunicorn(port, "app:app", python=python), env, root)

    return start


def flask_peer(module: str) -> Starter:
    """One of the small servers in peers/, under gunicorn's gevent worker as Parley is."""

    def start(port: int, base_url: str, _folder: Path) -> Start:
        env = {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": UPSTREAM_KEY}
        return Start(_gunicorn(port, f"{module}:app", "-c", str(PEERS / "gunicorn.conf.py")), env)

    return start


def nginx(port: int, base_url: str, folder: Path) -> Start:
    """A proxy in C that looks at nothing: as cheap as it gets."""
    binary = nginx_binary()
    text = (PEERS / "nginx.conf").read_text()
    for name, value in {"PORT": port, "UPSTREAM": urlsplit(base_url).netloc, "FOLDER": folder}.items():
        text = text.replace(f"@{name}@", str(value))
    file = folder / "nginx.conf"
    file.write_text(text)
    return Start([binary, "-c", file])


def litellm(port: int, base_url: str, folder: Path) -> Start:
    """LiteLLM's proxy, where `litellm` is on the path or LITELLM names it."""
    binary = litellm_command()
    if not binary:
        raise NotInstalled("set LITELLM to the `litellm` command of an environment that has litellm[proxy]")
    file = folder / "litellm.yaml"
    file.write_text((PEERS / "litellm.yaml").read_text().replace("@BASE_URL@", base_url))
    env = {
        "LITELLM_LOG": "ERROR",
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MASTER_KEY": KEY,
    }
    return Start(
        [binary, "--config", file, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"], env, folder
    )


def litellm_command() -> str | None:
    """Where LiteLLM's command is, if anywhere."""
    return shutil.which(os.environ.get("LITELLM", "litellm"))


def agora(port: int, base_url: str, _folder: Path) -> Start:
    """Agora's Python sample, where AGORA_SAMPLE names its folder and AGORA_PYTHON a Python with its requirements."""
    sample = Path(os.environ.get("AGORA_SAMPLE", ""))
    if not (sample / "custom_llm.py").exists():
        raise NotInstalled(
            "set AGORA_SAMPLE to the folder of custom_llm.py, and AGORA_PYTHON to a Python that can run it"
        )
    python = os.environ.get("AGORA_PYTHON", sys.executable)
    env = {"LLM_BASE_URL": base_url, "LLM_API_KEY": UPSTREAM_KEY, "LLM_MODEL": "fake"}
    quiet = ["--log-level", "error", "--no-access-log"]
    return Start(
        [python, "-m", "uvicorn", "custom_llm:app", "--host", "127.0.0.1", "--port", str(port), *quiet], env, sample
    )


PARLEY = Target(parley())
TARGETS = {
    "direct": Target(None, VERSIONED),
    "nginx": Target(nginx),
    "parley": PARLEY,
    "bare": Target(flask_peer("bare")),
    "tutorial": Target(flask_peer("tutorial")),
    "client-per-request": Target(flask_peer("client_per_request")),
    "litellm": Target(litellm, VERSIONED),
    "agora": Target(agora),
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
def running_target(
    name: str,
    target: Target,
    base_url: str,
    *,
    env: Mapping[str, str] | None = None,
    cores: Sequence[int] = (TARGET_CORE,),
) -> Iterator[Running]:
    """A target, listening, for the length of a `with` block; its output stays in the build folder."""
    if not target.start:
        yield Running(urlsplit(base_url).port or 80, target.path, None)
        return
    port = free_port()
    log_file = BUILD / f"{name.partition('@')[0]}.log"
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, log_file.open("wb") as log:
        start = target.start(port, base_url, Path(folder))
        tree = Tree(start.command, cores=cores, env={**os.environ, **start.env, **(env or {})}, cwd=start.cwd, log=log)
        with running(tree, port):
            yield Running(port, target.path, tree)


def _gunicorn(port: int, app: str, *more: str, python: str = sys.executable) -> list[str]:
    return [python, "-m", "gunicorn", "-k", "gevent", "-b", f"127.0.0.1:{port}", *more, app]


def nginx_binary() -> str:
    """Debian's nginx; installed where that may be done. Raises NotInstalled."""
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
