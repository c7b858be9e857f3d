"""The number of open files that is allowed decides how many streams a worker carries."""

import resource
import subprocess
import sys

import pytest
from running_server import ROOT

pytestmark = pytest.mark.slow


def carried(files: int, wanted: int) -> list[int]:
    """Return streams, connections and the raised soft limit, in a process that may open so many files."""
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (100, {files}))\n"
        "from parley.server import open_files\n"
        f"streams = open_files.streams({wanted}); open_files.raise_for(streams)\n"
        "print(streams, open_files.connections(streams), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return [int(number) for number in ended.stdout.split()]


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 8192, reason="needs a limit to be lowered")
@pytest.mark.parametrize(
    ("files", "wanted", "streams", "connections", "soft"),
    [
        (8192, 1000, 1000, 2500, 4600),
        (4096, 1000, 999, 1998, 4096),
        (1024, 1000, 231, 462, 1024),
        (1024, 20, 20, 540, 680),
        (110, 1000, 2, 6, 110),
        (101, 1000, 1, 2, 101),
    ],
)
def test_each_stream_counts_four_files(files: int, wanted: int, streams: int, connections: int, soft: int) -> None:
    assert carried(files, wanted) == [streams, connections, soft]
