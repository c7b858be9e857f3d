"""The settings: one table, one home of every default. The environment is read in `environment/variables.py`.

Each row of the table (`setting_rows/`) is a field of `Settings`, and its variable is the field's name in capitals. The
settings table of the documentation and `.env.example` are generated from these rows (`flask settings`). Only the
standard library may be imported at module level: gunicorn's master reads its settings before anything heavy is loaded.
"""

import dataclasses
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parley import setting_types as types
from parley.environment import env_file, misspelled, variables
from parley.setting_rows.answers import AgentRows, AudioRows, KnowledgeRows, MemoryRows, ModelRows, ToolRows
from parley.setting_rows.operation import CallerRows, LimitRows, OperationRows, TimeoutRows

DEFAULT_CACHE = Path(".cache")
"""Folder of the cache where EMBEDDINGS_CACHE names none."""
OPENAI_BASE_URL = "https://api.openai.com/v1"
"""Base URL of the model and of the voice if a key is set for them, but no URL."""
_CREDENTIAL = re.compile(r"auth|key|token|secret")
"""Matches the name of a header, or of a parameter, with which an upstream knows the operator."""


class SettingsError(Exception):
    """A setting is unusable; the message names its variable and the accepted form, and never quotes the value."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(
    OperationRows,
    LimitRows,
    TimeoutRows,
    CallerRows,
    AudioRows,
    KnowledgeRows,
    MemoryRows,
    ToolRows,
    AgentRows,
    ModelRows,
):
    """All settings, from the group named last to the first. Durations are seconds unless a name says otherwise."""

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
        keys += self.database_url.secrets if self.database_url else []
        values = [*self.llm_headers.values(), *(text for one in self.llm_fallbacks for text in one.headers.values())]
        # "Bearer KEY": the key alone is a secret, too.
        values += [value.rpartition(" ")[2] for value in values]
        keys += self.redis_url.secrets if self.redis_url else []
        hidden = [value for url in self.base_urls for value in types.secret_query(url).values()]
        return list(dict.fromkeys(key for key in (*keys, *values, *hidden) if key))

    @property
    def cache_folder(self) -> Path:
        """The folder for what is kept on the machine: vectors, unless they are in Redis, and copies of bases."""
        # The copies are for a start without the servers, so they stay on the machine.
        return DEFAULT_CACHE if self.embeddings_cache == "redis" else self.embeddings_cache

    @property
    def redis_fault(self) -> str:
        """The sentence on a setting that needs REDIS_URL where that is not set, empty if there is none."""
        if self.redis_url:
            return ""
        if self.memory_store.kind == "redis":
            return "MEMORY_STORE=redis: needs REDIS_URL, which names the Redis that sessions are kept in"
        if self.embeddings_cache == "redis":
            return "EMBEDDINGS_CACHE=redis needs REDIS_URL, which names the Redis that embeddings are kept in"
        return ""

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
