"""The state of a server as a value: what docs/playground.md says of it, and nothing that is secret."""

import json
import re
from pathlib import Path
from typing import Any

from parley.inspection.status import status_of
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
