"""The forms of a knowledge file: which entries a value holds, with location and default id."""

import pytest

from parley.knowledge.entries import Document, document_of, entries_of
from parley.knowledge.json_file import InvalidKnowledge


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["x", {"text": "y"}], [("[0]", "faq-0", "x"), ("[1]", "faq-1", {"text": "y"})]),
        ({"documents": ["x"], "version": 1}, [(".documents[0]", "faq-0", "x")]),
        ({"id": 1, "text": "x"}, [("", "faq", {"id": 1, "text": "x"})]),
        ({"title": "t", "text": "x"}, [("", "faq", {"title": "t", "text": "x"})]),
        ({"question": "?", "answer": "x"}, [("", "faq", {"question": "?", "answer": "x"})]),
        ({"text": "x"}, [('["text"]', "faq-text", {"title": "text", "text": "x"})]),
        ({"Größe": "x"}, [('["Größe"]', "faq-Größe", {"title": "Größe", "text": "x"})]),
        ({"documents": "x"}, [('["documents"]', "faq-documents", {"title": "documents", "text": "x"})]),
        ([], []),
    ],
)
def test_each_form_gives_its_entries(value: object, expected: list[tuple[str, str, object]]) -> None:
    assert list(entries_of(value, "faq")) == expected  # type: ignore[arg-type]


def test_an_entry_becomes_a_document_with_other_keys_as_metadata() -> None:
    entry = {"id": 7, "title": " T ", "text": " x\n", "answer": "y"}

    assert document_of(entry, "faq-0", lambda: None) == Document("7", "T", "x", {"answer": "y"})


def test_a_question_becomes_the_title_and_its_answer_the_text() -> None:
    entry = {"question": "Q?", "answer": "A.", "title": "kept"}

    assert document_of(entry, "faq-0", lambda: None) == Document("faq-0", "Q?", "A.", {"title": "kept"})


def test_values_that_json_cannot_express_are_refused() -> None:
    for entry in ({"text": "x", "deep": [{"a": [float("inf")]}]}, {"text": "x", "deep": {"\ud800": 1}}):
        with pytest.raises(InvalidKnowledge, match=r'^"deep" '):
            document_of(entry, "faq-0", lambda: None)
