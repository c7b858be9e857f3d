"""French."""

from collections.abc import Iterator

from parley.languages.language import Language, pairs, phrases, words

ONES = [
    "zéro",
    "un",
    "deux",
    "trois",
    "quatre",
    "cinq",
    "six",
    "sept",
    "huit",
    "neuf",
    "dix",
    "onze",
    "douze",
    "treize",
    "quatorze",
    "quinze",
    "seize",
    "dix-sept",
    "dix-huit",
    "dix-neuf",
]
TENS = ["-", "-", "vingt", "trente", "quarante", "cinquante", "soixante", "soixante", "quatre-vingt", "quatre-vingt"]


def cardinal(number: int) -> str:
    """Return a number from 0 to 999 in words, as in France: 71 is "soixante et onze"."""
    if number >= 100:
        hundreds, rest = divmod(number, 100)
        head = "cent" if hundreds == 1 else f"{ONES[hundreds]} cent"
        return f"{head} {cardinal(rest)}" if rest else head
    if number < 20:
        return ONES[number]
    tens, ones = divmod(number, 10)
    if tens in (7, 9):
        ones += 10
    if not ones:
        return TENS[tens]
    joint = " et " if ones in (1, 11) and tens < 8 else "-"
    return f"{TENS[tens]}{joint}{ONES[ones]}"


def spellings(number: int) -> Iterator[tuple[str, str]]:
    """Yield all ways to say a number from 0 to 999, and how each is written; Belgium and Switzerland have their own."""
    yield cardinal(number), str(number)
    if number == 80:
        yield "quatre-vingts", "80"
    tens, ones = divmod(number, 10)
    for other, name in ((7, "septante"), (8, "huitante"), (9, "nonante")):
        if tens == other:
            yield f"{name} et un" if ones == 1 else f"{name}-{ONES[ones]}" if ones else name, str(number)
    if 0 < number < 32:
        stem = {1: "premier", 5: "cinquième", 9: "neuvième"}.get(number, f"{cardinal(number).removesuffix('e')}ième")
        yield stem, f"{number}{'er' if number == 1 else 'e'}"
    if number >= 200 and not number % 100:
        yield f"{cardinal(number)}s", str(number)


FRENCH = Language(
    code="fr",
    name="French",
    stemmer="french",
    function_words=words(
        """
        le la les l un une des du de d à a au aux en dans sur sous pour par avec sans chez vers entre depuis pendant
        avant après et ou où mais donc or ni car que qu qui quoi dont si comme quand comment pourquoi combien quel
        quelle quels quelles est ce je j me m moi mon ma mes tu te t toi ton ta tes il elle on se s lui leur leurs
        nous notre nos vous votre vos ils elles eux y suis es est sommes êtes sont été être était étaient sera serait
        ai as avons avez ont avoir avait eu aura aurait fais fait faire faites font vais vas va allez aller vont peux
        peut pouvez peuvent pouvoir pourrais pourriez pourrait veux veut voulez vouloir voudrais dois doit devez faut
        puis ce cet cette ces cela ça c ceci celui celle ceux ne n pas plus moins très aussi trop encore déjà ici là
        tout toute tous toutes rien quelque quelqu chose quelques chaque même autre autres bien oui non bonjour merci
        svp s'il plaît plait alors euh besoin savoir dire dites aujourd hui maintenant
        """
    ),
    spellings=spellings,
    thousand="mille",
    repeats={"double": 2, "triple": 3},
    joiners=words("et virgule point tiret barre euro euros centime centimes"),
    letters={
        **{letter: letter for letter in "abcdefghijklmnopqrstuvwxyz"},
        **pairs(
            """
            be=b ce=c de=d effe=f ge=g hache=h ji=j ka=k elle=l aime=m haine=n pe=p cul=q erre=r esse=s the=t
            ve=v ixe=x zede=z
            """
        ),
    },
    small_talk=phrases(
        """
        bonjour, bonsoir, salut, allô, coucou, bonne nuit, bonjour à tous, bonjour madame, bonjour monsieur, ça va,
        comment ça va, comment allez-vous, comment vas-tu, vous allez bien, tu vas bien, ça va bien, je vais bien,
        très bien, enchanté, enchantée, merci, merci beaucoup, merci bien, mille mercis, merci à vous, je vous
        remercie, merci pour votre aide, merci pour l'aide, pour votre aide, pour les informations, pour
        l'information, pour tout, c'est gentil, c'est très gentil, vous êtes gentil, vous m'avez bien aidé, ça
        m'aide, de rien, je vous en prie, au revoir, à bientôt, à plus tard, à plus, à demain, bonne journée, bonne
        soirée, bon week-end, bonne fin de journée, adieu, ciao, vous aussi, vous de même, pareillement, c'est tout,
        ce sera tout, c'était tout, rien d'autre, plus de questions, je n'ai plus de questions, pas d'autre
        question, c'est bon, tout va bien, pour l'instant, pour aujourd'hui, ce n'est pas grave, c'est pas grave,
        pas grave, peu importe, laissez tomber, laisse tomber, oubliez, tant pis, pas de problème, aucun problème,
        ne vous inquiétez pas, pas besoin, super, parfait, génial, excellent, formidable, magnifique, bien, bon,
        très bon, d'accord, ok, okay, entendu, ça marche, ça me va, impeccable, chouette, c'est bien, c'est super,
        c'est parfait, oui, oui oui, ouais, exact, exactement, tout à fait, c'est ça, voilà, bien sûr, évidemment,
        certainement, je vois, ah bon, ah, oh, euh, ben, bah, hein, hum, mh, mmm, eh bien, alors, donc, compris,
        j'ai compris, je comprends, vraiment, c'est vrai, intéressant, s'il vous plaît, s'il te plaît,
        un instant, un moment, une seconde, une minute, un instant s'il vous plaît, attendez, attends, attendez un
        instant, attendez une seconde, ne quittez pas, patientez, laissez-moi réfléchir, je réfléchis, je vais
        réfléchir, voyons, voyons voir, j'arrive, vous m'entendez, tu m'entends, est-ce que vous m'entendez,
        m'entendez-vous, vous êtes là, vous êtes toujours là, il y a quelqu'un, y a quelqu'un, je ne vous entends
        pas, je vous entends mal, test, pouvez-vous répéter, vous pouvez répéter, pourriez-vous répéter, pouvez-vous
        répéter s'il vous plaît, est-ce que vous pouvez répéter, répétez, répétez s'il vous plaît, répète, encore
        une fois, pardon, excusez-moi, désolé, désolée, je suis désolé, comment, quoi, vous dites, qu'avez-vous dit,
        qu'est-ce que vous avez dit, je n'ai pas compris, j'ai pas compris, je ne comprends pas, je comprends pas,
        je n'ai pas entendu, j'ai pas entendu, je ne vous ai pas compris, plus fort, plus fort s'il vous plaît, plus
        lentement, plus lentement s'il vous plaît, parlez plus lentement, parlez plus fort, pouvez-vous parler plus
        lentement, moins vite, vous êtes un robot, es-tu un robot, êtes-vous un robot, est-ce que vous êtes un
        robot, tu es un robot, vous êtes une machine, vous êtes une vraie personne, êtes-vous humain, êtes-vous une
        vraie personne, êtes-vous une personne réelle, vous êtes humain, je parle à un robot, je parle à une
        machine, est-ce que je parle à un robot, est-ce que je parle à une machine, c'est un robot, qui êtes-vous,
        qui es-tu, c'est qui, comment vous appelez-vous, comment tu t'appelles, à qui je parle, quel est votre nom,
        racontez-moi une blague, arrêtez, stop, silence, ça suffit, taisez-vous, je ne sais pas, je sais pas, aucune
        idée, je vais y réfléchir, je rappellerai, je vous rappelle, je rappelle plus tard, plus tard
        """
    ),
    assents=phrases(
        """
        oui, oui s'il vous plaît, s'il vous plaît, oui merci, volontiers, avec plaisir, bien sûr, d'accord, ok,
        okay, entendu, allez-y, vas-y, oui allez-y, oui bien sûr, je veux bien, oui je veux bien, pourquoi pas, ça
        m'intéresse, ça me va, ça marche, ce serait bien, ce serait super, ce serait gentil, ce serait parfait,
        c'est parfait, parfait, dites-moi, oui dites-moi, dites, faites, faites-le, bonne idée, exactement, tout à
        fait, absolument, certainement, ouais, celui-là, celle-là, les deux, tous les deux, tous, le premier, la
        première, le deuxième, la deuxième, le second, la seconde, le troisième, la troisième, le dernier, la
        dernière, très bien, oui ça m'intéresse
        """
    ),
    refusals=phrases(
        """
        non, non merci, pas vraiment, pas maintenant, pas besoin, ce n'est pas la peine, c'est pas la peine, ce
        n'est pas nécessaire, pas aujourd'hui, ni l'un ni l'autre, aucun
        """
    ),
    picks={
        **dict.fromkeys(("premier", "premiere"), 0),
        **dict.fromkeys(("deuxieme", "second", "seconde"), 1),
        "troisieme": 2,
        **dict.fromkeys(("dernier", "derniere"), -1),
    },
    waiting_messages=("Un instant, s'il vous plaît.", "Je regarde cela tout de suite.", "Un moment, je vérifie."),
    not_found="Je suis désolé, je n'ai pas d'information à ce sujet.",
    may_help="Ceci peut vous aider :",
    at_your_service="Je suis là si vous avez une question.",
    refers_back=words(
        """
        il elle ils elles ce cet cette ces cela ça ceci son sa ses leur leurs aussi mais et ensuite puis
        alors après sinon celui celle ceux
        """
    ),
    asks_figure=phrases(
        """
        combien, quand, à quelle heure, quel âge, quel numéro, coûte, coûtent, prix, tarif
        """
    ),
)
