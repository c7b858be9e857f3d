"""One entry as a document: its title, its text, and side fields that never cost it."""

import math

import pytest

from parley.files.json_file import InvalidFile
from parley.knowledge.entries import Document, Draft, document_of, text_of

pytestmark = pytest.mark.row("RC-03")


def read(entry: object) -> Document:
    return document_of(entry, "faq-0", lambda: None)


def test_an_entry_becomes_a_document_with_other_keys_as_metadata() -> None:
    entry = {"id": 7, "title": " T ", "text": " x\n", "answer": "y"}

    assert read(entry) == Document("7", "T", "x", {"answer": "y"})


def test_a_question_becomes_the_title_and_its_answer_the_text() -> None:
    entry = {"question": "Q?", "answer": "A.", "title": "kept"}

    assert read(entry) == Document("faq-0", "Q?", "A.", {"title": "kept"})


@pytest.mark.parametrize(
    ("id_", "expected"),
    [(1.0, "1"), (7, "7"), (1.5, "1.5"), ("a", "a"), (" b ", "b"), (True, ""), (None, ""), (math.nan, ""), ({}, "")],
)
def test_an_id_of_any_kind_costs_nothing(id_: object, expected: str) -> None:
    document = read({"id": id_, "text": "x"})

    assert (document.id, document.text) == (expected or "faq-0", "x")


@pytest.mark.parametrize("key", ["_id", "ID", "Id"])
def test_an_id_may_be_written_in_other_ways(key: str) -> None:
    assert read({key: "a", "text": "x"}) == Document("a", "", "x", {})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (12, "12"),
        (12.0, "12"),
        (2.5, "2.5"),
        (True, "true"),
        ("  x ", "x"),
        (["a", "b", "a"], "a\nb"),
        ({"@type": "Answer", "text": "a"}, "a"),
        ({"rendered": "a", "protected": False}, "a"),
        ({"en-US": "a", "de-DE": "b"}, "a\nb"),
        ({"Monday": "9 to 5", "Sunday": "closed"}, "Monday: 9 to 5\nSunday: closed"),
        ([{"text": "a", "answer_start": 3}, {"text": "a", "answer_start": 9}], "a"),
        ([{"messages": [{"speech": ["a"]}]}], "a"),
        ("half \ud83d of a pair", "half  of a pair"),
        ({"en": ["a", "b"], "fr": ["c"]}, "a\nb\nc"),
        ({"storage": {"value": "a", "representation": "storage"}}, "a"),
        ({"generic": [{"response_type": "text", "values": [{"text": "a"}]}]}, "a"),
        ({"id": "title", "type": "title", "title": [{"plain_text": "un"}, {"plain_text": "cut"}]}, "uncut"),
        ([{"_type": "block", "children": [{"text": "a ", "marks": []}, {"text": "b", "marks": ["em"]}]}], "a b"),
        ([{"text": "a ", "marks": []}, {"type": "link", "content": [{"text": "b"}]}], "a b"),
        ([{"id": "1", "data": [{"text": "a ", "userDefined": False}, {"text": "b", "alias": "c"}]}], "a b"),
        ({"S": "a"}, "a"),
        ({"stringValue": "a"}, "a"),
        (None, ""),
        (math.inf, ""),
        ([], ""),
    ],
)
def test_a_text_is_found_in_values_of_all_kinds(value: object, expected: str) -> None:
    assert text_of(value) == expected


@pytest.mark.parametrize(
    ("side", "note"),
    [
        (math.nan, '"side" is not a finite number; it is left out'),
        ([{"a": [-math.inf]}], '"side" is not a finite number; it is left out'),
        ({"\ud800": 1}, '"side" holds half of a surrogate pair; it is left out'),
    ],
)
def test_a_side_field_that_json_cannot_express_costs_itself(side: object, note: str) -> None:
    assert read({"text": "x", "side": side, "kept": 1}) == Document(
        "faq-0", "", "x", {"side": None, "kept": 1}, (note,)
    )


@pytest.mark.parametrize("side", [None, True, 1.5, {"a": {"b": []}}, [[1]], ""])
def test_a_side_field_of_any_other_kind_is_kept(side: object) -> None:
    assert read({"question": "q", "answer": "a", "side": side}) == Document("faq-0", "q", "a", {"side": side})


def test_several_questions_are_kept_as_one_title() -> None:
    assert read({"questions": ["When?", "Which hours?"], "answer": "9"}).title == "When? / Which hours?"
    assert read({"Question 1": "When?", "Question 2": "At what time?", "Answer": "9"}).title == "When? / At what time?"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("text", 'the entry is not an object; write {"text": "..."}'),
        ({"title": "x"}, '"text" is missing; the entry has "title": call the one with the text "text"'),
        ({"question": "x"}, '"answer" is missing; the entry has "question": call the one with the text "answer"'),
        ({"foo": "x", "bar": "y"}, '"text" is missing; the entry has "foo", "bar": call the one with the text "text"'),
        ({"question": "x", "answer": None}, "the answer is empty"),
        ({"text": {"a": [1]}}, 'the value of "text" must be a text'),
        ({"text": " \n"}, "the text is empty"),
        ({"answer": math.nan}, 'the value of "answer" must be a text'),
    ],
)
def test_an_entry_without_a_text_says_what_to_do(entry: object, message: str) -> None:
    with pytest.raises(InvalidFile) as fault:
        read(entry)

    assert str(fault.value) == message


@pytest.mark.parametrize(
    "side",
    [
        {"draft": True},
        {"state": "draft"},
        {"status": "Unpublished"},
        {"published": False},
        {"enabled": "no"},
        {"description_text": "x", "status": 1},
    ],
)
def test_a_draft_is_told_apart(side: dict[str, object]) -> None:
    with pytest.raises(Draft, match="is not published"):
        read({"title": "t", "body": "b", **side})
