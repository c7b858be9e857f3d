"""The bytes of a document as text. A mark at the beginning, or zero bytes, or UTF-8's own form tell the encoding.

Windows-1252, which old Excel and Notepad write, Mac Roman of Excel's "CSV (Macintosh)" and the code page of DOS can't
be told by their form: one is assumed where a text reads plausibly in it, and named in the report, so that nobody learns
of it by wrong letters.
"""

# ruff: noqa: RUF001 - signs that look like others

import re

from parley.environment.env_file import BYTE_ORDER_MARKS

NAMES = {"utf-8-sig": "UTF-8 with a byte order mark", "utf-16": "UTF-16", "utf-32": "UTF-32"}
"""Our names for the encodings that a byte order mark tells."""
MAX_IN_RUNS = 0.2
"""Share of the characters above ASCII that may stand three or more in a row in a text of Western Europe."""
_UTF8_CHARACTER = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_CONTROL = re.compile(rb"[\x01-\x08\x0e-\x1f]")
WESTERN = {"windows-1252": "Windows-1252", "mac-roman": "Mac Roman", "cp850": "the code page of DOS"}
"""Encodings of Western Europe, the most frequent first, with our names for them."""
MAX_MISPLACED = 0.1
"""Share of the characters above ASCII that may stand where they don't belong."""
# "FŸnf" is "Fünf" in Mac Roman, "Gr„fin" is "Gräfin" in DOS, "³añcuch" is Polish.
_MISPLACED = re.compile(
    r"(?<=[a-zß-öø-ÿœ])[À-ÖØ-ÞŒŠŽŸ]|(?<=[A-Z])[à-ÿ](?=[A-Z])|(?<=[^\W\d_])[^\x00-\x7f\w\s’‘´–—·…\xad](?=[^\W\d_])"
    r"|[¤¦¨¬¯´¶¸¹²³¼½¾ºª†‡ƒˆ‰›](?=[a-zß-öø-ÿ])|[ŠŽŸ](?=[a-zß-öø-ÿ])(?<=[^\W\d_].)|[\x80-\x9f∞≤≥∂∑∏π∫Ω√≈∆◊─-╿░▒▓]"
)
_HIGH_RUN = re.compile("[^\x00-\x7f\xa0]{3,}")


class Undecodable(Exception):
    """A document's encoding is not known; the message says what to do."""


def decode(raw: bytes, encoding: str | None = None) -> tuple[str, str]:
    """Return a document's text, and the name of the encoding that it was read in. Raises Undecodable.

    `encoding` is the one that the operator names, if any.
    """
    if encoding:
        return decoded(raw, encoding), encoding
    for mark, python_name in BYTE_ORDER_MARKS:
        if raw.startswith(mark):
            return decoded(raw, python_name, NAMES[python_name]), NAMES[python_name]
    if b"\0" in raw:
        if is_damaged(raw):
            raise Undecodable(f"holds a zero byte (line {raw.count(10, 0, raw.index(0)) + 1}); take it out")
        # UTF-16 without a mark: ASCII characters, line ends at least, have a zero in one byte of their two.
        big, little = raw[::2].count(0), raw[1::2].count(0)
        return decoded(raw, "utf-16-be" if big > little else "utf-16-le", "UTF-16"), "UTF-16 without a mark"
    try:
        return raw.decode("utf-8"), "UTF-8"
    except UnicodeDecodeError as exc:
        return western(raw, exc.start)


def is_damaged(raw: bytes) -> bool:
    """Return true for bytes with zeros that are no UTF-16: some few in UTF-8, on either side of the pairs of bytes."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    big, little = raw[::2].count(0), raw[1::2].count(0)
    one_sided = big + little >= 3 and not (big and little) and len(raw) % 2 == 0
    # The first bytes of the letters of most scripts are control characters: 4 in Cyrillic, 6 in Arabic.
    return not one_sided and big + little < len(raw) / 4 and not _CONTROL.search(raw)


def decoded(raw: bytes, encoding: str, name: str = "") -> str:
    """Return the bytes as text. Raises Undecodable."""
    try:
        return raw.decode(encoding).removeprefix("\ufeff")
    except LookupError:
        raise Undecodable(f"there is no encoding {encoding!r}; try utf-8, utf-16, windows-1251 or shift_jis") from None
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        raise Undecodable(f"looks like {name or encoding} and is not (line {line}: {exc.reason})") from exc


def western(raw: bytes, fault: int) -> tuple[str, str]:
    """Return the bytes, which are not UTF-8 at `fault`, in the encoding in which they are plausible, with its name.

    Raises Undecodable.
    """
    line = raw.count(b"\n", 0, fault) + 1
    high = sum(byte > 0x7F for byte in raw)
    if sum(len(character) for character in _UTF8_CHARACTER.findall(raw)) > high / 2:
        raise Undecodable(f"is UTF-8, save for line {line}; write that line anew, or save the file as UTF-8")
    texts = {name: raw.decode(encoding, "replace") for encoding, name in WESTERN.items()}
    misplaced = {name: text.count("\ufffd") + len(_MISPLACED.findall(text)) for name, text in texts.items()}
    likeliest = min(misplaced, key=lambda name: misplaced[name])
    text = texts[likeliest] if misplaced[likeliest] <= high * MAX_MISPLACED else ""
    in_runs = sum(len(run) for run in _HIGH_RUN.findall(text))
    if not text or in_runs > max(3, high * MAX_IN_RUNS):
        raise Undecodable(
            f"is neither UTF-8 nor Windows-1252 (line {line}); name its encoding, for example `--encoding windows-1251`"
            " (Cyrillic), shift_jis or gb18030"
        )
    return text, likeliest
