"""The language of a text in Latin letters, by the commonest words: for a voice that says English only.

A clause is short, and an English one may name "La Casa de Papel": only where the words of another language outweigh the
English ones is it taken for that language. Nothing here knows a voice.
"""

import re

from parley.languages import LANGUAGES
from parley.languages.language import folded, words

# Hesitations are no words of an answer, but words of other languages.
ENGLISH = (LANGUAGES["en"].function_words - {"er", "um"}) | words(
    """
    one had hot use said first way two long time made over find call been now let's it's i'm don't can't we're you're
    that's there's
    """
)
"""The commonest words of English."""
SPOKEN = {
    "de": "geöffnet guten moment morgen tag uhr wiederhören",
    "es": "abierto abrimos buenas buenos días lunes mañana momento tardes viernes",
    "fr": "aujourd'hui c'est d'accord demain heures jusqu'à lundi moment ouvert ouverts",
    "it": "aperti aperto buongiorno domani fino lunedì momento ore prego",
    "pt": "aberto abertos amanhã dia momento",
}
"""Words of the languages of `parley/languages/` that an answer on the phone holds, beside their function words."""
# Languages that `parley/languages/` does not have.
FURTHER = {
    "nl": """de het een en van is niet dat die in te met op voor zijn ik je we wij u er aan ook als maar om bij naar
        of uit nog wel kan kunnen wordt heeft hebben ons onze uw dank hallo goedemorgen ja nee vandaag morgen tot
        open geopend alstublieft moment""",
    "pl": """i w na z do nie się jest że to o jak ale po co tak dla od przez czy są my nasz dzień dobry dziękuję
        proszę dziś jutro otwarte godziny""",
    "sv": """och att det som en på är av för med till den har de inte om ett men vi var jag kan från så när hej tack
        idag öppet vår ni du ja nej""",
    "tr": "ve bir bu da de için ile çok ne ben sen biz siz var yok evet merhaba teşekkürler lütfen bugün saat",
}
OTHERS = {
    language: words(text) | (LANGUAGES[language].function_words if language in LANGUAGES else frozenset())
    for language, text in {**SPOKEN, **FURTHER}.items()
}
"""The commonest words of other languages in Latin letters, by their code."""
ABBREVIATION = 3
"""Longest abbreviation in capitals, in letters."""
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


def foreign_language(text: str) -> str | None:
    """Return the code of the language of a text if it is one of `OTHERS`, None for English and what nothing tells."""
    # Initials and abbreviations are in no language: "C.", "AI".
    found = [word for word in _WORD.findall(text) if not (len(word) <= ABBREVIATION and word.isupper())]
    said = [folded(word).replace("’", "'") for word in found]
    english = sum(word in ENGLISH for word in said)
    counts = {language: sum(word in known for word in said) for language, known in OTHERS.items()}
    language, most = max(counts.items(), key=lambda one: one[1])
    # Of a greeting each word must be known; of a sentence a quarter are such words.
    is_enough = most >= 2 and 4 * most >= len(said) if len(said) > 2 else 0 < most == len(said)
    is_letters = all(len(word) == 1 for word in said)
    return language if is_enough and most > 2 * english and not is_letters else None
