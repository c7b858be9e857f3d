"""How long a worker is held up: a greenlet inside it asks to be woken each millisecond, and writes how late it was."""

import array
from pathlib import Path

PROBE_SECONDS = 0.001
PROBE = """
import array, gevent, time
def probe():
    with open({path!r}, "ab", buffering=0) as file:
        late = array.array("d")
        while True:
            before = time.perf_counter()
            gevent.sleep({seconds})
            late.append(time.perf_counter() - before - {seconds})
            if len(late) == 100:
                file.write(late.tobytes())
                late = array.array("d")
gevent.spawn(probe)
"""


class Probe:
    """The probe that writes into this file; `code` is what a worker has to run (`hooked`)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._from = 0
        self.code = PROBE.format(path=str(path), seconds=PROBE_SECONDS)

    def begin(self) -> None:
        """What comes from now on counts."""
        self._from = self._path.stat().st_size

    def seconds(self) -> list[float]:
        """How late it was, each time since then."""
        return list(array.array("d", self._path.read_bytes()[self._from : self._path.stat().st_size // 8 * 8]))


def ms(seconds: float) -> str:
    """Seconds as milliseconds."""
    return f"{1000 * seconds:.1f} ms"
