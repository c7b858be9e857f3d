"""The intent gate: which turns ask something, which agree to an offer, and which do neither."""

import pytest

from parley.knowledge.intent import Intent, intent_of, offer_of, small_talk


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hello!",
        "okay thank you very much that was all",
        "Thanks, bye.",
        "sorry, can you say that one more time please?",
        "Could you speak a bit slower?",
        "are you a real person",
        "hold on a second",
        "no thanks",
        "Vielen Dank, das war's dann. Tschüss!",
        "können Sie das nochmal sagen",
        "¿Me oye?",
        "Merci beaucoup, au revoir",
        "você é um robô",
        "può ripetere per favore",
        "你能再说一遍吗",
        "もう一度お願いします",
        *("hiya", "ta very much", "that's brilliant, thank you", "you are not helping me", "let me get a pen"),
        *("sorry, I was talking to my wife", "I have no idea", "talk to you soon", "okay now", "..."),
    ],
)
def test_small_talk_asks_nothing(text: str) -> None:
    assert intent_of(text) is Intent.SMALL_TALK


@pytest.mark.parametrize(
    "text",
    [
        "what time do you open",
        "okay and what does it cost",
        "thanks, and where can I park?",
        "can you tell me the price again",
        "is it free",
        "and on sundays",
        "MX204B",
        "Danke, und wann haben Sie geöffnet?",
        "那下午呢",
        "thank you " * 20,
        *(
            "how much",
            "prices?",
            "open now",
            "right now",
            "and on Saturdays?",
            "hi, do you have parking",
            "Doctor Miller",
        ),
        *(
            "this is bullshit, where is my parcel",
            "can I talk to a human",
            "stop my subscription",
            "repeat prescription",
        ),
        *(
            "it's broken",
            "a minute ago my line went dead",
            "good morning are you open on monday",
            "what else",
            "tomorrow",
        ),
        *("morgen", "und am Samstag", "hallo haben Sie heute auf", "jetzt", "Frau Doktor Weber", "gut und sonntags"),
        *("cuánto", "y los sábados", "ahora", "hola tienen parking", "sí y cuánto es", "mañana"),
        *("combien", "et le samedi", "maintenant", "bonjour vous avez un parking", "docteur Martin", "demain"),
        *("quanto costa", "adesso", "e la domenica", "quanto custa", "agora", "e aos sábados"),
        *(
            "多少钱",
            "那星期六呢",
            "你好 有停车位吗",
            "救命",
            "土曜日は",
            "いくら",
            "もしもし駐車場ありますか",
            "助けて",
        ),
    ],
)
def test_a_turn_with_anything_else_asks(text: str) -> None:
    assert intent_of(text) is Intent.ASKS


@pytest.mark.parametrize(
    "text", ["yes please", "Sure, why not.", "ja gerne", "はいお願いします", "sí por favor", "the second one"]
)
def test_an_assent_agrees_to_an_offer(text: str) -> None:
    assert intent_of(text) is Intent.ASSENT


@pytest.mark.parametrize("text", ["yes, bye then", "no, I'm good, thanks", "okay bye"])
def test_an_assent_beside_a_farewell_is_none(text: str) -> None:
    assert intent_of(text) is Intent.SMALL_TALK


def test_further_phrases_extend_the_gate() -> None:
    assert intent_of("grüß dich") is Intent.ASKS
    assert intent_of("Grüß dich, hallo!", small_talk(["grüß dich"])) is Intent.SMALL_TALK


@pytest.mark.parametrize(
    ("said", "answer", "offer"),
    [
        ("We have a sauna. Shall I tell you its opening hours?", "yes", "Shall I tell you its opening hours?"),
        ("The blue one or the red one?", "the second", "the red one?"),
        ("The blue one or the red one?", "the last one", "the red one?"),
        ("Rot, oder lieber Blau?", "das erste", "Rot"),
        ("First this? And now: the menu?", "okay", "And now: the menu?"),
        ("Sure. Okay, tea, coffee, or cocoa?", "the third one", "cocoa?"),
        (
            "Shall I tell you what Smart Plus for $19.99 holds?",
            "yes",
            "Shall I tell you what Smart Plus for $19.99 holds?",
        ),
        (
            "We have:\n1. the river room\n2. the garden suite\nWhich one would you like?",
            "the second",
            "the garden suite",
        ),
        ("Which one would you like?", "the second", "Which one would you like?"),
        ("Shall I tell you more? " + "It is open every day. " * 20, "yes please", "Shall I tell you more?"),
        ("红色的还是蓝色的?", "第二个", "蓝色的?"),
        ("Here you are.", "okay", ""),
        ("", "yes", ""),
    ],
)
def test_an_offer_is_the_last_question_or_the_choice_from_it(said: str, answer: str, offer: str) -> None:
    assert offer_of(said, answer) == offer
