"""Written English as it is read aloud."""

from parley.speech import normalization
from parley.speech.english import ENGLISH


def read(text: str) -> str:
    """Return the readings of all words of a text."""
    return " ".join(normalization.normalize(text.split(), ENGLISH))
