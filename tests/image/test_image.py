"""The image of the Dockerfile: built, run by its own command as its own user, and stopped with a stream open.

Not among `make test`: `make image` runs it, as root and with buildah and mmdebstrap. There is one server, which the
last test stops.
"""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deploy_files import copied, read
from fake_upstream import FakeUpstream, answer
from image_build import (
    TOOLS,
    Buildah,
    arguments_of,
    build,
    configuration,
    container,
    descendants,
    make_base,
    run_command,
    user_of,
)
from running_server import ROOT, RunningServer, free_port, post, receive_until

pytestmark = [pytest.mark.image, pytest.mark.timeout(1200)]
KEY = "a-key-of-a-caller-0123456789"
RECORDING = {"messages": [{"role": "user", "content": "Hello"}], "asset": "welcome"}


@pytest.fixture(scope="module")
def buildah() -> Iterator[Buildah]:
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing or os.geteuid():
        pytest.skip(f"{', '.join(missing)} not installed" if missing else "needs root")
    # Not in pytest's own folders, which stay: an image takes 350 MB.
    with tempfile.TemporaryDirectory(prefix="parley-image-") as folder:
        tool = Buildah(Path(folder))
        try:
            yield tool
        finally:
            tool.close()


@pytest.fixture(scope="module")
def image(buildah: Buildah) -> str:
    return build(buildah, make_base(buildah))


@pytest.fixture(scope="module")
def config(buildah: Buildah, image: str) -> Any:
    return configuration(buildah, image)


class RunningImage(RunningServer):
    """The image's own command in a container; `pid` is that of buildah, `master` that of gunicorn."""

    @property
    def master(self) -> int:
        return next(pid for pid in self.processes() if user_of(pid))

    def processes(self) -> list[int]:
        """gunicorn's, master first."""
        return [pid for pid in descendants(self.pid) if arguments_of(pid).startswith("/venv/bin/python")]


@pytest.fixture(scope="module")
def name(buildah: Buildah, image: str) -> Iterator[str]:
    with container(buildah, image) as name:
        yield name


@pytest.fixture(scope="module")
def running(buildah: Buildah, name: str, config: Any) -> Iterator[RunningImage]:
    """The server in the container, with a model that answers after a while."""
    with FakeUpstream() as upstream:
        upstream.script = [1.5, *answer("We are open from nine to six.", interval=0.02)]
        port = free_port()
        env = {"API_KEYS": KEY, "LLM_BASE_URL": upstream.base_url, "LLM_MODEL": "fake-model", "PORT": str(port)}
        # The container is not isolated from this machine's network: PORT alone would open the server to everybody.
        env["GUNICORN_CMD_ARGS"] = f"--bind=127.0.0.1:{port}"
        server = RunningImage(run_command(buildah, name, config["Cmd"], env), port, dict(os.environ), ROOT)
        try:
            server.wait_until_healthy()
            yield server
        finally:
            for pid in server.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            server.close()


def test_the_image_says_how_it_is_run(config: Any) -> None:
    variables = dict(one.split("=", 1) for one in config["Env"])
    assert f"web: {shlex.join(config['Cmd'])}\n" == read("Procfile") and not config.get("Entrypoint")
    assert (config["User"], config["StopSignal"], variables["PORT"]) == ("10001:10001", "SIGTERM", "8000")
    assert list(config["ExposedPorts"]) == ["8000/tcp"]
    assert not [one for one in variables if one.startswith("PIP_") or "KEY" in one]


def test_the_image_holds_the_product_and_no_more(buildah: Buildah, name: str) -> None:
    root = Path(buildah("mount", name))
    tracked = subprocess.run(["git", "ls-files", "-z", *copied()], cwd=ROOT, capture_output=True, text=True, check=True)
    wanted = {path for path in tracked.stdout.split("\0") if path and not path.startswith("requirements")}
    files = [path for path in (root / "app").rglob("*") if path.is_file()]
    there = {str(path.relative_to(root / "app")) for path in files if path.suffix != ".pyc"}
    # The server can change no file, and finds all modules compiled.
    assert there == wanted and {path.stat().st_uid for path in files} == {0}
    modules = {path for path in wanted if path.endswith(".py") and not path.startswith(("samples/", "gunicorn"))}
    assert len([path for path in files if path.suffix == ".pyc"]) == len(modules)
    assert not list((root / "venv" / "bin").glob("pip*"))
    buildah("umount", name)


def test_it_runs_as_its_user(running: RunningImage) -> None:
    processes = running.processes()
    assert len(processes) == 2 and {user_of(pid) for pid in processes} == {10001}


def test_it_can_share_with_others_and_keep_copies(buildah: Buildah, name: str) -> None:
    # What REDIS_URL and DATABASE_URL need, and the folder of the copies.
    program = "import os, pgvector, psycopg_pool, redis; open(os.environ['EMBEDDINGS_CACHE'] + '/a', 'x').close()"
    tried = subprocess.run(run_command(buildah, name, ["python", "-c", program], {}), capture_output=True, text=True)
    assert tried.returncode == 0, tried.stderr


def test_a_recording_is_streamed_to_its_end(running: RunningImage) -> None:
    with running.connect() as connection:
        connection.sendall(post("/audio/chat/completions", RECORDING, x_api_key=KEY))
        heard = receive_until(connection, b"[DONE]")
    assert b"200 OK" in heard[:20] and b"Harbour Bicycle" in heard and b"[DONE]" in heard


def test_the_health_check_tells_health_from_death(
    buildah: Buildah, name: str, running: RunningImage, config: Any
) -> None:
    kind, *command = config["Healthcheck"]["Test"]
    assert kind == "CMD"
    for port, healthy in ((running.port, True), (free_port(), False)):
        asked = subprocess.run(run_command(buildah, name, command, {"PORT": str(port)}), capture_output=True)
        assert (asked.returncode == 0) == healthy, asked


def test_the_doctor_finds_nothing_wrong(running: RunningImage) -> None:
    command = ["-m", "flask", "doctor", "--only", "SV", "--url", running.url, "--key", KEY, "--json"]
    told = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    found = [one for one in json.loads(told.stdout)["checks"] if one["status"] in ("warn", "fail")]
    # A gap in the sound may be that of a machine that does other things.
    assert [one["detail"] for one in found if (one["id"], one["status"]) != ("SV-3", "warn")] == []
    assert told.returncode == 0


def test_an_open_stream_is_heard_to_its_end_at_a_stop(running: RunningImage, config: Any) -> None:
    with running.connect() as connection:
        connection.sendall(post("/audio/chat/completions", RECORDING, x_api_key=KEY))
        heard = receive_until(connection, b"data:")
        os.kill(running.master, signal.Signals[config["StopSignal"]])
        heard += receive_until(connection, b"[DONE]")
    assert b"[DONE]" in heard and b"server_shutting_down" not in heard
    assert running.wait_for_exit(20) == 0
