"""Sound by the moments of its chunks, and stalls of this machine."""

import base64
import json
import time

from parley.checking.arrival import OwnStalls, Sound
from parley.checking.calling import Event, Exchange

PCM = base64.b64encode(bytes(1280)).decode()


def sound(*moments: float, data: str = PCM) -> Sound:
    """Return sound whose chunks came at these moments."""
    payload = json.dumps({"choices": [{"delta": {"audio": {"data": data}}}]}).encode()
    return Sound.by(Exchange(200, {}, 1.0, events=[Event(ms, payload) for ms in moments]))


def test_bursts_and_gaps_are_told_by_the_moments() -> None:
    found = sound(10, 10, 11, 50, 90, 300)
    assert (found.bursts, found.gap_ms, found.ahead) == (4, 210, 3)
    assert found.size == 6 * 1280 and found.length_ms == 240 and found.chunk_ms == 40


def test_no_sound_has_no_bursts() -> None:
    assert (sound().bursts, sound().gap_ms, sound().ahead, sound().chunk_ms) == (0, 0.0, 0, 0.0)


def test_what_is_no_pcm_is_noted() -> None:
    assert sound(1).is_whole
    for data in ("***", "AAA=", base64.b64encode(b"RIFF0000").decode()):
        odd = sound(1, data="AAA" if data == "AAA=" else data)
        assert not odd.is_whole


def test_a_stall_of_this_machine_is_measured() -> None:
    with OwnStalls() as stalls:
        time.sleep(0.05)
    assert 0 <= stalls.longest_ms < 10_000
