"""The state of a server as a value: what docs/playground.md says of it, and nothing that is secret."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fake_source import FakeSource

from parley.errors import WarmingUp
from parley.inspection import search
from parley.inspection.contents import passages_of
from parley.inspection.status import status_of
from parley.knowledge.base_settings import BaseSettings
from parley.knowledge.database.on_demand import BasesOnDemand
from parley.knowledge.retriever import Retriever
from parley.languages import LANGUAGES
from parley.services import Services
from parley.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "playground.md").read_text()


def documented(heading: str) -> dict[str, Any]:
    example = PAGE.partition(f"### `{heading}")[2].partition("```json\n")[2].partition("```")[0]
    found: dict[str, Any] = json.loads(example)
    return found


def test_the_state_has_the_documented_form_and_no_secret() -> None:
    settings = Settings(
        llm_base_url="http://models.example:9/v1",
        llm_api_key="sk-secret-0123456789",
        api_keys=("door-key-0123456789",),
        tts_base_url="http://voices.example/v1",
        kb_dir=ROOT / "kb_data",
        audio_dir=ROOT / "audio_assets",
        rag_tier="lexical",
    )
    services = Services(settings)
    services.knowledge.require("")
    told = json.loads(json.dumps(status_of(services)))

    example = documented("GET status")
    assert list(told) == list(example)
    for name in ("streams", "audio", "kb"):
        assert list(told[name]) == list(example[name]), name
    assert list(told["kb"]["bases"][0]) == list(example["kb"]["bases"][0])
    assert (told["auth"], told["model"], told["streams"]["most"]) == ("on", settings.llm_model, 1000)
    assert not re.search(r"secret|door-key|example|/kb_data|://", json.dumps({**told, "hints": []}))


def test_bases_that_are_not_in_memory_are_told_as_well() -> None:
    source = FakeSource(a=3, b=3, large=9)
    source.settings["b"] = BaseSettings(language=LANGUAGES["es"], waiting_messages=("Un momento.",))
    services = Services(Settings(rag_tier="lexical", kb_dir=ROOT / "nowhere"))
    services.knowledge = Retriever(BasesOnDemand(source, limit=5), timeout=5.0, poll=0)
    services.knowledge.require("a")

    told = status_of(services)
    bases = {base["name"]: base for base in told["kb"]["bases"]}

    assert source.loads == [] and told["kb"]["state"] == "degraded"
    assert [(name, base["passages"], base["state"]) for name, base in bases.items()] == [
        ("", 0, "empty"),
        ("a", 3, "ok"),
        ("b", 3, "ok"),
        ("large", 9, "degraded"),
    ]
    assert bases["b"]["language"] == "es" and bases["b"]["waiting_messages"] == ("Un momento.",)
    assert any("'large' is degraded: its 9 passages" in hint["text"] for hint in told["hints"])
    # They are loaded for whoever looks into them.
    assert passages_of(services, "a", "", 0)["total"] == 3
    found = search.explain(services, search.conversation("Base b revision 1 part 1?", "", "", {}), "b")
    assert found["hits"] and found["language"] == "es" and source.loads == ["a", "b"]
    with pytest.raises(WarmingUp, match="KB_RESIDENT=5"):
        passages_of(services, "large", "", 0)
