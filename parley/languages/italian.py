"""Italian."""

from collections.abc import Iterator

from parley.languages.language import Language, phrases, words

ONES = [
    "zero",
    "uno",
    "due",
    "tre",
    "quattro",
    "cinque",
    "sei",
    "sette",
    "otto",
    "nove",
    "dieci",
    "undici",
    "dodici",
    "tredici",
    "quattordici",
    "quindici",
    "sedici",
    "diciassette",
    "diciotto",
    "diciannove",
]
TENS = ["-", "-", "venti", "trenta", "quaranta", "cinquanta", "sessanta", "settanta", "ottanta", "novanta"]


def cardinal(number: int) -> str:
    """Return a number from 0 to 999 as one word: 128 is "centoventotto"."""
    if number >= 100:
        hundreds, rest = divmod(number, 100)
        return ("" if hundreds == 1 else ONES[hundreds]) + "cento" + (cardinal(rest) if rest else "")
    if number < 20:
        return ONES[number]
    tens, ones = divmod(number, 10)
    # "ventuno" and "ventotto": a vowel is lost before another one.
    head = TENS[tens][:-1] if ones in (1, 8) else TENS[tens]
    return head + (ONES[ones] if ones else "")


def spellings(number: int) -> Iterator[tuple[str, str]]:
    """Yield all ways to say a number from 0 to 999, and how each is written."""
    yield cardinal(number), str(number)
    hundreds, rest = divmod(number, 100)
    if hundreds and rest:
        yield f"{cardinal(hundreds * 100)} {cardinal(rest)}", str(number)


ITALIAN = Language(
    code="it",
    name="Italian",
    stemmer="italian",
    function_words=words(
        """
        il lo la i gli le l un uno una di del dello della dei degli delle a al allo alla ai agli alle da dal dalla dai
        dalle in nel nella nei nelle con su sul sulla sui sulle per tra fra senza e ed o ma che chi se come perché
        quando dove quale quali quanto quanta quanti quante cosa io mi me mio mia miei mie tu ti te tuo tua lui lei si
        suo sua suoi sue noi ci nostro nostra voi vi vostro vostra loro sono sei è siamo siete era erano stato essere
        sarà sarebbe ho hai ha abbiamo avete hanno avere aveva avrei posso può puoi potete possono potrei potrebbe
        voglio vuole vorrei vogliamo devo deve devono vado va andare faccio fa fanno fare dà dare questo questa questi
        queste quello quella quelli quelle molto più meno anche già non sì no niente qualcosa qualcuno tutto tutta
        tutti tutte altro altra stesso così tanto ciao grazie favore allora bene bisogno sapere dire dica qui lì là
        ora oggi c è cui ne
        """
    ),
    spellings=spellings,
    thousand="mila",
    repeats={"doppio": 2, "doppia": 2},
    joiners=words("e virgola punto trattino barra euro centesimi"),
    letters={letter: letter for letter in "abcdefghijklmnopqrstuvwxyz"},
    small_talk=phrases(
        """
        ciao, salve, buongiorno, buon giorno, buonasera, buona sera, buonanotte, pronto, come va, come sta, come
        stai, sto bene, tutto bene, bene grazie, piacere, molto piacere, grazie, grazie mille, molte grazie, tante
        grazie, la ringrazio, grazie per l'aiuto, grazie dell'aiuto, per l'aiuto, per l'informazione, per tutto,
        molto gentile, è molto gentile, mi è stato di grande aiuto, prego, di niente, arrivederci, arrivederla, a
        presto, a dopo, a domani, buona giornata, buona serata, buon fine settimana, addio, anche a lei,
        altrettanto, ci sentiamo, è tutto, questo è tutto, era tutto, basta così, nient'altro, nessun'altra domanda,
        non ho altre domande, a posto, tutto a posto, per oggi, per ora, va bene così, non importa, fa niente, non
        fa niente, lasci stare, lascia stare, non si preoccupi, nessun problema, non serve, non c'è bisogno, ottimo,
        perfetto, eccellente, fantastico, meraviglioso, bene, molto bene, bello, va bene, d'accordo, ok, okay,
        certo, certamente, esatto, giusto, sì, sì sì, già, capito, ho capito, capisco, davvero, interessante, ah,
        oh, eh, ehm, beh, mah, allora, dunque, ecco, per favore, per piacere, un attimo, un momento, un
        secondo, un minuto, un attimo per favore, un momento per favore, aspetti, aspetta, attenda, mi faccia
        pensare, fammi pensare, vediamo, non riagganci, mi sente, mi senti, riesce a sentirmi, c'è qualcuno, è
        ancora lì, è lì, ci sei, non la sento, non sento, prova, può ripetere, può ripetere per favore, puoi
        ripetere, potrebbe ripetere, ripeta, ripeti, ripeta per favore, ancora una volta, di nuovo, come, cosa,
        scusi, mi scusi, scusa, come ha detto, cosa ha detto, non ho capito, non capisco, non ho sentito, non la
        capisco, più forte, più forte per favore, più piano, più lentamente, parli più piano, parli più forte, può
        parlare più piano, può parlare più lentamente, è un robot, sei un robot, lei è un robot, è una persona, è
        una persona vera, è umano, sei umano, è una macchina, sto parlando con un robot, sto parlando con una
        macchina, parlo con un robot, parlo con una macchina, chi è, chi sei, lei chi è, come si chiama, come ti
        chiami, con chi parlo, con chi sto parlando, mi racconti una barzelletta, basta, stop, silenzio, zitto, non
        lo so, non so, boh, ci penso, ci penserò, richiamo, richiamo dopo, più tardi, magari dopo
        """
    ),
    assents=phrases(
        """
        sì, sì grazie, sì per favore, per favore, certo, certamente, volentieri, va bene, d'accordo, ok, okay, sì
        certo, perché no, mi piacerebbe, mi interessa, sì mi interessa, sarebbe bello, sarebbe ottimo, sarebbe
        perfetto, mi dica, dica, sì mi dica, lo faccia, faccia pure, buona idea, esatto, perfetto, quello, quella,
        entrambi, entrambe, tutti e due, tutte e due, tutti, il primo, la prima, il secondo, la seconda, il terzo,
        la terza, l'ultimo, l'ultima
        """
    ),
    refusals=phrases(
        """
        no, no grazie, non ora, non serve, non è necessario, oggi no, meglio di no, nessuno, nessuno dei due
        """
    ),
    picks={
        **dict.fromkeys(("primo", "prima"), 0),
        **dict.fromkeys(("secondo", "seconda"), 1),
        **dict.fromkeys(("terzo", "terza"), 2),
        **dict.fromkeys(("ultimo", "ultima"), -1),
    },
    waiting_messages=("Un attimo, per favore.", "Controllo subito.", "Un momento, verifico."),
    not_found="Mi dispiace, non ho informazioni al riguardo.",
    may_help="Forse questo può esserle utile:",
    at_your_service="Se ha una domanda, sono a sua disposizione.",
    refers_back=words(
        """
        egli esso essa essi esse lui lei loro questo questa questi queste quello quella ciò suo sua suoi
        sue anche ma e inoltre poi allora dopo entrambi così altrimenti
        """
    ),
    asks_figure=phrases(
        """
        quanto, quanti, quanta, quante, quando, a che ora, che numero, costa, costano, prezzo, tariffa
        """
    ),
)
