"""The tier of a base that is not in memory: the encoder by which it is searched, and the floors below which not."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from parley.knowledge.postings import Floats
from parley.knowledge.ranking import Floors
from parley.knowledge.semantic import Encoder, EncoderFailed


@dataclass(frozen=True)
class Tier:
    """The encoder of a base, None for words alone, and the figures below which nothing is found.

    `examples` gives vectors of small talk, once there are any; `failed` and `succeeded` are told how questions fare.
    """

    encoder: Encoder | None
    min_coverage: float
    min_evidence: float = 0.0
    examples: Callable[[], Floats | None] = lambda: None
    failed: Callable[[EncoderFailed], None] = lambda _: None
    succeeded: Callable[[], None] = lambda: None

    @property
    def floors(self) -> Floors:
        """The floors of a search by meaning."""
        if self.encoder is None:
            return Floors(0.0, self.min_evidence)
        figures = self.encoder.calibration
        return Floors(figures.coverage_weight, self.min_evidence, figures.min_small_talk, self.examples())

    def without_floor(self) -> "Tier":
        """Return a tier that finds the best passages, however little fits."""
        return replace(self, min_coverage=0.0, min_evidence=0.0, examples=lambda: None)
