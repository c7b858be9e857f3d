"""The settings: one table, one home of every default. The environment is read in `environment/variables.py`.

Each row of the table is a field of `Settings`, and its variable is the field's name in capitals. The settings table of
the documentation and `.env.example` are generated from these rows (`flask settings`). Only the standard library may be
imported at module level: gunicorn's master reads its settings before anything heavy is loaded.
"""

import dataclasses
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parley import setting_types as types
from parley.environment import env_file, misspelled, variables

OPENAI_BASE_URL = "https://api.openai.com/v1"
"""Base URL of the model and of the voice if a key is set for them, but no URL."""
_CREDENTIAL = re.compile(r"auth|key|token|secret")
"""Matches the name of a header, or of a parameter, with which an upstream knows the operator."""


class SettingsError(Exception):
    """A setting is unusable; the message names its variable and the accepted form, and never quotes the value."""


def row(
    kind: types.SettingType,
    default: str | None,
    meaning: str,
    *,
    aliases: tuple[str, ...] = (),
    secret: bool = False,
    shown: str | None = None,
) -> Any:
    """Return one row of the table.

    `default` is written as in the environment; `shown` replaces it in the documentation. `meaning` is Markdown. A
    `secret` does not appear in the repr.
    """
    value = None if default is None else kind.parse(default)
    metadata = {"kind": kind, "default": default, "meaning": meaning, "aliases": aliases, "shown": shown}
    if isinstance(value, dict):
        return dataclasses.field(default_factory=dict, repr=not secret, metadata=metadata)
    return dataclasses.field(default=value, repr=not secret, metadata=metadata)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings. Durations are seconds unless a name says otherwise."""

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
    api_keys: tuple[str, ...] | None = row(
        types.KEYS,
        None,
        "Keys that callers may use (`Authorization: Bearer` or `x-api-key`), separated by commas. "
        "If unset, the server is open to everybody.",
        secret=True,
    )
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
    tools_dir: Path = row(
        types.FOLDER, "tools", "Folder of the tools that the model may call: `*.json` and `*.py`. Without it: none."
    )
    audio_dir: Path = row(
        types.FOLDER,
        "audio_assets",
        "Folder of the recordings: `NAME.wav` (or .flac, .ogg, .opus, .mp3) with its transcript `NAME.txt`.",
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
    embeddings_cache: Path = row(types.FOLDER, ".cache", "Folder in which the passages' embeddings are cached.")
    fallback_text: str | None = row(
        types.SPOKEN_TEXT,
        None,
        "Text that is spoken when the server or the upstream fails during a stream, or when an answer holds no word.",
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
    connect_timeout: float = row(types.seconds(60), "2", "Maximum seconds to connect to the upstream.")
    ttft_timeout: float = row(
        types.seconds(300), "6", "Maximum seconds until the first content of one attempt, a thought included."
    )
    precommit_timeout: float = row(
        types.seconds(300), "9", "Maximum seconds until the first content, all attempts together."
    )
    spare_connections: int | None = row(
        types.integer(0, 1000),
        None,
        "Idle connections kept open to each upstream, so that this many calls at once need no TLS handshake. By "
        "default there are none to an `http://` upstream: they would save next to nothing, and each may hold one of "
        "the few threads of a small server.",
        shown="8 for `https://`, none for `http://`",
    )
    idle_timeout: float = row(types.seconds(600), "15", "Maximum seconds of silence inside an upstream's answer.")
    stream_timeout: float = row(
        types.seconds(3600), "300", "Maximum seconds that an upstream's answer may take in all."
    )
    heartbeat: float = row(
        types.seconds(60, or_none=True),
        "5",
        "Seconds of silence after which a stream that has begun gets a comment, so that routers keep it open; "
        "0 turns comments off.",
    )
    max_streams: int = row(
        types.integer(1, 100_000), "1000", "Maximum number of turns at once in a worker; further ones get status 503."
    )
    max_streams_per_key: int | None = row(
        types.integer(1, 100_000),
        None,
        "Maximum number of turns at once for each key in a worker; further ones get status 429.",
    )
    rate_limit: str | None = row(
        types.RATE,
        None,
        "Maximum rate at which each key may begin turns in a worker, such as `60/minute`; further ones get status 429.",
    )
    max_body: int = row(
        types.integer(1024, 1 << 30), str(2 << 20), "Maximum bytes in a request's body; a larger one gets status 413."
    )
    graceful_timeout: int = row(
        types.integer(3, 3600),
        "25",
        "Seconds that open streams may run on after SIGTERM; Parley ends the remaining ones 2 seconds earlier.",
    )
    cors_origins: tuple[str, ...] | None = row(
        types.ORIGINS, None, "Origins of web pages and apps that may call, separated by commas; `*` allows any."
    )
    trusted_hosts: frozenset[str] = row(
        types.HOSTS,
        "",
        "Names of this server (`name` or `name:port`, separated by commas) whose own web pages may call from a browser "
        "if `API_KEYS` is unset. Its IP addresses and `localhost` need not be listed.",
    )
    trusted_proxies: int = row(
        types.integer(0, 10),
        "0",
        "Number of proxies in front of the server whose `X-Forwarded-For` and `X-Forwarded-Proto` are trusted.",
    )
    log_level: str = row(
        types.choice("debug", "info", "warning", "error"), "info", "Lowest level of log lines that are written."
    )
    log_format: str | None = row(
        types.choice("text", "json"),
        None,
        "Form of log lines: `text` or `json`.",
        shown="text on a terminal, JSON otherwise",
    )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Return the settings of an environment, in which an empty value counts as unset.

        Raises SettingsError for the first bad value.
        """
        values = {}
        for field in dataclasses.fields(cls):
            kind: types.SettingType = field.metadata["kind"]
            name, value = given(field, environ)
            if not value:
                continue
            try:
                values[field.name] = kind.parse(value)
            except types.BadCharacter as fault:
                raise SettingsError(f"{name}: expected {kind.accepted}; it has {fault}") from None
            except ValueError:
                # Without its cause, which may quote the value.
                raise SettingsError(f"{name}: expected {kind.accepted}") from None
        return cls(**values)

    @property
    def named_base_urls(self) -> list[tuple[str, str]]:
        """The base URL of each upstream (models, embeddings, voice), and the setting that gives it."""
        voice = self.tts_base_url or (OPENAI_BASE_URL if self.tts_api_key else None)
        fallbacks = [("LLM_FALLBACKS", fallback.base_url) for fallback in self.llm_fallbacks]
        others = [("EMBEDDINGS_BASE_URL", self.embeddings_base_url), ("TTS_BASE_URL", voice)]
        named = [("LLM_BASE_URL", self.model_url), *fallbacks, *others]
        return [(name, url) for name, url in named if url]

    @property
    def base_urls(self) -> list[str]:
        """Base URLs of all upstreams: models, embeddings, voice."""
        return [url for _, url in self.named_base_urls]

    @property
    def secrets(self) -> list[str]:
        """All keys, values of headers and values in queries of URLs, which must never leave the process."""
        keys = [self.llm_api_key, self.embeddings_api_key, self.tts_api_key, *(self.api_keys or ())]
        keys += [fallback.key for fallback in self.llm_fallbacks]
        values = [*self.llm_headers.values(), *(text for one in self.llm_fallbacks for text in one.headers.values())]
        # "Bearer KEY": the key alone is a secret, too.
        values += [value.rpartition(" ")[2] for value in values]
        hidden = [value for url in self.base_urls for value in types.secret_query(url).values()]
        return list(dict.fromkeys(key for key in (*keys, *values, *hidden) if key))

    @property
    def model_url(self) -> str | None:
        """Base URL of the first upstream; None if no API is set, so that the embedded model answers."""
        return self.llm_base_url or (OPENAI_BASE_URL if self.authenticates else None)

    @property
    def authenticates(self) -> bool:
        """True if requests to the first upstream bear a key of the operator's, in whatever header or query."""
        names = [*self.llm_headers, *types.secret_query(self.llm_base_url or "")]
        return bool(self.llm_api_key) or any(_CREDENTIAL.search(name) for name in names)


def given(field: "dataclasses.Field[Any]", environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the first variable that gives a setting, and its value; an empty value if there is none."""
    names = (field.name.upper(), *field.metadata["aliases"])
    values = [(name, types.unquoted(environ.get(name, ""))) for name in names]
    return next((pair for pair in values if pair[1]), (names[0], ""))


def names() -> list[str]:
    """Return the variables of all settings, other names of theirs included."""
    return [name for field in dataclasses.fields(Settings) for name in (field.name.upper(), *field.metadata["aliases"])]


@functools.cache
def load() -> Settings:
    """Return the process's settings: the environment, and what `.env` in the working folder adds to it.

    They are read once. gunicorn's workers inherit them from the master, so that a reload (SIGHUP) can't start workers
    with settings that the master has not checked. Raises SettingsError.
    """
    ignored()
    return Settings.from_environ(variables.environment())


@functools.cache
def ignored() -> list[str]:
    """Add `.env` to the environment; return a sentence for each variable and line that was meant, and is no setting.

    Raises SettingsError for an unusable file, and for what leaves the server open by mistake.
    """
    try:
        return variables.complete(names())
    except (env_file.EnvFileError, misspelled.OpenByMistake) as fault:
        raise SettingsError(str(fault)) from None
