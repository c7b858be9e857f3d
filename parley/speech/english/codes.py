"""Phone numbers, codes, versions, addresses, Roman numerals: what is read by its characters; and all that remains."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence

from parley.speech.english.amounts import NUMBER, VULGAR, money
from parley.speech.english.numbers import cardinal, decimal, digits, ordinal, plural, year
from parley.speech.english.ranges import CODING
from parley.speech.english.tables import CODES, CURRENCIES, REFERENCES, SCALE_WORDS, SIGNS, TOP_LEVEL
from parley.speech.normalization import Around, Marked, Rules, has_digits

NUMBERED = frozenset(
    """
    chapter part act scene volume section war type phase level title book article stage class grade mark bowl rocky
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
)
"""Words before a Roman numeral that is no ordinal."""
KEYS = {"ctrl": "Control", "cmd": "Command", "alt": "Alt", "shift": "Shift", "win": "Windows", "esc": "Escape"}
rules = Rules()
numeric_rules = Rules()


def spans(words: Sequence[Marked]) -> Mapping[int, str]:
    """Return the readings, by index, of phone and card numbers in groups, and of "EUR 45"."""
    found: dict[int, str] = {}
    sentence = {word.core.lower() for word in words}
    for index, word in enumerate(words):
        if index in found:
            continue
        end = index
        while end < len(words) and _is_group(words[end]) and (end == index or words[end - 1].closing in ("", ")")):
            end += 1
        groups = [one.opening + one.core for one in words[index:end]]
        if len(groups) > 1 and _are_called(groups, sentence):
            for place, group in enumerate(groups, index):
                # A comma makes the voice pause between the groups.
                mark = words[place].closing.lstrip(")") if place == end - 1 else ","
                found[place] = in_groups(group) + mark
        elif index + 1 < len(words) and not word.closing and word.core in {*CODES, *CURRENCIES}:
            amount = re.fullmatch(NUMBER, words[index + 1].core)
            is_scaled = index + 2 < len(words) and words[index + 2].core in SCALE_WORDS
            if amount and not is_scaled:
                *head, last = money(CODES.get(word.core, word.core), amount[0]).split()
                found[index] = word.opening + " ".join(head)
                found[index + 1] = last + words[index + 1].closing
    return found


def _is_group(word: Marked) -> bool:
    """Return True if a word may be a group of a phone number."""
    return bool(re.fullmatch(r"\(?\+?\d{1,6}(?:[-./]\d{2,6})*", word.opening + word.core))


def _are_called(groups: Sequence[str], sentence: set[str]) -> bool:
    """Return True if groups of digits are read one digit at a time: by their form, or by the words beside them."""
    # The lengths of groups that are written so nowhere else: phone numbers, cards.
    sizes = [len(re.sub(r"\D", "", group)) for group in groups]
    is_marked = groups[0][0] in "+(" or (groups[0][0] == "0" and sizes[0] > 1)
    is_formed = sizes in ([3, 3, 4], [1, 3, 3, 4], [4, 4, 4, 4], [4, 6, 5]) or (sizes == [3, 4] and groups[1][0] == "0")
    is_told = bool(sentence & CODING) or "number" in sentence
    return sum(sizes) >= 4 and (is_marked or is_formed or (is_told and min(sizes) > 1))


def in_groups(written: str) -> str:
    """Return the digits of each group one by one."""
    return ("plus " if "+" in written[:2] else "") + ", ".join(map(digits, re.findall(r"\d+", written)))


@numeric_rules.add(r"\d{2,6}")
def read_called_number(match: re.Match[str], around: Around) -> str | None:
    """Read "112" behind "dial", and a number beside "code" or "ZIP", one digit at a time."""
    # In the order of how sure they are: the word before, the sentence, both.
    if match[0] == "911":
        return digits(match[0])
    is_called = around.before.lower() in ("dial", "call", "text", "extension", "ext", *CODING)
    is_told = len(match[0]) > 2 and bool(around.sentence & {"dial", "pin", "passcode", "otp", "zip"})
    is_code = around.before.lower() in ("is", "enter") and len(match[0]) > 2 and bool(around.sentence & CODING)
    # "Washington, D.C. 20500": the number behind a state.
    is_zip = len(match[0]) == 5 and bool(re.fullmatch(r"[A-Z]{2}|D\.C\.?", around.before))
    return digits(match[0]) if is_called or is_told or is_code or is_zip else None


@numeric_rules.add(r"((?:0|[1-9]\d{0,2})(?:\.(?:0|[1-9]\d{0,2})){3})(?:(:)(\d+)|(/)(\d+))?")
def read_ip_address(match: re.Match[str], _around: Around) -> str:
    """Read "192.168.0.1:8080"."""
    address = " dot ".join(map(digits, match[1].split(".")))
    port = f" port {digits(match[3])}" if match[2] else ""
    return address + port + (f" slash {cardinal(int(match[5]))}" if match[4] else "")


@numeric_rules.add(r"(v?)(\d+(?:\.\d+)+)|(v)(\d+)")
def read_version(match: re.Match[str], _around: Around) -> str | None:
    """Read "2.0.1" and "v1.2"; one dot alone is a decimal point, three groups of a phone number are none."""
    if match[3]:
        return f"version {decimal(match[4])}"
    groups = match[2].split(".")
    if len(groups) > 2 and groups[0][0] != "0" and all(len(group) == 3 for group in groups[1:]):
        # The thousands of other countries: "1.000.000".
        return decimal("".join(groups))
    if not match[1] and (len(groups) < 3 or len(groups[-1]) > 3):
        return None
    spoken = " point ".join(digits(one) if one[0] == "0" and len(one) > 1 else decimal(one) for one in groups)
    return f"version {spoken}" if match[1] else spoken


@numeric_rules.add(r"\+?\(?\d+\)?(?:[-–./]?\(?\d+\)?)*")
def read_digits(match: re.Match[str], _around: Around) -> str | None:
    """Read "555-0123", "+15551234567" and "007" digit by digit, in their groups."""
    word, groups = match[0], re.findall(r"\d+", match[0])
    has_zero = len(groups[0]) > 1 and groups[0][0] == "0"
    if (
        "/" in word
        or (len(groups) == 1 and "(" in word)
        or (len(groups) == 2 and "." in word)
        or ("+" in word and len(word) < 4)
    ):
        return None
    if len(groups) > 2 and "." not in word and max(map(len, groups)) < 3 and not has_zero:
        return " ".join(cardinal(int(group)) for group in groups)
    is_number = len(groups) == 1 and len(word) < 8 and not has_zero
    return None if is_number and word[0] != "+" else in_groups(word)


@rules.add(r"[*#]+\d[\d*#]*|\d[\d*#]*[*#]")
def read_star_code(match: re.Match[str], _around: Around) -> str | None:
    """Read "*67" and "##002#", but not "#3"."""
    if re.fullmatch(r"#\d+", match[0]):
        # "#3" is a number, not a key.
        return None
    names = {"*": "star", "#": "pound"}
    return " ".join(names.get(one) or digits(one) for one in match[0])


@rules.add(rf"({'|'.join(map(re.escape, REFERENCES))})(\.?)", re.IGNORECASE, words=True)
def read_reference(match: re.Match[str], around: Around) -> str | None:
    """Read "No." and "pp." before a number: "number", "pages"."""
    is_numbered = around.after[:1].isdigit() or re.fullmatch(r"[IVX]+", around.after)
    # Without its full stop "no 5" may be the word.
    is_short = match[2] or match[0] == "No" or match[1].lower() in ("pp", "vol", "ch", "fig", "§", "nos")
    return REFERENCES[match[1].lower()] if is_numbered and is_short else None


@rules.add(r"(?=[IVX]{2,}|[VX])(X{0,3})(IX|IV|V?I{0,3})", words=True)
def read_roman(match: re.Match[str], around: Around) -> str | None:
    """Read "Louis XIV" and "Chapter IV"; a single letter only where it counts something."""
    value = 10 * len(match[1]) + {"IX": 9, "IV": 4}.get(match[2], match[2].count("I") + 5 * match[2].count("V"))
    if around.before.lower() in NUMBERED:
        return cardinal(value)
    is_name = re.fullmatch(r"[A-Z][a-z]+", around.before)
    return f"the {ordinal(value)}" if is_name and len(match[0]) > 1 else None


@rules.add(r"[A-Za-z]+(?:\+[A-Za-z0-9]+)+", words=True)
def read_keys(match: re.Match[str], around: Around) -> str:
    """Read "Ctrl+C"."""
    return " plus ".join(KEYS.get(key.lower()) or around.read(key) or key for key in match[0].split("+"))


@rules.add(r"((?:mid|early|late|pre|post|sub|non|over|under|all|top|age|ages|aged))-(.*\d.*)", re.IGNORECASE)
def read_prefix(match: re.Match[str], around: Around) -> str | None:
    """Read "mid-1990s" and "post-2020"."""
    # "under-5s": children, not seconds.
    group = re.fullmatch(r"(\d{1,2})s", match[2])
    reading = plural(cardinal(int(group[1]))) if group else around.read(match[2])
    return f"{match[1]} {reading}" if reading else None


@rules.add(r"([FC])Y['’]?(\d{4}|\d\d)(?:[-–/](\d{4}|\d\d))?")
def read_fiscal_year(match: re.Match[str], _around: Around) -> str:
    """Read "FY24" and "FY2023-24"."""
    years = [year(int(one)) if len(one) == 4 else cardinal(int(one)) for one in match.groups()[1:] if one]
    return f"{'fiscal' if match[1] == 'F' else 'calendar'} year {' to '.join(years)}"


@rules.add(r"(§§?)(\d.*)")
def read_section(match: re.Match[str], around: Around) -> str | None:
    """Read "§12" and "§§12–14"."""
    reading = around.read(match[2])
    return f"section{'s' if len(match[1]) > 1 else ''} {reading}" if reading else None


@rules.add(r"(\d{1,3})\(([a-z]{1,3})\)?")
def read_paragraph(match: re.Match[str], _around: Around) -> str:
    """Read "4(a)"."""
    return f"{cardinal(int(match[1]))} {match[2]}"


@rules.add(r"(?:[\w.%+-]+@)(?:[\w-]+\.)+[a-z]{2,}", re.IGNORECASE, words=True)
def read_mail_address(match: re.Match[str], around: Around) -> str:
    """Read "info@example.org": "info at example dot org"."""
    return _spelled_address(match[0], around)


@rules.add(
    r"(?:https?://)?(?:www\.)?((?:[\w-]+\.)+([a-z]{2,}))(:\d+)?((?:/[^\s?#]*[^\s?#.,;:!)])?)/?([?#]\S*)?",
    re.IGNORECASE,
    words=True,
)
def read_host(match: re.Match[str], around: Around) -> str | None:
    """Read "www.example.com/prices" without what a listener has no use for: "www" and a query."""
    is_address = match[2].lower() in TOP_LEVEL or match[3] or match[4] or match[0].lower().startswith(("www.", "http"))
    return _spelled_address(match[1] + (match[3] or "") + match[4].rstrip("/"), around) if is_address else None


def _spelled_address(address: str, around: Around) -> str:
    """Return an address as words."""
    names = {"@": "at", ".": "dot", "/": "slash", "-": "dash", "_": "underscore", ":": "colon", "+": "plus"}
    pieces = re.findall(r"\d+|[^\W\d_]+|.", address)
    spoken = [
        names.get(piece)
        or (around.read(piece) if piece.isdecimal() and len(piece) < 3 else None)
        or (digits(piece) if piece.isdecimal() else SIGNS.get(piece, piece))
        for piece in pieces
    ]
    return " ".join(spoken)


@rules.add(r"([A-Za-z]+)-?(\d{1,3})")
def read_model_number(match: re.Match[str], _around: Around) -> str | None:
    """Read "A4" and "COVID-19"; "UA123" digit by digit."""
    if len(match[1]) > 1 and match[1].isupper() and len(match[2]) == 3:
        return f"{match[1]} {digits(match[2])}"
    return f"{match[1]} {cardinal(int(match[2]))}" if match[2][0] != "0" or len(match[2]) == 1 else None


@rules.add(r"(?=.*\d)(?=.*[A-Z])[A-Z0-9]+(?:[-/.][A-Z0-9]+)*")
def read_code(match: re.Match[str], _around: Around) -> str:
    """Read "XK7-49QZ" character by character; of its letters only a long run is a word."""
    groups = [re.findall(r"[A-Z]{5,}|[A-Z]|\d+", group) for group in re.split(r"[-/.]", match[0])]
    return ", ".join(" ".join(digits(one) if one.isdecimal() else one for one in group) for group in groups)


def remainder(text: str, read: Callable[[str], str | None]) -> str:
    """Return a text with all its digits, and the signs beside them, as words."""
    pieces = re.findall(
        rf"\d+(?:\.\d+){{2,}}|(?:1[1-9]|20)?\d0s(?![a-z])|{NUMBER}(?:st|nd|rd|th)?|[^\W\d_²³½⅓⅔¼¾⅛]+(?:['’][^\W\d_]+)*|.",
        text,
        re.DOTALL,
    )
    spoken: list[str] = []
    # Each piece knows its neighbours: "-" is a sign in "5-3=2", and none in "MX-204".
    for place, piece in enumerate(pieces):
        follows = place > 0 and pieces[place - 1][-1:].isalnum()
        if piece[-1:].isdecimal() or piece[0].isdecimal():
            reading = read(piece) or decimal(re.sub(r"[^\d.,]", "", piece))
            spoken.append(reading if not has_digits(reading) else digits(re.sub(r"\D", "", piece)))
        elif has_digits(piece):
            spoken.append(numeral(piece, follows=follows))
        elif piece in "-−" and ("=" in text or not place or pieces[place - 1] in "^*/("):
            spoken.append("minus")
        else:
            spoken.append(sign(piece, is_between=follows and place + 1 < len(pieces)))
    return " ".join(" ".join(spoken).split()).replace(" ,", ",")


def sign(piece: str, *, is_between: bool) -> str:
    """Return the reading of a word or a sign in a text with digits; `is_between` two numbers or words."""
    if piece.isalpha() or len(piece) > 1:
        return piece
    if is_between and piece in "*.,;:":
        return {"*": "times", ".": "point"}.get(piece, ",")
    return SIGNS.get(piece, "")


def numeral(piece: str, *, follows: bool) -> str:
    """Return the reading of characters that stand for numbers: powers, fractions. `follows` a number or a word."""
    if piece in "²³":
        return ("squared" if piece == "²" else "cubed") if follows else ("two" if piece == "²" else "three")
    if piece in VULGAR:
        return ("and " if follows else "") + VULGAR[piece]
    values = [unicodedata.numeric(letter, -1) for letter in piece]
    return " ".join(
        letter if value < 0 else cardinal(int(value)) if value == int(value) else decimal(f"{value:.2f}")
        for letter, value in zip(piece, values, strict=True)
    )
