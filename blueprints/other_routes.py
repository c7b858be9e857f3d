"""Routes of other APIs that people and platforms try here, and what there is instead: one row each.

A path is compared without its case, empty parts, and the prefixes under which such APIs are found (/v1, /api, /openai).
"""

import re

ASK = "ask POST /chat/completions instead (/rag/chat/completions, /audio/chat/completions; all under /v1, too)"
ADVICE: tuple[tuple[str, str], ...] = (
    # One part twice: a base URL was given where a client appends the rest itself.
    (r"(.*/)?v\d+/v\d+(/.*)?", "/v1 is in it twice: end the base URL in /v1 once, or leave it out"),
    (
        r"(.*/)?chat/completions/(.*/)?chat/completions",
        "/chat/completions is in it twice: the client appends it, so leave it out of the base URL",
    ),
    (
        r"kb/([^/]+)(/v\d\w*)?(/chat(/completions)?)?|kb/([^/]+)/rag(/v\d\w*)?(/chat)?",
        "a base URL with a knowledge base ends in /rag (or in /rag/v1), behind the name of the base",
    ),
    (
        r"agents(/[^/]+)?(/(rag|audio))?(/v\d\w*)?(/chat(/completions)?)?|agents/([^/]+)(/v\d\w*)?/(rag|audio)(/chat)?",
        "the base URL of an agent is /agents/NAME (or /agents/NAME/v1, /agents/NAME/rag, ...): a client appends "
        "/chat/completions or /models to it",
    ),
    (r"(.*/)?(rag|audio)(/v1)?/chat/completions", "ask POST /{2}/chat/completions (or /{2}/v1/...) instead"),
    (r"(.*/)?chat/completions(/.*)?", "ask POST /chat/completions (or /v1/chat/completions) instead"),
    (r"v\d\w*|api|openai", "this is a base URL: a client appends /chat/completions or /models to it"),
    (r"api/(chat|generate|tags|show|ps|version|embed|embeddings|pull)", f"Ollama's API is not served: {ASK}"),
    (r"responses(/.*)?", f"the Responses API is not served: {ASK}"),
    (r"chat[/_-]?complet(ion|ions|e)", "ask POST /chat/completions (or /v1/chat/completions) instead"),
    (r"(rag|audio)(/v1)?/(chat|completions|query|search|ask|responses)", "ask POST /{1}/chat/completions instead"),
    (r"(rag|audio)/v1", "this is a base URL: a client appends /chat/completions or /models to it"),
    (r"(engines/[^/]+/)?completions", f"the completions API without messages is not served: {ASK}"),
    (r"messages(/.*)?", f"Anthropic's Messages API is not served, only OpenAI's chat completions: {ASK}"),
    (r"(.*/)?models/[^/]+:.*|interactions", f"Gemini's API is not served, only OpenAI's chat completions: {ASK}"),
    (r"models/.+", "single models are not served: GET /models lists them"),
    (r"chat", "ask POST /chat/completions (or /v1/chat/completions) instead"),
    (
        r"(chat/)?stream|generate|complete|edits|invocations|model/.*/(invoke|converse).*|infer|predict|query|ask|llm"
        r"|conversation|webhook|sse|mcp|tokenize",
        f"no such API is served: {ASK}",
    ),
    (r"rag|audio", "ask POST /{0}/chat/completions instead"),
    (
        r"audio/speech|speech|tts|(audio/)?voices|text-to-speech(/.*)?",
        "texts are not synthesised by request: POST /audio/chat/completions answers in speech, and says a last message "
        "of the assistant as it is",
    ),
    (r"audio/(transcriptions|translations)|listen|stt", f"speech is not recognised here: {ASK}"),
    (r"realtime(/.*)?|ws|websocket", f"there is no WebSocket, answers are streamed over HTTP: {ASK}"),
    (
        r"(embeddings|embed|rerank|moderations|images|videos|files|uploads|batches|fine_tuning|vector_stores|assistants"
        r"|threads|conversations|containers|evals|search|classify|score)(/.*)?",
        f"no such API is served: {ASK}",
    ),
    (r"docs|swagger([/-].*)?|redoc|openapi|openapi\.(ya?ml|json)", "GET /openapi.json describes the API"),
    (
        r"health(z|check|/.*)?|ready(z|/.*)?|status|ping|live|livez|alive|up|info|version|metrics",
        "GET /health and GET /ready tell how the server is, GET /metrics what it does",
    ),
)
"""Patterns of a whole path, and the advice; `{0}` is the path, `{2}` the pattern's second group."""
_PREFIXES = re.compile(r"(v\d\w*/|api/|openai/|deployments/[^/]+/|rag/(?=v1/)|audio/(?=v1/))*")
_COMPILED = tuple((re.compile(pattern), advice) for pattern, advice in ADVICE)


def advice(path: str) -> str:
    """Return what there is in place of a path that is no route of ours."""
    whole = "/".join(part.strip() for part in path.lower().split("/") if part.strip())
    # With its prefixes first: some rows are about these.
    for tried in (whole, whole[_PREFIXES.match(f"{whole}/").end() :] if whole else ""):  # type: ignore[union-attr]
        for pattern, text in _COMPILED:
            if found := pattern.fullmatch(tried):
                return text.format(tried, *found.groups())
    return "GET / lists what there is"
