"""A knowledge base's own settings: its language and what is said around its answers, in `base.json` of its folder.

    {"language": "de", "waiting_messages": ["Einen Moment."], "not_found": "Das weiß ich nicht.", "small_talk": false}

Every field may be missing: the language is then told from the passages, and the phrases are the language's own.
docs/knowledge.md documents the fields.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from parley.knowledge import intent
from parley.languages import ENGLISH, LANGUAGES, Language

FILE = "base.json"
"""Name of the file."""
MAX_PHRASES = 200
"""Most phrases of one field."""
MAX_CHARACTERS = 2000
"""Longest text of a field."""
ENCODERS = ("english", "multilingual", "none")
"""Names of the encoders that a base may choose: the two embedded ones, or words alone."""
MAX_EVIDENCE = 2.0
"""Highest `min_evidence`: a cosine and a coverage of 1 each. From there on a base finds nothing."""


class BadBaseSettings(Exception):
    """The settings can't be used; the message names the field."""


@dataclass(frozen=True)
class BaseSettings:
    """The settings of one base; None, or empty, where the file leaves a field out.

    `gated` is true where small talk is left to the model; `small_talk` are further phrases of the gate.
    `framing` are the words before the passages, in place of ours. `encoder` is one of `ENCODERS`.
    """

    language: Language | None = None
    waiting_messages: tuple[str, ...] = ()
    not_found: str = ""
    framing: str = ""
    encoder: str = ""
    min_evidence: float | None = None
    gated: bool = True
    small_talk: tuple[str, ...] = ()

    @property
    def spoken_language(self) -> Language:
        """The language in which the base's phrases are spoken."""
        return self.language or ENGLISH

    @functools.cached_property
    def small_talk_phrases(self) -> intent.Node | None:
        """The further phrases as the gate compares them; None without any."""
        return intent.small_talk(self.small_talk) if self.small_talk else None

    @classmethod
    def of(cls, value: Any) -> "BaseSettings":
        """Return the settings that the content of a `base.json` gives. Raises BadBaseSettings."""
        if not isinstance(value, dict):
            raise BadBaseSettings("must hold an object")
        fields = {name: field for name, field in value.items() if field is not None}
        if unknown := sorted(fields.keys() - FIELDS.keys()):
            raise BadBaseSettings(f'"{unknown[0][:40]}" is no setting of a base; known are {", ".join(FIELDS)}')
        return cls(**{key: item for name, field in fields.items() for key, item in FIELDS[name](name, field).items()})

    def as_json(self) -> dict[str, Any]:
        """Return the content of a `base.json` that gives these settings."""
        fields = {
            "language": self.language and self.language.code,
            "waiting_messages": list(self.waiting_messages),
            "not_found": self.not_found,
            "framing": self.framing,
            "encoder": self.encoder,
            "min_evidence": self.min_evidence,
            "small_talk": list(self.small_talk) if self.gated else False,
        }
        # A threshold of 0 and a gate that is off are settings; a text or a list that is empty is none.
        return {name: value for name, value in fields.items() if value not in (None, "", [])}


NO_SETTINGS = BaseSettings()
"""The settings of a base without a `base.json`."""


def are_settings(value: Any) -> bool:
    """Return True if the content of a `base.json` is settings, not knowledge: an object with a field of ours."""
    return isinstance(value, dict) and (not value or not FIELDS.keys().isdisjoint(value))


def _language(name: str, value: Any) -> Mapping[str, Any]:
    # Anything may stand there: a list has no hash by which it could be looked up.
    if not isinstance(value, str) or value not in LANGUAGES:
        raise BadBaseSettings(f'"{name}" must be one of {", ".join(LANGUAGES)}')
    return {name: LANGUAGES[value]}


def _text(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, str) or not 0 < len(value.strip()) <= MAX_CHARACTERS:
        raise BadBaseSettings(f'"{name}" must be a text of at most {MAX_CHARACTERS} characters')
    return {name: " ".join(value.split())}


def _phrases(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_PHRASES:
        raise BadBaseSettings(f'"{name}" must be a list of texts, at most {MAX_PHRASES}')
    return {name: tuple(_text(name, phrase)[name] for phrase in value)}


def _small_talk(name: str, value: Any) -> Mapping[str, Any]:
    return {"gated": value} if isinstance(value, bool) else _phrases(name, value)


def _encoder(name: str, value: Any) -> Mapping[str, Any]:
    if value not in ENCODERS:
        raise BadBaseSettings(f'"{name}" must be one of {", ".join(ENCODERS)}')
    return {name: value}


def _share(name: str, value: Any) -> Mapping[str, Any]:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_EVIDENCE:
        raise BadBaseSettings(f'"{name}" must be a number from 0 to {MAX_EVIDENCE:g}')
    return {name: float(value)}


FIELDS = {
    "language": _language,
    "waiting_messages": _phrases,
    "not_found": _text,
    "framing": _text,
    "encoder": _encoder,
    "min_evidence": _share,
    "small_talk": _small_talk,
}
"""The fields of a `base.json`, and what reads each."""
