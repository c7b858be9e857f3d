"""Spanish."""

from parley.languages.language import Language, pairs, phrases, words

ONES = [
    "cero",
    "uno",
    "dos",
    "tres",
    "cuatro",
    "cinco",
    "seis",
    "siete",
    "ocho",
    "nueve",
    "diez",
    "once",
    "doce",
    "trece",
    "catorce",
    "quince",
    "dieciséis",
    "diecisiete",
    "dieciocho",
    "diecinueve",
    "veinte",
    "veintiuno",
    "veintidós",
    "veintitrés",
    "veinticuatro",
    "veinticinco",
    "veintiséis",
    "veintisiete",
    "veintiocho",
    "veintinueve",
]
TENS = ["-", "-", "-", "treinta", "cuarenta", "cincuenta", "sesenta", "setenta", "ochenta", "noventa"]
HUNDREDS = [
    "-",
    "ciento",
    "doscientos",
    "trescientos",
    "cuatrocientos",
    "quinientos",
    "seiscientos",
    "setecientos",
    "ochocientos",
    "novecientos",
]


def cardinal(number: int) -> str:
    """Return a number from 0 to 999 in words: 135 is "ciento treinta y cinco"."""
    if number == 100:
        return "cien"
    if number > 100:
        hundreds, rest = divmod(number, 100)
        return HUNDREDS[hundreds] + (f" {cardinal(rest)}" if rest else "")
    if number < 30:
        return ONES[number]
    tens, ones = divmod(number, 10)
    return TENS[tens] + (f" y {ONES[ones]}" if ones else "")


SPANISH = Language(
    code="es",
    name="Spanish",
    stemmer="spanish",
    function_words=words(
        """
        el la los las lo un una unos unas al del de a ante bajo con contra desde durante en entre hacia hasta para por
        según sin sobre tras y e o u pero sino que si como porque pues cuando donde quien quienes cual cuales cuanto
        cuanta cuantos cuantas qué quién cuál cuáles cuándo dónde cómo cuánto cuánta cuántos cuántas yo me mi mí mis
        mío tú te ti tu tus él ella ello le les se su sus nosotros nosotras nos nuestro nuestra nuestros ustedes usted
        vosotros os vuestro ellos ellas suyo soy eres es somos son era eran fue fueron ser sido siendo estoy estás
        está están estaba estar estado he has ha hemos han había haber hay tengo tienes tiene tienen tenemos tener
        puedo puedes puede pueden podría podrían podemos poder debo debe deben quiero quieres quiere quisiera querría
        quieren voy vas va vamos van ir hago haces hace hacen hacer da dan dar este esta esto estos estas ese esa eso
        esos esas aquel aquella muy más menos también tampoco ya no sí ni nada algo alguien todo toda todos todas otro
        otra mismo tan tanto hola gracias favor por favor bueno pues necesito necesita saber decir dígame dime ahí
        aquí allí ahora hoy
        """
    ),
    spellings=lambda number: ((cardinal(number), str(number)),),
    thousand="mil",
    repeats={"doble": 2, "triple": 3},
    joiners=words("y con punto coma guion barra euro euros céntimos"),
    letters={
        **{letter: letter for letter in "abcdefghijklmnopqrstuvwxyz"},
        **pairs(
            """
            be=b ce=c de=d efe=f ge=g hache=h jota=j ka=k ele=l eme=m ene=n pe=p cu=q erre=r ere=r ese=s te=t uve=v ve=v
            equis=x ye=y zeta=z ceta=z
            """
        ),
    },
    small_talk=phrases(
        """
        hola, hola buenas, buenas, buenos días, buen día, buenas tardes, buenas noches, qué tal, cómo está, cómo
        está usted, cómo estás, cómo le va, muy bien, bien, estoy bien, muy bien gracias, encantado, encantada,
        mucho gusto, aló, diga, dígame, oiga, oye, gracias, muchas gracias, mil gracias, muchísimas gracias, gracias
        a usted, muy amable, es muy amable, muy amable gracias, se lo agradezco, gracias por la ayuda, gracias por
        su ayuda, por la ayuda, por su ayuda, por la información, por todo, me ha ayudado mucho, me ha servido, de
        nada, adiós, hasta luego, hasta pronto, hasta mañana, hasta la vista, chao, chau, nos vemos, que tenga un
        buen día, igualmente, feliz día, que le vaya bien, cuídese, eso es todo, eso era todo, es todo, nada más, no
        más preguntas, ya está, ya es todo, todo bien, todo claro, por hoy, por ahora, no importa, da igual,
        olvídelo, olvídalo, déjelo, no se preocupe, no pasa nada, no hay problema, tranquilo, no hace falta, genial,
        perfecto, excelente, estupendo, fantástico, maravilloso, bueno, muy bueno, qué bien, qué bueno, súper,
        fenomenal, de acuerdo, vale, ok, okay, está bien, suena bien, claro, claro que sí, por supuesto, exacto,
        correcto, eso es, cierto, sí, sí sí, ya, ya veo, entiendo, entendido, comprendo, de verdad, en serio,
        interesante, ah, oh, eh, em, este, pues, bueno pues, mmm, mhm, ajá, vaya, ay, entonces, un momento,
        un momento por favor, un segundo, un segundo por favor, un minuto, espere, espera, espere un momento, espera
        un momento, momentito, un momentito, déjeme pensar, déjeme ver, a ver, no cuelgue, ahora vuelvo, permítame,
        por favor, me oye, me oyes, me escucha, me escuchas, puede oírme, puede escucharme, está ahí, sigue ahí, hay
        alguien, hay alguien ahí, no le oigo, no le escucho, no se oye, no oigo nada, prueba, probando, puede
        repetir, puede repetirlo, puede repetir eso, puede repetir por favor, me lo repite, me lo puede repetir,
        puede repetírmelo, repita, repita por favor, repítalo, repítelo, otra vez, otra vez por favor, una vez más,
        cómo, cómo dice, cómo ha dicho, perdón, perdone, disculpe, lo siento, qué, qué ha dicho, qué dijo, no
        entiendo, no le entiendo, no entendí, no lo entiendo, no lo entendí, no he entendido, no lo he entendido, no
        comprendo, no le he entendido, más alto, más alto por favor, más despacio, más despacio por favor, más
        lento, hable más despacio, hable más alto, puede hablar más despacio, puede hablar más alto, puede hablar
        más lento, no tan rápido, es un robot, eres un robot, es usted un robot, es una máquina, es usted una
        máquina, eres una máquina, es una persona, es usted una persona, es una persona real, eres una persona, eres
        humano, es usted humano, es usted real, estoy hablando con un robot, estoy hablando con una máquina, estoy
        hablando con una persona, hablo con un robot, hablo con una máquina, hablo con una persona, quién es, quién
        eres, quién es usted, cómo se llama, cómo te llamas, con quién hablo, cuál es su nombre, cuénteme un chiste,
        cuéntame un chiste, pare, basta, silencio, cállate, es suficiente, ya basta, no sé, no lo sé, ni idea, lo
        pensaré, lo voy a pensar, luego llamo, llamo luego, llamaré más tarde, volveré a llamar, más tarde, quizá
        luego
        """
    ),
    assents=phrases(
        """
        sí, sí por favor, sí gracias, por favor, claro, claro que sí, por supuesto, vale, de acuerdo, ok, okay,
        bueno, adelante, perfecto, está bien, con gusto, sí quiero, me gustaría, sí me gustaría, me encantaría, eso
        estaría bien, estaría bien, sería genial, sería estupendo, sería perfecto, hágalo, hazlo, dígame, dígamelo,
        cuénteme, cuéntame, sí dígame, me interesa, buena idea, ese, esa, ambos, ambas, los dos, las dos, todos, el
        primero, la primera, el segundo, la segunda, el tercero, la tercera, el último, la última, exacto, eso, eso
        es, ajá, mhm, suena bien
        """
    ),
    refusals=phrases(
        """
        no, no gracias, nada, no hace falta, no es necesario, ahora no, mejor no, hoy no, en realidad no, para nada,
        ninguno, ninguna
        """
    ),
    picks={
        **dict.fromkeys(("primero", "primera"), 0),
        **dict.fromkeys(("segundo", "segunda"), 1),
        **dict.fromkeys(("tercero", "tercera"), 2),
        **dict.fromkeys(("ultimo", "ultima"), -1),
    },
    waiting_messages=("Un momento, por favor.", "Déjeme consultarlo.", "Enseguida lo miro."),
    not_found="Lo siento, no tengo información sobre eso.",
    may_help="Quizás esto le sirva:",
    at_your_service="Si tiene alguna pregunta, aquí estoy para ayudarle.",
    refers_back=words(
        """
        él ella ellos ellas este esta estos estas esto eso esa ese aquello su sus también pero y además
        entonces después luego ambos allí así
        """
    ),
    asks_figure=phrases(
        """
        cuánto, cuántos, cuánta, cuántas, cuándo, a qué hora, qué número, cuesta, cuestan, precio,
        tarifa
        """
    ),
)
