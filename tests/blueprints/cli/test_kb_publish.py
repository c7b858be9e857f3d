"""`flask kb publish`: what it refuses before it asks any database; the rest is in tests/database/test_commands.py."""

from pathlib import Path

from click.testing import Result
from knowledge_folder import write_base

from app import create_app
from parley.settings import Settings


def publish(folder: Path, *args: str) -> Result:
    return create_app(Settings(kb_dir=folder)).test_cli_runner().invoke(args=["kb", "publish", *args])


def test_errors_in_the_files_are_told_and_nothing_is_published(tmp_path: Path) -> None:
    write_base(tmp_path, {"a": "A text."})
    (tmp_path / "broken.json").write_text("{")

    result = publish(tmp_path)

    assert result.exit_code == 1 and "broken.json" in result.output and "--force" in result.output


def test_an_empty_folder_does_not_replace_all_that_is_published(tmp_path: Path) -> None:
    assert "would drop all" in publish(tmp_path).output


def test_without_a_database_it_says_so(tmp_path: Path) -> None:
    write_base(tmp_path, {"a": "A text."})

    assert "DATABASE_URL is not set" in publish(tmp_path).output
