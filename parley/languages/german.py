"""German."""

from collections.abc import Iterator

from parley.languages.language import Language, pairs, phrases, words

ONES = ["null", "ein", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn", "elf", "zwölf"]
TEENS = {16: "sechzehn", 17: "siebzehn"}
TENS = ["-", "zehn", "zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"]


def cardinal(number: int) -> str:
    """Return a number from 0 to 999 as one word, as German writes it: 121 is "hunderteinundzwanzig"."""
    if number == 1:
        return "eins"
    if number >= 100:
        hundreds, rest = divmod(number, 100)
        head = "" if hundreds == 1 else ONES[hundreds]
        return f"{head}hundert{cardinal(rest) if rest else ''}"
    if number <= 12:
        return ONES[number]
    if number < 20:
        return TEENS.get(number, f"{ONES[number - 10]}zehn")
    tens, ones = divmod(number, 10)
    return f"{ONES[ones]}und{TENS[tens]}" if ones else TENS[tens]


def spellings(number: int) -> Iterator[tuple[str, str]]:
    """Yield all ways to say a number from 0 to 999, and how each is written."""
    digits = str(number)
    yield cardinal(number), digits
    if number == 2:
        yield "zwo", digits
    if 0 < number < 32:
        stem = {1: "ers", 3: "drit", 7: "sieb", 8: "ach"}.get(number, cardinal(number) + ("s" if number > 19 else ""))
        for ending in ("te", "ten", "ter"):
            yield stem + ending, f"{digits}."
    if 100 <= number < 200:
        yield f"ein{cardinal(number)}", digits
    if number > 100 and number % 100:
        hundreds = cardinal(number // 100 * 100)
        yield from (
            (f"{hundreds} {cardinal(number % 100)}", digits),
            (f"{hundreds}und{cardinal(number % 100)}", digits),
        )


GERMAN = Language(
    code="de",
    name="German",
    stemmer="german",
    function_words=words(
        """
        der die das den dem des ein eine einen einem einer eines kein keine keinen keinem keiner ich mich mir mein
        meine meinen meinem meiner du dich dir dein deine er ihn ihm sie es ihr ihre ihren ihrem ihrer wir uns unser
        unsere euch euer man sich selbst bin bist ist sind seid war waren gewesen sein habe hast hat haben hatte
        hatten hab werde wirst wird werden wurde wurden kann kannst können könnte könnten konnte muss musst müssen
        musste darf dürfen dürfte soll sollen sollte will wollen wollte mag möchte möchten würde würden mache machst
        macht machen gemacht tun tut gibt geben gehen geht und oder aber sondern denn wenn weil dass ob als wie so
        dann also doch ja nein nicht nichts an am auf aus bei beim bis durch für gegen in im ins mit nach ohne seit
        über um unter von vom vor zu zum zur zwischen hier da dort wann wo warum wieso weshalb was wer wen wem welche
        welcher welches welchen wohin woher alle alles jede jeder jedes mehr sehr auch noch nur schon mal etwas jemand
        denn eigentlich vielleicht bitte danke hallo äh ähm halt eben gern gerne heute jetzt mir wissen sagen brauche
        brauchen viel viele ihnen diese dieser dieses diesen wieder hätte hätten
        """
    ),
    spellings=spellings,
    thousand="tausend",
    repeats={"doppel": 2, "zweimal": 2},
    joiners=words("und komma punkt strich bindestrich schrägstrich euro cent"),
    letters={
        **{letter: letter for letter in "abcdefghijklmnopqrstuvwxyz"},
        **pairs(
            """
            be=b ce=c zeh=c de=d eff=f ef=f ge=g geh=g ha=h jot=j ka=k el=l ell=l em=m emm=m en=n enn=n pe=p qu=q kuh=q
            er=r err=r es=s ess=s te=t tee=t vau=v fau=v we=w weh=w ix=x iks=x ypsilon=y zett=z zet=z
            anton=a berta=b cäsar=c dora=d emil=e friedrich=f gustav=g heinrich=h ida=i julius=j kaufmann=k ludwig=l
            martha=m nordpol=n otto=o paula=p quelle=q richard=r samuel=s siegfried=s theodor=t ulrich=u viktor=v
            wilhelm=w xanthippe=x zeppelin=z zacharias=z
            """
        ),
    },
    small_talk=phrases(
        """
        [kann/darf] ich [sonst/ihnen/ihnen sonst/] [noch/] [etwas/bei etwas/mit etwas] [für sie
        tun/helfen/anbieten/behilflich sein], [haben sie/gibt es] [noch/sonst noch/] [weitere/andere/]
        [fragen/etwas], [sonst/] noch etwas, [sonst/] noch fragen, [wie/womit/was] kann ich [ihnen/] [sonst/]
        [noch/] [helfen/für sie tun], hallo, hallo zusammen, guten tag, guten morgen, guten abend, gute nacht, moin,
        moin moin, servus, grüß gott, grüezi, hi, hey, tag, abend, na, wie geht es ihnen, wie geht's, wie
        geht es dir, wie geht es, wie geht es so, mir geht es gut, mir geht's gut,
        [vielen/besten/herzlichen/schönen/tausend/ganz herzlichen/recht herzlichen/] dank [für die hilfe/für ihre
        hilfe/für die auskunft/für alles/für die information/nochmal/noch mal/], danke [ihnen/schön/sehr/nochmal/für
        alles/für ihre zeit/für die hilfe/ihnen auch/], danke, danke schön, dankeschön, vielen dank, besten dank,
        herzlichen dank, danke sehr, tausend dank, danke ihnen, ich danke ihnen, vielen herzlichen dank, danke für
        die hilfe, danke für ihre hilfe, für die hilfe, für ihre hilfe, für die auskunft, danke für die auskunft,
        danke für die information, sehr nett, das ist nett, sehr freundlich, das ist sehr nett, das ist sehr
        freundlich, sie haben mir sehr geholfen, das hilft mir, das hilft mir weiter, das hat mir geholfen, bitte,
        bitte schön, bitte sehr, gern geschehen, gerne, gern, tschüss, tschüs, tschau, ciao, auf wiedersehen, auf
        wiederhören, wiedersehen, wiederhören, bis bald, bis dann, bis später, bis morgen, schönen tag, schönen tag
        noch, einen schönen tag, einen schönen tag noch, ihnen auch, gleichfalls, ebenfalls, schönes wochenende,
        mach's gut, [ich glaube/ich denke/gut/dann/so/] [das/dann] [war's/wars/war es/wär's/wärs/wäre es/ist es]
        [dann/schon/auch schon/für heute/von mir/], [das/] [war/ist/wäre] [dann/auch schon/] alles [für
        heute/danke/von mir/], das war's, das war alles, das wär's, das ist alles, das wäre alles, mehr nicht, sonst
        nichts, nichts weiter, keine weiteren fragen, keine fragen mehr, ich habe keine fragen mehr, alles klar,
        alles gut, passt, passt schon, in ordnung, geht klar, für heute, schon gut, fertig, egal, macht nichts,
        vergessen sie es, vergiss es, kein problem, nicht so wichtig, nicht nötig, lassen sie es, schon okay, ist
        egal, super, toll, prima, perfekt, klasse, wunderbar, ausgezeichnet, schön, sehr schön, gut, sehr gut, fein,
        spitze, genial, hervorragend, cool, das ist gut, das ist schön, das ist super, das klingt gut, klingt gut,
        okay, ok, ja, ja ja, jawohl, jo, genau, richtig, stimmt, ach so, achso, aha, ah, oh, hm, hmm, mhm, äh, ähm,
        öh, tja, so, also, na ja, naja, ach, wow, echt, wirklich, verstehe, ich verstehe, verstanden, ich habe
        verstanden, klar, na klar, natürlich, logisch, sicher, selbstverständlich, interessant, dann, doch,
        nun, gut dann, moment, einen moment, moment bitte, einen moment bitte, moment mal, sekunde, eine sekunde,
        augenblick, einen augenblick, warten sie, warte, warte mal, warten sie mal, warten sie kurz, warten sie
        bitte, kurz, kleinen moment, ich überlege, ich muss überlegen, lassen sie mich überlegen, ich schaue mal,
        bleiben sie dran, ich bin gleich wieder da, gleich, hören sie mich, können sie mich hören, hörst du
        mich, sind sie da, sind sie noch da, ist da jemand, ist jemand da, noch da, ich höre sie nicht, ich kann sie
        nicht hören, ich höre nichts, test, hallo ist da jemand, [können/könnten/würden] sie [das/es/] [bitte/]
        [noch mal/nochmal/noch einmal/] [wiederholen/sagen] [bitte/], [kannst/könntest] du [das/es/] [bitte/] [noch
        mal/nochmal/noch einmal/] [wiederholen/sagen], [was/wie] haben sie [gerade/eben/] gesagt,
        [sagen/wiederholen] sie [das/es/] [bitte/] [noch mal/nochmal/noch einmal/] [bitte/], [das/] [habe/hab] ich
        [jetzt/leider/] nicht [ganz/] [verstanden/gehört/mitbekommen], [ich/] [habe/hab] [sie/das/]
        [jetzt/leider/akustisch/] nicht [ganz/richtig/] [verstanden/gehört], [können/könnten] sie [bitte/]
        [etwas/ein bisschen/ein wenig/] [lauter/langsamer/deutlicher] [sprechen/reden] [bitte/], [bitte/] [etwas/ein
        bisschen/ein wenig/] [lauter/langsamer/deutlicher] [bitte/], [sprechen/reden] sie [bitte/] [etwas/]
        [lauter/langsamer/deutlicher], [spreche/rede/telefoniere] ich [hier/gerade/] mit [einem/einer/] [echten/]
        [menschen/roboter/maschine/computer/ki/bot/person], [sind sie/bist du/ist das] [hier/] [ein/eine/]
        [echter/echte/] [mensch/roboter/maschine/computer/ki/bot/person/aufnahme/automat/echt], können sie das
        wiederholen, können sie das bitte wiederholen, könnten sie das wiederholen, könnten sie das bitte
        wiederholen, wiederholen sie bitte, bitte wiederholen, wiederholen sie das, wiederholen sie das bitte, noch
        einmal, noch einmal bitte, nochmal, nochmal bitte, noch mal, noch mal bitte, wie bitte, was, wie, hä,
        entschuldigung, entschuldigen sie, verzeihung, tut mir leid, sorry, was haben sie gesagt, was war das, ich
        habe sie nicht verstanden, ich habe das nicht verstanden, das habe ich nicht verstanden, habe ich nicht
        verstanden, nicht verstanden, ich verstehe nicht, ich verstehe sie nicht, das verstehe ich nicht, sagen sie
        das noch einmal, sagen sie das nochmal, sagen sie das bitte noch einmal, lauter bitte, lauter, etwas lauter,
        langsamer, langsamer bitte, etwas langsamer, sprechen sie langsamer, sprechen sie lauter, können sie
        langsamer sprechen, können sie lauter sprechen, sprechen sie bitte langsamer, nicht so schnell, sind sie ein
        roboter, bist du ein roboter, sind sie ein mensch, bist du ein mensch, sind sie echt, sind sie eine
        maschine, bist du echt, sind sie eine ki, bist du eine ki, sind sie ein computer, spreche ich mit einem
        roboter, spreche ich mit einer maschine, spreche ich mit einem menschen, rede ich mit einem roboter, rede
        ich mit einem menschen, ist das ein roboter, ist das eine maschine, wer sind sie, wer bist du, wie heißen
        sie, wie heißt du, wie ist ihr name, mit wem spreche ich, mit wem rede ich, was sind sie, erzähl mir einen
        witz, erzählen sie einen witz, hör auf, hören sie auf, stopp, stop, halt, ruhe, genug, das reicht, lassen
        sie mich ausreden, ich weiß, weiß ich, keine ahnung, ich weiß nicht, ich rufe wieder an, ich melde mich, ich
        melde mich wieder, ich rufe später an, später, vielleicht später, ich überlege es mir, nur so
        """
    ),
    assents=phrases(
        """
        ja, ja bitte, ja gerne, ja gern, gerne, gern, sehr gerne, sehr gern, bitte, ja klar, klar, na klar,
        natürlich, okay, ok, jawohl, jo, genau, ja genau, selbstverständlich, auf jeden fall, unbedingt, sicher, ja
        das wäre nett, das wäre nett, das wäre schön, das wäre gut, das wäre toll, das wäre super, das wäre
        hilfreich, machen sie das, ja machen sie das, mach das, tun sie das, gute idee, einverstanden, in ordnung,
        alles klar, von mir aus, warum nicht, das klingt gut, klingt gut, ja das klingt gut, erzählen sie, sagen sie
        es mir, ja sagen sie, bitte sagen sie es mir, erzählen sie mehr, das interessiert mich, ich bin
        interessiert, würde ich gern, das würde ich gerne, das möchte ich, ja möchte ich, ich möchte das, mhm, gut,
        passt, beides, beide, alle, das erste, die erste, der erste, den ersten, ersteres, das zweite, die zweite,
        der zweite, den zweiten, letzteres, das dritte, die dritte, der dritte, den dritten, das letzte, die letzte,
        der letzte, den letzten, nummer eins, nummer zwei
        """
    ),
    refusals=phrases(
        """
        tschüss, auf wiederhören, nein, nein danke, nee, nö, ne, ach nein, nicht nötig, das ist nicht nötig, lieber
        nicht, nicht jetzt, nein das war's, eher nicht, auf keinen fall, brauche ich nicht, das brauche ich nicht,
        kein bedarf, keins von beiden, heute nicht, nicht wirklich
        """
    ),
    picks={
        **dict.fromkeys(("erste", "ersten", "erster", "ersteres", "eins"), 0),
        **dict.fromkeys(("zweite", "zweiten", "zweiter", "zwei"), 1),
        **dict.fromkeys(("dritte", "dritten", "dritter"), 2),
        **dict.fromkeys(("letzte", "letzten", "letzteres"), -1),
    },
    waiting_messages=("Einen Moment bitte.", "Ich sehe kurz nach.", "Einen Augenblick, ich schaue nach."),
    not_found="Dazu habe ich leider keine Informationen.",
    may_help="Vielleicht hilft Ihnen das:",
    at_your_service="Wenn Sie eine Frage haben, bin ich gern für Sie da.",
    refers_back=words(
        """
        er sie es ihr ihre ihren sein seine diese dieser dieses dies das dabei dafür dazu davon danach
        dann damit dort beide auch aber und sonst außerdem so solche deshalb
        """
    ),
    asks_figure=phrases(
        """
        wie viel, wie viele, wieviel, wieviele, wie lange, wie alt, wie weit, wie oft, wie hoch, wie
        tief, wie groß, wie spät, wann, um wie viel uhr, was kostet, kostet, kosten, preis, gebühr
        """
    ),
)
