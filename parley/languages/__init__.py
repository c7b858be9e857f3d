"""The languages that Parley hears and speaks: one file each, data and a few rules. How to add one: docs/languages.md.

Used by the knowledge (stems, function words, folded numbers, the gate) and by the voice.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable

from parley.languages.chinese import CHINESE
from parley.languages.english import ENGLISH
from parley.languages.french import FRENCH
from parley.languages.german import GERMAN
from parley.languages.italian import ITALIAN
from parley.languages.japanese import JAPANESE
from parley.languages.language import Language
from parley.languages.portuguese import PORTUGUESE
from parley.languages.spanish import SPANISH

__all__ = ["ENGLISH", "LANGUAGES", "MIXED", "OTHER", "Language", "detect"]

LANGUAGES: dict[str, Language] = {
    language.code: language for language in (ENGLISH, GERMAN, SPANISH, FRENCH, PORTUGUESE, ITALIAN, CHINESE, JAPANESE)
}
"""All languages, by their ISO 639-1 codes."""
LAST_LATIN = "\u024f"
"""Last letter of the Latin script, but for rare ones."""
MIXED = dataclasses.replace(ENGLISH, code="mul", name="English and others", not_found="")
"""English beside other languages: its words and phrases, but another encoder; the model finds words of its own."""
OTHER = Language("und", "another language", "", frozenset(), (), (), (), ENGLISH.waiting_messages, "")
"""A language in a script that none of ours is written in."""
MIXED_SHARE, MIXED_WORDS = 0.15, 5
"""Words that are another language's alone, per word of English alone and in all, above which a base is mixed.

English bases have at most 0.03, for the sake of names.
"""


def detect(words: Iterable[str]) -> Language:
    """Return the language with the most function words among these, or that of their script; English if nothing tells.

    Words of Chinese and Japanese are pairs of characters, as `terms.words` gives them.
    """
    counts: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    for word in words:
        first = word[0]
        if "\u3040" <= first <= "\u30ff":
            # Kana are Japanese alone; kanji, which it has as well, count as Chinese.
            counts[JAPANESE.code] += 2
        elif "\u4e00" <= first <= "\u9fff":
            counts[CHINESE.code] += 1
        elif first > LAST_LATIN and first.isalpha():
            counts[OTHER.code] += 1
        else:
            found = [language.code for language in LANGUAGES.values() if word in language.function_words]
            counts.update(found)
            alone.update(found if len(found) == 1 else ())
    best = max(counts, key=counts.__getitem__, default=ENGLISH.code)
    # Only English has an encoder of its own: of the others, the nearest will do.
    if best == ENGLISH.code:
        others = max((count for code, count in alone.items() if code != best), default=0)
        return MIXED if others > max(MIXED_WORDS, MIXED_SHARE * alone[best]) else ENGLISH
    return LANGUAGES.get(best, OTHER)
