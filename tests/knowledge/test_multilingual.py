"""The multilingual encoder: languages side by side, in one thread."""

import numpy as np
import pytest

from parley.knowledge import multilingual
from parley.knowledge.multilingual import Multilingual

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not multilingual.installed(), reason="requirements-multilingual.txt is not installed"),
]


@pytest.fixture(scope="module")
def model() -> Multilingual:
    return Multilingual()


@pytest.mark.parametrize(
    "question",
    ["Wann haben Sie geöffnet?", "¿A qué hora abren?", "几点开门?", "何時に開きますか", "When do you open?"],
    ids=["de", "es", "zh", "ja", "en"],
)
def test_a_question_is_nearest_to_its_answer_in_any_language(model: Multilingual, question: str) -> None:
    answers = model.encode(
        ["The opening hours are from 8 to 12.", "Der Parkplatz ist hinter dem Haus.", "犬はだめです。"]
    )

    assert int((answers @ model.encode([question])[0]).argmax()) == 0


@pytest.mark.parametrize("text", ["", " ", "🙂", "x" * 100_000], ids=["empty", "blank", "emoji", "long"])
def test_every_text_has_a_vector_of_length_one(model: Multilingual, text: str) -> None:
    (vector,) = model.encode([text])

    assert float(np.linalg.norm(vector)) == pytest.approx(1)


def test_blas_has_one_thread_from_then_on(model: Multilingual) -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl")
    model.encode(["Guten Morgen."])

    assert {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"} <= {1}
