"""The intent gate: tells turns that ask something from those that only greet, thank, agree or decline.

A turn is covered by phrases of the languages (`parley/languages/`), the longest that fit, until nothing of it is left:

    "okay thank you that was all"   okay + thank you + that was all       small talk
    "yes that would be nice"        yes + that would be nice              assent
    "okay and what does it cost"    okay + ...                            asks

Phrases are compared word by word, without case, accents and marks; scripts without spaces character by character.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, Flag, auto

from parley.knowledge import terms
from parley.knowledge.chunking import CJK
from parley.languages import LANGUAGES, detect
from parley.languages.language import Language, folded

MAX_CHARACTERS = 400
"""Longest turn that can be small talk, in characters."""
MAX_WORDS = 24
"""Longest turn that can be small talk, in words."""
MAX_OFFER_CHARACTERS = 1000
"""Characters, from the end, of an agent's message in which an offer is sought."""
SHORT = 1
"""Longest small talk, in words, that may stand beside an assent: "oh yes, thanks" accepts, "yes, bye then" does not."""
_UNIT = re.compile(rf"[{CJK}]|[^\W_{CJK}]+")


class Intent(Enum):
    """A turn's purpose. A turn that is neither small talk nor an answer to an offer asks something."""

    ASKS = "asks"
    SMALL_TALK = "small talk"
    ASSENT = "assent"


class Kind(Flag):
    """Kinds of phrases; one phrase may be of several: "okay" agrees, and is small talk."""

    SMALL_TALK = auto()
    SHORT = auto()
    ASSENT = auto()
    REFUSAL = auto()


NO_KIND = Kind(0)


@dataclass(slots=True)
class Node:
    """A word of the phrases' trie: the words that may follow it, and the kinds of the phrase that ends with it."""

    following: dict[str, "Node"] = field(default_factory=dict)
    kinds: Kind = NO_KIND

    def add(self, phrase: Sequence[str], kinds: Kind) -> None:
        """Add a phrase below this node."""
        node = self
        for word in phrase:
            # perf: saves half of the time to build the trie, with `setdefault` a node a word (a worker's start)
            following = node.following.get(word)
            if following is None:
                following = node.following[word] = Node()
            node = following
        node.kinds = node.kinds | kinds if node.kinds else kinds

    def ends(self, words: Sequence[str], start: int) -> Iterator[tuple[int, Kind]]:
        """Yield where the phrases end that begin at a word, each with its kinds."""
        node: Node | None = self
        for position in range(start, len(words)):
            node = node.following.get(words[position]) if node else None
            if node is None:
                return
            if node.kinds:
                yield position + 1, node.kinds


def intent_of(text: str, further: Node | None = None) -> Intent:
    """Return the purpose of a user's turn; an empty one is small talk. `further` are more phrases of small talk."""
    if len(text) > MAX_CHARACTERS or len(words := split(text)) > MAX_WORDS:
        return Intent.ASKS
    phrases = [PHRASES] if further is None else [PHRASES, further]
    if not _covered(words, phrases, Kind.SMALL_TALK | Kind.ASSENT | Kind.REFUSAL):
        return Intent.ASKS
    agrees = _covered(words, phrases, Kind.SHORT | Kind.ASSENT, Kind.ASSENT)
    declines = _covered(words, phrases, Kind.SMALL_TALK | Kind.ASSENT | Kind.REFUSAL, Kind.REFUSAL)
    return Intent.ASSENT if agrees and not declines else Intent.SMALL_TALK


def split(text: str) -> tuple[str, ...]:
    """Return the words of a text, or its characters where the script has no spaces."""
    return tuple(_UNIT.findall(folded(text)))


def _covered(words: Sequence[str], phrases: Sequence[Node], kinds: Kind, required: Kind = NO_KIND) -> bool:
    """Return True if phrases of these kinds cover all words, one of them of the required kind if there is one."""
    # For each position that can be reached from the beginning: True if a required phrase is among those before it.
    reached = {0: not required}
    for start in range(len(words)):
        if start not in reached:
            continue
        for end, found in itertools.chain.from_iterable(node.ends(words, start) for node in phrases):
            if found & kinds:
                reached[end] = reached.get(end, False) or reached[start] or bool(found & required)
    return reached.get(len(words), False)


def small_talk(phrases: Iterable[str], root: Node | None = None) -> Node:
    """Return a trie of phrases of small talk, added to a given one."""
    root = root or Node()
    for words in map(split, phrases):
        root.add(words, Kind.SMALL_TALK | Kind.SHORT if len(words) <= SHORT else Kind.SMALL_TALK)
    return root


def phrases_of(languages: Iterable[Language]) -> Node:
    """Return the trie of all phrases of these languages."""
    root = Node()
    for language in languages:
        small_talk(language.small_talk, root)
        for kind, phrases in ((Kind.ASSENT, language.assents), (Kind.REFUSAL, language.refusals)):
            for phrase in phrases:
                root.add(split(phrase), kind)
    return root


PHRASES = phrases_of(LANGUAGES.values())
"""The phrases of all languages: callers mix them. Built when a worker starts, because it takes 0.1 s."""

# A full stop inside a number or a code ends no sentence.
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")
_CHOICE = re.compile(r",?\s+(?:or|oder|o|ou|oppure)\s+|还是|それとも|[;,、，]\s*|\n+")
# A sentence before the question names what there is: "We have Classic and Flex. Which one?"
_NAMED = re.compile(rf"{_CHOICE.pattern}|,?\s+(?:and|und|y|et|e)\s+|和")
_MARKER = r"(?:\d{1,2}[.)]|[-*•])\s"
_LISTED = re.compile(rf"(?:^|\s){_MARKER}\s*([^\n]+?)\s*(?=\s{_MARKER}|\n|$)")
_QUESTION_MARKS = ("?", "？")


def offer_of(said: str, answer: str, further: Node | None = None) -> str:
    """Return what the agent offered last in these words and the user's answer picks; empty if nothing was offered.

    An offer is a question. "The second one" picks from its alternatives, or else from a list before it, or from the
    sentence before it. A question that refers to that sentence ("Shall I explain it?") is given with it. `further` are
    more phrases of small talk: "Anything else?" offers nothing.
    """
    sentences = [part for part in _SENTENCE_END.split(said[-MAX_OFFER_CHARACTERS:].strip()) if part.strip()]
    asked = [number for number, part in enumerate(sentences) if part.rstrip(" \"'”’)").endswith(_QUESTION_MARKS)]
    if not asked:
        return ""
    offer: str = sentences[asked[-1]].strip()
    before: str = sentences[asked[-1] - 1].strip() if asked[-1] else ""
    # An answer without a place accepts the question as it stands.
    place = _picked(answer)
    if place is not None:
        # Of "Sure. Tea or coffee?" the first is no alternative.
        choices, named = (
            [part.strip() for part in separator.split(text) if intent_of(part, further) is Intent.ASKS]
            for separator, text in ((_CHOICE, offer), (_NAMED, before))
        )
        for options in (choices, _LISTED.findall(said[-MAX_OFFER_CHARACTERS:]), named):
            if len(options) > max(1, place):
                return str(options[place])
    # After the choice: "Which one?" asks nothing by itself, but may pick from what stands before it.
    if intent_of(offer, further) is not Intent.ASKS:
        return ""
    # By the offer's own language: "es" refers in German, and is a verb in Spanish.
    language = detect(terms.words(offer))
    refers = not language.references.isdisjoint(terms.units(offer, language))
    return f"{before} {offer}" if before and refers else offer


def _picked(answer: str) -> int | None:
    """Return which of several offers an answer picks, by its index; None if it does not say."""
    units, text = split(answer), folded(answer)
    for language in LANGUAGES.values():
        for word, place in language.picks.items():
            if word in units or (terms.is_cjk(word) and word in text):
                return place
    return None
