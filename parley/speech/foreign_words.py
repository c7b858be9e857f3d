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
    that's there's mean means thanks thank hello hi please say says called named try order menu restaurant hotel café
    song film movie street
    """
)
"""The commonest words of English."""
SPOKEN = {
    "de": """geöffnet guten gute moment morgen tag abend nacht uhr wiederhören wiedersehen klar gerne natürlich alles
        danke bitte schön vielen dank genau stimmt leider selbstverständlich hallo willkommen tschüss""",
    "es": """abierto abrimos buenas buenos días lunes mañana momento tardes noches viernes perfecto muy bien claro
        gracias hola adiós usted gusto ayudarle pedido""",
    "fr": """aujourd'hui c'est d'accord demain heures jusqu'à lundi moment ouvert ouverts bientôt instant bien sûr merci
        bonsoir bonjour oui revoir s'il plaît votre commande entendu""",
    "it": """aperti aperto buongiorno buonasera domani fino lunedì momento ore prego grazie mille certo perfetto bene
        ciao arrivederci subito""",
    "pt": "aberto abertos amanhã dia momento tudo bem obrigado obrigada olá perfeito certo claro tarde noite boa bom",
}
"""Words of the languages of `parley/languages/` that an answer on the phone holds, beside their function words."""
# Languages that `parley/languages/` does not have.
FURTHER = {
    "nl": """de het een en van is niet dat die in te met op voor zijn ik je we wij u er aan ook als maar om bij naar
        uit nog wel kan kunnen wordt heeft hebben ons onze uw dank hallo goedemorgen ja nee vandaag morgen tot
        open geopend bestelling onderweg alstublieft moment ziens graag natuurlijk zeker hoe""",
    "pl": """i w na z do nie się jest że to o jak ale po co tak dla od przez czy są my nasz dzień dobry dziękuję
        proszę dziś jutro otwarte godziny jesteśmy bardzo""",
    "sv": """och att det som en på är av för med till den har de inte om ett men vi var jag kan från så när hej tack
        idag öppet vår ni du ja nej mycket""",
    "da": """og at det som en på er af for med til den har de ikke om et men vi var jeg kan fra så når hej tak vores
        åben åpent åbent i dag ja nej nei mange velkommen takk jeg""",
    "tr": """ve bir bu da de için ile çok ne ben sen biz siz var yok evet merhaba teşekkürler teşekkür ederim lütfen
        bugün saat kadar""",
    "fi": """ja on ei se että olemme kiitos hei moi kyllä avoinna auki hyvää päivää tervetuloa me te tänään kuinka
        voin""",
    "cs": "dobrý děkuji prosím máme otevřeno od je ano ne na se že jsme dnes pro jak hodin",
    "hu": "nyitva vagyunk köszönöm jó napot igen nem és hogy egy az van ma órától óráig",
    "ro": "bună ziua mulțumesc suntem deschiși de la până și în nu este pentru cu vă astăzi",
    "id": "kami buka dari sampai terima kasih selamat pagi siang malam tidak anda yang untuk dengan ini itu bisa",
}
OTHERS = {
    language: words(text) | (LANGUAGES[language].function_words if language in LANGUAGES else frozenset())
    for language, text in {**SPOKEN, **FURTHER}.items()
}
"""The commonest words of other languages in Latin letters, by their code."""
HOMOGRAPHS = words(
    """
    open moment instant till mange onze gusto este bien bene dank fran tack anda tarde yang mille inte etta morgen
    subito prego alles schon adios ciao
    """
)
"""Words of other languages that look like an English word or a name."""
SURE = (
    frozenset(word for text in (*SPOKEN.values(), *FURTHER.values()) for word in words(text) if len(word) > 3)
    - HOMOGRAPHS
    - ENGLISH
)
"""Words one of which tells the language of a short clause without English words."""
SHORT = 4
"""Words of a short clause."""
LINKS = words(
    """
    de la las los del el y e le les du des et di da do dos das della delle dei degli al von der den dem und zu zum zur
    am im van het ter ten
    """
)
"""Words in small letters within names: "Rio de la Plata"."""
RARE = re.compile("[ąćęłńśźżşğıőűřěůčšžđășțøåßõäöüæ\u1ea0-\u1ef9]")
"""Letters of no word that English has borrowed, but for `BORROWED`."""
FAREWELLS = frozenset("ciao adios moment van bravo prego".split())  # noqa: SIM905
"""Words of other languages that an English answer may hold alone."""
BORROWED = frozenset({"über", "smörgåsbord", "doppelgänger", "fräulein", "jäger", "gemütlich", "ångström"})
ABBREVIATION = 3
"""Longest abbreviation in capitals, in letters."""
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_QUOTATION = re.compile(r"\"[^\"]*\"|“[^”]*”|„[^“”]*[“”]|«[^»]*»")


def foreign_language(text: str) -> str | None:
    """Return the code of the language of a text, None for English and what nothing tells.

    Of languages that are not in `OTHERS` some are known by their letters: "another language".
    """
    # What stands around a quotation tells, if anything does.
    unquoted = _QUOTATION.sub(" ", text)
    # Initials and abbreviations are in no language: "C.", "AI".
    found = [
        word
        for word in _WORD.findall(unquoted if _WORD.search(unquoted) else text)
        if not (len(word) <= ABBREVIATION and word.isupper())
    ]
    said = [folded(word).replace("’", "'") for word in found]
    english = sum(word in ENGLISH for word in said)
    counts = {language: sum(word in known for word in said) for language, known in OTHERS.items()}
    language, most = max(counts.items(), key=lambda one: one[1])
    if all(len(word) == 1 for word in said) or (len(said) == 1 and said[0] in FAREWELLS):
        return None
    if _is_name(found, said) and most < len(said):
        return None
    # Of a greeting each word must be known; of a sentence a quarter are such words.
    is_enough = most >= 2 and 4 * most >= len(said) if len(said) > 2 else 0 < most == len(said)
    if is_enough and most > 2 * english:
        return language
    is_sure = (
        len(said) <= SHORT and bool(SURE & set(said)) and not any(len(word) > 1 and word in ENGLISH for word in said)
    )
    if is_sure:
        return language
    is_rare = any(word.islower() and RARE.search(word) and word not in BORROWED for word in found)
    return "another language" if is_rare and not english else None


def _is_name(found: list[str], said: list[str]) -> bool:
    """Return True for words that look like a name or several: "Rue de Rivoli", "Los Angeles, Las Vegas"."""
    capitals = [word for word in found if word[0].isupper()]
    links = [word for word, plain in zip(found, said, strict=True) if not word[0].isupper() and plain in LINKS]
    return len(capitals) > 1 and len(capitals) + len(links) == len(found)
