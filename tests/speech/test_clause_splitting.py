"""A streamed text is cut as soon as a clause is sure to be over, never inside a number or an address."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from parley.speech.clause_splitting import MAX_CHARS, MIN_LATER_CHARS, ClauseSplitter


def cut(*pieces: str) -> list[str]:
    splitter = ClauseSplitter()
    fed = [clause for piece in pieces for clause in splitter.feed(piece)]
    return [*fed, *splitter.flush()]


def fed(*pieces: str) -> list[str]:
    splitter = ClauseSplitter()
    return [clause for piece in pieces for clause in splitter.feed(piece)]


@pytest.mark.parametrize(
    ("pieces", "complete"),
    [
        (["Certainly", ",", " we"], ["Certainly,"]),
        (["We are open", ".", " Come"], ["We are open."]),
        (["Sure", "!", " "], ["Sure!"]),
        (["Shall I", "?", " We"], ["Shall I?"]),
        (["你好", "。", "我"], ["你好。"]),
        (["Very good ", "😀", " We"], ["Very good 😀"]),
        (["Two items:", "\n"], ["Two items:"]),
        (["A heading", "\n"], ["A heading"]),
    ],
)
def test_a_clause_is_complete_with_the_token_behind_it(pieces: list[str], complete: list[str]) -> None:
    assert fed(*pieces) == complete


@pytest.mark.parametrize(
    "text",
    [
        *("It costs 3.", "At 9:", "About 1,", "Ask Dr.", "See e.g.", "The U.", "Go to http:", "So it is", "See Node."),
        *("Certainly,", 'He said "Sure!', "Open on Sat. ", "See no. ", "It is 3 p.m. "),
    ],
)
def test_a_mark_that_may_go_on_waits_for_the_next_token(text: str) -> None:
    assert fed(text) == []


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("We are open.", ["We are open."]),
        ("Certainly,", ["Certainly,"]),
        ("你好。", ["你好。"]),
        ("It costs 3.", []),
        ("Ask Dr.", []),
        ("Go to http:", []),
        ("So it is", []),
    ],
)
def test_a_pause_ends_what_looks_like_a_clause(text: str, complete: list[str]) -> None:
    splitter = ClauseSplitter()

    assert [*splitter.feed(text)] == []
    assert [*splitter.settle()] == complete


def test_a_retracted_text_is_forgotten() -> None:
    splitter = ClauseSplitter()
    list(splitter.feed("Hm, the caller wants"))
    splitter.retract()

    assert [*splitter.feed("We open. "), *splitter.flush()] == ["We open."]


@pytest.mark.parametrize(
    "text",
    [
        "It costs 3.50 in all.",
        "We open at 9:30 today.",
        "Dr. Smith is in.",
        "Ask J. Smith today.",
        "No. 5 is free.",
        "The E.U. is approx. as large.",
        "Mail info@example.com today.",
        "We run Node.js and Amazon.com servers.",
        "We open on Sat. 10 to 4 and on Sun. from 12.",
        "It is 1,000 sq. ft on Blk. 3 Ste. B of Hauptstr. 12 by a 5★ hotel.",
        "Press 1 for sales and 2 for help, # to repeat.",
        "It is batch no. L24-0098 or ref. AB-1 here.",
        "Pick 1. cheap or 2. fast.",
        "See vol. 2 and no. 3 on p. 42.",
        "We are open 9 a.m. - 5 p.m. on Mon. to Fri. here.",
        "Meet Sgt. Smith of 12 Elm St. today.",
        "It takes 5 min. and 3 in. of pipe.",
        "Write to P.O. Box 5 in D.C. 20500 for the U.S. Army.",
        "Go to acme.co.uk or 192.168.0.1 now.",
        "See https://example.com/a.b?c=d today.",
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 8, 100])
def test_a_mark_inside_a_word_cuts_nothing(text: str, size: int) -> None:
    assert cut(*(text[at : at + size] for at in range(0, len(text), size))) == [text]


def test_the_number_of_an_item_stays_with_it() -> None:
    assert cut("1. Call us.\n2. Wait.") == ["1. Call us.", "2. Wait."]


def test_a_sentence_that_ends_in_a_number_ends() -> None:
    assert cut("It opens at 5. Then we go.") == ["It opens at 5.", "Then we go."]


def test_only_the_first_clause_may_be_short() -> None:
    text = "Certainly, we can, of course, do that, too."

    assert cut(text) == ["Certainly,", "we can, of course, do that, too."]


def test_a_long_sentence_is_cut_at_a_comma() -> None:
    first, second = f"Word {'word ' * 20}end,", "and so on."

    assert cut(f"Yes. {first} {second}") == ["Yes.", first, second]
    assert len(first) > MIN_LATER_CHARS


def test_a_text_without_marks_is_cut_between_words() -> None:
    clauses = cut("word " * 200)

    assert all(len(clause) <= MAX_CHARS and set(clause.split()) == {"word"} for clause in clauses)
    assert " ".join(clauses).split() == ["word"] * 200


@pytest.mark.parametrize(
    ("text", "first"),
    [
        (
            "We are open from nine in the morning until five in the afternoon on every day.",
            "We are open from nine in the morning until five",
        ),
        ("word " * 40, "word " * 10 + "word"),
        ("See [the page about our long opening hours of this and of the next week](x.com)", None),
    ],
    ids=["before a phrase", "between words", "not in a link"],
)
def test_a_first_clause_without_a_mark_is_not_waited_for(text: str, first: str | None) -> None:
    clauses = cut(text)

    assert clauses[0] == (first or text) and " ".join(clauses) == text.strip()


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("and we have, as I said, two of th", "and we have, as I said,"),
        ("I would be glad to help you fi", "I would be glad"),
        ("I would be glad to he", "I would be glad"),
        ("It is open", None),
        ("It costs 3.", None),
    ],
)
def test_a_clause_is_cut_short_where_nothing_is_left_to_hear(text: str, clause: str | None) -> None:
    splitter = ClauseSplitter()
    assert [*splitter.feed(f"Sure! {text}")] == ["Sure!"]

    assert [*splitter.hurry()] == ([clause] if clause else [])
    assert "".join([*splitter.flush()]) == text.removeprefix(clause or "").strip()


def test_a_clause_that_goes_on_says_so() -> None:
    splitter = ClauseSplitter()
    texts = [(one, splitter.goes_on) for one in splitter.feed("Sure!\nOpening hours\nI would be glad to help you")]
    texts += [(one, splitter.goes_on) for one in splitter.hurry()]

    assert texts == [("Sure!", False), ("Opening hours", False), ("I would be glad", True)]


def test_a_word_without_end_is_cut_all_the_same() -> None:
    assert "".join(cut("x" * 1000)) == "x" * 1000


@pytest.mark.row("RB-02")
@given(
    st.lists(st.sampled_from(["a", "Node", "No", "Sat", ".", ",", "!", '"', " ", "\n", "1", "。", "😀", "long" * 20])),
    st.integers(1, 9),
)
@example(["Sat. 1. -\n"], 1)
@example(["\n\n- Dr. : : "], 3)
def test_a_text_is_cut_alike_however_it_comes(parts: list[str], size: int) -> None:
    text = "".join(parts)

    assert cut(*(text[at : at + size] for at in range(0, len(text), size))) == cut(text)


@given(st.lists(st.text(alphabet="aB1 .,!?\n:;-—。\"'()*", max_size=12), max_size=40))
def test_nothing_is_lost_but_blanks_and_marks_alone(pieces: list[str]) -> None:
    clauses = cut(*pieces)

    def letters(text: str) -> str:
        return "".join(letter for letter in text if letter.isalnum())

    assert letters("".join(clauses)) == letters("".join(pieces))
    assert all(clause == clause.strip() and len(clause) <= MAX_CHARS for clause in clauses)
