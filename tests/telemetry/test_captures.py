"""Captures: what is kept of the last requests and answers, how much at most, and no secret of it."""

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.telemetry.captures import MAX_BYTES, Capture, Captures, Copy
from parley.telemetry.redaction import Redactor
from parley.turn_record import TurnRecord

ROOT = Path(__file__).parents[2]
KEY = "doorkey-0123456789abcdef"
FOREIGN = "callers-own-9876543210"
NOTHING = (Redactor([]),)


def begin(captures: Captures, name: str = "a", body: bytes = b"{}", path: str = "/chat/completions") -> Capture:
    return captures.begin(TurnRecord("chat", name, client="10.1.2.3"), path, body, [KEY, FOREIGN])


def test_a_capture_holds_body_and_pieces_in_order() -> None:
    capture = begin(Captures(3, []), body=b'{"messages": 1}')
    pieces = [b"data: 1\n\n", b": keep-alive\n\n", b"data: [DONE]\n\n"]

    assert list(capture.following(iter(pieces))) == pieces
    told = capture.told()
    assert (told["body"], told["answer"]) == ('{"messages": 1}', b"".join(pieces).decode())
    assert (told["body_cut"], told["answer_cut"], told["answer_bytes"]) == (False, False, len(b"".join(pieces)))
    assert "10.1.2.3" not in str(told)


def test_a_piece_that_was_not_written_is_not_kept() -> None:
    capture = begin(Captures(3, []))
    pieces = capture.following(iter([b"data: 1\n\n", b"data: 2\n\n"]))
    next(pieces), next(pieces)

    assert capture.told()["answer"] == "data: 1\n\n"


def test_the_last_ones_are_kept_and_others_forgotten() -> None:
    captures = Captures(2, [])
    first, second, third = (begin(captures, name, b"words") for name in "aba")

    assert captures.newest() == [third, second] and captures.find("a") is third and captures.find("c") is None
    # Its turn may still run.
    first.sent(b"more")
    assert (first.told()["body"], first.told()["answer"]) == ("", "")


@pytest.mark.parametrize(
    "text", [KEY, FOREIGN, f"Bearer {KEY}", "sk-abcdefgh0123"], ids=["own", "foreign", "bearer", "form"]
)
def test_keys_are_taken_out_of_everything(text: str) -> None:
    capture = begin(Captures(1, [KEY]), body=f'{{"a": "{text}"}}'.encode(), path=f"/chat/completions?key={text}")
    capture.sent(f'data: {{"b": "{text}"}}\n\n'.encode())

    told = str(capture.told())
    assert text not in told and told.count("***") >= 3 and "chat/completions?key=" in told


@pytest.mark.parametrize("space", ["", " "], ids=["dense", "spaced"])
def test_sound_is_not_taken_for_keys(space: str) -> None:
    sound = f"{'A' * 200}/AKIAkAB4AGEASwAz/{'z' * 40}=="
    body = f'{{"data":{space}"{sound}", "say": "AKIA-NO-SECRET-AT-ALL", "known": "{KEY}"}}'

    shown = begin(Captures(1, [KEY]), body=body.encode()).body.text
    assert shown == body.replace("AKIA-NO-SECRET-AT-ALL", "AKIA***").replace(KEY, "***")


def test_further_secrets_are_hidden_once_they_are_known() -> None:
    captures = Captures(1, [KEY])
    captures.hide(["secret-of-a-tool"])

    assert begin(captures, body=f"secret-of-a-tool {KEY}".encode()).told()["body"] == "*** ***"


@pytest.mark.parametrize(
    "before", [MAX_BYTES - 10, MAX_BYTES + 4080, MAX_BYTES - 30], ids=["at end", "in margin", "before"]
)
def test_no_part_of_a_key_is_left_at_the_cut(before: int) -> None:
    capture = begin(Captures(1, [KEY]), body=b" " * before + KEY.encode() + b" " * 100_000)

    assert capture.body.is_cut and KEY[:6] not in capture.body.text
    assert len(capture.body.text.encode()) <= MAX_BYTES


@given(st.lists(st.binary(max_size=50).map(lambda piece: piece * 2000), max_size=12))
def test_never_more_than_the_limit_whatever_comes(pieces: list[bytes]) -> None:
    copy = Copy()
    for piece in pieces:
        copy.add(piece, NOTHING)

    whole = b"".join(piece.decode(errors="replace").encode() for piece in pieces).decode()
    assert len(copy.text.encode()) <= MAX_BYTES and copy.size == sum(map(len, pieces))
    assert whole.startswith(copy.text) and (copy.is_cut or whole == copy.text)


def test_text_is_cut_between_characters() -> None:
    copy = Copy()
    copy.add(b"a" + "é".encode() * MAX_BYTES, NOTHING)
    copy.add(b"later", NOTHING)

    assert set(copy.text[1:]) == {"é"} and copy.is_cut and copy.size == 2 * MAX_BYTES + 6


def test_a_large_piece_keeps_its_place() -> None:
    capture = begin(Captures(1, []))

    def pieces() -> itertools.chain[bytes]:
        return itertools.chain([b"x" * 100_000], [b"y"] * 3)

    # The large one is cleaned in a thread meanwhile.
    gevent.spawn(lambda: list(capture.following(pieces()))).get()
    assert capture.answer.text == "x" * 100_000 + "yyy"


def test_the_pages_tell_what_is_kept_and_for_how_long() -> None:
    (row,) = re.findall(r"^\| with `CAPTURE=N`.*$", (ROOT / "docs" / "privacy.md").read_text(), re.MULTILINE)
    kept, where, how_long, less = row.strip("| ").split(" | ")
    assert "off by default" in kept and f"{MAX_BYTES >> 10} KiB" in kept and where.startswith("the worker's memory")
    assert "the worker ends" in how_long and "CAPTURE=0" in less
    page = (ROOT / "docs" / "playground.md").read_text()
    listed, one = (
        json.loads(page.partition(f"### `GET {name}")[2].partition("```json\n")[2].partition("```")[0])
        for name in ("captures`", "capture?")
    )
    capture = begin(Captures(1, []))
    assert list(listed["captures"][0]) == list(capture.summary())
    assert list(one) == ["worker", "workers", *capture.told()]


def test_where_it_is_off_nothing_of_it_is_loaded() -> None:
    code = (
        "import sys; from parley.services import Services; from parley.settings import Settings; import app;"
        "assert Services(Settings()).captures is None; assert 'parley.telemetry.captures' not in sys.modules;"
        "assert Services(Settings(capture=1, playground='off')).captures is None;"
        "assert Services(Settings(capture=3)).captures.most == 3"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
