"""The file `.env`: every encoding that its first bytes tell, and every line that is no statement."""

import codecs
import re
from pathlib import Path

import pytest

from parley.environment.env_file import EnvFileError, parse, read

pytestmark = pytest.mark.row("RF-15")
TEXT = "API_KEYS=door-1\r\nFALLBACK_TEXT=Désolé, 少々お待ち\n"
VALUES = {"API_KEYS": "door-1", "FALLBACK_TEXT": "Désolé, 少々お待ち"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_an_encoding_that_the_bytes_tell_is_read(file: Path, encoding: str) -> None:
    file.write_bytes(TEXT.encode(encoding))
    found = read(file)
    assert found and found.values == VALUES and found.ignored == {}


def test_utf_16_with_its_mark_in_either_order_is_read(file: Path) -> None:
    file.write_bytes(codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"))
    found = read(file)
    assert found and found.values == VALUES


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("A=1\nFALLBACK_TEXT=Désolé\n".encode("latin-1"), "is not valid UTF-8 (line 2); save it as UTF-8"),
        ("A=“x”\n".encode("cp1252"), "is not valid UTF-8 (line 1)"),
        (codecs.BOM_UTF16_LE + b"A\0=", "is not valid UTF-16 (line 1)"),
        (b"A=1\nB=\0\0\n", "holds a NUL character"),
    ],
    ids=["latin-1", "windows-1252", "cut-utf-16", "nul"],
)
def test_any_other_bytes_are_refused_without_being_quoted(file: Path, content: bytes, told: str) -> None:
    file.write_bytes(content)
    with pytest.raises(EnvFileError) as raised:
        read(file)
    assert str(raised.value).startswith(f"{file} {told}") and "sol" not in str(raised.value)


def test_a_missing_file_and_a_virtual_environment_are_none(file: Path) -> None:
    assert read(file) is None
    file.mkdir()
    (file / "pyvenv.cfg").touch()
    assert read(file) is None


def test_a_folder_and_a_link_to_nothing_are_refused(file: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    file.symlink_to("nothing")
    for path, told in ((tmp_path / "folder", "is a folder"), (file, "can't be read: No such file")):
        with pytest.raises(EnvFileError, match=told):
            read(path)


@pytest.mark.parametrize("name", [".env.txt", ".ENV", ".Env.TXT", ".env "])
def test_a_file_with_an_editors_ending_is_told(file: Path, name: str) -> None:
    file.with_name(name).touch()
    with pytest.raises(EnvFileError, match=rf"{re.escape(name)} is not read; rename it to "):
        read(file)
    file.touch()
    assert read(file) is not None


def test_a_file_that_can_not_be_read_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    file.touch()
    monkeypatch.setattr(Path, "read_bytes", forbidden)
    with pytest.raises(EnvFileError, match=r"\.env can't be read: Permission denied"):
        read(file)


def test_statements_are_told_from_other_lines_by_number() -> None:
    lines = [
        "# API_KEYS=x",
        "",
        "export A = 1",
        "API_KEYS: x",
        "B='2 #'",
        "API_KEYS",
        "- C=3",
        '"D"="4"',
        "E=",
        "F-G=1",
    ]
    found = parse("\n".join(lines))
    assert found.values == {"A": "1", "B": "2 #", "E": ""}
    assert found.ignored == {number: lines[number - 1] for number in (4, 6, 7, 8, 10)}
    assert "API_KEYS" not in found.statements


def test_a_quote_without_its_end_is_no_statement() -> None:
    found = parse("A=1\nAPI_KEYS=\"x\nB='2'\n")
    assert found.ignored[2].startswith("API_KEYS") and found.values == {"A": "1", "B": "2"}
