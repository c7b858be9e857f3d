"""How good retrieval is, on labelled sets: what was found compared with what should have been (ir_measures).

A set is a folder: `corpus.jsonl` {id, title, text}, `queries.jsonl` {id, text, history?, answerable?} and `qrels.tsv`
(query, passage, grade; a line of headings first). `history` holds the messages before the question.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parley.knowledge.documents import Passage
from parley.knowledge.index import Hit, Index, Query

DEPTH = 10
"""Passages asked for."""

MEASURES = ("nDCG@10", "R@5", "RR@10")


class NotASet(Exception):
    """A folder can't be used as a labelled set; the message names the file."""


@dataclass(frozen=True)
class LabelledSet:
    """Passages, questions, and which passages answer which question, by grade."""

    name: str
    passages: list[Passage]
    questions: list[dict[str, Any]]
    grades: dict[str, dict[str, int]]

    @classmethod
    def load(cls, folder: Path) -> "LabelledSet":
        """Raises NotASet."""
        passages = [
            Passage(str(row["id"]), row.get("title", ""), row["text"], "corpus.jsonl", {})
            for row in _rows(folder / "corpus.jsonl", ("id", "text"))
        ]
        questions = [{**row, "id": str(row["id"])} for row in _rows(folder / "queries.jsonl", ("id", "text"))]
        grades: dict[str, dict[str, int]] = {}
        for number, line in enumerate(_lines(folder / "qrels.tsv")[1:], start=2):
            try:
                query, passage, grade = line.split("\t")
                grades.setdefault(query, {})[passage] = int(grade)
            except ValueError:
                raise NotASet(f"{folder / 'qrels.tsv'}:{number}: expected query, passage and grade by tabs") from None
        return cls(folder.resolve().name, passages, questions, grades)


def figures(labelled: LabelledSet, answers: Mapping[str, Sequence[Hit]]) -> dict[str, float]:
    """The measures over the questions that have an answer; one that was not looked up counts as 0."""
    import ir_measures

    judged = [
        ir_measures.Qrel(query, passage, grade)
        for query, grades in labelled.grades.items()
        for passage, grade in grades.items()
    ]
    found = [
        ir_measures.ScoredDoc(query, hit.passage.id, float(DEPTH - rank))
        for query, hits in answers.items()
        if query in labelled.grades
        for rank, hit in enumerate(hits)
    ]
    measures = [ir_measures.parse_measure(name) for name in MEASURES]
    return {str(measure): value for measure, value in ir_measures.calc_aggregate(measures, judged, found).items()}


def evaluate(labelled: LabelledSet, index: Index, threshold: float, *, history: bool) -> dict[str, float]:
    """Ask every question of an index that refuses none, and say how well it did.

    `threshold` is what it would refuse by. Besides the measures: `queries`, `p50_ms` and `p99_ms` of a search,
    `refused` (the share of questions with an answer below the threshold) and, where there are questions without
    one, `refused_unanswerable` and `no_answer_auroc` (how surely the two kinds are told apart).
    """
    answers: dict[str, Sequence[Hit]] = {}
    seconds = []
    for question in labelled.questions:
        started = time.perf_counter()
        answers[question["id"]] = index.search(_query(question, history), DEPTH)
        seconds.append(time.perf_counter() - started)
    known = [confidence(answers[q["id"]]) for q in labelled.questions if q["id"] in labelled.grades]
    unknown = [confidence(answers[q["id"]]) for q in labelled.questions if q.get("answerable") is False]
    told = {**figures(labelled, answers), "queries": len(known)}
    told |= {"p50_ms": _quantile(seconds, 0.5) * 1000, "p99_ms": _quantile(seconds, 0.99) * 1000}
    told["refused"] = _share_below(known, threshold)
    if unknown and known:
        told["refused_unanswerable"] = _share_below(unknown, threshold)
        told["no_answer_auroc"] = _auroc(known, unknown)
    return told


def macro(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean over sets of what all of them have."""
    names = [name for name in (*MEASURES, "refused") if all(name in row for row in rows)]
    return {name: sum(row[name] for row in rows) / len(rows) for name in names} if rows else {}


def confidence(hits: Sequence[Hit]) -> float:
    """What the tier's threshold is compared with: the best cosine where there is one, else the coverage."""
    return max((hit.parts.get("cosine", hit.parts.get("coverage", 0.0)) for hit in hits), default=0.0)


def _query(question: Mapping[str, Any], history: bool) -> Query:
    said = [turn["content"] for turn in question.get("history") or () if turn["role"] == "user"]
    return Query(question["text"], said[-1] if history and said else "")


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8")
        # Not splitlines: a text in JSON may hold separators that are lines to Python.
        return [line for line in text.split("\n") if line.strip()]
    except (OSError, UnicodeDecodeError) as exc:
        raise NotASet(f"{file}: can't be read: {exc}") from exc


def _rows(file: Path, wanted: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(_lines(file), start=1):
        try:
            row = json.loads(line)
        except ValueError:
            raise NotASet(f"{file}:{number}: is not JSON") from None
        if not isinstance(row, dict) or not row.keys() >= set(wanted):
            raise NotASet(f"{file}:{number}: expected an object with {' and '.join(wanted)}")
        rows.append(row)
    return rows


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[round(share * (len(values) - 1))] if values else 0.0


def _share_below(values: Sequence[float], threshold: float) -> float:
    return sum(value < threshold for value in values) / len(values) if values else 0.0


def _auroc(high: Sequence[float], low: Sequence[float]) -> float:
    """The chance that one of the first is above one of the second."""
    wins = sum((one > other) + (one == other) / 2 for one in high for other in low)
    return wins / (len(high) * len(low))
