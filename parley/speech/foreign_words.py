"""The language of a text in Latin letters, by the commonest words: for a voice that says English only.

A clause is short, and an English one may name "La Casa de Papel": only where the words of another language outweigh the
English ones is it taken for that language. Nothing here knows a voice.
"""

import re

ENGLISH = frozenset(
    """
    the of and to a in is it you that he was for on are with as i his they be at one have this from or had by hot but
    some what there we can out other were all your when up use how said an each she which do their if will way about
    many then them would like so these her him has two could no than first been its who now my made over did down only
    find any may our me not please yes let's it's i'm don't can't us just here where why more very am
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
)
OTHERS = {
    language: frozenset(words.split())
    for language, words in {
        "de": """der die das und ist nicht ich sie wir ihr ein eine einen einem einer mit auf für von zu zum zur dem den
            des sich auch wie noch nach bei aus wenn oder aber haben hat wird werden können kann bitte ja nein guten tag
            danke uns unser unsere ihre ihren ihnen sind im am über bis um uhr geöffnet gerne heute morgen es hier kein
            keine was wo moment wiederhören""",
        "es": """el la los las un una unos unas y de del que en es por para con no su sus se lo le les al como más pero
            está están son hoy mañana usted ustedes nosotros nuestro nuestra hola gracias buenos buenas días tardes sí
            muy también puede puedo abierto abrimos desde hasta cuando donde qué cómo favor momento este esta tiene
            hay lunes viernes de""",
        "fr": """le la les un une des du de et est que qui dans pour pas ne je nous vous il elle ils sur avec au aux ce
            cette ces mais ou où plus bonjour merci oui non votre vos notre nos être avoir sont avez pouvez peut
            s'il plaît très aujourd'hui demain jusqu'à ouvert ouverts moment heures d'accord c'est lundi""",
        "it": """il lo la gli le un una di del della dei che è e in per con non sono si da dal al alla nel nella come
            più ma anche ciao grazie buongiorno sì vostro nostro nostra può posso oggi domani fino siamo aperti aperto
            questo questa momento prego ore lunedì""",
        "pt": """o os as um uma de do da dos das e que em é para por com não no na nos nas se seu sua mais mas como está
            estamos são você vocês nós nosso nossa olá obrigado obrigada bom dia sim pode posso hoje amanhã até aberto
            abertos momento este esta favor""",
        "nl": """de het een en van is niet dat die in te met op voor zijn ik je we wij u er aan ook als maar om bij naar
            of uit nog wel kan kunnen wordt heeft hebben ons onze uw dank hallo goedemorgen ja nee vandaag morgen tot
            open geopend alstublieft moment""",
        "pl": """i w na z do nie się jest że to o jak ale po co tak dla od przez czy są my nasz dzień dobry dziękuję
            proszę dziś jutro otwarte godziny""",
        "sv": """och att det som en på är av för med till den har de inte om ett men vi var jag kan från så när hej tack
            idag öppet vår ni du ja nej""",
        "tr": "ve bir bu da de için ile çok ne ben sen biz siz var yok evet merhaba teşekkürler lütfen bugün saat",
    }.items()
}
"""The commonest words of other languages in Latin letters, by their code."""
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


def foreign_language(text: str) -> str | None:
    """Return the code of the language of a text if it is one of `OTHERS`, None for English and what nothing tells."""
    words = [word.lower().replace("’", "'") for word in _WORD.findall(text)]
    english = sum(word in ENGLISH for word in words)
    counts = {language: sum(word in known for word in words) for language, known in OTHERS.items()}
    language, most = max(counts.items(), key=lambda one: one[1])
    # Of a greeting each word must be known; of a sentence a quarter are such words.
    is_enough = most >= 2 and 4 * most >= len(words) if len(words) > 2 else 0 < most == len(words)
    return language if is_enough and most > 2 * english else None
