"""The settings: one table, one reader of the environment, one home of every default.

A row of the table is a field of `Settings`; its variable is the field's name in capitals. README's table
and `.env.example` are made from these rows (`flask settings`). Nothing here may import more than the
standard library at module level: gunicorn's master reads its settings before anything heavy is loaded.
"""

import dataclasses
import functools
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class SettingsError(Exception):
    """One line for the operator: the variable, and the form that it accepts (never a secret's value)."""


class Kind(NamedTuple):
    """How a variable's text becomes a value; `parse` raises ValueError for anything but `accepted`."""

    parse: Callable[[str], Any]
    accepted: str


def _text(value: str) -> str:
    if not value.isprintable():
        raise ValueError
    return value


def _key(value: str) -> str:
    # It becomes a header's value: a line break here would be a header of somebody else's.
    if not re.fullmatch(r"[\x21-\x7e]+", value):
        raise ValueError
    return value


def _keys(value: str) -> tuple[str, ...]:
    keys = tuple(_key(key.strip()) for key in value.split(",") if key.strip())
    if not keys:
        raise ValueError
    return keys


def _names(value: str) -> frozenset[str]:
    return frozenset(name.strip() for name in value.split(",") if name.strip())


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or not re.fullmatch(r"[\x21-\x7e]+", value):
        raise ValueError
    if "@" in parts.netloc or "?" in value or "#" in value:
        raise ValueError
    parts.port  # noqa: B018 - it raises ValueError for a port that is not a number below 65536
    return value.rstrip("/")


def _phrases(value: str) -> tuple[str, ...]:
    phrases = tuple(dict.fromkeys(phrase.strip() for phrase in value.split("|") if phrase.strip()))
    if not phrases or not all(phrase.isprintable() for phrase in phrases):
        raise ValueError
    return phrases


def _waiting(value: str) -> int | None:
    """Milliseconds without content after which the waiting message is spoken: 0 at once, None never."""
    if value == "off":
        return None
    return 0 if value == "always" else _whole(0, 60_000).parse(value)


def _whole(least: int, most: int) -> Kind:
    def parse(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", value) or not least <= int(value) <= most:
            raise ValueError
        return int(value)

    return Kind(parse, f"a whole number from {least} to {most}")


def _seconds(most: float, *, or_none: bool = False) -> Kind:
    def parse(value: str) -> float:
        if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", value) or float(value) > most:
            raise ValueError
        if float(value) == 0 and not or_none:
            raise ValueError
        return float(value)

    return Kind(parse, f"seconds above 0, at most {most:g}" + (", or 0 for none" if or_none else ""))


def _upstreams(value: str) -> tuple["UpstreamSetting", ...]:
    listed = json.loads(value)
    if not isinstance(listed, list):
        raise ValueError
    return tuple(_upstream(entry) for entry in listed)


def _upstream(entry: Any) -> "UpstreamSetting":
    if not isinstance(entry, dict) or not entry.keys() <= {"base_url", "api_key", "model"}:
        raise ValueError
    if not all(isinstance(value, str) for value in entry.values()) or "base_url" not in entry:
        raise ValueError
    key, model = entry.get("api_key"), entry.get("model")
    return UpstreamSetting(_url(entry["base_url"]), _key(key) if key else None, _text(model) if model else None)


def _choice(*allowed: str) -> Kind:
    def parse(value: str) -> str:
        if value.lower() not in allowed:
            raise ValueError
        return value.lower()

    return Kind(parse, "one of " + ", ".join(allowed))


@dataclasses.dataclass(frozen=True, slots=True)
class UpstreamSetting:
    """One entry of `LLM_FALLBACKS`; without a model it is asked for the one that the request names."""

    base_url: str
    key: str | None = dataclasses.field(repr=False)
    model: str | None


TEXT = Kind(_text, "text on one line")
KEY = Kind(_key, "a key of printable ASCII characters without spaces")
KEYS = Kind(_keys, "keys of printable ASCII characters without spaces, separated by commas")
NAMES = Kind(_names, "field names separated by commas, or *")
URL = Kind(_url, "a base URL such as https://api.openai.com/v1")
FOLDER = Kind(Path, "a path")
PHRASES = Kind(_phrases, "phrases separated by |")
UPSTREAMS = Kind(_upstreams, 'a JSON list such as [{"base_url": "https://...", "api_key": "...", "model": "..."}]')
HEDGE = Kind(
    lambda value: None if value == "off" else _whole(1, 60_000).parse(value), "off, or milliseconds up to 60000"
)
WAITING = Kind(_waiting, "always, off, or a number of milliseconds up to 60000")


def row(
    kind: Kind,
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
        KEY, None, "key for the upstream", aliases=("OPENAI_API_KEY", "YOUR_LLM_API_KEY"), secret=True
    )
    llm_base_url: str | None = row(
        URL,
        None,
        "upstream base URL of an OpenAI-compatible API",
        aliases=("OPENAI_BASE_URL",),
        shown="OpenAI's when a key is set, else the embedded model",
    )
    llm_model: str = row(TEXT, "gpt-4o-mini", "model when the request names none")
    llm_fallbacks: tuple[UpstreamSetting, ...] = row(
        UPSTREAMS,
        "[]",
        'further upstreams, tried in this order before the first word: a JSON list of `{"base_url","api_key","model"}`',
        secret=True,
    )
    hedge_after: int | None = row(
        HEDGE,
        "off",
        "milliseconds without content after which the next upstream is asked beside the first (costs tokens)",
    )
    llm_forward_fields: frozenset[str] = row(
        NAMES, "", "further request fields that may go upstream, separated by commas; `*` = all"
    )
    api_keys: tuple[str, ...] | None = row(
        KEYS,
        None,
        "keys that callers may use (`Authorization: Bearer`, or `x-api-key`), separated by commas; "
        "unset: open to everybody",
        secret=True,
    )
    kb_dir: Path = row(FOLDER, "kb_data", "folder of the knowledge: its `*.json` files")
    audio_dir: Path = row(FOLDER, "audio_assets", "folder of the recordings: `NAME.wav` + `NAME.txt`")
    waiting: int | None = row(
        WAITING,
        "always",
        "the spoken waiting message of /rag: `always`, `off`, or the milliseconds without content after "
        "which it is spoken (per request: the body's `waiting`)",
    )
    waiting_messages: tuple[str, ...] = row(
        PHRASES,
        "Let me look that up for you.|One moment, I am checking.|Good question, let me see.",
        "waiting messages separated by `|`, never the same twice running",
    )
    rag_top_k: int = row(_whole(1, 20), "4", "passages sent to the model at most")
    fallback_text: str | None = row(TEXT, None, "spoken when a stream fails by the server's or upstream's fault")
    audio_sample_rate: int = row(_whole(8000, 48_000), "16000", "Hz of the PCM16 mono audio sent")
    audio_chunk_ms: int = row(_whole(10, 1000), "40", "milliseconds of audio in a chunk")
    audio_lead_ms: int = row(_whole(0, 5000), "200", "milliseconds that audio may run ahead of real time")
    connect_timeout: float = row(_seconds(60), "2", "seconds to connect to the upstream")
    ttft_timeout: float = row(_seconds(300), "6", "seconds until the first content of one attempt")
    precommit_timeout: float = row(_seconds(300), "9", "seconds until the first content, all attempts together")
    idle_timeout: float = row(_seconds(600), "15", "seconds of silence inside an upstream's answer")
    stream_timeout: float = row(_seconds(3600), "300", "seconds that an upstream's answer may take in all")
    heartbeat: float = row(
        _seconds(60, or_none=True), "5", "seconds of silence after which a begun stream gets a comment; 0 = none"
    )
    max_streams: int = row(_whole(1, 100_000), "1000", "turns at once in a worker; above it: 503")
    max_body: int = row(_whole(1024, 1 << 30), str(2 << 20), "bytes of a request's body; above it: 413")
    graceful_timeout: int = row(
        _whole(3, 3600), "25", "seconds that open streams may run on after SIGTERM (ours end 2 s earlier)"
    )
    log_level: str = row(_choice("debug", "info", "warning", "error"), "info", "least level of a log line")
    log_format: str | None = row(
        _choice("text", "json"), None, "`text` or `json`", shown="text on a terminal, JSON otherwise"
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


def _parsed(name: str, text: str, kind: Kind) -> Any:
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
