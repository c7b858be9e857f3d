"""The texts to copy: each is well-formed in its language, names its URL and its model, and holds no key."""

import ast
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from parley.operators.platforms import ENDPOINTS, PLATFORMS, Platform

MODEL = 'a "model"'


def check_syntax(language: str, text: str, folder: Path) -> None:
    """Raise an error for a text that is not well-formed."""
    if language == "json":
        json.loads(text)
    elif language == "python":
        ast.parse(text)
    elif language == "sh":
        subprocess.run(["bash", "-n", "-c", text], check=True)
    elif shutil.which("node"):
        file = folder / "snippet.mjs"
        file.write_text(text)
        subprocess.run(["node", "--check", file], check=True, capture_output=True)


@pytest.mark.parametrize("platform", PLATFORMS.values(), ids=lambda platform: platform.name)
def test_a_snippet_is_well_formed(platform: Platform, tmp_path: Path) -> None:
    for endpoint in ENDPOINTS:
        url = platform.url("https://voice.example.com", endpoint)
        snippet = platform.snippet(url, endpoint, MODEL)

        check_syntax(snippet.language, snippet.text, tmp_path)
        assert url in snippet.text and snippet.where
        assert "PARLEY_KEY" in snippet.text + snippet.where or platform.name in ("vapi", "elevenlabs", "hume")
        assert json.dumps(MODEL)[1:-1] in snippet.text or MODEL in snippet.text or platform.name == "hume"


def test_agora_is_told_to_play_the_sound_of_audio() -> None:
    for endpoint, modalities in {"rag": ["text"], "audio": ["audio"]}.items():
        llm = json.loads(PLATFORMS["agora"].snippet("https://x.example", endpoint, "m").text)["properties"]["llm"]
        assert llm["output_modalities"] == modalities and llm["vendor"] == "custom"
