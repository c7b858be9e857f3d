"""`flask snippet`: what is printed where, and docs/platforms.md, which is made by it."""

import json
from pathlib import Path

import pytest
from click.testing import Result

from app import create_app
from blueprints.cli import snippet as cli
from parley.operators.platform_facts import CONFIDENCE, FACTS
from parley.operators.platforms import PLATFORMS
from parley.settings import Settings

ROOT = Path(__file__).parents[3]
KEY = "canary-of-a-caller-0123456789"


def run(*args: str) -> Result:
    return (
        create_app(Settings(api_keys=(KEY,), llm_api_key=f"sk-{KEY}")).test_cli_runner().invoke(args=["snippet", *args])
    )


def test_the_page_in_the_repository_is_the_one_that_is_made() -> None:
    assert (ROOT / "docs" / "platforms.md").read_text() == cli.page() + "\n", "run `make settings`"


def test_the_page_has_a_section_for_each_platform() -> None:
    sections = [line[3:] for line in cli.page().splitlines() if line.startswith("## ")]

    assert sections == [*PLATFORMS, "What platforms and upstreams do"]


def test_each_fact_names_its_source_and_how_far_it_is_known() -> None:
    assert FACTS and all(one.source and one.confidence in CONFIDENCE for one in FACTS)
    assert all("|" not in "".join(one) for one in FACTS)


@pytest.mark.parametrize("name", PLATFORMS)
def test_the_text_alone_goes_to_standard_output(name: str) -> None:
    result = run(name, "--url", "https://voice.example.com/rag/chat/completions")

    assert result.exit_code == 0 and KEY not in result.output
    assert (
        result.stdout.rstrip("\n")
        == PLATFORMS[name].snippet(PLATFORMS[name].url("https://voice.example.com", "rag"), "rag", cli.MODEL).text
    )


def test_json_holds_a_request_as_the_platform_sends_it() -> None:
    told = json.loads(run("agora", "--url", "http://localhost:8000", "--json").stdout)

    assert told["url"] == "http://localhost:8000/rag/chat/completions" and told["url_form"] == "full"
    assert told["request"]["turn_id"] == 1 and "stay silent" in told["warnings"][0]


def test_a_text_platform_is_not_given_sound_in_silence() -> None:
    assert "speaks text" in run("vapi", "--url", "https://x.example", "--endpoint", "audio").stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "agora-python"),
        (("retell",), "is not one of"),
        (("agora", "--url", "ftp://x"), "--url"),
        (("agora", "--endpoint", "chat", "--kb", "north"), "--kb"),
    ],
    ids=["no-name", "unknown", "no-address", "base-of-chat"],
)
def test_what_is_not_understood_exits_with_two(args: tuple[str, ...], said: str) -> None:
    result = run(*args)
    assert result.exit_code == 2 and said in result.output
