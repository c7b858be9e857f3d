"""Addresses that look wrong, and what to write instead: each remedy looks right itself."""

import io
import re
from pathlib import Path

import pytest
from dotenv import dotenv_values

from parley.server.base_urls import API_PATHS, WEBSITES, advice
from parley.settings import Settings

WRONG = {
    "https://api.example.com": "https://api.example.com/v1",
    "http://localhost:11434/": "http://localhost:11434/v1",
    "http://localhost:11434/api/chat": "http://localhost:11434/v1",
    "http://gpu/ollama/api/generate": "http://gpu/ollama/v1",
    "https://api.openai.com": "https://api.openai.com/v1",
    "https://api.groq.com/v1": "https://api.groq.com/openai/v1",
    "https://openrouter.ai/v1": "https://openrouter.ai/api/v1",
    "https://generativelanguage.googleapis.com/v1beta": "https://generativelanguage.googleapis.com/v1beta/openai",
    "https://n.openai.azure.com": "https://n.openai.azure.com/openai/v1",
    "https://n.openai.azure.com/openai/deployments/d": (
        "https://n.openai.azure.com/openai/deployments/d?api-version=2024-10-21"
    ),
    "https://api.example.com?key=hidden": "https://api.example.com/v1",
    "http://localhost:11434/api": "http://localhost:11434/v1",
    "http://localhost:11434/api/tags": "http://localhost:11434/v1",
    "http://localhost:11434/v1/api/chat": "http://localhost:11434/v1",
    "http://gpu:8000/v1/v1": "http://gpu:8000/v1",
    "https://api.openai.com/v1/v1": "https://api.openai.com/v1",
    "https://api.openai.com/v1/models/gpt-4o": "https://api.openai.com/v1",
    "http://gpu:8000/docs": "http://gpu:8000/v1",
    "http://gpu:8000/v1/openapi.json": "http://gpu:8000/v1",
    "http://gpu:8080/health": "http://gpu:8080/v1",
    "https://platform.openai.com/v1": "https://api.openai.com/v1",
    "https://www.openai.com": "https://api.openai.com/v1",
    "https://huggingface.co/org/model": "https://router.huggingface.co/v1",
    "https://open.bigmodel.cn/v1": "https://open.bigmodel.cn/api/paas/v4",
    "https://bedrock-runtime.us-east-1.amazonaws.com": "https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1",
    "https://n.services.ai.azure.com": "https://n.services.ai.azure.com/openai/v1",
    "https://api.cloudflare.com/client/v4/accounts/A/ai": "https://api.cloudflare.com/client/v4/accounts/A/ai/v1",
}
RIGHT = [
    "https://api.openai.com/v1",
    "https://api.deepseek.com",
    "http://localhost:3000/api",
    "http://localhost:12434/engines/v1",
    "http://127.0.0.1:8000/audio",
    "https://api.cloudflare.com/client/v4/accounts/A/ai/v1",
    "https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1",
    *WEBSITES.values(),
    "https://gateway.ai.cloudflare.com/v1/ACCOUNT/GATEWAY/openai",
    "https://n.openai.azure.com/openai/v1",
    "https://n.openai.azure.com/openai/deployments/d?api-version=2024-10-21",
    "https://n.services.ai.azure.com/models?api-version=2024-05-01-preview",
    "http://127.0.0.1:8000/v1?key=x",
    *(f"https://{host}{path}" for host, path in API_PATHS.items()),
]


@pytest.mark.row("RF-16")
@pytest.mark.parametrize(("url", "remedy"), WRONG.items(), ids=WRONG)
def test_what_to_write_instead_is_told(url: str, remedy: str) -> None:
    told = advice(url)
    assert told is not None and remedy in told and "hidden" not in told
    for address in re.findall(r"https?://\S+", told):
        assert advice(address) is None, address


@pytest.mark.parametrize("url", RIGHT)
def test_a_usual_address_is_not_doubted(url: str) -> None:
    assert advice(url) is None


PAGE = (Path(__file__).parents[2] / "docs" / "deploying.md").read_text()
EXAMPLES = re.findall(r"```sh\n(# .+?)```", PAGE.partition("## Upstreams that need more than a key")[2], re.DOTALL)


@pytest.mark.row("RA-11")
@pytest.mark.parametrize("example", EXAMPLES, ids=[example.splitlines()[0] for example in EXAMPLES])
def test_the_examples_of_upstreams_are_good_settings(example: str) -> None:
    environ = {name: value or "" for name, value in dotenv_values(stream=io.StringIO(example)).items()}
    settings = Settings.from_environ(environ)
    assert len(environ) >= 2 and [advice(url) for url in settings.base_urls] == [None] * len(settings.base_urls)
    assert settings.authenticates or "gpu" in example
