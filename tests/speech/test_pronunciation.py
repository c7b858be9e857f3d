"""Words are pronounced as the operator's file tells, whole words alone; a faulty file changes nothing."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from parley.speech import pronunciation
from parley.speech.pronunciation import FILE_NAME, NO_PRONUNCIATIONS, PronunciationError, PronunciationFile
from parley.speech.speech_text import to_clause

pytestmark = pytest.mark.row("RC-06")
BOOK = pronunciation.parse(
    """{"Agora": "uh gora", "New Relic": "new rellick", "C++": "see plus plus", ".NET": "dot net", "W3C": "W 3 C",
    "US": {"spoken": "you ess", "case_sensitive": true}, "caf\u00e9": "caffay", "O'Hare": "oh hair",
    "24/7": "always"}"""
)


def spoken(text: str, *, english: bool = True) -> str:
    clause = to_clause(text, english=english, pronunciations=BOOK)
    assert clause is not None and clause.text == text
    return clause.spoken


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Call Agora.", "Call uh gora."),
        ("AGORA, agora!", "uh gora, uh gora!"),
        ('("Agora")', '("uh gora").'),
        ("Agora's team", "uh gora's team."),
        ("an Agora-based call", "an uh gora-based call."),
        ("Agoras and pagoras", "Agoras and pagoras."),
        ("use New Relic!", "use new rellick!"),
        ("a New York relic", "a New York relic."),
        ("for US and us", "for you ess and us."),
        ("C++ and C", "see plus plus and C."),
        ("a .NET app", "a dot net app."),
        (".NET, a name", "dot net, a name."),
        ("the W3C", "the W three C."),
        ("a cafe\u0301", "a caffay."),
        ("at O\u2019Hare", "at oh hair."),
        ("open 24/7", "open always."),
        ("Agora-2019", "uh gora-twenty nineteen."),
    ],
)
def test_whole_words_are_pronounced_as_told(written: str, said: str) -> None:
    assert spoken(written) == said


def test_pronunciations_hold_in_other_languages() -> None:
    assert spoken("Ruf 5 Agora an", english=False) == "Ruf 5 uh gora an."


@given(st.lists(st.sampled_from(["New", "Relic", "Agora", "US", "5", "(", "-", "."]), min_size=1, max_size=8))
def test_the_written_words_are_kept(words: list[str]) -> None:
    pairs = BOOK.applied(words, words)

    assert " ".join(written for written, _ in pairs) == " ".join(words)
    assert all(reading.strip() for _, reading in pairs)


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("", "line 1, column 1", "expected {"),
        ("[]", "line 1, column 1", "expected {"),
        ('{\n "a": "b",\n}', "line 3, column 1", "a word in double quotes"),
        ('{\n "a": "b"\n "c": "d"}', "line 3, column 2", "expected ,"),
        ('{"a": b}', "line 1, column 7", "not JSON"),
        ('{"a": "b', "line 1, column 7", "not JSON"),
        ('{"a": "b"', "line 1, column 10", "expected ,"),
        ('{"a": 5}', "line 1, column 7", "expected a text"),
        ('{"a": ""}', "line 1, column 7", "expected a text"),
        ('{"a": {"spoken": "b", "case": true}}', "line 1, column 7", "expected a text"),
        ('{\n  "!": "b"}', "line 2, column 3", "a written word"),
        ('{"a": "b",\n "A": "c"}', "line 2, column 2", "there twice"),
        ('{"a": "b"} x', "line 1, column 12", "the end of the file"),
        ('{"a": ' + "[" * 100_000, "line 1, column 7", "not JSON"),
    ],
)
def test_a_fault_is_told_with_its_place(text: str, place: str, reason: str) -> None:
    with pytest.raises(PronunciationError) as raised:
        pronunciation.parse(text)

    assert str(raised.value).startswith(f"{FILE_NAME}: {place}: ") and reason in str(raised.value)


def test_an_empty_list_and_both_cases_are_no_fault() -> None:
    assert len(pronunciation.parse("{}")) == 0 and pronunciation.parse(" { } ") == NO_PRONUNCIATIONS
    assert len(pronunciation.parse('{"US": {"spoken": "you ess", "case_sensitive": true}, "us": "us"}')) == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b'{"a": "\xff"}', "line 1, column 8: not UTF-8"), (b" " * (1 << 20) + b"{}", "not a file of at most 1 MiB")],
)
def test_a_file_that_is_no_text_is_a_fault(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)

    with pytest.raises(PronunciationError, match=reason):
        pronunciation.read(tmp_path / FILE_NAME)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b'\xef\xbb\xbf{"a": "b"}')

    assert len(pronunciation.read(tmp_path / FILE_NAME)) == 1


def test_a_changed_file_is_read_and_the_last_good_one_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pronunciation, "LOOK_SECONDS", 0)
    path, file = tmp_path / FILE_NAME, PronunciationFile(tmp_path)
    sizes = [len(file.current())]
    with capture_logs() as logs:
        for number, content in enumerate(('{"a": "b"}', '{"a": "b", "c": "d"}', '{"a": }', '{"a": }')):
            path.write_text(content)
            os.utime(path, ns=(number, number))
            sizes += [len(file.current()), len(file.current())]
    path.unlink()

    assert sizes == [0, 1, 1, 2, 2, 2, 2, 2, 2] and len(file.current()) == 0
    faults = [line for line in logs if line["event"] == "pronunciation_fault"]
    assert [line["in_use"] for line in faults] == [2, 2] and "line 1, column 7" in faults[0]["fault"]


def test_the_file_is_not_looked_at_for_each_answer(tmp_path: Path) -> None:
    file = PronunciationFile(tmp_path)
    assert len(file.current()) == 0
    (tmp_path / FILE_NAME).write_text('{"a": "b"}')

    assert len(file.current()) == 0
