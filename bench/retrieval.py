"""`make bench-retrieval`: what looking something up costs, on made-up knowledge of three sizes.

Printed for each size: seconds to build the index and the longest step without a breath, memory above the bare
process and at most while building, and the CPU milliseconds of a query, with and without a turn before it. Each size
has a process of its own. Where the embedded encoder is installed (or with `--semantic`) also its rate, and a query of
the semantic tier: its CPU time in all threads, what of that the event loop's own thread takes, and the time on the
clock, which knows of whatever else the machine does.
"""

import argparse
import gc
import multiprocessing
import random
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from corpus import Corpus

from parley.knowledge import index, minilm
from parley.knowledge.documents import Passage
from parley.knowledge.encoders import EmbeddedEncoder
from parley.knowledge.index import Index, LexicalIndex, Query
from parley.knowledge.postings import Floats
from parley.knowledge.semantic import SemanticIndex
from parley.knowledge.vector_cache import VectorCache

SIZES = (1_000, 5_000, 100_000)
QUERIES = 1_000
MIB = 1 << 20


class Breaths:
    """Remembers the longest time between two breaths."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = time.thread_time()

    def __call__(self) -> None:
        """Breathe."""
        now = time.thread_time()
        self.longest = max(self.longest, now - self._last)
        self._last = now


class RandomPassages(EmbeddedEncoder):
    """The embedded encoder, whose passages' vectors are random."""

    batch = 1000

    def passages(self, texts: Sequence[str]) -> Floats:
        """Random directions, for many texts at once; true vectors for a query's few."""
        if len(texts) < 3:
            return super().passages(texts)
        rows = np.random.default_rng(1).standard_normal((len(texts), 384)).astype(np.float32)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def spread(seconds: Sequence[float]) -> str:
    """Quantiles in milliseconds."""
    ordered = sorted(seconds)
    return (
        ", ".join(f"{name} {1000 * ordered[int(share * (len(ordered) - 1))]:.2f}" for name, share in QUANTILES) + " ms"
    )


QUANTILES = (("p50", 0.5), ("p99", 0.99), ("max", 1.0))


def timed(searched: Index, queries: Sequence[Query], clock: Callable[[], float]) -> list[float]:
    """Seconds of each search."""
    taken = []
    for query in queries:
        at = clock()
        searched.search(query, 4)
        taken.append(clock() - at)
    return taken


def memory() -> tuple[float, float]:
    """MiB held now, and at most so far."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / MIB, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(size: int, semantic: bool) -> None:
    """Build and ask one index."""
    corpus = Corpus()
    passages = corpus.passages(size)
    chance = random.Random(1)
    asked = [corpus.question(chance.choice(passages)) for _ in range(2 * QUERIES)]
    alone = [Query(text) for text in asked[:QUERIES]]
    after = [Query(text, before) for text, before in zip(asked[:QUERIES], asked[QUERIES:], strict=True)]
    gc.collect()
    gc.freeze()
    (before, _), breaths, at = memory(), Breaths(), time.thread_time()
    built = index.build(passages, breaths)
    seconds = time.thread_time() - at
    now, most = memory()
    print(f"{size} passages")
    print(f"  built in {seconds:.2f} s, longest step {1000 * breaths.longest:.1f} ms", end="; ")
    print(f"memory +{now - before:.0f} MiB, at most +{max(most, now) - before:.0f} MiB")
    print(f"  lexical query: {spread(timed(built, alone, time.thread_time))}", end="; ")
    print(f"with a turn before: {spread(timed(built, after, time.thread_time))}", flush=True)
    if semantic:
        measure_semantic(built, passages, alone[:300])


def measure_semantic(lexical: LexicalIndex, passages: Sequence[Passage], queries: Sequence[Query]) -> None:
    """The encoder's rate, and queries of the semantic tier."""
    texts = [f"{passage.title}. {passage.text}" for passage in passages[:40]]
    model = minilm.MiniLm()
    at = time.thread_time()
    model.encode(texts)
    print(f"  encoder: {len(texts) / (time.thread_time() - at):.0f} texts of 95 words a second in one thread")
    built = SemanticIndex(lexical, RandomPassages.for_english(10.0), VectorCache(None), 0.0)
    while not built.ready:
        built.fill()
    built.search(queries[0], 4)
    print("  the passages' vectors are random from here on: their values cost nothing")
    for name, clock in CLOCKS.items():
        print(f"  semantic query, {name}: {spread(timed(built, queries, clock))}", flush=True)


CLOCKS = {"CPU": time.process_time, "of which in the event loop": time.thread_time, "on the clock": time.perf_counter}


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--semantic", action="store_true", default=minilm.installed())
    given = parser.parse_args()
    for size in given.sizes:
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(size, given.semantic))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
