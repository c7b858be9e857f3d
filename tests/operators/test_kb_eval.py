"""The measures of retrieval, and the figures that the sample knowledge reaches."""

import json
from pathlib import Path

import pytest

from parley.knowledge import minilm
from parley.knowledge.documents import Passage, load
from parley.knowledge.encoders import EmbeddedEncoder, index_without_threshold
from parley.knowledge.index import Hit
from parley.knowledge.lexical import MIN_COVERAGE
from parley.knowledge.minilm import CALIBRATION
from parley.knowledge.vector_cache import VectorCache
from parley.operators.kb_eval import BadLabelledSet, LabelledSet, auroc, evaluate, figures, macro, quantile

ROOT = Path(__file__).parents[2]
SAMPLE = Path(__file__).with_name("sample_set")


@pytest.fixture
def sample(tmp_path: Path) -> LabelledSet:
    """Return the labelled questions about the sample knowledge, with its passages."""
    rows = [{"id": each.id, "title": each.title, "text": each.text} for each in load(ROOT / "kb_data").passages]
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for name in ("queries.jsonl", "qrels.tsv"):
        (tmp_path / name).write_text((SAMPLE / name).read_text())
    return LabelledSet.load(tmp_path)


@pytest.mark.parametrize(
    ("tier", "least"),
    [
        ("lexical", 0.93),
        pytest.param(
            "semantic",
            0.95,
            marks=[pytest.mark.slow, pytest.mark.skipif(not minilm.installed(), reason="no encoder")],
        ),
    ],
)
def test_the_sample_knowledge_is_found(sample: LabelledSet, tmp_path: Path, tier: str, least: float) -> None:
    encoder, threshold = (
        (EmbeddedEncoder.for_english(10.0), CALIBRATION.min_evidence) if tier == "semantic" else (None, MIN_COVERAGE)
    )
    index = index_without_threshold(sample.passages, encoder, VectorCache(tmp_path / "embeddings.sqlite"))

    reached = evaluate(sample, index, threshold, history=True)

    assert reached["nDCG@10"] >= least
    assert reached["refused"] <= 0.05 and reached["refused_unanswerable"] == 1


def a_set(folder: Path, corpus: str = "", queries: str = "", qrels: str = "") -> Path:
    for name, text in (("corpus.jsonl", corpus), ("queries.jsonl", queries), ("qrels.tsv", qrels)):
        (folder / name).write_text(text)
    return folder


def test_a_passage_in_the_second_place_counts_less(tmp_path: Path) -> None:
    labelled = LabelledSet.load(a_set(tmp_path, '{"id": 1, "text": "a"}', '{"id": 7, "text": "b"}', "q\tp\ts\n7\t1\t1"))
    right, wrong = (Hit(Passage(name, "", "", "", {}), 1.0) for name in ("1", "2"))

    first, second, none = (figures(labelled, {"7": hits}) for hits in ([right, wrong], [wrong, right], []))

    assert (first["nDCG@10"], first["RR@10"]) == (1, 1)
    assert (round(second["nDCG@10"], 4), second["RR@10"], none["nDCG@10"]) == (0.6309, 0.5, 0)


def test_the_macro_average_counts_each_set_alike() -> None:
    rows = [{"nDCG@10": 1.0, "refused": 0.0, "queries": 1000.0}, {"nDCG@10": 0.5, "refused": 0.5, "queries": 1.0}]

    assert macro(rows) == {"nDCG@10": 0.75, "refused": 0.25} and macro([]) == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"corpus": "[1"}, r"corpus.jsonl:1: is not JSON"),
        ({"corpus": '{"id": 1}'}, r"corpus.jsonl:1: expected an object with id and text"),
        ({"queries": "[]"}, r"queries.jsonl:1: expected"),
        ({"qrels": "head\n1 2 3"}, r"qrels.tsv:2: expected"),
    ],
)
def test_a_faulty_set_is_told_with_its_place(tmp_path: Path, content: dict[str, str], message: str) -> None:
    with pytest.raises(BadLabelledSet, match=message):
        LabelledSet.load(a_set(tmp_path, **content))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadLabelledSet, match=r"corpus\.jsonl"):
        LabelledSet.load(tmp_path)


def test_a_quantile_is_a_value_of_its_series() -> None:
    values = [float(number) for number in range(101)]

    assert [quantile(values, share) for share in (0, 0.5, 0.99, 1)] == [0, 50, 99, 100] and quantile([], 0.5) == 0


def test_the_auroc_is_one_where_confidence_separates_the_two() -> None:
    assert (auroc([0.9, 0.8], [0.1, 0.2]), auroc([0.5], [0.5]), auroc([0.1], [0.9])) == (1, 0.5, 0)
