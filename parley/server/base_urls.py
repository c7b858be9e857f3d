"""Base URLs that are probably wrong: pasted without the path of the API, or from another API of the same provider.

No upstream is asked, because it may not run yet: the log tells what looks wrong, and what to write instead.
"""

import dataclasses
import re
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from parley import setting_types as types
from parley.environment.variables import environment
from parley.settings import Settings, given

API_PATHS = {
    "ai-gateway.vercel.sh": "/v1",
    "api.ai21.com": "/studio/v1",
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
    "api.z.ai": "/api/paas/v4",
    "ark.cn-beijing.volces.com": "/api/v3",
    "dashscope.aliyuncs.com": "/compatible-mode/v1",
    "dashscope-intl.aliyuncs.com": "/compatible-mode/v1",
    "generativelanguage.googleapis.com": "/v1beta/openai",
    "integrate.api.nvidia.com": "/v1",
    "models.github.ai": "/inference",
    "open.bigmodel.cn": "/api/paas/v4",
    "openrouter.ai": "/api/v1",
    "qianfan.baidubce.com": "/v2",
    "router.huggingface.co": "/v1",
}
"""Path of the OpenAI-compatible API of each provider, empty where it needs none."""
WEBSITES = {
    "aistudio.google.com": "https://generativelanguage.googleapis.com/v1beta/openai",
    "chat.openai.com": "https://api.openai.com/v1",
    "chatgpt.com": "https://api.openai.com/v1",
    "console.anthropic.com": "https://api.anthropic.com/v1",
    "console.groq.com": "https://api.groq.com/openai/v1",
    "console.mistral.ai": "https://api.mistral.ai/v1",
    "huggingface.co": "https://router.huggingface.co/v1",
    "openai.com": "https://api.openai.com/v1",
    "platform.deepseek.com": "https://api.deepseek.com",
    "platform.openai.com": "https://api.openai.com/v1",
}
"""The API behind the host of a provider's web pages."""
_PAGES = (
    r"(models?/[^/]+|engines|health\w*|ready|docs|redoc|openapi\.json|generate|invocations|tokenize|props|metrics|ui)"
)
"""Pages and routes that a model server has beside its API, as an address bar or an example shows them."""
WRONG_PATHS: tuple[tuple[str, str, str], ...] = (
    # Ollama's own API has another form; a gateway may have its API below /api itself.
    (r".*", r"(.*?)(/v1)?/api/(chat|generate|tags|show|ps|version|embed|embeddings|pull)", r"\1/v1"),
    (r".*:11434", r"(.*)/api", r"\1/v1"),
    (r".*", r"(.*/v\d+\w*)/+v\d+\w*", r"\1"),
    (r".*", rf"(.*/v\d+\w*)/{_PAGES}", r"\1"),
    (r".*", rf"(|/\w+)/{_PAGES}", r"\1/v1"),
    (r"api\.cloudflare\.com", r"(/client/v4/accounts/[^/]+/ai)(/run/.*)?", r"\1/v1"),
    (r"bedrock-runtime\..*", r"(?!.*/openai/v1).*", "/openai/v1"),
    (r".*\.services\.ai\.azure\.com", "", "/openai/v1"),
)
"""Patterns of host and port, and of a path that is wrong there, and the path to write."""


def advice(base_url: str) -> str | None:
    """Return what is probably wrong with a base URL and what to write instead, or None."""
    parts = urlsplit(base_url)
    host, path = parts.hostname or "", parts.path.rstrip("/")
    if host.endswith((".openai.azure.com", ".cognitiveservices.azure.com")):
        return _azure_advice(parts)
    if website := WEBSITES.get(host.removeprefix("www.")):
        return f"{host} is a website: write {website}"
    known = API_PATHS.get(host)
    if known is not None and not path.startswith(known):
        return f"the API of {host} is {_at(parts, known)}"
    for netloc, wrong, right in WRONG_PATHS:
        if re.fullmatch(netloc, parts.netloc.lower()) and (found := re.fullmatch(wrong, path)):
            return f"{path or host} is no OpenAI-compatible API: write {_at(parts, found.expand(right))}"
    if not path and known is None:
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


def cut_routes(environ: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """Return each variable with a base URL whose route was cut off, and that route. To be called with good settings."""
    environ = environment() if environ is None else environ
    found = []
    for field in dataclasses.fields(Settings):
        name, value = given(field, environ)
        kind = field.metadata["kind"]
        urls = [value] if kind in (types.URL, types.MODEL_URL) else []
        if kind is types.UPSTREAMS and value:
            urls = [types.unquoted(entry["base_url"]) for entry in types.parse_json(value)]
        found += [(name, route) for url in urls if (route := types.split_route(url)[1])]
    return found
