"""What callers say, as a recogniser writes it, looked up in small bases: the bars of `hearing_set`.

The set was written for this project; `bench/hearing.py` prints its figures by kind.
"""

from collections import Counter
from pathlib import Path

import hearing
import pytest

from parley.knowledge import minilm, multilingual
from parley.settings import Settings

SET = Path(__file__).parent / "hearing_set"
pytestmark = pytest.mark.slow


def counts(tier: str, cache: Path) -> dict[str, Counter[str]]:
    """Return the counts by kind and group with one tier."""
    return hearing.measure(SET, Settings(rag_tier=tier, embeddings_cache=cache), wrong=False)


@pytest.fixture(scope="module")
def lexical(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Counter[str]]:
    return counts("lexical", tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def semantic(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Counter[str]]:
    if not minilm.installed():
        pytest.skip("the embedded encoder is not installed")
    return counts("auto", tmp_path_factory.mktemp("cache"))


def share(counted: Counter[str], name: str) -> float:
    return counted[name] / counted["n"]


def test_the_right_passage_is_found_by_words(lexical: dict[str, Counter[str]]) -> None:
    assert share(lexical["English, to be found"], "first") >= 0.65


def test_the_right_passage_is_found_by_meaning(semantic: dict[str, Counter[str]]) -> None:
    found = semantic["English, to be found"]

    assert share(found, "first") >= 0.80
    assert share(found, "sent") >= 0.92
    assert share(found, "nothing") <= 0.05


def test_the_right_passage_is_found_in_other_languages(semantic: dict[str, Counter[str]]) -> None:
    if not multilingual.installed():
        pytest.skip("requirements-multilingual.txt is not installed")

    assert share(semantic["other languages, to be found"], "first") >= 0.75
    assert share(semantic["other languages, nothing to be found"], "nothing") >= 0.80


@pytest.mark.parametrize("kind", ["smalltalk", "smalltalk-after", "smalltalk-de", "smalltalk-de-after", "oos-far"])
def test_nothing_is_found_where_nothing_is_asked(kind: str, request: pytest.FixtureRequest) -> None:
    for tier in ("lexical", "semantic") if minilm.installed() else ("lexical",):
        assert share(request.getfixturevalue(tier)[kind], "nothing") == 1


@pytest.mark.parametrize("kind", ["spelled", "codes", "numdigits", "affirmation", "followup-after-small-talk"])
def test_kinds_that_were_lost_are_found(kind: str, semantic: dict[str, Counter[str]]) -> None:
    assert share(semantic[kind], "sent") >= 0.8
