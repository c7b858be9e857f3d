"""Text without its markup, as clauses with readings, however the stream is cut."""

import pytest

from parley.errors import AnswerCapped
from parley.speech import speech_text
from parley.speech.speech_text import RETRACTION, ClauseStream


def texts(*pieces: str) -> list[str]:
    stream = ClauseStream(english=True)
    clauses = [clause for piece in pieces for clause in stream.feed(piece)] + [*stream.flush()]
    return ["(retracted)" if clause is RETRACTION else clause.text for clause in clauses]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("a **bold** _move_ with `code`", "a bold move with code"),
        ("***Very*** ~~bad~~ good", "Very bad good"),
        ("snake_case stays", "snake_case stays"),
        ("2 * 3 = 6", "2 * 3 = 6"),
        ("## Opening hours", "Opening hours"),
        ("- first item", "first item"),
        ("> - quoted", "quoted"),
        ("see [our page](https://x.com/a?b=c 'Title').", "see our page."),
        ("![a bike](bike.png)", "a bike"),
        ("here](https://x.com) we are", "here we are"),
        ("look at https://www.example.com/a.b, please", "look at example.com/a.b, please"),
        ("(https://example.com/x?id=123)", "(example.com/x)"),
        ("<https://example.com/a%20b>.", "example.com."),
        ("2*3 and *67 or *#06#", "2*3 and *67 or *#06#"),
        ("*5 items* left", "5 items left"),
        ("a 5★ hotel ★", "a 5★ hotel"),
        ("Great 😀👍🏽!", "Great!"),
        ("family 👨‍👩‍👧 first", "family first"),
        ("<b>Now</b><br/>and here", "Now and here"),
        ("this &amp; that", "this & that"),
        ("if x <y and z> w", "if x <y and z> w"),
        ('<a href="https://x.com" id=3>Mail</a> <info@x.org>', "Mail info@x.org"),
        ("One moment <break time='1s'/> <!-- note -->please", "One moment please"),
        ("as said [1], [^2]", "as said,"),
        ("| Item | Price |", "Item, Price"),
        ("|---|:---:|", ""),
        ("---", ""),
        ("Café naïve, 你好！", "Café naïve, 你好！"),
        ("zero\u200bwidth", "zerowidth"),
    ],
)
def test_markup_addresses_and_emoji_are_not_said(written: str, text: str) -> None:
    assert speech_text.plain(written) == text


@pytest.mark.parametrize("written", ["", "...", "😀", "---", "**"])
def test_a_text_without_words_is_no_clause(written: str) -> None:
    assert speech_text.to_clause(written, english=True) is None


def test_a_clause_has_each_word_as_written_and_as_read() -> None:
    clause = speech_text.to_clause("It costs **$5**", english=True)

    assert clause is not None
    assert clause.words == (("It", "It"), ("costs", "costs"), ("$5", "five dollars"))
    assert (clause.text, clause.spoken) == ("It costs $5", "It costs five dollars.")


def test_in_other_languages_numbers_are_left_to_the_voice() -> None:
    clause = speech_text.to_clause("Das kostet 5,50 €!", english=False)

    assert clause is not None and clause.spoken == "Das kostet 5,50 €!"


def test_clauses_come_as_soon_as_they_are_complete() -> None:
    stream = ClauseStream(english=True)
    pieces = ("**Certainly**, we", " can. <th", "ink>hm.</think> 😀 Go")
    fed = [[clause.text for clause in stream.feed(piece) if clause is not RETRACTION] for piece in pieces]

    assert fed == [["Certainly,"], ["we can."], []]
    assert texts("Go") == ["Go"]


def test_a_list_is_said_item_by_item() -> None:
    assert texts("We have:\n\n- tyres\n- tubes\n\n```\nx\n```\nThat is all") == [
        "We have:",
        "tyres",
        "tubes",
        "That is all",
    ]


@pytest.mark.row("RB-01")
@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        (["They ask for hours. Hm.</think>We open at nine."], ["(retracted)", "We open at nine."]),
        (["They ask", " for hours", "</think>We open."], ["(retracted)", "We open."]),
        (["They ask. It", " is.</think>We open."], ["They ask.", "(retracted)", "We open."]),
    ],
    ids=["whole", "not yet said", "partly said"],
)
def test_what_is_before_a_lone_closing_is_retracted(pieces: list[str], said: list[str]) -> None:
    assert texts(*pieces) == said


def test_a_complete_text_has_no_thoughts() -> None:
    assert [clause.text for clause in speech_text.to_clauses("Hm. So.</think>We open.", english=True)] == ["We open."]


@pytest.mark.slow
@pytest.mark.parametrize("size", [7, 40_000])
def test_an_answer_is_capped_at_the_same_place(size: int) -> None:
    text = "<think>" + "Hm. " * 9000 + "</think>" + "One two three. " * 1000
    stream, said = speech_text.ClauseStream(english=True), []
    with pytest.raises(AnswerCapped):
        for at in range(0, len(text), size):
            for clause in stream.feed(text[at : at + size]):
                said.append(clause)

    # The last sentence has not ended within the cap.
    assert len(said) == speech_text.MAX_CHARACTERS // len("One two three. ") - 1
