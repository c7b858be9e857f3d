"""`python bench/hearing.py FOLDER`: what callers say, as a recogniser writes it, looked up in small knowledge bases.

FOLDER holds `kb/NAME/*.json` and `questions.jsonl` with {id, kb, question, history, kind, expect_id}: a list of the
passages that answer the question, or null where nothing is to be looked up or given. Each question goes through the
product's own request parsing, intent gate, search and thresholds. For each tier the table gives, by kind, the shares of
questions whose right passage is first, whose right passage is among those that the model gets, and that find nothing.
"""

import argparse
import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from parley.answers.lookup import lookup_of
from parley.factories.knowledge import index_factory_of
from parley.knowledge.bases import Bases
from parley.knowledge.encoders import make_ready
from parley.knowledge.retriever import Retriever
from parley.knowledge.sources import FolderSource
from parley.languages import ENGLISH
from parley.settings import Settings
from parley.telemetry import logs
from parley.turn_record import TurnRecord
from parley.wire.request import Origin, parse

GROUPS = ("English", "other languages")
TO_FIND, NOTHING_TO_FIND = "to be found", "nothing to be found"


def ask(retriever: Retriever, question: dict[str, Any], top_k: int) -> tuple[list[str], list[str]]:
    """Return the ids of the hits, best first, and of the passages that the model gets."""
    messages = [*question["history"], {"role": "user", "content": question["question"]}]
    body = json.dumps({"messages": messages, "kb": question["kb"]}).encode()
    chat = parse(body, Origin("bench", v1=True))
    query = lookup_of(chat, retriever.settings_of(question["kb"])).query
    if query is None:
        return [], []
    found = retriever.ground(question["kb"], query, top_k, TurnRecord("rag", "bench"))
    return [hit.passage.id for hit in found.hits], [citation["id"] for citation in found.citations]


def judge(question: dict[str, Any], hits: Sequence[str], sent: Sequence[str]) -> Counter[str]:
    """Return which of the measures count for this question."""
    expected = question["expect_id"] or []
    return Counter(
        n=1,
        first=bool(hits and hits[0] in expected),
        sent=any(id in expected for id in sent),
        nothing=not hits,
    )


def measure(folder: Path, settings: Settings, wrong: bool) -> dict[str, Counter[str]]:
    """Return the counts of each kind with the tier that the settings choose; print each wrong answer if asked to."""
    factory = index_factory_of(settings)
    bases = Bases(FolderSource(folder / "kb"), factory.build)
    bases.refresh()
    for base in bases.serving.values():
        make_ready(base.index)
    retriever = Retriever(bases, timeout=60, poll=0)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for line in (folder / "questions.jsonl").read_text().splitlines():
        question = json.loads(line)
        hits, sent = ask(retriever, question, settings.rag_top_k)
        judged = judge(question, hits, sent)
        answerable = question["expect_id"] is not None
        group = GROUPS[retriever.settings_of(question["kb"]).language is not ENGLISH]
        for kind in (question["kind"], f"{group}, {TO_FIND if answerable else NOTHING_TO_FIND}"):
            counts[kind] += judged
        if wrong and not (judged["first"] if answerable else judged["nothing"]):
            before = " / ".join(message["content"] for message in question["history"])
            print(
                f"  {question['kind']}: {before} // {question['question']} -> {hits[:3]}, not {question['expect_id']}"
            )
    return counts


def main() -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--wrong", action="store_true", help="print each question that is answered wrongly")
    parser.add_argument("--tier", choices=("lexical", "semantic"), action="append")
    options = parser.parse_args()
    logs.configure("error", "text")
    for tier in options.tier or ("lexical", "semantic"):
        settings = Settings.from_environ({**os.environ, "RAG_TIER": "lexical" if tier == "lexical" else "auto"})
        counts = measure(options.folder, settings, options.wrong)
        print(f"{tier:<42} n  first   sent  nothing")
        for kind in sorted(counts, key=lambda kind: ("," in kind, kind)):
            row = counts[kind]
            shares = "  ".join(f"{row[name] / row['n']:5.2f}" for name in ("first", "sent", "nothing"))
            print(f"{kind:<40} {row['n']:3}  {shares}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
