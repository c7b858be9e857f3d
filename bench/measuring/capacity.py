"""What one core carries, reckoned from the figures: the arithmetic of docs/scaling.md."""

from measuring.figures import Figures
from measuring.tables import markdown, number

CHUNKS_A_TURN = 60
"""An answer of two or three spoken sentences."""
SECONDS_A_TURN = 10
"""How often one call asks: a caller speaks, listens, thinks."""
CHUNKS_A_SECOND = 50
SHARE = 0.5
"""The part of a core that is planned for; the rest is for bursts, and keeps waiting short."""


def of_a_core(own: Figures) -> str:
    """The table; empty where the scenarios that it needs were not measured."""
    request_ms, chunk_us, stream_kib = (
        own.get(name) for name in ("S0 ms a request", "S3 us a chunk", "S5 KiB a stream")
    )
    if not (request_ms and chunk_us and stream_kib):
        return ""
    turn_ms = request_ms + CHUNKS_A_TURN * chunk_us / 1000
    turns = SHARE * 1000 / turn_ms
    streams = SHARE * 1e6 / (chunk_us * CHUNKS_A_SECOND)
    rows = [
        [f"CPU of a turn of {CHUNKS_A_TURN} chunks", f"{number(turn_ms, 2)} ms"],
        ["turns a second", number(turns)],
        [f"calls at once, a turn each {SECONDS_A_TURN} s", number(turns * SECONDS_A_TURN)],
        [f"streams at once, {CHUNKS_A_SECOND} chunks a second each", number(streams)],
        ["memory of 1 000 streams", f"{number(1000 * stream_kib / 1024)} MiB"],
    ]
    return markdown([f"with {SHARE:.0%} of a core", "Parley"], rows)
