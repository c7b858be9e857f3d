"""The names of fields: which of them hold a question, a title, an answer or a text."""

import pytest

from parley.knowledge.field_names import fields_of, fold

pytestmark = pytest.mark.row("RC-02")


@pytest.mark.parametrize(
    ("name", "folded"),
    [
        ("Question", "question"),
        ("question_text", "question text"),
        ("questionText", "question text"),
        ("Answer2", "answer 2"),
        ("RÉPONSE", "reponse"),
        ("Grösse", "grosse"),
        (" «Вопрос:» ", "вопрос"),
        ("acceptedAnswer", "accepted answer"),
        ("Straße", "strasse"),
    ],
)
def test_names_are_compared_without_case_accents_and_marks(name: str, folded: str) -> None:
    assert fold(name) == folded


@pytest.mark.parametrize(
    ("names", "titles", "texts"),
    [
        (("question", "answer"), (0,), (1,)),
        (("id", "text", "answer"), (), (1,)),
        (("title", "question", "answer", "text"), (1,), (2,)),
        (("title", "text"), (0,), (1,)),
        (("question", "text"), (0,), (1,)),
        (("name", "acceptedAnswer"), (0,), (1,)),
        (("title", "description", "body"), (0,), (2,)),
        (("title", "description"), (0,), (1,)),
        (("intent", "response"), (0,), (1,)),
        (("Question ID", "Question", "Answer", "Answer URL"), (1,), (2,)),
        (("Question", "Answer", "Question 2", "Other questions"), (0, 2, 3), (1,)),
        (("Answer 1", "Answer 2", "Question"), (2,), (0, 1)),
        (("foo", "bar"), (), ()),
        ((), (), ()),
    ],
)
def test_a_question_goes_with_an_answer_a_title_with_a_text(
    names: tuple[str, ...], titles: tuple[int, ...], texts: tuple[int, ...]
) -> None:
    fields = fields_of(names)

    assert (fields.titles, fields.texts) == (titles, texts)


def test_a_description_is_a_text_for_want_of_a_better_one() -> None:
    assert fields_of(("title", "description")).is_weak and not fields_of(("title", "body")).is_weak
    assert fields_of(("q", "a")).is_answer and not fields_of(("title", "body")).is_answer
