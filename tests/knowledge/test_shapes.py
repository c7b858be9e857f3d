"""The shapes of knowledge files, those of the guide among them: which entries a value holds, with places and ids."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.files.json_file import InvalidFile
from parley.knowledge import documents
from parley.knowledge.shapes import Finder

pytestmark = pytest.mark.row("RC-03")
GUIDE = (Path(__file__).parents[2] / "docs" / "knowledge.md").read_text()
SECTION = GUIDE.partition("## What a file may hold")[2].partition("\n## ")[0]
EXAMPLES = re.findall(r"```json\n(.*?)\n```", SECTION, re.DOTALL) + re.findall(
    r"^\| .* \| `(.*)` \|$", SECTION, re.MULTILINE
)
QUESTION, ANSWER = "What does a chain cost?", "A new chain costs 35 dollars."
Q = {"question": "q", "answer": "a"}


def found(value: Any, notes: list[str] | None = None) -> list[tuple[str, str, Any]]:
    return list(Finder("faq", (notes if notes is not None else []).append).entries(value))


def read(folder: Path, value: Any) -> list[tuple[str, str]]:
    """Titles and texts of a file with this value, which has no fault."""
    (folder / "faq.json").write_text(json.dumps(value))
    loaded = documents.load(folder)
    assert loaded.problems == []
    return [(passage.title, passage.text) for passage in loaded.passages]


def test_the_guide_has_an_example_for_each_form() -> None:
    assert len(EXAMPLES) >= 22


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_form_of_the_guide_is_read(tmp_path: Path, example: str) -> None:
    entries = read(tmp_path, json.loads(example))

    assert ANSWER in [text for _, text in entries]
    assert next(title for title, text in entries if text == ANSWER).split(" / ")[0] in (QUESTION, "Chain", "chain")
    assert not any("<p>" in text or "&" in text for _, text in entries)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["x", {"text": "y"}], [("[0]", "faq-0", "x"), ("[1]", "faq-1", {"text": "y"})]),
        ({"documents": ["x", Q], "version": 1}, [(".documents[0]", "faq-0", "x"), (".documents[1]", "faq-1", Q)]),
        ({"id": 1, "text": "x"}, [("", "faq", {"id": 1, "text": "x"})]),
        ({"title": "t", "text": "x"}, [("", "faq", {"title": "t", "text": "x"})]),
        (Q, [("", "faq", Q)]),
        ({**Q, "related": [Q]}, [("", "faq", {**Q, "related": [Q]})]),
        ({"text": "x"}, [('["text"]', "faq-text", {"title": "text", "text": "x"})]),
        ({"Größe": "x"}, [('["Größe"]', "faq-Größe", {"title": "Größe", "text": "x"})]),
        ({"documents": "x"}, [('["documents"]', "faq-documents", {"title": "documents", "text": "x"})]),
        ({"parking": {"text": "x"}}, [('["parking"]', "faq-parking", {"title": "parking", "text": "x"})]),
        ({"name": "Shop", "description": "We mend."}, [
            ('["name"]', "faq-name", {"title": "name", "text": "Shop"}),
            ('["description"]', "faq-description", {"title": "description", "text": "We mend."}),
        ]),
        ({"en": [Q], "de": [Q]}, [(".en[0]", "faq-en-0", Q), (".de[0]", "faq-de-0", Q)]),
        ({"data": {"items": [Q]}}, [(".data.items[0]", "faq-0", Q)]),
        ({"a b": [Q], "n": 1}, [('["a b"][0]', "faq-0", Q)]),
        ([], []),
        ({}, []),
        ({"faqs": []}, []),
    ],
)  # fmt: skip
def test_each_form_gives_its_entries(value: object, expected: list[tuple[str, str, object]]) -> None:
    assert found(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        {
            "qnas": [
                {"id": "x", "data": {"enabled": True, "questions": {"en": [QUESTION]}, "answers": {"en": [ANSWER]}}}
            ]
        },
        {"id": "x", "data": {"questions": {"en": [QUESTION]}, "answers": {"en": [ANSWER]}}},
        {"flashcards": [{"front": QUESTION, "back": ANSWER}]},
        {"total": 1, "results": [{"id": "1", "values": {"question": QUESTION, "answer": ANSWER}}]},
        [{"document": {"id": "1", "question": QUESTION, "answer": ANSWER}, "highlights": []}],
        {"rows": [{"row_idx": 0, "row": {"question": QUESTION, "answer": ANSWER}}]},
        {"Items": [{"question": {"S": QUESTION}, "answer": {"S": ANSWER}}]},
        {"@type": "QAPage", "mainEntity": {"@type": "Question", "text": QUESTION, "acceptedAnswer": {"text": ANSWER}}},
        {"site": {"sections": [{"subsections": [{"questions": [{"question": QUESTION, "answer": ANSWER}]}]}]}},
        {"intents": [{"name": "a/1", "displayName": QUESTION, "messages": [{"text": {"text": [ANSWER]}}]}]},
        [{"Summary": QUESTION, "Description": ANSWER}],
        [{"short_description": QUESTION, "text": ANSWER}],
        {"data": [{"id": 1, "translation": {"title": QUESTION, "content": ANSWER, "locale": "en"}}]},
    ],
    ids=[
        *("Botpress", "Botpress, one", "cards", "HubSpot table", "Typesense", "rows", "DynamoDB", "QAPage", "deep"),
        *("Dialogflow", "Jira", "ServiceNow", "Gorgias"),
    ],
)
def test_exports_of_further_tools_are_read(tmp_path: Path, value: Any) -> None:
    assert read(tmp_path, value) == [(QUESTION, ANSWER)]


@pytest.mark.parametrize(
    "value",
    [
        {"result": {"points": [{"id": 1, "payload": {"text": ANSWER}, "vector": [0.1]}]}, "status": "ok"},
        {"vectors": [{"id": "a", "values": [0.1], "metadata": {"text": ANSWER}}], "namespace": ""},
        {"data": {"items": [{"id": 1, "text": ANSWER}]}},
        {"ids": ["a", "b"], "documents": [ANSWER, "At the harbour."], "metadatas": None},
    ],
    ids=["Qdrant", "Pinecone", "items", "Chroma"],
)
def test_texts_without_titles_are_found_at_any_depth(tmp_path: Path, value: Any) -> None:
    assert ANSWER in [text for _, text in read(tmp_path, value)]


def test_a_question_without_an_answer_is_left_out(tmp_path: Path) -> None:
    other = {"question": "Who?", "is_impossible": True, "answers": [], "plausible_answers": [{"text": "It"}]}
    (tmp_path / "faq.json").write_text(json.dumps([Q, other]))

    assert [passage.text for passage in documents.load(tmp_path).passages] == ["a"]


def test_fields_of_the_file_become_no_passages(tmp_path: Path) -> None:
    value = {
        "@context": "https://schema.org",
        "$id": "x",
        "version": "1.0",
        "language": "en",
        "count": 1,
        "Parking": "Free.",
    }

    assert read(tmp_path, value) == [("Parking", "Free.")]
    assert read(tmp_path, {**value, "faqs": [Q]}) == [("q", "a")]


def test_a_mapping_of_lists_and_objects_is_read_as_text(tmp_path: Path) -> None:
    value = {
        "plans": [{"name": "Basic", "price": 29, "features": ["mail", "chat"]}, {"name": "Pro"}],
        "tips": ["a", "b"],
    }

    assert read(tmp_path, value) == [
        ("plans", "name: Basic; price: 29; features: mail, chat\nname: Pro"),
        ("tips", "a\nb"),
    ]


def test_a_text_beside_the_entries_is_told() -> None:
    notes: list[str] = []

    found({"title": "Our FAQ", "intro": "We are open every day.", "version": "2", "faqs": [Q]}, notes)

    assert notes == ['the text under "intro" stands beside the list of entries and is not read']


def test_categories_are_kept_and_may_have_a_text_of_their_own(tmp_path: Path) -> None:
    value = [{"name": "Prices", "description": "All prices.", "faqs": [Q, {"text": "No question."}]}]

    assert read(tmp_path, value) == [("Prices", "All prices."), ("q", "a"), ("Prices", "No question.")]
    assert found(value)[1] == ("[0].faqs[0]", "faq-0-0", {"category": "Prices", **Q})


def test_lists_inside_of_an_article_are_its_side_fields(tmp_path: Path) -> None:
    article = {
        "title": "t",
        "body": "b",
        "comments": [{"title": "no", "body": "no"}],
        "tags": ["x"],
        "author": {"name": "n"},
    }

    assert read(tmp_path, [article]) == [("t", "b")]
    assert read(tmp_path, {"articles": [article], "users": [{"id": 1, "name": "n"}]}) == [("t", "b")]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"rasa_nlu_data": {"common_examples": [{"text": "hi", "intent": "greet"}]}}, "no answers; import the bot's"),
        ({"$schema": "x", "type": "array", "items": {"$ref": "y"}}, "is a JSON schema"),
        ([{"id": "1", "data": [{"text": "hi"}], "isTemplate": False}], "take the file of the intent itself"),
    ],
)
def test_a_file_without_answers_says_which_one_has_them(value: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidFile, match=message):
        found(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["q", "a", "text", "title", "faqs", "data", "id", "x", "messages"]), inner, max_size=4
        )
    ),
    max_leaves=25,
)


@given(
    st.lists(JSON, max_size=4) | st.dictionaries(st.sampled_from(["faqs", "text", "x", "responses", "question"]), JSON)
)
def test_no_value_of_any_shape_raises(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    (folder / "a.json").write_text(json.dumps(value))

    for passage in documents.load(folder).passages:
        json.dumps([passage.title, passage.text, passage.metadata], allow_nan=False).encode()


@given(
    st.lists(
        st.tuples(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1), st.integers()),
        min_size=1,
        max_size=5,
    )
)
def test_no_entry_of_a_wrapped_list_is_lost(pairs: list[tuple[str, int]]) -> None:
    entries = [{"q": question, "a": answer, "id": None, "n": [float("nan")]} for question, answer in pairs]

    for value in (entries, {"faqs": entries, "v": 1}, {"data": {"x": {"items": entries}}, "n": None}):
        assert [entry for _, _, entry in found(value)] == entries


def test_a_large_mapping_is_looked_at_in_steps() -> None:
    steps: list[int] = []

    entries = list(Finder("faq", breathe=lambda: steps.append(1)).entries({f"t{at}": "x" for at in range(5000)}))

    assert len(entries) == 5000 and len(steps) >= 5000
