"""Settings of the answers: the model, tools, knowledge and audio."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from parley import setting_types as types
from parley.setting_rows import shared_servers
from parley.setting_rows.row import row


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelRows:
    """Settings of the upstream and of what happens to its text."""

    llm_api_key: str | None = row(
        types.KEY, None, "API key for the upstream.", aliases=("OPENAI_API_KEY", "YOUR_LLM_API_KEY"), secret=True
    )
    llm_base_url: str | None = row(
        types.MODEL_URL,
        None,
        "Base URL of the upstream, an OpenAI-compatible API.",
        aliases=("OPENAI_BASE_URL",),
        secret=True,
        shown="OpenAI's if a key is set, else the embedded model",
    )
    llm_model: str = row(types.TEXT, "gpt-4o-mini", "Model to use when the request names none.")
    llm_fallbacks: tuple[types.UpstreamSetting, ...] = row(
        types.UPSTREAMS,
        "[]",
        'Further upstreams, a JSON list of `{"base_url","api_key","model","headers","params"}`. They are tried in this '
        "order, until the first word is sent.",
        secret=True,
    )
    llm_headers: Mapping[str, str] = row(
        types.HEADERS,
        "{}",
        'Further headers of each request to the upstream, a JSON object such as `{"api-key":"..."}`.',
        secret=True,
    )
    llm_params: Mapping[str, Any] = row(
        types.PARAMS,
        "{}",
        'Fields for the upstream where a request leaves them out, a JSON object such as `{"temperature":0.2}`.',
    )
    warm_model: bool = row(
        types.SWITCH, "off", "With `on`, ask the upstream for one tiny answer at the start, so that it loads its model."
    )
    hedge_after: int | None = row(
        types.OPTIONAL_MS,
        "off",
        "Milliseconds without a word after which the next upstream is asked as well as the first. This costs tokens.",
    )
    llm_forward_fields: frozenset[str] = row(
        types.NAMES, "", "Further request fields to forward upstream, separated by commas; `*` forwards all."
    )
    interruptions: str = row(
        types.choice("note", "off"), "note", "Whether the model gets a `note` of the words that a caller cut off."
    )
    speech_cleanup: str = row(
        types.choice("off", "thoughts", "speech"),
        "off",
        "Taken out of the texts of /chat, /rag: nothing, `thoughts`, with `speech` all that a voice should not read.",
    )
    fallback_text: str | None = row(
        types.SPOKEN_TEXT,
        None,
        "Text that is spoken when the server or the upstream fails during a stream, or when an answer holds no word.",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class AgentRows:
    """Settings of the agents."""

    agents_dir: Path = row(
        types.FOLDER, "agents", "Folder of the agents, one profile in each `NAME.json`. Without it: none."
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ToolRows:
    """Settings of the tools that the model may call."""

    tools_dir: Path = row(
        types.FOLDER, "tools", "Folder of the tools that the model may call: `*.json` and `*.py`. Without it: none."
    )
    tool_waiting: int | None = row(
        types.WAITING,
        "700",
        "When a phrase is spoken while a tool runs: `always`, `off`, or after so many milliseconds.",
    )
    tool_passes: int = row(
        types.integer(1, 10), "4", "Maximum number of the upstream's answers in a turn; the last one may call no tool."
    )
    tool_timeout: float = row(types.seconds(100), "10", "Maximum seconds of a tool's call, unless the tool names them.")
    tool_budget: float = row(types.seconds(300), "25", "Maximum seconds of all calls of tools in a turn together.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryRows:
    """Settings of the memory of conversations."""

    memory: Literal["off", "tools", "full"] = row(
        types.choice("off", "tools", "full"),
        "off",
        "What is remembered of a session: nothing, calls of `tools` with their results, or the `full` conversation.",
    )
    memory_ttl: float = row(
        types.seconds(86_400), "1800", "Seconds after its last turn for which a session is remembered."
    )
    memory_store: types.StoreSetting = row(
        types.STORE,
        "memory:",
        "Where sessions are kept: `memory:` (one worker only), `sqlite:PATH`, a file that all workers share, or "
        "`redis:`, which all machines share (`REDIS_URL`).",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class KnowledgeRows:
    """Settings of the knowledge and of the search in it."""

    kb_dir: Path = row(
        types.FOLDER,
        "kb_data",
        "Folder of the knowledge. Its `*.json` files are the default knowledge base, each subfolder is another base.",
    )
    kb_poll: float = row(
        types.seconds(3600, or_none=True),
        "2",
        "Seconds between two checks for changed knowledge files; 0 turns the checks off.",
    )
    database_url: Any = row(
        shared_servers.DATABASE_URL,
        None,
        "URL of a PostgreSQL database with pgvector from which the knowledge comes (`postgresql://...`). `KB_DIR` is "
        "then what `flask kb publish` publishes there.",
        secret=True,
    )
    database_pool: int = row(types.integer(1, 20), "2", "Maximum number of connections of a worker to the database.")
    database_timeout: float = row(
        types.seconds(60),
        "0.3",
        "Maximum seconds for the database's part of a search, in a knowledge base that is too large to be held.",
    )
    kb_resident: int = row(
        types.integer(1, 100_000_000),
        "100000",
        "Maximum number of passages from the database that a worker holds in memory, all knowledge bases together.",
    )
    waiting: int | None = row(
        types.WAITING,
        "always",
        "When /rag speaks a waiting message: `always`, `off`, or after so many milliseconds without a word. "
        "A request can override it with `waiting` in its body.",
    )
    waiting_messages: tuple[str, ...] | None = row(
        types.PHRASES,
        None,
        "Waiting messages separated by `|`. No message is spoken twice in a row. A base's own (`base.json`) win.",
        shown="those of the knowledge base's language",
    )
    rag_top_k: int = row(
        types.integer(1, 20), "4", "Maximum number of passages sent to the model, of at most 1200 characters each."
    )
    rag_timeout: float = row(
        types.seconds(60),
        "1.5",
        "Maximum seconds for a knowledge search; after them the question is answered without context.",
    )
    rag_tier: str = row(
        types.choice("auto", "lexical"),
        "auto",
        "How passages are found: `auto` by words and, if there is an encoder, by meaning; `lexical` by words alone.",
    )
    rag_rewrite_ms: int | None = row(
        types.OPTIONAL_MS,
        "off",
        "Maximum milliseconds for the model to rewrite a follow-up as a question of its own before the search.",
    )
    rag_fallback: str = row(
        types.choice("off", "quote"),
        "off",
        "What /rag says where the upstream fails before its first word: `off` (the error, or `FALLBACK_TEXT`), or "
        "`quote` (the sentences of the knowledge that answer the question, if there are any).",
    )
    rag_min_coverage: float = row(
        types.SHARE, "0.33", "Minimum coverage of a question by the best passage for an answer by words alone."
    )
    rag_min_evidence: float | None = row(
        types.SHARE,
        None,
        "Minimum evidence (cosine and a share of the coverage) for an answer if there are embeddings.",
        shown="the encoder's own",
    )
    embeddings_base_url: str | None = row(
        types.URL,
        None,
        "Base URL of an OpenAI-compatible API for the embeddings of passages and questions.",
        shown="the embedded encoder if it is installed, else none",
    )
    embeddings_api_key: str | None = row(types.KEY, None, "API key for the embeddings.", secret=True)
    embeddings_model: str = row(types.TEXT, "text-embedding-3-small", "Model of the embeddings.")
    embeddings_timeout: float = row(
        types.seconds(10),
        "0.4",
        "Maximum seconds for a question's embedding; after them passages are found by words alone.",
    )
    embeddings_cache: Path | Literal["redis"] = row(
        types.CACHE,
        ".cache",
        "Folder in which the passages' embeddings are cached, or `redis` for the Redis of `REDIS_URL`.",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class AudioRows:
    """Settings of what is spoken on /audio."""

    audio_dir: Path = row(
        types.FOLDER,
        "audio_assets",
        "Folder of the recordings: `NAME.wav` (or .flac, .ogg, .opus, .mp3) with its transcript `NAME.txt`.",
    )
    audio_mode: str = row(
        types.choice("assets", "speech", "relay"),
        "assets",
        "What /audio plays: `assets` (recordings), `speech` (the model's answer, synthesised), "
        "or `relay` (the audio of an upstream that answers in audio).",
    )
    audio_sample_rate: int = row(
        types.integer(8000, 48_000), "16000", "Sample rate in Hz of the PCM16 mono audio that is sent."
    )
    audio_chunk_ms: int = row(types.integer(10, 1000), "40", "Milliseconds of audio in one chunk.")
    audio_lead_ms: int = row(
        types.integer(0, 5000), "200", "Milliseconds by which the audio that is sent may run ahead of real time."
    )
    tts_base_url: str | None = row(
        types.URL,
        None,
        "Base URL of an OpenAI-compatible speech API (`/audio/speech`), for `AUDIO_MODE=speech`.",
        shown="OpenAI's if a key is set, else the embedded voice",
    )
    tts_api_key: str | None = row(types.KEY, None, "API key for the speech API.", secret=True)
    tts_model: str = row(types.TEXT, "gpt-4o-mini-tts", "Model of the speech API.")
    tts_voice: str = row(types.TEXT, "alloy", "Voice of the speech API.")
    tts_language: str = row(
        types.LANGUAGE,
        "en",
        "Language of the spoken answers. With `en`, numbers, dates and amounts of money become English words; "
        "with any other language they are left to the voice.",
    )
