"""An operator's JSON file, read into a profile; each fault gets the line and the column where it stands.

The keys are those of docs/agents.md. A key that is not known is a fault.
"""

import dataclasses
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from parley.agents.profile import Profile
from parley.agents.variables import SystemPrompt
from parley.errors import InvalidRequest
from parley.files.folder import json_files
from parley.files.json_document import NO_CONTROLS, PHRASE_FORM, Closed, JsonDocument, Phrase
from parley.files.json_file import InvalidFile
from parley.wire import first_chunk, validation
from parley.wire.params import RESERVED
from parley.wire.platforms import PLATFORMS, PRIVATE_FIELDS
from parley.wire.request import OUR_FIELDS
from parley.wire.system_messages import SystemMode

MAX_NAME_CHARACTERS = 64
"""Longest name of an agent."""
MAX_PROFILE_BYTES = 1 << 20
"""Largest file of a profile, in bytes: its prompt goes upstream with each turn."""
FORMS = {
    "waiting_messages": PHRASE_FORM,
    "fallback_text": "must be a text without control characters, of 500 characters at most",
    "tools": "a pattern is a tool's name in which * stands for any characters",
    "kb": "must be the name of a knowledge base",
    "model": f"must be a text of at most {validation.MAX_MODEL_CHARACTERS} printable characters",
    "system": "must not be blank",
}
"""Forms of texts, for the faults of those that have another one."""
Pattern = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_*-]+$", max_length=100)]
Waiting = Literal["always", "off"] | Annotated[int, msgspec.Meta(ge=0, le=validation.MAX_WAITING_MS)]
WAITING_MS: Mapping[Any, int | None] = {"always": 0, "off": None}
AS_THEY_ARE = ("kb", "fallback_text", "speech_cleanup", "interruptions", "memory", "presence", "speakers", "platform")
"""Keys of a profile that are options under the same name."""


class _Profile(Closed, frozen=True, kw_only=True):
    system: Annotated[str, msgspec.Meta(pattern=r"\S")] | None = None
    system_mode: SystemMode = "prepend"
    timezone: str | None = None
    model: Annotated[str, msgspec.Meta(pattern=NO_CONTROLS, max_length=validation.MAX_MODEL_CHARACTERS)] | None = None
    params: dict[str, Any] = msgspec.field(default_factory=dict)
    force: dict[str, Any] = msgspec.field(default_factory=dict)
    kb: Annotated[str, msgspec.Meta(pattern=NO_CONTROLS, max_length=255)] | None = None
    tools: tuple[Pattern, ...] | bool | None = None
    waiting: Waiting | None = None
    waiting_messages: tuple[Phrase, ...] | None = None
    tool_waiting: Waiting | None = None
    fallback_text: Phrase | None = None
    speech_cleanup: Literal["off", "thoughts", "speech"] | None = None
    interruptions: Literal["note", "off"] | None = None
    memory: Literal["off", "tools", "full"] | None = None
    first_chunk: dict[str, Any] | None = None
    presence: bool | None = None
    speakers: bool | None = None
    platform: str | None = None


@dataclasses.dataclass(frozen=True)
class ReadProfile:
    """The profile of a file, None if it has faults; each as `file:line:col: message`."""

    profile: Profile | None
    faults: tuple[str, ...] = ()


def composed(name: str) -> str:
    """Return a name in the form in which names are compared."""
    # macOS keeps names decomposed, keyboards and platforms write them composed.
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def name_of(file: str) -> str:
    """Return the name of the agent whose file this is, in the form in which names are compared."""
    return composed(file[: -len(".json")])


def read(path: Path, content: bytes | None = None) -> ReadProfile:
    """Return the profile of a file, which is read unless its `content` is given."""
    name = name_of(path.name)
    if not name or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        return ReadProfile(None, (f"{path.name}: the name of an agent has 1 to {MAX_NAME_CHARACTERS} characters",))
    try:
        # Before it is read: the limit of all JSON files is one for knowledge.
        if content is None and path.is_file() and path.stat().st_size > MAX_PROFILE_BYTES:
            raise InvalidFile(f"{path.name}: is larger than {MAX_PROFILE_BYTES >> 20} MiB")
        document = JsonDocument.read(path, content, FORMS)
    except OSError as exc:
        return ReadProfile(None, (f"{path.name}: can't be read: {exc.strerror}",))
    except InvalidFile as exc:
        return ReadProfile(None, (str(exc),))
    if not isinstance(document.value, dict):
        document.fault((), 'must hold an object such as {"system": "You are Mia."}')
    elif (shaped := document.shaped(document.value, _Profile, ())) is not None:
        profile = _profile(name, shaped, document)
        if not document.faults:
            return ReadProfile(profile)
    return ReadProfile(None, tuple(document.faults))


@dataclasses.dataclass(frozen=True)
class ReadFolder:
    """The profiles of a folder by their names, in the order of its files, and the faults of all files."""

    named: Mapping[str, Profile]
    faults: tuple[str, ...]


def read_folder(folder: Path, contents: Mapping[str, bytes | None] | None = None) -> ReadFolder:
    """Return the profiles of a folder's files, which are read unless their `contents` are given by name."""
    if contents is None:
        try:
            contents = dict.fromkeys(json_files(folder))
        except OSError as exc:
            return ReadFolder({}, (f"can't be read: {exc.strerror}",))
    faults: list[str] = []
    files: dict[str, str] = {}
    named: dict[str, Profile] = {}
    for file, content in contents.items():
        one = read(folder / file, content)
        faults += one.faults
        name = name_of(file)
        # A file system that tells cases or accents apart may hold both.
        if name in files:
            faults.append(f"{file}: the agent {name} is defined in {files[name]} already")
        files[name] = file
        if one.profile:
            named[name] = one.profile
    return ReadFolder(named, tuple(faults))


def _profile(name: str, shaped: _Profile, document: JsonDocument) -> Profile:
    """Return the profile of a file; what can't be used becomes a fault of its document."""
    for key, fields in (("params", shaped.params), ("force", shaped.force)):
        _check_fields(key, fields, document)
    if shaped.first_chunk is not None and (fault := first_chunk.fault_of(shaped.first_chunk)):
        document.fault(("first_chunk",), f"first_chunk {fault}")
    # Not by a type of its own: the table of platforms grows.
    platforms = [platform.name for platform in PLATFORMS]
    if shaped.platform is not None and shaped.platform not in platforms:
        document.fault(("platform",), f"is none of the platforms {', '.join(platforms)}")
    if shaped.tools is True:
        document.fault(("tools",), "must be a list of patterns, or false; leave the key out to offer all tools")
    return Profile(
        name,
        SystemPrompt.parse(shaped.system) if shaped.system else None,
        shaped.system_mode,
        _timezone(shaped.timezone, document),
        shaped.model,
        shaped.params,
        shaped.force,
        _overrides(shaped),
    )


def _overrides(shaped: _Profile) -> dict[str, Any]:
    """Return the options that a profile sets, by their names in TurnOptions."""
    overrides = {name: value for name in AS_THEY_ARE if (value := getattr(shaped, name)) is not None}
    # In a request None is "never"; in a profile a key that is missing is None.
    for name in ("waiting", "tool_waiting"):
        if (waiting := getattr(shaped, name)) is not None:
            overrides[name] = WAITING_MS.get(waiting, waiting)
    if shaped.waiting_messages:
        overrides["waiting_messages"] = shaped.waiting_messages
    if shaped.tools is not None:
        overrides["tools"] = () if isinstance(shaped.tools, bool) else shaped.tools
    if shaped.first_chunk:
        overrides["first_chunk"] = shaped.first_chunk
    return overrides


def _check_fields(key: str, fields: Mapping[str, Any], document: JsonDocument) -> None:
    """Note each field of `params` or `force` that can't be set there, and a value that no request could have."""
    for name in fields:
        # Values of these would be taken for the caller's, or never go upstream.
        if name in RESERVED | OUR_FIELDS | PRIVATE_FIELDS:
            hint = f'; "{name}" is a key of the profile itself' if name in _Profile.__struct_fields__ else ""
            document.fault((key, name), f"{name} can't be set by {key}{hint}")
    try:
        validation.check({"messages": [{"role": "user", "content": ""}], **fields})
    except InvalidRequest as exc:
        if exc.param in fields:
            document.fault((key, str(exc.param)), exc.message)


def _timezone(name: str | None, document: JsonDocument) -> ZoneInfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    # ZoneInfoNotFoundError is a KeyError; a name such as ".." is a ValueError, that of a folder an OSError.
    except (KeyError, ValueError, OSError):
        document.fault(("timezone",), f"there is no time zone {name[:64]}; write one such as Europe/Madrid")
        return None
