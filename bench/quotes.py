"""The quality of quoted answers: `bench/quotes.py FOLDER QUESTIONS.json ...`, of knowledge and of questions about it.

Questions are a list of `{"question": ..., "answer": ...}`: a regular expression that a right answer holds, null where
the knowledge has none. Printed for each tier that is installed: right answers, foreign questions refused, answers under
a doubt, words to hear, the milliseconds of a quote without its search, and what was said wrongly.
"""

import argparse
import json
import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from parley.knowledge import encoders, minilm
from parley.knowledge.index import Query
from parley.knowledge.prompt import MORE_THAN_WANTED
from parley.services import Services
from parley.settings import Settings
from parley.telemetry import logs


@dataclass
class Figures:
    """The counts of one set; `wrong` holds each question that was answered wrongly, with what was said."""

    answerable: int = 0
    right: int = 0
    foreign: int = 0
    refused: int = 0
    doubted: int = 0
    words: list[int] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)
    wrong: list[tuple[str, str]] = field(default_factory=list)
    quoted: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        heard = f"{statistics.mean(self.words):.1f} words, p50 {statistics.median(self.ms):.1f} ms"
        return (
            f"right {self.right}/{self.answerable}, refused {self.refused}/{self.foreign}, "
            f"doubted {self.doubted}, {heard}"
        )


def measure(folder: Path, questions: Path, tier: str, cache: Path) -> Figures:
    """Return the figures of the questions about the knowledge in a folder, with one tier."""
    settings = Settings(kb_dir=folder, rag_tier=tier, embeddings_cache=cache)
    services = Services(settings)
    services.knowledge.require("")
    encoders.make_ready(services.knowledge.bases.get("").index)
    figures = Figures()
    for asked in json.loads(questions.read_text()):
        _measure(asked["question"], asked["answer"], services, figures)
    return figures


def _measure(question: str, answer: str | None, services: Services, figures: Figures) -> None:
    base = services.knowledge.bases.get("")
    query = Query(question)
    hits = base.index.search(query, services.settings.rag_top_k * MORE_THAN_WANTED)
    started = time.perf_counter()
    quote = services.knowledge.quote(base, query, hits) if hits else None
    figures.ms.append((time.perf_counter() - started) * 1000)
    said = quote.spoken(base.settings.spoken_language) if quote else ""
    if quote:
        figures.doubted += not quote.is_sure
        figures.words.append(len(said.split()))
        figures.quoted += quote.sentences
    if answer is None:
        figures.foreign += 1
        figures.refused += quote is None
    else:
        figures.answerable += 1
        figures.right += bool(re.search(answer, said))
    if (answer is None and quote) or (answer is not None and not re.search(answer, said)):
        figures.wrong.append((question, said))


def main(argv: Sequence[str] | None = None) -> None:
    """Print the figures of each set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", type=Path, metavar="FOLDER QUESTIONS.json")
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    options = parser.parse_args(argv)
    logs.configure("error", "text")
    for folder, questions in zip(options.pairs[::2], options.pairs[1::2], strict=True):
        for tier in ("auto", "lexical") if minilm.installed() else ("lexical",):
            figures = measure(folder, questions, tier, options.cache)
            print(f"{questions} {tier}: {figures}")
            for question, said in figures.wrong:
                print(f"    {question} -> {said or '(nothing)'}")


if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()
    main()
