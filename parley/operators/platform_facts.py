"""Facts about platforms and upstreams that a custom LLM server has to know, each with its source and certainty.

A pure table, for docs/platforms.md. Where two sources differ, the one that is named here was followed.
"""

from typing import Literal, NamedTuple

Confidence = Literal["A", "B", "C"]
CONFIDENCE: dict[Confidence, str] = {
    "A": "the vendor's documents, or the source of its own packages",
    "B": "a sample of the vendor's",
    "C": "reports of others",
}
"""Grounds on which a fact is known, by the letter of its row."""


class Fact(NamedTuple):
    """One fact about a platform or an upstream, with its source."""

    about: str
    text: str
    source: str
    confidence: Confidence


FACTS = (
    Fact(
        "Agora",
        "Tools of the engine (`llm.tools`) do not reach a custom LLM; `mcp_servers` are not excluded. A request's "
        "tools pass through; Parley's own tools work in any case.",
        "documentation, build/tools/custom-tools (v2.12); the SDK's `CustomLLM` takes both",
        "A",
    ),
    Fact(
        "Agora",
        "Messages of the history also bear `speech_start_ms`, `speech_end_ms` and `speech_algorithmic_delay`. They "
        "stay here: strict upstreams refuse unknown fields.",
        "release notes, v2.8",
        "A",
    ),
    Fact(
        "Agora",
        "`turn_id` counts from 1; a turn ends `ok`, `interrupted`, `ignored` or with `error`. A session lasts 72 hours "
        "at most.",
        "SDK agora-agents 2.12",
        "A",
    ),
    Fact(
        "Agora",
        "With `silence_config.action: think` the text comes as a user message with `source: command`.",
        "SDK agora-agents 2.12",
        "A",
    ),
    Fact("Agora", "Nothing names the call unless it stands in `llm.params`.", "sample server-custom-llm", "B"),
    Fact("Agora", "It sends the last 32 messages (`max_history`).", "documentation of the join request", "A"),
    Fact(
        "Vapi",
        "Its own tools (`endCall`, `transferCall`) come in `tools`. Without `finish_reason: tool_calls` the call goes "
        "on although its end was recorded; Parley corrects that last chunk.",
        "VapiAI/docs; reports",
        "C",
    ),
    Fact(
        "Vapi",
        "`<flush />` has what is queued spoken, if `voice.chunkPlan.enabled`; otherwise it is read aloud.",
        "VapiAI/docs",
        "A",
    ),
    Fact("Vapi", "It takes markdown out by itself (`formatPlan`).", "VapiAI/docs", "A"),
    Fact(
        "ElevenLabs",
        "System tools (`end_call`, `language_detection`, `transfer_to_agent`, `skip_turn` ...) come in `tools`, and "
        "are answered as ordinary calls. It sends no name of the conversation by itself.",
        "elevenlabs-docs; SDK 2.78",
        "A",
    ),
    Fact("ElevenLabs", "It drops requests of speculative turns.", "elevenlabs-docs", "A"),
    Fact("ElevenLabs", "Calls of client tools were lost on voice turns.", "its packages, issue 603", "C"),
    Fact(
        "Hume",
        "`custom_session_id` comes in the query, and is expected back as `system_fingerprint` of each chunk.",
        "hume-api-examples",
        "B",
    ),
    Fact("Deepgram", "`defer_until_eot` marks functions that can't be undone.", "SDK", "A"),
    Fact(
        "Cartesia",
        "It calls a custom LLM since API version 2026-08-14: a base URL, https, no redirects, answers of 256 KiB at "
        "most. It generates ahead, so requests of one call overlap; a retry repeats `Idempotency-Key`.",
        "docs.cartesia.ai, agents/custom-llms",
        "A",
    ),
    Fact("Telnyx", "`forward_metadata` arrives as `extra_metadata`.", "documentation of `external_llm`", "A"),
    Fact(
        "Tencent TRTC",
        "`History` is 0 by default: only the current message comes. It waits 3 seconds. Headers name task, room and "
        "user; `X-Request-Id` stays the same when it asks again.",
        "documentation of `LLMConfig`",
        "A",
    ),
    Fact(
        "Volcengine, BytePlus",
        "All chunks must have one id and the `object` of a chunk: no metadata may stand in front of the first "
        "chunk. It waits 10 seconds.",
        "documentation of the real-time conversational AI",
        "A",
    ),
    Fact(
        "Alibaba IMS",
        "It streams only, sends the last 20 records, and names the call in `extendData`, which may be a JSON text.",
        "documentation of the custom LLM",
        "A",
    ),
    Fact("D-ID", "Messages bear `created_at`; a first token is expected within half a second.", "documentation", "A"),
    Fact(
        "LiveKit",
        "It takes markdown and emoji out by itself, and waits 10 seconds for a first chunk.",
        "source, livekit-agents 1.8.9",
        "A",
    ),
    Fact("Pipecat", "A filter for markdown is optional.", "source, pipecat-ai 1.14", "A"),
    Fact(
        "Gemini",
        "`extra_content.google.thought_signature` of a call has to come back, or the next request gets 400. Streamed "
        "calls end in `stop`, and calls at once may all have index 0.",
        "python-genai, issue 2868; adapters' issues",
        "C",
    ),
    Fact(
        "DeepSeek",
        "In thinking mode `reasoning_content` has to come back inside a turn with tools, and must not in later turns.",
        "API documentation",
        "A",
    ),
    Fact(
        "Ollama", "Calls come without an index, or with arguments as an object.", "its issue 7881; litellm 37792", "C"
    ),
    Fact(
        "LiteLLM",
        "For Anthropic it refuses messages of tools where no tools are listed.",
        "camel-ai/owl, issue 532",
        "C",
    ),
    Fact(
        "Retell, Twilio ConversationRelay, websockets of Hume and ElevenLabs",
        "They do not speak HTTP, so Parley can't serve them.",
        "their documentation",
        "A",
    ),
)
