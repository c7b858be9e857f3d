"""Names of variables that are nearly those of settings. Without a word, the setting that was meant would not be set.

A name is near one of ours if it is equal but for case, marks and the prefix PARLEY_, if it differs by one letter or a
plural, if it leaves out a word (LLM_URL), or if it adds one such as _FILE or _MS. Names of other programs must not be
near: of names that are short, or differ by more, nothing is said.
"""

import functools
import re
import unicodedata
from collections.abc import Collection, Mapping
from typing import NamedTuple

from parley.environment.env_file import EnvFile

CALLER_KEYS = "API_KEYS"
"""The setting without which everybody is let in."""
MIN_LETTERS = 7
"""Letters that a name must have to be near another one by a slip of the pen; DB_DIR is not KB_DIR."""
MIN_LETTERS_REPLACED = 8
"""Letters that it must have if one is replaced; APP_KEYS is not API_KEYS."""
_PREFIX, _ENDINGS = re.compile("^PARLEY"), re.compile("(FILE|LIST|NAME|MS|SECONDS?|SECS?|[0-9]+)$")
_CALLER_KEYS = re.compile("(SERVER|CALLER|CLIENT|ALLOWED|VALID)APIKEYS|APIKEY")
"""Further names, without marks, under which people look for API_KEYS."""
_OF_PARLEY = re.compile("PARLEY.*(KEYS?|TOKENS?|SECRETS?|PASSWORDS?)")
"""Names, without marks, that can only mean a key to Parley."""

RENAMED = {"RAG_MIN_COSINE": "RAG_MIN_EVIDENCE"}
"""Settings of earlier versions, and those that have replaced them."""


class OpenByMistake(Exception):
    """No key is set, and one seems to be meant; the message names what was meant, and never quotes it."""


class Ignored(NamedTuple):
    """The setting that may have been meant, None where nobody can say, and what is wrong in words."""

    wanted: str | None
    fault: str


def ignored(environ: Mapping[str, str], file: EnvFile | None, settings: Collection[str]) -> list[str]:
    """Return a sentence for each variable, and each line of the file, that was meant to be a setting and is none.

    A name is passed over if the setting that it may mean is set. Raises OpenByMistake.
    """
    found = in_environment(environ, settings) + (in_file(file, environ, settings) if file else [])
    unset = [one for one in found if not environ.get(one.wanted or "", "").strip()]
    for wanted, fault in unset:
        if wanted == CALLER_KEYS:
            raise OpenByMistake(f"{fault} Without {CALLER_KEYS} the server would be open to everybody")
    return [one.fault for one in unset]


def in_environment(environ: Mapping[str, str], settings: Collection[str]) -> list[Ignored]:
    """Return the variables whose names are near those of settings."""
    return [
        Ignored(wanted, f"{name} is no setting; {wanted}?")
        for name, value in environ.items()
        if value.strip() and (wanted := meant(name, settings))
    ]


def in_file(file: EnvFile, environ: Mapping[str, str], settings: Collection[str]) -> list[Ignored]:
    """Return the settings of the file that are hidden by empty variables, and the lines that set nothing."""
    found = [
        # A value of variables that are not set is an empty one by now.
        Ignored(name, f"{name} in .env is empty: it is made of variables that are not set.")
        if "${" in value
        else Ignored(None, f"{name} in .env has no effect: it is set, and empty, in the environment")
        for name, value in file.values.items()
        if name in settings and value.strip() and not environ.get(name, "").strip()
    ]
    for number, line in file.ignored.items():
        # Any word may be the name: `- API_KEYS=x`, `{"API_KEYS": "x"}`, `set API_KEYS=x`.
        # And all before the first mark of an assignment: `API KEYS=x`, `api.keys=x`.
        words = [*re.findall(r"[A-Za-z][A-Za-z0-9_-]*", line), re.split("[=:]", line, maxsplit=1)[0]]
        near = [word if word in settings else meant(word, settings) for word in words]
        wanted = CALLER_KEYS if CALLER_KEYS in near else next(filter(None, near), None)
        hint = f"; {wanted}=...?" if wanted else ""
        found.append(Ignored(wanted, f".env line {number} is not NAME=value{hint}"))
    return found


def meant(name: str, settings: Collection[str]) -> str | None:
    """Return the setting that a variable's name may have meant; None for a setting's own name and for other names."""
    if name in settings:
        return None
    if name in RENAMED:
        return RENAMED[name]
    letters = letters_of(name)
    bare = _ENDINGS.sub("", _PREFIX.sub("", letters))
    by_letters = {letters_of(setting): setting for setting in settings}
    for wanted in (_PREFIX.sub("", letters), bare):
        if wanted in by_letters:
            return by_letters[wanted]
    if _CALLER_KEYS.fullmatch(bare) or _OF_PARLEY.fullmatch(letters):
        return CALLER_KEYS
    words = name.upper().split("_")
    for other, setting in by_letters.items():
        if is_slip(bare, other) or leaves_out_a_word(words, setting.split("_")):
            return setting
    return None


@functools.cache
def letters_of(name: str) -> str:
    """Return the name's letters and digits, in capitals."""
    return "".join(mark for mark in unicodedata.normalize("NFKC", name).upper() if mark.isalnum())


def is_slip(typed: str, wanted: str) -> bool:
    """Return whether one letter is missing, surplus, replaced, or exchanged with the next."""
    if f"{typed}S" == wanted or f"{wanted}S" == typed:
        return True
    short, long = sorted((typed, wanted), key=len)
    if len(short) < MIN_LETTERS:
        return False
    at = next((place for place, (one, other) in enumerate(zip(short, long, strict=False)) if one != other), len(short))
    if len(short) + 1 == len(long):
        return short[at:] == long[at + 1 :]
    if len(short) != len(long):
        return False
    is_exchanged = short[at : at + 2] == long[at : at + 2][::-1] and short[at + 2 :] == long[at + 2 :]
    return is_exchanged or (len(short) >= MIN_LETTERS_REPLACED and short[at + 1 :] == long[at + 1 :])


def leaves_out_a_word(words: list[str], wanted: list[str]) -> bool:
    """Return whether `words` are those of a setting but one in the middle."""
    is_shorter = 2 <= len(words) == len(wanted) - 1
    return is_shorter and words[0] == wanted[0] and words[-1] == wanted[-1] and set(words) <= set(wanted)
