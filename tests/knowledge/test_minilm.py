"""The embedded encoder's model, where it is installed: vectors of length 1 that tell meanings apart."""

import concurrent.futures

import numpy as np
import pytest

from parley.knowledge import minilm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not minilm.installed(), reason="the embedded encoder is not installed"),
]


@pytest.fixture(scope="module")
def model() -> minilm.MiniLm:
    return minilm.MiniLm()


def test_vectors_are_of_length_one_and_tell_meanings_apart(model: minilm.MiniLm) -> None:
    bicycle, bike, weather = model.encode(["I ride my bicycle.", "She cycles to work.", "It will rain tomorrow."])

    assert bicycle.shape == (minilm.DIMENSIONS,) and np.linalg.norm(bicycle) == pytest.approx(1, abs=1e-5)
    assert np.vecdot(bicycle, bike) > np.vecdot(bicycle, weather) + 0.1


def test_a_text_beyond_the_limit_is_cut_off(model: minilm.MiniLm) -> None:
    at_the_limit, longer = model.encode(["word " * (minilm.MAX_TOKENS - 2), "word " * 1000])

    assert np.array_equal(at_the_limit, longer)


def test_no_texts_give_no_vectors(model: minilm.MiniLm) -> None:
    assert model.encode([]).shape == (0, minilm.DIMENSIONS)


def test_two_threads_get_the_vectors_that_one_gets(model: minilm.MiniLm) -> None:
    texts = [f"What does repair number {number} cost?" for number in range(40)]
    alone = [model.encode([text]) for text in texts]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda text: model.encode([text]), texts))

    assert np.array_equal(np.concatenate(together), np.concatenate(alone))
