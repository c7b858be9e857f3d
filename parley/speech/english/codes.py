"""Phone numbers, codes, versions: what is read by its characters; and all that remains."""

import re
import unicodedata
from collections.abc import Callable

from parley.languages.english_numbers import cardinal, decimal, digits, plural, year
from parley.speech.english.addresses import spelled_address
from parley.speech.english.amounts import NUMBER, VULGAR
from parley.speech.english.ranges import CODING
from parley.speech.english.spans import in_groups
from parley.speech.english.tables import SIGNS
from parley.speech.normalization import Around, Rules, has_digits

EMERGENCY_NUMBERS = frozenset("000 101 105 110 111 112 113 115 117 118 119 144 155 158 190 192 193 999".split())  # noqa: SIM905
EMERGENCIES = frozenset(
    """
    emergency emergencies police fire ambulance dial call calling ring hotline help rescue
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
)
"""Words beside an emergency number: "in the UK call 999"."""
COUNTRIES = frozenset(
    """
    uk us eu usa britain england scotland ireland europe germany austria switzerland france italy spain portugal belgium
    netherlands poland sweden norway denmark finland greece turkey russia china japan korea india australia brazil
    mexico elsewhere
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
)
"""Places before an emergency number that stands in a clause of its own: "in the UK 999"."""
rules = Rules()
numeric_rules = Rules()


@numeric_rules.add(r"\d{2,6}")
def read_called_number(match: re.Match[str], around: Around) -> str | None:
    """Read "112" behind "dial", and a number beside "code" or "ZIP", one digit at a time."""
    # In the order of how sure they are: the word before, the sentence, both.
    number, before, sentence = match[0], around.before, around.sentence
    is_placed = before.lower() in COUNTRIES and around.after.lower() in ("", "or", "and")
    # "Fire: 112", where the number is a clause of its own.
    is_placed = is_placed or sentence == {number}
    is_emergency = number in EMERGENCY_NUMBERS and (is_placed or bool(sentence & EMERGENCIES))
    # "Text STOP to 60999"
    is_short_code = 4 <= len(number) <= 6 and before.lower() == "to" and bool(sentence & {"text", "sms"})
    if number == "911" or is_emergency or is_short_code:
        return digits(number)
    is_long = len(number) > 2
    is_called = before.lower() in ("dial", "call", "text", "extension", "ext", *CODING)
    is_told = is_long and bool(sentence & {"dial", "pin", "plate", "passcode", "otp", "zip", "emergency"})
    is_second = before.lower() in ("or", "and") and len(number) == 3 and number[-1] != "0"
    is_code = before.lower() in ("is", "enter") and is_long and bool(sentence & CODING)
    # "ending in 4242"
    is_end = len(number) == 4 and bool(sentence & {"ending", "ends", "digits"})
    # "BA 2490"
    is_flight = bool(re.fullmatch(r"[A-Z]{2}|[A-Z]\d|\d[A-Z]", before)) and bool(sentence & {"flight", "train"})
    checks = (
        is_called,
        is_told,
        is_second and bool(sentence & {"call", "text"}),
        is_code,
        is_end and is_long,
        is_flight and is_long,
        is_zip(number, around),
    )
    return digits(number) if any(checks) else None


@numeric_rules.add(r"#(\d{3,}-\d{2,}(?:-\d+)*)")
def read_reference_in_groups(match: re.Match[str], _around: Around) -> str:
    """Read "#2024-118"."""
    return f"number {in_groups(match[1])}"


@numeric_rules.add(r"#(\d{4,})(-[A-Z]{1,3}|-?[A-Z]\d*)?")
def read_long_reference(match: re.Match[str], around: Around) -> str | None:
    """Read "Ref #123456" and "#10457-B"."""
    is_code = len(match[1]) > 5 or around.before.lower() in CODING or match[2]
    behind = f", {around.read(match[2].lstrip('-')) or ' '.join(match[2].lstrip('-'))}" if match[2] else ""
    return f"number {digits(match[1])}{behind}" if is_code else None


def is_zip(number: str, around: Around) -> bool:
    """Return True for five digits beside a state or a city: "Washington, D.C. 20500", "10115 Berlin"."""
    is_behind_state = bool(re.fullmatch(r"[A-Z]{2}|D\.C\.?", around.before))
    is_before_city = around.after[:1].isupper() and number[-2:] != "00" and around.after[1:].islower()
    return len(number) == 5 and (is_behind_state or is_before_city)


@numeric_rules.add(r"(\d{3})-([A-Z]{4,})|(\d{3,})-([A-Z]{1,3})")
def read_number_with_letters(match: re.Match[str], _around: Around) -> str:
    """Read "555-TAXI" and "7734-AX"."""
    return f"{digits(match[1])}, {match[2]}" if match[1] else f"{digits(match[3])}, {' '.join(match[4])}"


@numeric_rules.add(r"(\d)([A-Z]{2})")
def read_postcode(match: re.Match[str], around: Around) -> str | None:
    """Read the second half of "SW1A 1AA"."""
    is_behind = re.fullmatch(r"[A-Z]{1,2}\d[A-Z\d]?", around.before)
    return f"{digits(match[1])} {' '.join(match[2])}" if is_behind else None


@numeric_rules.add(r"([A-Z]+[A-Za-z]*)/(\d+(?:\.\d+)?)")
def read_protocol(match: re.Match[str], around: Around) -> str | None:
    """Read "HTTP/2", but not the "L/100" of "6 L/100 km"."""
    if around.before[-1:].isdigit():
        return None
    return f"{match[1]} {decimal(match[2])}"


@numeric_rules.add(r"(v?\d+(?:\.\d+)+)-([a-z]+)[.-]?(\d*)")
def read_early_version(match: re.Match[str], around: Around) -> str:
    """Read "1.0.0-beta.2"."""
    number = around.read(match[1]) or decimal(match[1])
    return f"{number} {match[2]} {decimal(match[3])}" if match[3] else f"{number} {match[2]}"


@numeric_rules.add(r"((?:0|[1-9]\d{0,2})(?:\.(?:0|[1-9]\d{0,2})){3})(?:(:)(\d+)|(/)(\d+))?((?:/[\w.~-]+)*)/?")
def read_ip_address(match: re.Match[str], around: Around) -> str:
    """Read "192.168.0.1:8080"."""
    address = " dot ".join(map(digits, match[1].split(".")))
    port = f" port {digits(match[3])}" if match[2] else ""
    path = f" {spelled_address(match[6], around)}" if match[6] else ""
    return address + port + (f" slash {cardinal(int(match[5]))}" if match[4] else "") + path


@numeric_rules.add(r"([vV]?)(\d+(?:\.\d+)+)|([vV])(\d+)")
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
    is_area = has_zero and len(groups) == 2 and len(groups[1]) > 3
    if (
        ("/" in word and not is_area and word[0] != "+")
        or (len(groups) == 1 and "(" in word)
        or word.count("(") != word.count(")")
        or (len(groups) == 2 and "." in word)
        or ("+" in word and len(word) < 4)
    ):
        return None
    # "1-2-3" is counted.
    if len(groups) > 2 and "." not in word and max(map(len, groups)) < 3 and not has_zero:
        return " ".join(cardinal(int(group)) for group in groups)
    is_number = len(groups) == 1 and len(word) < 8 and not has_zero
    return None if is_number and word[0] != "+" else in_groups(word)


@rules.add(r"((?:mid|early|late|pre|post|sub|non|over|under|all|top|age|ages|aged))-(.*\d.*)", re.IGNORECASE)
def read_prefix(match: re.Match[str], around: Around) -> str | None:
    """Read "mid-1990s" and "post-2020"."""
    group = re.fullmatch(r"(\d{1,3})s", match[2])
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


@rules.add(r"(\d{1,2})\(([a-z]{1,3})\)?")
def read_paragraph(match: re.Match[str], _around: Around) -> str:
    """Read "4(a)"."""
    return f"{cardinal(int(match[1]))} {match[2]}"


@rules.add(r"([A-Za-z]+)-?(\d{1,4})")
def read_model_number(match: re.Match[str], around: Around) -> str | None:
    """Read "A4" and "COVID-19"; "UA123" digit by digit."""
    if match[1] in ("FY", "CY", "MY") and len(match[2]) == 4:
        return f"{match[1]} {around.read(match[2])}"
    is_behind = around.before[-1:].isdigit() or around.before.lower() in ("at", "extension", "dial", "call", "desk")
    if match[1].lower() == "x" and len(match[2]) > 1 and is_behind:
        return f"extension {digits(match[2])}"
    # Longer ones are codes, not models.
    if len(match[2]) > 3:
        return None
    if len(match[1]) > 1 and match[1].isupper() and len(match[2]) == 3:
        return f"{match[1]} {digits(match[2])}"
    return f"{match[1]} {cardinal(int(match[2]))}" if match[2][0] != "0" or len(match[2]) == 1 else None


@rules.add(r"(\d{3})\(([a-z])\)(?:\((\d)\))?")
def read_section_of_law(match: re.Match[str], _around: Around) -> str:
    """Read "401(k)" and "501(c)(3)"."""
    number = digits(match[1]).replace("zero", "oh")
    return f"{number} {match[2]}" + (f" {digits(match[3])}" if match[3] else "")


@rules.add(r"#(.*[A-Z].*)")
def read_numbered_code(match: re.Match[str], around: Around) -> str | None:
    """Read "#A-1029"."""
    reading = around.read(match[1])
    return reading and f"number {reading}"


@rules.add(r"(?=.*\d)(?=.*[A-Z])[A-Z0-9]+(?:[-/._][A-Z0-9]+)*")
def read_code(match: re.Match[str], _around: Around) -> str:
    """Read "XK7-49QZ" character by character; of its letters only a long run is a word."""
    groups = [re.findall(r"[A-Z]{5,}|[A-Z]|\d+", group) for group in re.split(r"[-/._]", match[0])]
    return ", ".join(" ".join(digits(one) if one.isdecimal() else one for one in group) for group in groups)


def remainder(text: str, read: Callable[[str], str | None]) -> str:
    """Return a text with all its digits, and the signs beside them, as words."""
    pieces = re.findall(
        rf"[<>!=]=|->|=>|\d+(?:\.\d+){{2,}}|(?:1[1-9]|20)?\d0s(?![a-z])|{NUMBER}(?:st|nd|rd|th)?|[^\W\d_²³½⅓⅔¼¾⅛]+(?:['’][^\W\d_]+)*|.",
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
        return SIGNS.get(piece, piece)
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
