"""The command `flask settings`: the settings table, docs/settings.md, the table of README.md, and `.env.example`."""

import dataclasses
import io
import re
from pathlib import Path

import pytest
from dotenv import dotenv_values

from app import create_app
from blueprints.cli import settings_page
from blueprints.cli.settings import page
from parley.settings import Settings

ROOT = Path(__file__).parents[3]
ROWS = dataclasses.fields(Settings)


def printed(*args: str) -> str:
    result = create_app(Settings()).test_cli_runner().invoke(args=["settings", *args])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_table_has_a_row_for_each_setting_and_no_other() -> None:
    lines = printed().splitlines()

    assert lines[:2] == ["| name (aliases) | default | meaning |", "|---|---|---|"]
    assert [line.split("`")[1] for line in lines[2:]] == [row.name.upper() for row in ROWS]


@pytest.mark.parametrize(
    "line",
    [
        "| `LLM_API_KEY` (`OPENAI_API_KEY`, `YOUR_LLM_API_KEY`) | – | API key for the upstream. |",
        "| `LLM_MODEL` | `gpt-4o-mini` | Model to use when the request names none. |",
        "| `LLM_BASE_URL` (`OPENAI_BASE_URL`) | OpenAI's if a key is set, else the embedded model "
        "| Base URL of the upstream, an OpenAI-compatible API. |",
        "| `WAITING_MESSAGES` | those of the knowledge base's language "
        r"| Waiting messages separated by `\|`. No message is spoken twice in a row. A base's own (`base.json`) win. |",
        "| `LOG_FORMAT` | text on a terminal, JSON otherwise | Form of log lines: `text` or `json`. |",
    ],
)
def test_a_row_tells_names_default_and_meaning(line: str) -> None:
    assert line in printed().splitlines()


def test_every_row_of_the_table_has_three_cells() -> None:
    cells = [re.split(r"(?<!\\)\|", line) for line in printed().splitlines()]

    assert {len(row) for row in cells} == {5}


def test_the_env_file_has_each_setting_below_its_meaning() -> None:
    blocks = printed("--env").rstrip("\n").split("\n\n")

    assert len(blocks) == len(ROWS)
    for row, block in zip(ROWS, blocks, strict=True):
        meaning, line = block.splitlines()
        assert meaning.startswith(f"# {row.metadata['meaning']}")
        assert line == f"# {row.name.upper()}={row.metadata['default'] or ''}"


def test_the_env_file_uncommented_changes_nothing() -> None:
    uncommented = re.sub(r"^# ([A-Z_]+=)", r"\1", printed("--env"), flags=re.MULTILINE)

    values = dotenv_values(stream=io.StringIO(uncommented))

    assert list(values) == [row.name.upper() for row in ROWS]
    assert Settings.from_environ({name: value or "" for name, value in values.items()}) == Settings()


def test_the_repositorys_env_example_is_what_is_printed() -> None:
    assert (ROOT / ".env.example").read_text() == printed("--env")


def test_the_readme_form_has_the_settings_of_a_first_deployment() -> None:
    lines = printed("--readme").splitlines()

    assert [line.split("`")[1] for line in lines[2:]] == list(settings_page.README_SETTINGS)


def test_the_page_form_is_the_settings_page() -> None:
    assert printed("--page") == page() + "\n"


def test_each_meaning_is_one_line_of_whole_sentences() -> None:
    for row in ROWS:
        meaning = row.metadata["meaning"]
        assert meaning[0].isupper() and meaning.endswith(".") and meaning.isprintable(), row.name
