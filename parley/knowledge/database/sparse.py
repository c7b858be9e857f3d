"""Terms as numbers of a fixed range: what is written of the passages of a base that is searched in the database.

    words    stems of words, hashed below 2^19, and pairs of words behind them     a `sparsevec` of impacts
    grams    hashed below 2^20                                                     a `sparsevec` of impacts
    terms    the numbers of both, grams behind words                               an `int4[]`, for an index

An inner product with the weights of a question's terms is BM25, as `postings.py` has it. Two terms of one number count
as one: the range is several times a vocabulary. The statistics of a base are what a server needs of it to ask: the
number of passages that hold each term, and the written forms of the passages.
"""

import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from parley.knowledge import terms
from parley.knowledge.documents import Passage
from parley.knowledge.index_builder import K1, B, impacts
from parley.knowledge.lexical import words_of_passage
from parley.knowledge.spoken_forms import SpokenForms
from parley.knowledge.terms import Analyzer
from parley.languages import Language

SIZE = 1 << 20
"""Numbers of words, and as many of grams."""
PAIRS_FROM = SIZE // 2
"""First number of a pair of words."""
GRAMS_FROM = SIZE
"""Distance of the grams behind the words in one list of terms."""
MAX_TERMS = 16_000
"""Most terms of a passage that a `sparsevec` holds; passages that were cut have a tenth at most."""
MAX_DRIFT = 0.05
"""Share by which the average length may change before all terms are weighed anew."""
PORTION = 4096
"""Words, or codes, that are read in one step, of less than a millisecond."""

Counts = NDArray[np.uint32]
Item = TypeVar("Item")


class Columns(msgspec.Struct, frozen=True, gc=False):
    """The terms of a passage as the database reads them."""

    words: str
    grams: str
    terms: str


class TermNumbers:
    """The numbers of a language's terms; those of each word are computed once."""

    def __init__(self, language: Language) -> None:
        self._analyzer = Analyzer(language)
        self._known: dict[str, tuple[list[int], list[int], int]] = {}

    def of(self, words: Sequence[str]) -> tuple[list[int], list[int]]:
        """Return the numbers of a text's words and of its grams, as often as they occur."""
        found = [self._known.get(word) or self._learn(word) for word in words]
        heads = np.array([head for _, _, head in found], np.uint32)
        pairs = terms.pairs(heads)
        numbers = [number for stems, _, _ in found for number in stems]
        numbers += (pairs[pairs >= 0] + PAIRS_FROM).tolist()
        return numbers, [number for _, grams, _ in found for number in grams]

    def _learn(self, word: str) -> tuple[list[int], list[int], int]:
        stems = [stem_number(stem) for stem in self._analyzer.stems(word)]
        numbers = (stems, [gram_number(gram) for gram in terms.grams(word)], self._analyzer.head(word))
        # perf: a word is hashed once, not once a passage (publishing: most of its time is this)
        self._known[word] = numbers
        return numbers


def stem_number(stem: str) -> int:
    """Return the number of a stem."""
    return _hash(stem) >> 13


def gram_number(gram: str) -> int:
    """Return the number of a gram."""
    return _hash(gram) >> 12


def _hash(term: str) -> int:
    # A checksum alone is no hash: short terms that are alike would lie in few places.
    return zlib.crc32(term.encode()) * 0x9E3779B1 & 0xFFFFFFFF


@dataclass(frozen=True)
class Frequencies:
    """The number of passages that hold each term; `numbers` are those that occur, in ascending order."""

    numbers: Counts
    counts: Counts

    @classmethod
    def of_all(cls, counts: Counts) -> "Frequencies":
        """Return the frequencies of all numbers of a range."""
        numbers = np.flatnonzero(counts).astype(np.uint32)
        return cls(numbers, counts[numbers])

    def pack(self) -> tuple[bytes, bytes]:
        """Return both arrays as they are stored."""
        return self.numbers.astype("<u4").tobytes(), self.counts.astype("<u4").tobytes()

    @classmethod
    def unpack(cls, packed: tuple[bytes, bytes]) -> "Frequencies":
        """Return what `pack` gave. Raises ValueError."""
        numbers, counts = (np.frombuffer(each, "<u4") for each in packed)
        if len(numbers) != len(counts):
            raise ValueError("the frequencies are not whole")
        return cls(numbers, counts)

    def of(self, wanted: Sequence[int]) -> NDArray[np.int64]:
        """Return the frequency of each of these terms, 0 for one that does not occur."""
        ids = np.array(wanted, np.int64)
        if not len(self.numbers) or not len(ids):
            return np.zeros(len(ids), np.int64)
        at = np.searchsorted(self.numbers, ids)
        counts = self.counts.take(at, mode="clip").astype(np.int64)
        return np.where(self.numbers.take(at, mode="clip") == ids, counts, 0)


class Stored(msgspec.Struct, frozen=True, array_like=True):
    """The statistics as they are stored; what is long is cut into portions, each encoded by itself."""

    passages: int
    words: tuple[bytes, bytes]
    grams: tuple[bytes, bytes]
    vocabulary: list[bytes]
    codes: list[bytes]
    codes_without_zeros: list[bytes]
    sounds: dict[str, str]


@dataclass(frozen=True)
class Statistics:
    """The facts that a server keeps of a base that it does not hold."""

    passages: int
    words: Frequencies
    grams: Frequencies
    forms: SpokenForms

    def pack(self) -> bytes:
        """Return the statistics in the form in which they are stored."""
        forms = self.forms
        stored = Stored(
            self.passages,
            self.words.pack(),
            self.grams.pack(),
            _portions(sorted(forms.words), list),
            _portions(forms.codes.items(), dict),
            _portions(forms.codes_without_zeros.items(), dict),
            forms.sounds,
        )
        return zlib.compress(msgspec.msgpack.encode(stored), 1)

    @classmethod
    def unpack(cls, packed: bytes, language: Language, breathe: Callable[[], None]) -> "Statistics":
        """Return the statistics of a base in this language. Raises ValueError for what is none."""
        try:
            stored = msgspec.msgpack.decode(zlib.decompress(packed), type=Stored)
            breathe()
            # In portions: a million passages have half a million words, which streams can't wait for.
            forms = SpokenForms(language, sounds=stored.sounds)
            for portion in stored.vocabulary:
                forms.words.update(msgspec.msgpack.decode(portion, type=list[str]))
                breathe()
            for target, portions in (
                (forms.codes, stored.codes),
                (forms.codes_without_zeros, stored.codes_without_zeros),
            ):
                for portion in portions:
                    target.update(msgspec.msgpack.decode(portion, type=dict[str, str]))
                    breathe()
        except (zlib.error, msgspec.MsgspecError) as error:
            raise ValueError("the statistics can't be read") from error
        return cls(stored.passages, Frequencies.unpack(stored.words), Frequencies.unpack(stored.grams), forms)


def _portions(items: Iterable[Item], kind: Callable[[Iterable[Item]], Collection[object]]) -> list[bytes]:
    rest = iter(items)
    portions = []
    while portion := kind(islice(rest, PORTION)):
        portions.append(msgspec.msgpack.encode(portion))
    return portions


class Survey:
    """All passages of a base, looked at once for what their terms weigh and how frequent they are."""

    def __init__(self, passages: Sequence[Passage], language: Language) -> None:
        self._numbers = TermNumbers(language)
        self._forms = SpokenForms(language)
        words, grams = np.zeros(SIZE, np.uint32), np.zeros(SIZE, np.uint32)
        length = 0
        for passage in passages:
            own = words_of_passage(passage.title, passage.text, self._forms)
            length += len(own)
            for counts, numbers in zip((words, grams), self._numbers.of(own), strict=True):
                counts[list(set(numbers))] += np.uint32(1)
        self.average_length = length / len(passages) if passages else 0.0
        self.statistics = Statistics(len(passages), Frequencies.of_all(words), Frequencies.of_all(grams), self._forms)

    def has_drifted(self, average_length: float) -> bool:
        """Return True if terms that were weighed by another average length must be weighed anew."""
        return abs(self.average_length - average_length) > MAX_DRIFT * average_length

    def columns(self, passages: Sequence[Passage], average_length: float) -> Iterator[Columns]:
        """Yield the terms of passages, weighed by this average length."""
        for passage in passages:
            own = words_of_passage(passage.title, passage.text, self._forms)
            slowness = K1 * (1 - B + B * len(own) / (average_length or 1.0))
            words, grams = (dict(sorted(Counter(numbers).items())[:MAX_TERMS]) for numbers in self._numbers.of(own))
            both = [*words, *(number + GRAMS_FROM for number in grams)]
            terms_of = "{" + ",".join(map(str, both)) + "}"
            yield Columns(_weighed(words, slowness), _weighed(grams, slowness), terms_of)


def _weighed(counts: Mapping[int, int], slowness: float) -> str:
    frequencies = np.minimum(np.fromiter(counts.values(), np.int64, len(counts)), 255).astype(np.uint8)
    steps = impacts(frequencies, np.full(len(counts), slowness, np.float32)).tolist()
    return vector_literal(zip(counts, steps, strict=True))


def vector_literal(items: Iterable[tuple[int, float]]) -> str:
    """Return a `sparsevec` of numbers and their values, as the database reads it: it counts from 1."""
    return "{" + ",".join(f"{number + 1}:{value}" for number, value in items) + f"}}/{SIZE}"
