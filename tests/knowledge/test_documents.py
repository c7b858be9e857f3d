"""Loading a folder: each form that a knowledge file may have, and each fault."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from parley.knowledge.documents import LoadResult, Passage, load


def loaded(folder: Path, **files: Any) -> LoadResult:
    """Load the folder with these files in it: bytes as they are, strings as UTF-8, other values as JSON."""
    for name, content in files.items():
        if not isinstance(content, str | bytes):
            content = json.dumps(content)
        raw = content.encode() if isinstance(content, str) else content
        (folder / f"{name}.json").write_bytes(raw)
    return load(folder)


def complaints(folder: Path, **files: Any) -> list[str]:
    """Return the printed problems, without the folder."""
    return [str(problem).removeprefix(f"{folder}/") for problem in loaded(folder, **files).problems]


def texts(result: LoadResult) -> list[str]:
    return [passage.text for passage in result.passages]


def test_a_list_of_entries_keeps_other_keys_as_metadata(tmp_path: Path) -> None:
    entry = {"id": "chain", "title": "Chain", "text": "It costs 35 dollars.", "price": 35, "tags": ["a"]}

    result = loaded(tmp_path, services=[entry])

    expected = Passage("chain", "Chain", "It costs 35 dollars.", "services.json", {"price": 35, "tags": ["a"]})
    assert result == LoadResult([expected], [])


def test_an_entry_needs_only_a_text(tmp_path: Path) -> None:
    result = loaded(tmp_path, notes=[{"text": "one"}, {"text": "two", "id": None, "title": None}])

    assert [(passage.id, passage.title) for passage in result.passages] == [("notes-0", ""), ("notes-1", "")]


def test_a_whole_number_serves_as_an_id(tmp_path: Path) -> None:
    assert loaded(tmp_path, notes=[{"id": 7, "text": "one"}]).passages[0].id == "7"


def test_a_question_becomes_the_title_and_its_answer_the_text(tmp_path: Path) -> None:
    result = loaded(tmp_path, faq=[{"question": "Where?", "answer": "Here.", "topic": "place"}])

    assert result.passages == [Passage("faq-0", "Where?", "Here.", "faq.json", {"topic": "place"})]


def test_documents_may_hold_either_kind_of_entry(tmp_path: Path) -> None:
    entries = [{"text": "one"}, {"question": "Two?", "answer": "two"}]

    result = loaded(tmp_path, both={"version": 1, "documents": entries})

    assert (texts(result), result.problems) == (["one", "two"], [])


def test_a_mapping_gives_titles_and_texts(tmp_path: Path) -> None:
    result = loaded(tmp_path, house={"Parking": "Behind the shop."})

    assert result.passages == [Passage("house-Parking", "Parking", "Behind the shop.", "house.json", {})]


def test_a_file_may_be_one_entry(tmp_path: Path) -> None:
    result = loaded(tmp_path, about={"id": "us", "title": "About us", "text": "We mend bicycles."})

    assert [(passage.id, passage.text) for passage in result.passages] == [("us", "We mend bicycles.")]


def test_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    assert texts(loaded(tmp_path, b={"x": "second"}, a={"x": "first"}, c={"x": "third"})) == [
        "first",
        "second",
        "third",
    ]


@pytest.mark.parametrize("name", [".x.json", "~$x.json", "#x.json#", "x.json~", "x.json.bak", "x.txt"])
def test_hidden_files_and_backups_are_passed_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("not json")

    assert load(tmp_path) == LoadResult([], [])


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    assert texts(loaded(tmp_path, a=b"\xef\xbb\xbf" + '{"t": "Grüße"}'.encode())) == ["Grüße"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('[{"text": "a"}\n {"text": "b"}]', "a.json:2:2: expected ',' delimiter"),
        ('["open', "a.json:1:2: unterminated string"),
        ("", "a.json: is empty"),
        (b"\xff\xfe[\x00]\x00", "a.json: is UTF-16; save it as UTF-8"),
        (b'{"a":\n"caf\xe9"}', "a.json: is not UTF-8 but perhaps Latin-1 (line 2); save it as UTF-8"),
        ("[" * 100_000, "a.json: is nested too deeply"),
        ("[" + "9" * 5000 + "]", "a.json: holds a number with too many digits"),
        ("3", "a.json: must hold a list or an object"),
    ],
)
def test_a_faulty_file_is_reported_and_the_others_load(tmp_path: Path, content: str | bytes, complaint: str) -> None:
    assert complaints(tmp_path, a=content, b={"x": "good"}) == [complaint]
    assert texts(load(tmp_path)) == ["good"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("text", 'the entry is not an object; write {"text": "..."}'),
        ({"title": "x"}, '"text" is missing; the entry has "title": call the one with the text "text"'),
        ({"text": None}, "the text is empty"),
        ({"text": {"b": ["x"]}}, 'the value of "text" must be a text'),
        ({"text": " \n"}, "the text is empty"),
        ({"question": "x"}, '"answer" is missing; the entry has "question": call the one with the text "answer"'),
        ({"text": "\ud800"}, 'the value of "text" must be a text'),
    ],
)
def test_a_faulty_entry_is_reported_with_its_place_and_skipped(tmp_path: Path, entry: object, message: str) -> None:
    assert complaints(tmp_path, faq=[{"text": "good"}, entry]) == [f"faq.json[1]: {message}"]
    assert texts(load(tmp_path)) == ["good"]


def test_places_inside_documents_and_mappings_are_named(tmp_path: Path) -> None:
    assert complaints(tmp_path, a={"documents": [3, {"text": "x"}]}, b={"Größe": None}) == [
        'a.json.documents[0]: the entry is not an object; write {"text": "..."}',
        'b.json["Größe"]: the text is empty',
    ]


@pytest.mark.row("RC-03")
@pytest.mark.parametrize(
    ("entry", "note"),
    [
        ({"text": "x", "price": [float("nan")]}, '"price" is not a finite number; it is left out'),
        ({"text": "x", "deep": {"a": "\ud83d"}}, '"deep" holds half of a surrogate pair; it is left out'),
        ({"title": "x", "body": "y", "draft": True}, '"draft" says that it is not published: it is left out'),
    ],
)
def test_a_side_field_is_reported_and_loses_nothing(tmp_path: Path, entry: object, note: str) -> None:
    result = loaded(tmp_path, faq=[{"text": "good"}, entry])

    assert [(problem.lost, str(problem)) for problem in result.problems] == [
        ("nothing", f"{tmp_path}/faq.json[1]: {note}")
    ]


@pytest.mark.row("RC-03")
@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "A.JSONL", "lines.json"])
def test_lines_of_json_are_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"question": "Where?", "answer": "Here."}\n\n{"text": "two"}\r\n')

    result = load(tmp_path)

    assert (texts(result), result.problems) == (["Here.", "two"], [])


@pytest.mark.row("RC-03")
def test_a_faulty_line_costs_itself_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"text": \n{"foo": 1}\n{"text": "four"}\n')

    result = load(tmp_path)

    assert texts(result) == ["one", "four"]
    assert [str(problem).removeprefix(f"{tmp_path}/") for problem in result.problems] == [
        "a.jsonl:2:10: expected value",
        'a.jsonl:3: "text" is missing; the entry has "foo": call the one with the text "text"',
    ]


@pytest.mark.row("RC-03")
@pytest.mark.parametrize("name", ["faq.csv", "FAQ.XLSX", "domain.yml", "help.html"])
def test_a_file_that_can_only_be_imported_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("question,answer")
    (tmp_path / "README.md").write_text("not named")

    assert complaints(tmp_path, a={"x": "good"}) == [
        f"{name}: is no JSON and not read here; convert it with `flask kb import`"
    ]


@pytest.mark.row("RC-04")
def test_markup_is_taken_out_and_counted_by_file(tmp_path: Path) -> None:
    entries = [
        {"title": "Q&amp;A", "text": "<p>We open at&nbsp;<b>9</b>.</p><script>track()</script>"},
        {"text": "a < b &#8203;and c"},
        {"text": "if a < b && b > c: plain"},
    ]

    result = loaded(tmp_path, a=entries)

    assert texts(result) == ["We open at 9.", "a < b and c", "if a < b && b > c: plain"]
    assert (result.passages[0].title, result.markup, result.invisible) == ("Q&A", {"a.json": 2}, 1)


def test_an_id_that_is_taken_is_made_unique_and_reported(tmp_path: Path) -> None:
    entry = {"id": "x", "text": "one"}

    result = loaded(tmp_path, a=[entry], b=[entry, entry])

    assert [passage.id for passage in result.passages] == ["x", "x-2", "x-3"]
    assert str(result.problems[0]).endswith('b.json[0]: the id "x" is taken already; this one is called "x-2"')


def test_a_key_given_twice_is_reported(tmp_path: Path) -> None:
    assert complaints(tmp_path, a='{"k": "old", "k": "new"}') == [
        'a.json: the key "k" is given twice in one object; the last one counts'
    ]
    assert texts(load(tmp_path)) == ["new"]


def test_folders_pipes_and_dead_links_are_reported(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    os.mkfifo(tmp_path / "b.json")
    (tmp_path / "c.json").symlink_to(tmp_path / "nowhere")

    assert complaints(tmp_path) == [
        "a.json: is a directory, not a file",
        "b.json: is not a regular file",
        "c.json: can't be read: No such file or directory",
    ]


def test_a_link_may_lead_about_in_the_folder_and_not_out_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "kb"
    (folder / "..data").mkdir(parents=True)
    (folder / "..data" / "real.json").write_text('{"x": "mounted"}')
    (folder / "a.json").symlink_to("..data/real.json")
    (tmp_path / "outside.json").write_text('{"x": "secret"}')
    (folder / "b.json").symlink_to("../outside.json")
    (folder / "c.json").symlink_to("c.json")

    assert complaints(folder) == [
        "b.json: is a link that leads out of its folder",
        "c.json: can't be read: its links lead in a circle",
    ]
    assert texts(load(folder)) == ["mounted"]


@pytest.mark.slow
def test_a_file_above_the_limit_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'{"x": "' + b"y" * (20 << 20) + b'"}')

    assert complaints(tmp_path, b={"x": "good"}) == ["a.json: is larger than 20 MiB; split it"]
    assert load(tmp_path).broken_files == {f"{tmp_path}/a.json"}


def test_only_the_first_faulty_entries_are_reported_one_by_one(tmp_path: Path) -> None:
    told = complaints(tmp_path, a=[{"text": "good"}, *["bad"] * 250])

    assert (len(told), told[0], told[-1]) == (
        101,
        'a.json[1]: the entry is not an object; write {"text": "..."}',
        "a.json: 150 further entries are faulty",
    )


def test_invisible_characters_are_taken_out_and_counted(tmp_path: Path) -> None:
    result = loaded(tmp_path, a=[{"title": "Ch\u200bain", "text": "It\u202e costs\u0000 35."}, {"text": "\u200b"}])

    assert (result.passages[0].title, texts(result), result.invisible) == ("Chain", ["It costs 35."], 4)
    assert str(result.problems[0]).endswith("a.json[1]: the text is empty")


def test_utf_16_without_a_mark_is_named_too(tmp_path: Path) -> None:
    assert complaints(tmp_path, a='{"x": "y"}'.encode("utf-16-le")) == ["a.json: is UTF-16; save it as UTF-8"]


@pytest.mark.slow
def test_no_step_of_a_long_text_is_long(tmp_path: Path) -> None:
    steps: list[int] = []
    for text in ("word " * 100_000, "x" * 500_000, "我们今天" * 100_000):
        (tmp_path / "a.json").write_text(json.dumps([{"text": text}]))
        count = [0]

        def breathe(count: list[int] = count) -> None:
            count[0] += 1

        load(tmp_path, None, breathe)
        steps.append(count[0])

    assert all(count > 100 for count in steps)


def test_a_part_knows_its_document_and_its_neighbours(tmp_path: Path) -> None:
    text = " ".join(f"This is sentence number {number} of a long text." for number in range(40))

    first, second, _ = loaded(tmp_path, a=[{"id": "doc", "text": text}]).passages

    assert (first.document, second.document, second.part) == ("doc", "doc", 1)
    assert second.parts[0] == first.text and second.parts is first.parts


def test_a_missing_folder_is_a_problem_and_no_error(tmp_path: Path) -> None:
    folder = tmp_path / "none"

    assert [str(problem) for problem in load(folder).problems] == [
        f"{folder}: the folder can't be read: No such file or directory"
    ]


def test_a_long_text_becomes_numbered_passages(tmp_path: Path) -> None:
    sentences = [f"This is sentence number {number} of a long text." for number in range(40)]

    passages = loaded(tmp_path, a=[{"id": "doc", "title": "Long", "text": " ".join(sentences)}]).passages

    assert [passage.id for passage in passages] == ["doc#1", "doc#2", "doc#3"]
    assert {passage.title for passage in passages} == {"Long"}
    assert all(passage.text.startswith("This") and passage.text.endswith("text.") for passage in passages)
    assert [sentence for sentence in sentences if not any(sentence in text.text for text in passages)] == []


def test_large_metadata_is_checked_with_pauses(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"text": "x", "prices": [[1.5] * 100] * 100}]))
    pauses: list[int] = []

    found = load(tmp_path, breathe=lambda: pauses.append(1))

    assert len(found.passages) == 1 and len(pauses) > 10_000


def test_no_more_passages_are_loaded_than_may_be(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"text": f"Text {number}."} for number in range(5)]))

    found = load(tmp_path, most=3)

    assert len(found.passages) == 3 and [problem.lost for problem in found.problems] == ["entry"]
    assert "the limit of 3 passages is reached" in found.problems[0].message
    assert not load(tmp_path, most=5).problems and not load(tmp_path).problems
