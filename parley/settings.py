"""The settings: one table, one reader of the environment, one home of every default.

A row of the table is a field of `Settings`; its variable is the field's name in capitals. README's table
and `.env.example` are made from these rows (`flask settings`). Nothing here may import more than the
standard library at module level: gunicorn's master reads its settings before anything heavy is loaded.
"""

import dataclasses
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parley import setting_types as types

OPENAI_BASE_URL = "https://api.openai.com/v1"
"""Base URL of the model and of the voice where a key is set for them, and no URL."""
PROXY_VARIABLES = frozenset({"http_proxy", "https_proxy", "all_proxy"})


class SettingsError(Exception):
    """One line for the operator: the variable, and the form that it accepts (never a secret's value)."""


def row(
    kind: types.SettingType,
    default: str | None,
    meaning: str,
    *,
    aliases: tuple[str, ...] = (),
    secret: bool = False,
    shown: str | None = None,
) -> Any:
    """One row of the table. `default` is written as in the environment; `shown` replaces it in the docs."""
    value = None if default is None else kind.parse(default)
    metadata = {"kind": kind, "default": default, "meaning": meaning, "aliases": aliases, "shown": shown}
    return dataclasses.field(default=value, repr=not secret, metadata=metadata)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the operator decided. Durations are seconds unless a name says otherwise."""

    llm_api_key: str | None = row(
        types.KEY, None, "key for the upstream", aliases=("OPENAI_API_KEY", "YOUR_LLM_API_KEY"), secret=True
    )
    llm_base_url: str | None = row(
        types.URL,
        None,
        "upstream base URL of an OpenAI-compatible API",
        aliases=("OPENAI_BASE_URL",),
        shown="OpenAI's when a key is set, else the embedded model",
    )
    llm_model: str = row(types.TEXT, "gpt-4o-mini", "model when the request names none")
    llm_fallbacks: tuple[types.UpstreamSetting, ...] = row(
        types.UPSTREAMS,
        "[]",
        'further upstreams, tried in this order before the first word: a JSON list of `{"base_url","api_key","model"}`',
        secret=True,
    )
    hedge_after: int | None = row(
        types.HEDGE,
        "off",
        "milliseconds without content after which the next upstream is asked beside the first (costs tokens)",
    )
    llm_forward_fields: frozenset[str] = row(
        types.NAMES, "", "further request fields that may go upstream, separated by commas; `*` = all"
    )
    api_keys: tuple[str, ...] | None = row(
        types.KEYS,
        None,
        "keys that callers may use (`Authorization: Bearer`, or `x-api-key`), separated by commas; "
        "unset: open to everybody",
        secret=True,
    )
    kb_dir: Path = row(
        types.FOLDER, "kb_data", "folder of the knowledge: its `*.json` files; its subfolders are bases of their own"
    )
    kb_poll: float = row(
        types.seconds(3600, or_none=True), "2", "seconds between two looks for changed knowledge files; 0 = never"
    )
    audio_dir: Path = row(
        types.FOLDER, "audio_assets", "folder of the recordings: `NAME.wav` (or .flac, .ogg, .opus, .mp3) + `NAME.txt`"
    )
    waiting: int | None = row(
        types.WAITING,
        "always",
        "the spoken waiting message of /rag: `always`, `off`, or the milliseconds without content after "
        "which it is spoken (per request: the body's `waiting`)",
    )
    waiting_messages: tuple[str, ...] = row(
        types.PHRASES,
        "Let me look that up for you.|One moment, I am checking.|Good question, let me see.",
        "waiting messages separated by `|`, never the same twice running",
    )
    rag_top_k: int = row(types.whole(1, 20), "4", "passages sent to the model at most, of 1200 characters each")
    rag_timeout: float = row(
        types.seconds(60), "1.5", "seconds to look a question up; after them it is answered without context"
    )
    rag_tier: str = row(
        types.choice("auto", "lexical"),
        "auto",
        "how passages are found: `auto` by words and, where there is an encoder, by meaning; `lexical` by words alone",
    )
    rag_rewrite_ms: int | None = row(
        types.HEDGE,
        "off",
        "milliseconds that the model may take to put a follow-up as a question of its own, before it is looked up",
    )
    rag_min_coverage: float = row(
        types.SHARE,
        "0.33",
        "share of a question's weight that the best passage must hold by its words; below it nothing was found",
    )
    rag_min_cosine: float = row(
        types.SHARE,
        "0.28",
        "cosine that the best passage must reach where there are embeddings; below it nothing was found",
    )
    embeddings_base_url: str | None = row(
        types.URL,
        None,
        "base URL of an OpenAI-compatible API for the embeddings of passages and questions",
        shown="the embedded encoder where it is installed, else none",
    )
    embeddings_api_key: str | None = row(types.KEY, None, "key for it", secret=True)
    embeddings_model: str = row(types.TEXT, "text-embedding-3-small", "its model")
    embeddings_timeout: float = row(
        types.seconds(10), "0.4", "seconds that a question's embedding may take; after them words alone decide"
    )
    embeddings_cache: Path = row(types.FOLDER, ".cache", "folder in which the passages' embeddings are kept")
    fallback_text: str | None = row(types.TEXT, None, "spoken when a stream fails by the server's or upstream's fault")
    audio_mode: str = row(
        types.choice("assets", "speech", "relay"),
        "assets",
        "what /audio says: `assets` (recordings), `speech` (the model's answer, synthesised), "
        "`relay` (an upstream that answers in audio)",
    )
    audio_sample_rate: int = row(types.whole(8000, 48_000), "16000", "Hz of the PCM16 mono audio sent")
    audio_chunk_ms: int = row(types.whole(10, 1000), "40", "milliseconds of audio in a chunk")
    audio_lead_ms: int = row(types.whole(0, 5000), "200", "milliseconds that audio may run ahead of real time")
    tts_base_url: str | None = row(
        types.URL,
        None,
        "base URL of an OpenAI-compatible `/audio/speech`, for `AUDIO_MODE=speech`",
        shown="OpenAI's when a key is set, else the embedded voice",
    )
    tts_api_key: str | None = row(types.KEY, None, "key for that API", secret=True)
    tts_model: str = row(types.TEXT, "gpt-4o-mini-tts", "model of that API")
    tts_voice: str = row(types.TEXT, "alloy", "voice of that API")
    tts_language: str = row(
        types.LANGUAGE,
        "en",
        "language of the spoken answers: with `en` numbers, dates and money are read as English words, "
        "with any other they are left to the voice",
    )
    connect_timeout: float = row(types.seconds(60), "2", "seconds to connect to the upstream")
    ttft_timeout: float = row(types.seconds(300), "6", "seconds until the first content of one attempt")
    precommit_timeout: float = row(types.seconds(300), "9", "seconds until the first content, all attempts together")
    spare_connections: int = row(
        types.whole(1, 1000),
        "8",
        "idle connections held open to each upstream: so many calls at once need no handshake",
    )
    idle_timeout: float = row(types.seconds(600), "15", "seconds of silence inside an upstream's answer")
    stream_timeout: float = row(types.seconds(3600), "300", "seconds that an upstream's answer may take in all")
    heartbeat: float = row(
        types.seconds(60, or_none=True), "5", "seconds of silence after which a begun stream gets a comment; 0 = none"
    )
    max_streams: int = row(types.whole(1, 100_000), "1000", "turns at once in a worker; above it: 503")
    max_streams_per_key: int | None = row(
        types.whole(1, 100_000), None, "turns at once for each key, in a worker; above it: 429"
    )
    rate_limit: str | None = row(
        types.RATE, None, "turns that each key may begin, in a worker, such as `60/minute`; above it: 429"
    )
    max_body: int = row(types.whole(1024, 1 << 30), str(2 << 20), "bytes of a request's body; above it: 413")
    graceful_timeout: int = row(
        types.whole(3, 3600), "25", "seconds that open streams may run on after SIGTERM (ours end 2 s earlier)"
    )
    cors_origins: tuple[str, ...] | None = row(
        types.ORIGINS, None, "origins whose pages may call from a browser, separated by commas; `*` = any"
    )
    trusted_hosts: frozenset[str] = row(
        types.HOSTS,
        "",
        "names of this server (`name` or `name:port`, separated by commas) whose own pages may call from a browser "
        "where `API_KEYS` is unset; its addresses and `localhost` need not be named",
    )
    trusted_proxies: int = row(
        types.whole(0, 10), "0", "proxies in front whose `X-Forwarded-For` and `-Proto` are believed"
    )
    log_level: str = row(types.choice("debug", "info", "warning", "error"), "info", "least level of a log line")
    log_format: str | None = row(
        types.choice("text", "json"), None, "`text` or `json`", shown="text on a terminal, JSON otherwise"
    )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Read and check every row; an empty value counts as unset.

        Raises SettingsError for the first bad one.
        """
        values = {}
        for field in dataclasses.fields(cls):
            for name in (field.name.upper(), *field.metadata["aliases"]):
                if text := environ.get(name, "").strip():
                    values[field.name] = _parsed(name, text, field.metadata["kind"])
                    break
        return cls(**values)

    @property
    def base_urls(self) -> list[str]:
        """The base URLs of all upstreams: models, embeddings, voice."""
        model = self.llm_base_url or (OPENAI_BASE_URL if self.llm_api_key else None)
        voice = self.tts_base_url or (OPENAI_BASE_URL if self.tts_api_key else None)
        fallbacks = [fallback.base_url for fallback in self.llm_fallbacks]
        return [url for url in (model, *fallbacks, self.embeddings_base_url, voice) if url]

    @property
    def secrets(self) -> list[str]:
        """Every key: what must never leave the process."""
        fallbacks = [fallback.key for fallback in self.llm_fallbacks]
        ours = (self.llm_api_key, self.embeddings_api_key, self.tts_api_key)
        return [key for key in (*ours, *fallbacks, *(self.api_keys or ())) if key]


def _parsed(name: str, text: str, kind: types.SettingType) -> Any:
    try:
        return kind.parse(text)
    except ValueError:
        raise SettingsError(f"{name}: expected {kind.accepted}") from None


@functools.cache
def load() -> Settings:
    """The process's settings: the environment, then what `.env` in the working folder adds to it.

    Read once: gunicorn's workers inherit the master's reading, so that a reload (SIGHUP) can't
    bring up workers with settings that the master never checked.
    """
    from dotenv import load_dotenv

    load_dotenv(Path(".env"), override=False)
    return Settings.from_environ(os.environ)


def names_proxies() -> bool:
    """Return whether the environment names a proxy for upstreams."""
    return any(name.lower() in PROXY_VARIABLES for name, value in os.environ.items() if value)


def share_metrics(folder: str) -> None:
    """Name the folder through which several workers add up their metrics (prometheus_client reads this)."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
