"""Text without its markup, as clauses with readings, however the stream is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.speech import speech_text
from parley.speech.speech_text import ClauseStream, MarkupFilter


def filtered(*pieces: str) -> str:
    markup = MarkupFilter()
    return "".join(markup.feed(piece) for piece in pieces) + markup.flush()


def texts(*pieces: str) -> list[str]:
    stream = ClauseStream(english=True)
    return [clause.text for piece in pieces for clause in stream.feed(piece)] + [
        clause.text for clause in stream.flush()
    ]


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
        ("look at https://example.com/a.b, please", "look at, please"),
        ("(www.example.com/x)", ""),
        ("Great 😀👍🏽!", "Great!"),
        ("family 👨‍👩‍👧 first", "family first"),
        ("<b>Now</b><br/>and here", "Now and here"),
        ("this &amp; that", "this & that"),
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


@pytest.mark.parametrize("written", ["", "...", "😀", "---", "**", "https://example.com"])
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


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("<think>Secret.</think>Hello.", "Hello."),
        ("<THINK>x</think>\n<thinking>y</thinking>Hello.", "Hello."),
        ("Run this: ```py\nprint('x.')\n``` Done.", "Run this: Done."),
        ("Hello <think>never ended", "Hello"),
        ("```\nonly code", ""),
        ("a < b and c <b", "a < b and c <b"),
        ("an open ` and ``", "an open ` and ``"),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_thoughts_and_code_are_left_out_however_they_are_cut(written: str, said: str, size: int) -> None:
    pieces = [written[at : at + size] for at in range(0, len(written), size)]

    assert " ".join(filtered(*pieces).split()) == said


@given(
    st.lists(st.sampled_from(["<", "think", ">", "</", "`", "``", "a", " ", "~", "."]), max_size=30), st.integers(1, 9)
)
def test_cuts_make_no_difference(parts: list[str], size: int) -> None:
    text = "".join(parts)

    assert filtered(*(text[at : at + size] for at in range(0, len(text), size))) == filtered(text)


def test_clauses_come_as_soon_as_they_are_complete() -> None:
    stream = ClauseStream(english=True)

    assert [clause.text for clause in stream.feed("**Certainly**, we")] == ["Certainly,"]
    assert [clause.text for clause in stream.feed(" can. <th")] == ["we can."]
    assert [clause.text for clause in stream.feed("ink>hm.</think> 😀 Go")] == []
    assert [clause.text for clause in stream.flush()] == ["Go"]


def test_a_list_is_said_item_by_item() -> None:
    assert texts("We have:\n\n- tyres\n- tubes\n\n```\nx\n```\nThat is all") == [
        "We have:",
        "tyres",
        "tubes",
        "That is all",
    ]
