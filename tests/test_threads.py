"""What is under way in a thread when the process ends."""

import subprocess
import sys

import pytest
from running_server import ROOT

CODE = """
import time, gevent
from parley import threads
pool = threads.pool(1)
for name in ("first", "second", "third"):
    gevent.spawn(pool.apply, lambda name=name: (time.sleep(0.2), print(name, flush=True)))
gevent.sleep(0.05)
"""


@pytest.mark.slow
def test_it_is_finished_and_the_one_that_waits_too_but_nothing_more_is_taken() -> None:
    ended = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, timeout=20)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "first\nsecond\n", "")
