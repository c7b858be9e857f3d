"""What the clean-up of a text costs for each chunk: `python bench/cleaning.py` prints microseconds of CPU time."""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from parley.answers.cleanup import clean
from parley.turn_record import TurnRecord

CHUNKS = 100_000
TEXTS = {
    "untouched": " there",
    "emphasis": " **bold**",
    "emoji": " 😀 x",
    "code": " `code` x",
    "link": " [a](http://b.c) d",
    "tag": " <b>x</b> y",
}


def payload(text: str) -> bytes:
    """Return a chunk with this text."""
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_764_000_000, "model": "model"}
    return json.dumps({**head, "choices": [choice]}, separators=(",", ":"), ensure_ascii=False).encode()


def microseconds(text: str, level: str) -> float:
    """Return the CPU time of a chunk with this text, that of the batches themselves left out."""
    times = []
    for cleaned in (False, True):
        first, one = payload("Hello"), payload(text)
        batches = ([one] if number else [first] for number in range(CHUNKS))
        answer = clean(batches, level, TurnRecord("chat", "bench")) if cleaned else batches
        started = time.process_time()
        for _ in answer:
            pass
        times.append(time.process_time() - started)
    return (times[1] - times[0]) / CHUNKS * 1e6


if __name__ == "__main__":
    for level in ("thoughts", "speech"):
        for name, text in TEXTS.items():
            print(f"{level:10} {name:10} {microseconds(text, level):6.2f} µs")
