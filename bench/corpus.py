"""Made-up knowledge of any size, for measuring: words of syllables, as frequent as in real texts (Zipf)."""

import random
from itertools import accumulate

from parley.knowledge.documents import Passage

CONSONANTS = [*"bcdfghjklmnprstvwz", "qu", "ch", "sh", "th", "st", "tr", "br", "pl"]
VOWELS = [*"aeiouaeio", "ea", "ou", "ai"]
ENDINGS = ["", "", "s", "ed", "ing", "er", "ion", "n", "t", "l"]
WORDS = 60_000
COMMON = ["the", "of", "and", "to", "in", "is", "for", "a", "on", "with", "as", "by", "that", "it", "are", "from", "at"]


class Corpus:
    """A source of passages and questions; the same seed gives the same ones."""

    def __init__(self, seed: int = 1) -> None:
        self._chance = random.Random(seed)
        made = dict.fromkeys(COMMON)
        while len(made) < WORDS:
            made[self._word()] = None
        self._words = list(made)
        self._weights = list(accumulate(1 / (rank + 2) for rank in range(len(self._words))))

    def passages(self, count: int) -> list[Passage]:
        """So many passages of 40 to 150 words, with titles; `category` is one of ten."""
        return [self._passage(number) for number in range(count)]

    def question(self, passage: Passage) -> str:
        """From 4 to 12 words, half of them from this passage."""
        size = self._chance.randint(2, 6)
        return " ".join(self._chance.sample(passage.text.split(), size) + self._said(size))

    def _passage(self, number: int) -> Passage:
        title, text = " ".join(self._said(4)), " ".join(self._said(self._chance.randint(40, 150)))
        return Passage(str(number), title, text, "made.json", {"category": number % 10})

    def _said(self, count: int) -> list[str]:
        return self._chance.choices(self._words, cum_weights=self._weights, k=count)

    def _word(self) -> str:
        syllables = self._chance.choice((1, 1, 2, 2, 2, 3))
        letters = [self._chance.choice(CONSONANTS) + self._chance.choice(VOWELS) for _ in range(syllables)]
        return "".join(letters) + self._chance.choice(ENDINGS)
