"""Addresses and names of machines: mail, hosts, pages, files, folders, hashes, handles."""

import re

from parley.languages.english_numbers import digits
from parley.speech.english.tables import COUNTRY_DOMAINS, FILE_TYPES, SIGNS, TOP_LEVEL
from parley.speech.normalization import Around, Rules, has_digits

NAMES = {"@": "at", ".": "dot", "/": "slash", "\\": "backslash", "-": "dash", "_": "underscore", ":": "colon"}
NAMES |= {"+": "plus", "~": "tilde", "#": "hash"}
"""Signs in an address."""
rules = Rules()


def spelled_address(address: str, around: Around) -> str:
    """Return an address as words."""
    pieces = re.findall(r"\d+|[^\W\d_]+|.", address)
    spoken = [
        NAMES.get(piece)
        or (around.read(piece) if piece.isdecimal() and len(piece) < 3 else None)
        or (digits(piece) if piece.isdecimal() else SIGNS.get(piece, piece))
        for piece in pieces
    ]
    # A voice says "de" as a word, and "DE" as letters.
    is_country = len(pieces) > 2 and pieces[-2] == "." and pieces[-1].lower() in COUNTRY_DOMAINS
    return " ".join([*spoken[:-1], spoken[-1].upper()] if is_country else spoken)


@rules.add(r"(?:mailto:)?((?:[\w.%+-]+@)(?:[\w-]+\.)+[a-z]{2,})(['’]s)?", re.IGNORECASE, words=True)
def read_mail_address(match: re.Match[str], around: Around) -> str:
    """Read "info@example.org": "info at example dot org"."""
    return spelled_address(match[1], around) + (match[2] or "")


@rules.add(
    r"(?:https?://)?(?:www\.)?((?:[\w-]+\.)+([a-z]{2,})|localhost)(:\d+)?((?:/[^\s?#]*[^\s?#.,;:!)])?)/?([?#]\S*)?(['’]s)?",
    re.IGNORECASE,
    words=True,
)
def read_host(match: re.Match[str], around: Around) -> str | None:
    """Read "www.example.com/prices" without what a listener has no use for: "www" and a query."""
    ending, owner = match[2] or "", match[6] or ""
    is_marked = match[3] or match[4] or match[0].lower().startswith(("www.", "http"))
    # "end.It" is a missing blank, not a host.
    is_known = ending.lower() in TOP_LEVEL or ending in COUNTRY_DOMAINS
    if not (is_marked or is_known) or (ending.lower() in FILE_TYPES and not is_marked):
        return None
    path = match[4].rstrip("/").removesuffix(owner)
    host = spelled_address(match[1], around)
    rest = spelled_address((match[3] or "") + path, around) if match[3] or path else ""
    return f"{host} {rest}".rstrip() + owner


@rules.add(r"(?:[\w-]+\.)*([\w-]+)\.([A-Za-z][A-Za-z0-9]{0,4})(['’]s)?", words=True)
def read_file_name(match: re.Match[str], around: Around) -> str | None:
    """Read "report_2024.pdf": "report underscore twenty twenty-four dot PDF"."""
    if match[2].lower() not in FILE_TYPES:
        return None
    name = match[0].removesuffix(match[3] or "")[: -len(match[2]) - 1]
    return f"{spelled_file(name, around)} dot {FILE_TYPES[match[2].lower()]}{match[3] or ''}"


def spelled_file(name: str, around: Around) -> str:
    """Return the name of a file as words; years in it are years."""
    parts = re.split(r"([._/\\~:-])", name)
    return " ".join(
        NAMES.get(part) or (has_digits(part) and around.read(part)) or spelled_address(part, around)
        for part in parts
        if part
    )


@rules.add(
    r"(?:~|\.{1,2}|[A-Za-z]:)?(?:[/\\]+[\w.~-]+){2,}[/\\]?|(?:~|\.{1,2}|[A-Za-z]:)(?:[/\\]+[\w.-]+)+", words=True
)
def read_path(match: re.Match[str], around: Around) -> str:
    """Read "/etc/hosts"."""
    parts = re.split(r"([/\\]+)", match[0])
    return " ".join(NAMES[part[0]] if part[0] in "/\\" else spelled_file(part, around) for part in parts if part)


@rules.add(r"--?([a-z]+(?:-[a-z]+)*)", words=True)
def read_option(match: re.Match[str], _around: Around) -> str | None:
    """Read "--help" and "-v"."""
    dashes = len(match[0]) - len(match[1])
    return "dash " * dashes + match[1].replace("-", " ") if dashes == 2 or len(match[1]) == 1 else None


@rules.add(r"@([A-Za-z_][\w.]*)|#([A-Za-z]\w*)", words=True)
def read_handle(match: re.Match[str], around: Around) -> str:
    """Read "@acme" and "#sale"."""
    name = match[1] or match[2]
    if match[2] and match[2].isupper() and has_digits(match[2]):
        # "#A1B2C3" is a code.
        return f"number {around.read(match[2])}"
    return f"{'at' if match[1] else 'hashtag'} {spelled_address(name, around)}"


@rules.add(r"[A-Za-z]+(?:_[A-Za-z]+)+", words=True)
def read_identifier(match: re.Match[str], _around: Around) -> str:
    """Read "MAX_SIZE" as its words."""
    return match[0].replace("_", " ")


@rules.add(r"(?=.*\d)(?=.*[a-f])[0-9a-f]{7,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
def read_hash(match: re.Match[str], _around: Around) -> str | None:
    """Read "3f2a9bc" and identifiers of this kind character by character, with a pause behind each four."""
    # "100feed" is a number and a word.
    if len(re.findall(r"\d+|\D+", match[0])) < 3:
        return None
    groups = [group[at : at + 4] for group in match[0].split("-") for at in range(0, len(group), 4)]
    return ", ".join(" ".join(digits(one) if one.isdecimal() else one.upper() for one in group) for group in groups)
