"""The quality of retrieval on labelled sets: passages found against passages expected, measured by ir_measures.

A labelled set is a folder of `corpus.jsonl` {id, title, text}, `queries.jsonl` {id, text, history?, answerable?} and
`qrels.tsv` (query, passage, grade; a line of headings first). `history` holds the messages before the question.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parley.knowledge.documents import Passage
from parley.knowledge.index import EARLIER_TURNS, Hit, Index, Query

DEPTH = 10
"""Passages that each question asks for."""
MEASURES = ("nDCG@10", "R@5", "RR@10")


class BadLabelledSet(Exception):
    """A folder can't be used as a labelled set; the message names the file and its line."""


@dataclass(frozen=True)
class LabelledSet:
    """Passages, questions, and for each question with an answer the grades of its passages."""

    name: str
    passages: list[Passage]
    questions: list[dict[str, Any]]
    grades: dict[str, dict[str, int]]

    @classmethod
    def load(cls, folder: Path) -> "LabelledSet":
        """Return the labelled set in a folder. Raises BadLabelledSet."""
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
                message = f"{folder / 'qrels.tsv'}:{number}: expected query, passage and grade, separated by tabs"
                raise BadLabelledSet(message) from None
        return cls(folder.resolve().name, passages, questions, grades)


def figures(labelled: LabelledSet, answers: Mapping[str, Sequence[Hit]]) -> dict[str, float]:
    """Return the measures over the questions that have an answer; a question without a search counts as 0."""
    # Imported here, because only a development environment has it, and all other `flask kb` commands do without.
    import ir_measures

    judged = [
        ir_measures.Qrel(query, passage, grade)
        for query, grades in labelled.grades.items()
        for passage, grade in grades.items()
    ]
    found = [
        # The rank as score: ir_measures sorts by score, and would order passages of equal scores in its own way.
        ir_measures.ScoredDoc(query, hit.passage.id, float(DEPTH - rank))
        for query, hits in answers.items()
        if query in labelled.grades
        for rank, hit in enumerate(hits)
    ]
    measures = [ir_measures.parse_measure(name) for name in MEASURES]
    return {str(measure): value for measure, value in ir_measures.calc_aggregate(measures, judged, found).items()}


def evaluate(labelled: LabelledSet, index: Index, threshold: float, *, history: bool) -> dict[str, float]:
    """Search an index for every question, and return the measures of the result.

    The index must refuse no question; `threshold` is the confidence below which it would. Further figures: `queries`,
    `p50_ms` and `p99_ms` of a search, `refused` (the share of answerable questions below the threshold) and, if the set
    has unanswerable questions, `refused_unanswerable` and `no_answer_auroc` (how well confidence separates the two).
    """
    answers: dict[str, Sequence[Hit]] = {}
    seconds = []
    for question in labelled.questions:
        # Only the user's turns, as in /rag, which passes over small talk, too: an assistant's words never count.
        said = [turn["content"] for turn in question.get("history") or () if turn["role"] == "user"]
        query = Query(question["text"], "\n".join(said[-EARLIER_TURNS:]) if history else "")
        started = time.perf_counter()
        answers[question["id"]] = index.search(query, DEPTH)
        seconds.append(time.perf_counter() - started)
    known = [confidence(answers[q["id"]]) for q in labelled.questions if q["id"] in labelled.grades]
    unknown = [confidence(answers[q["id"]]) for q in labelled.questions if q.get("answerable") is False]
    measured = {**figures(labelled, answers), "queries": len(known)}
    measured |= {"p50_ms": quantile(seconds, 0.5) * 1000, "p99_ms": quantile(seconds, 0.99) * 1000}
    measured["refused"] = share_below(known, threshold)
    if unknown and known:
        measured["refused_unanswerable"] = share_below(unknown, threshold)
        measured["no_answer_auroc"] = auroc(known, unknown)
    return measured


def macro(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean over sets of each figure that all of them have."""
    names = [name for name in (*MEASURES, "refused") if all(name in row for row in rows)]
    return {name: sum(row[name] for row in rows) / len(rows) for name in names} if rows else {}


def confidence(hits: Sequence[Hit]) -> float:
    """Return the figure that a tier compares with its threshold: the evidence, or without an encoder the coverage."""
    return max((hit.parts.get("evidence", hit.parts.get("coverage", 0.0)) for hit in hits), default=0.0)


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8")
        # Not splitlines(): a text in JSON may contain separators that Python takes for line ends.
        return [line for line in text.split("\n") if line.strip()]
    except (OSError, UnicodeDecodeError) as exc:
        raise BadLabelledSet(f"{file}: can't be read: {exc}") from exc


def _rows(file: Path, wanted: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(_lines(file), start=1):
        try:
            row = json.loads(line)
        except ValueError:
            raise BadLabelledSet(f"{file}:{number}: is not JSON") from None
        if not isinstance(row, dict) or not row.keys() >= set(wanted):
            raise BadLabelledSet(f"{file}:{number}: expected an object with {' and '.join(wanted)}")
        rows.append(row)
    return rows


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the values lie; 0 without values."""
    return sorted(values)[round(share * (len(values) - 1))] if values else 0.0


def share_below(values: Sequence[float], threshold: float) -> float:
    """Return the share of the values below a threshold; 0 without values."""
    return sum(value < threshold for value in values) / len(values) if values else 0.0


def auroc(high: Sequence[float], low: Sequence[float]) -> float:
    """Return the probability that a value of `high` is above a value of `low` (area under the ROC curve)."""
    # A tie counts half, as in the Mann-Whitney statistic.
    wins = sum((one > other) + (one == other) / 2 for one in high for other in low)
    return wins / (len(high) * len(low))
