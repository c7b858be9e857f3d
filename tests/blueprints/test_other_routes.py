"""Paths of other APIs lead to what there is instead."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as some

from app import create_app
from blueprints.other_routes import advice

pytestmark = pytest.mark.row("RD-04")
ROUTES = {str(rule) for rule in create_app().url_map.iter_rules()}
CHAT, RAG, AUDIO = "/chat/completions", "/rag/chat/completions", "/audio/chat/completions"
EXPECTED = {
    "/v1/responses": ("Responses API", CHAT),
    "/responses/resp_1": ("Responses API", CHAT),
    "/v1/completions": ("without messages", CHAT),
    "/v1/engines/davinci/completions": ("without messages", CHAT),
    "/v1/embeddings": ("no such API", CHAT),
    "/v1/audio/speech": ("not synthesised by request", AUDIO),
    "/v1/audio/transcriptions": ("speech is not recognised", CHAT),
    "/v1/realtime": ("no WebSocket", CHAT),
    "/v1/messages": ("Anthropic's", CHAT),
    "/v1/messages/count_tokens": ("Anthropic's", CHAT),
    "/api/chat": ("Ollama's", CHAT),
    "/api/generate": ("Ollama's", CHAT),
    "/api/tags": ("Ollama's", CHAT),
    "/v1/chat": ("ask POST", CHAT),
    "/chat/": ("ask POST", CHAT),
    "/v1/v1/chat/completions": ("/v1 is in it twice", "base URL"),
    "/v1/v1/models": ("/v1 is in it twice", "base URL"),
    "/rag/v1/v1/chat/completions": ("/v1 is in it twice", "base URL"),
    "/chat/completions/chat/completions": ("/chat/completions is in it twice", "base URL"),
    "/v1/chat/completions/v1/chat/completions": ("/chat/completions is in it twice", "base URL"),
    "/rag/chat/completions/chat/completions": ("/chat/completions is in it twice", "base URL"),
    "/V1/Chat/Completions": ("ask POST", CHAT),
    "/v2/chat/completions": ("ask POST", CHAT),
    "/kb/north/chat/completions": ("ends in /rag", "name of the base"),
    "/kb/north/v1/chat/completions": ("ends in /rag", "name of the base"),
    "/kb/north": ("ends in /rag", "name of the base"),
    "/v1//chat/completions": ("ask POST", CHAT),
    "/chat/completions ": ("ask POST", CHAT),
    "/api/v1/chat/completions": ("ask POST", CHAT),
    "/openai/deployments/gpt-4o/chat/completions": ("ask POST", CHAT),
    "/openai/deployments/ada/embeddings": ("no such API", CHAT),
    "/v1/audio/v1/chat/completions": ("ask POST", AUDIO),
    "/rag": ("ask POST", RAG),
    "/v1/rag": ("ask POST", RAG),
    "/v1beta/models/gemini-2.0-flash:streamGenerateContent": ("Gemini's", CHAT),
    "/v1/models/gpt-4o": ("single models", "GET /models"),
    "/v1": ("base URL", "/models"),
    "/docs": ("GET /openapi.json", "describes"),
    "/ping": ("GET /health", "GET /ready"),
    "/v1/chat/completion": ("ask POST", CHAT),
    "/chat_completions": ("ask POST", CHAT),
    "/rag/responses": ("ask POST", RAG),
    "/audio/v1": ("base URL", "/models"),
    "/rag/query": ("ask POST", RAG),
    "/v1/projects/p/locations/l/publishers/google/models/m:generateContent": ("Gemini's", CHAT),
    "/model/anthropic.claude/invoke": ("no such API", CHAT),
    "/v1/health": ("GET /health", "GET /ready"),
    "/v1/openapi.json": ("GET /openapi.json", "describes"),
    "/wp-login.php": ("GET / lists", "what there is"),
    "/": ("GET / lists", "what there is"),
}


@pytest.mark.parametrize("path", EXPECTED)
def test_a_path_leads_to_what_there_is(path: str) -> None:
    assert all(told in advice(path) for told in EXPECTED[path])


def test_only_routes_that_exist_are_named() -> None:
    texts = [advice(path) for path in EXPECTED]
    named = {route.rstrip("/") or "/" for text in texts for route in re.findall(r"(?:GET|POST) (/[\w/.]*)", text)}
    assert {CHAT, RAG, AUDIO, "/models", "/health", "/ready", "/openapi.json"} <= named <= ROUTES


@given(some.text(max_size=40))
def test_any_path_has_advice(path: str) -> None:
    assert advice(path) and "{" not in advice(path)


@pytest.mark.parametrize("path", [f"v{'1' * 100_000}!", "v1/" * 30_000 + "!", "a/" * 50_000 + "chat", "1:" * 50_000])
def test_a_long_path_is_searched_once(path: str) -> None:
    # A pattern that backtracks takes minutes for these.
    assert advice(path)
