"""Base URLs that are probably wrong: pasted without the path of the API, or from another API of the same provider.

No upstream is asked, because it may not run yet: the log tells what looks wrong, and what to write instead.
"""

import re
from urllib.parse import SplitResult, urlsplit

API_PATHS = {
    "api.anthropic.com": "/v1",
    "api.cerebras.ai": "/v1",
    "api.cohere.ai": "/compatibility/v1",
    "api.cohere.com": "/compatibility/v1",
    "api.deepinfra.com": "/v1/openai",
    # Both answer below /v1 and without it.
    "api.deepseek.com": "",
    "models.inference.ai.azure.com": "",
    "api.fireworks.ai": "/inference/v1",
    "api.groq.com": "/openai/v1",
    "api.mistral.ai": "/v1",
    "api.openai.com": "/v1",
    "api.perplexity.ai": "",
    "api.together.xyz": "/v1",
    "api.x.ai": "/v1",
    "dashscope.aliyuncs.com": "/compatible-mode/v1",
    "dashscope-intl.aliyuncs.com": "/compatible-mode/v1",
    "generativelanguage.googleapis.com": "/v1beta/openai",
    "integrate.api.nvidia.com": "/v1",
    "models.github.ai": "/inference",
    "openrouter.ai": "/api/v1",
    "router.huggingface.co": "/v1",
}
"""Path of the OpenAI-compatible API of each provider, empty where it needs none."""
_OLLAMA = re.compile(r"/api/(chat|generate)$")
"""Matches a route of Ollama's own API, which has another form."""


def advice(base_url: str) -> str | None:
    """Return what is probably wrong with a base URL and what to write instead, or None."""
    parts = urlsplit(base_url)
    host, path = parts.hostname or "", parts.path.rstrip("/")
    if host.endswith((".openai.azure.com", ".cognitiveservices.azure.com")):
        return _azure_advice(parts)
    known = API_PATHS.get(host)
    if known is not None:
        return f"the API of {host} is {_at(parts, known)}" if not path.startswith(known) else None
    if route := _OLLAMA.search(path):
        return f"{route[0]} is no OpenAI-compatible API: write {_at(parts, path[: route.start()] + '/v1')}"
    if not path:
        return (
            f"it has no path, and most APIs answer below /v1: if calls end with status 404, write {_at(parts, '/v1')}"
        )
    return None


def _azure_advice(parts: SplitResult) -> str | None:
    """Return what an address of Azure OpenAI lacks, or None."""
    if "/openai/deployments/" in parts.path:
        return None if "api-version=" in parts.query else f"write {_at(parts, parts.path)}?api-version=2024-10-21"
    deployment = _at(parts, "/openai/deployments/DEPLOYMENT?api-version=2024-10-21")
    return None if "/openai/v1" in parts.path else f"write {_at(parts, '/openai/v1')} or {deployment}"


def _at(parts: SplitResult, path: str) -> str:
    """Return the address of a path on the same server, without its query, which may hold a key."""
    return f"{parts.scheme}://{parts.netloc}{path}"
