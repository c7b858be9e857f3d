"""The tier of a base that is not in memory."""

import numpy as np
from knowledge_folder import LetterEncoder

from parley.knowledge.semantic import Calibration
from parley.knowledge.tiers import Tier


def test_floors_are_those_of_the_encoder_and_of_the_base() -> None:
    encoder = LetterEncoder()
    encoder.calibration = Calibration(0.3, 0.1, min_small_talk=0.8)
    examples = np.ones((1, 2), np.float32)
    tier = Tier(encoder, 0.33, 0.5, lambda: examples)

    floors = tier.floors

    assert (floors.coverage_weight, floors.min_evidence, floors.min_small_talk) == (0.3, 0.5, 0.8)
    assert floors.examples is examples and Tier(None, 0.33).floors.min_small_talk is None


def test_without_floors_nothing_is_refused() -> None:
    tier = Tier(LetterEncoder(), 0.33, 0.5, lambda: np.ones((1, 2), np.float32)).without_floor()

    assert (tier.min_coverage, tier.min_evidence, tier.floors.examples) == (0.0, 0.0, None)
