"""Portuguese."""

from parley.languages.language import Language, phrases, words

ONES = [
    "zero",
    "um",
    "dois",
    "três",
    "quatro",
    "cinco",
    "seis",
    "sete",
    "oito",
    "nove",
    "dez",
    "onze",
    "doze",
    "treze",
    "catorze",
    "quinze",
    "dezesseis",
    "dezessete",
    "dezoito",
    "dezenove",
]
TENS = ["-", "-", "vinte", "trinta", "quarenta", "cinquenta", "sessenta", "setenta", "oitenta", "noventa"]
HUNDREDS = [
    "-",
    "cento",
    "duzentos",
    "trezentos",
    "quatrocentos",
    "quinhentos",
    "seiscentos",
    "setecentos",
    "oitocentos",
    "novecentos",
]


def cardinal(number: int) -> str:
    """Return a number from 0 to 999 in words, as in Brazil: 135 is "cento e trinta e cinco"."""
    if number == 100:
        return "cem"
    if number > 100:
        hundreds, rest = divmod(number, 100)
        return HUNDREDS[hundreds] + (f" e {cardinal(rest)}" if rest else "")
    if number < 20:
        return ONES[number]
    tens, ones = divmod(number, 10)
    return TENS[tens] + (f" e {ONES[ones]}" if ones else "")


PORTUGUESE = Language(
    code="pt",
    name="Portuguese",
    stemmer="portuguese",
    function_words=words(
        """
        o a os as um uma uns umas de do da dos das em no na nos nas num numa ao aos à às por pelo pela pelos pelas
        para pra com sem sobre entre até desde e ou mas que se como porque pois quando onde quem qual quais quanto
        quanta quantos quantas eu me mim meu minha meus minhas tu te ti teu tua você vocês ele ela eles elas lhe seu
        sua seus suas nós nosso nossa nossos sou é somos são era eram foi foram ser sido estou está estamos estão
        estava estar tenho tem têm temos tinha ter há haver posso pode podem podemos poderia quero quer querem queria
        gostaria vou vai vamos vão ir faço faz fazem fazer dá dar preciso precisa este esta isto estes estas esse essa
        isso esses essas aquele aquela aquilo muito mais menos também já não sim nada algo alguém todo toda todos
        todas tudo outro outra mesmo tão tanto oi olá obrigado obrigada favor então bom boa saber dizer diga aqui aí
        lá agora hoje
        """
    ),
    spellings=lambda number: ((cardinal(number), str(number)),),
    thousand="mil",
    repeats={"duplo": 2},
    joiners=words("e vírgula ponto traço barra reais real euro euros centavos cêntimos"),
    letters={letter: letter for letter in "abcdefghijklmnopqrstuvwxyz"},
    small_talk=phrases(
        """
        olá, oi, alô, bom dia, boa tarde, boa noite, tudo bem, tudo bom, como vai, como está, como você está, como
        vai você, estou bem, tudo ótimo, prazer, muito prazer, obrigado, obrigada, muito obrigado, muito obrigada,
        obrigado pela ajuda, obrigada pela ajuda, pela ajuda, pela informação, por tudo, agradeço, valeu, ajudou
        muito, de nada, por nada, imagina, tchau, tchau tchau, adeus, até logo, até mais, até breve, até amanhã,
        tenha um bom dia, um bom dia, bom fim de semana, igualmente, para você também, você também, é só isso, é só,
        só isso, era só isso, isso é tudo, mais nada, nada mais, sem mais perguntas, por hoje, por enquanto, por
        agora, não importa, tanto faz, deixa, deixa pra lá, deixe pra lá, esquece, esqueça, não faz mal, sem
        problema, sem problemas, não se preocupe, não precisa, ótimo, perfeito, excelente, maravilhoso, legal, que
        bom, muito bom, beleza, certo, está bem, tá bom, tá, ok, okay, claro, claro que sim, com certeza, exato,
        isso, isso mesmo, sim, sim sim, entendi, entendo, compreendo, sei, já sei, é verdade, sério, interessante,
        ah, oh, eh, hum, então, bem, bom, pois, pois é, por favor, um momento, um momento por favor, um
        minuto, um segundo, um instante, só um momento, só um minuto, espere, espera, aguarde, deixa eu pensar,
        deixe-me pensar, deixa eu ver, não desligue, você me ouve, você está me ouvindo, está me ouvindo, consegue
        me ouvir, está aí, você está aí, ainda está aí, tem alguém aí, não estou ouvindo, não ouço, teste, pode
        repetir, pode repetir por favor, você pode repetir, poderia repetir, repita, repete, repita por favor, de
        novo, outra vez, mais uma vez, como, o quê, que, perdão, desculpe, desculpa, como disse, o que você disse,
        não entendi, eu não entendi, não compreendi, não entendo, não ouvi, mais alto, mais alto por favor, mais
        devagar, mais devagar por favor, fale mais devagar, fale mais alto, pode falar mais devagar, pode falar mais
        alto, você é um robô, é um robô, você é humano, você é uma pessoa, você é uma pessoa real, você é uma
        máquina, é uma máquina, estou falando com um robô, estou falando com uma máquina, falo com um robô, quem é
        você, quem é, qual é o seu nome, como você se chama, com quem falo, com quem estou falando, conte uma piada,
        pare, para, chega, silêncio, não sei, eu não sei, sei lá, vou pensar, ligo depois, eu ligo depois, mais
        tarde, depois
        """
    ),
    assents=phrases(
        """
        sim, sim por favor, por favor, claro, claro que sim, com certeza, ok, okay, tá bom, está bem, tá, pode ser,
        pode, pode sim, quero, quero sim, sim quero, eu quero, gostaria, sim gostaria, seria bom, seria ótimo, isso
        seria ótimo, boa ideia, me diga, diga, me conte, conte, faça isso, faz isso, isso, isso mesmo, exato,
        perfeito, beleza, me interessa, esse, essa, os dois, as duas, ambos, todos, o primeiro, a primeira, o
        segundo, a segunda, o terceiro, a terceira, o último, a última
        """
    ),
    refusals=phrases(
        """
        não, não obrigado, não obrigada, agora não, não precisa, não é necessário, hoje não, melhor não, nenhum,
        nenhum dos dois
        """
    ),
    picks={
        **dict.fromkeys(("primeiro", "primeira"), 0),
        **dict.fromkeys(("segundo", "segunda"), 1),
        **dict.fromkeys(("terceiro", "terceira"), 2),
        **dict.fromkeys(("ultimo", "ultima"), -1),
    },
    waiting_messages=("Um momento, por favor.", "Deixe-me verificar.", "Só um instante, vou consultar."),
    not_found="Desculpe, não tenho informações sobre isso.",
    may_help="Talvez isto ajude:",
    at_your_service="Se tiver alguma pergunta, estou aqui para ajudar.",
    refers_back=words(
        """
        ele ela eles elas este esta estes estas isto isso esse essa esses essas aquilo seu sua seus suas
        também mas e além depois então ambos ali assim
        """
    ),
    asks_figure=phrases(
        """
        quanto, quantos, quanta, quantas, quando, a que horas, que número, custa, custam, preço, tarifa
        """
    ),
)
