"""Phone numbers, codes, versions: what is read by its characters; and all that remains."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence

from parley.languages.english_numbers import cardinal, decimal, digits, plural, year
from parley.speech.english.addresses import spelled_address
from parley.speech.english.amounts import JOINING, MEASURED, NUMBER, VULGAR, counted
from parley.speech.english.ranges import CODING
from parley.speech.english.tables import CODES, CURRENCIES, MONTH_OF, SCALE_WORDS, SIGNS, UNITS
from parley.speech.normalization import Around, Marked, Rules, has_digits

CODE_SIGNS = CODES | {sign: sign for sign in CURRENCIES}
LONG = frozenset("is are measures screen monitor tv display laptop diagonal size inch".split())  # noqa: SIM905
"""Words beside a length in inches."""
FEET_MARKS = ("'", "’", "′")
LENGTH_MARKS = (*FEET_MARKS, '"', "″")
EMERGENCY_NUMBERS = frozenset("000 110 111 112 113 115 117 118 119 144 155 158 190 192 193 999".split())  # noqa: SIM905
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


def spans(words: Sequence[Marked], read: Callable[[str], str | None]) -> Mapping[int, str]:
    """Return the readings, by index, of phone and card numbers in groups, of "EUR 45" and of a height in two words."""
    found: dict[int, str] = {}
    sentence = {word.core.lower() for word in words}
    for index in range(len(words)):
        if index not in found:
            found |= groups_of_digits(words, index, sentence) or amount_with_code(words, index, read)
            if index not in found and index > 1 and words[index - 1].core.lower() in MONTH_OF:
                found |= hours(words, index, read)
            if index not in found and index > 1 and words[index].core in UNITS:
                found |= attribute(words, index)
            if index not in found and words[index].closing[:1] in LENGTH_MARKS:
                found |= length(words, index, sentence)
    return found


def length(words: Sequence[Marked], index: int, sentence: set[str]) -> dict[int, str]:
    """Return the reading of a number whose mark means inches or feet, and no end of a quotation: 55", 12' x 14'."""
    opening, core, closing = words[index]
    after = words[index + 1].core if index + 1 < len(words) else ""
    if opening or not re.fullmatch(NUMBER, core):
        return {}
    if closing[0] in FEET_MARKS:
        is_side = index > 1 and words[index - 1].core in ("x", "×", "by") and words[index - 2].closing[:1] in FEET_MARKS
        return {index: counted(core, UNITS["ft"]) + closing[1:]} if is_side else {}
    before = words[:index]
    is_quoted = any('"' in word.opening for word in before) and not any('"' in word.closing for word in before)
    is_measured = after.lower().rstrip("s") in MEASURED
    if is_quoted or is_measured or not (sentence & LONG or (after and closing == '"')):
        # What is measured is read by a rule of `amounts`.
        return {}
    return {index: counted(core, ("inch", "inch" if is_noun(after) else "inches")) + closing[1:]}


def hours(words: Sequence[Marked], index: int, read: Callable[[str], str | None]) -> dict[int, str]:
    """Return the reading of the hours in "24 Dec 9–13", which are no days of that month."""
    day, month, (opening, core, closing) = words[index - 2 : index + 1]
    is_date = re.fullmatch(r"\d{1,2}(?:st|nd|rd|th)?", day.core) and not day.closing and month.closing in ("", ".")
    is_other = index > 2 and words[index - 3].core.lower() in MONTH_OF
    if not is_date or is_other or not re.fullmatch(r"\d{1,2}(?::\d\d)?[-–]\d{1,2}(?::\d\d)?", core):
        return {}
    return {index: f"{opening}{read(core)}{closing}"}


def attribute(words: Sequence[Marked], index: int) -> dict[int, str]:
    """Return the reading of the unit in "a 512 GB disk": in the singular."""
    article, number, symbol, *rest = words[index - 2 : index + 2]
    is_beside = article.core.lower() in ("a", "an") and number.core[:1].isdigit() and not number.closing
    return {index: UNITS[symbol.core][0]} if is_beside and not symbol.closing and rest and is_noun(rest[0].core) else {}


def is_noun(word: str) -> bool:
    """Return True if a word behind a quantity may name what is measured."""
    return word.isalpha() and word not in JOINING


def groups_of_digits(words: Sequence[Marked], index: int, sentence: set[str]) -> dict[int, str]:
    """Return the readings of a number in several groups that begins at this word."""
    end = index
    while end < len(words) and _is_group(words[end]) and (end == index or words[end - 1].closing in ("", ")")):
        end += 1
    groups = [one.opening + one.core for one in words[index:end]]
    if len(groups) == 2 and re.fullmatch(r"[1-9]\d{0,2}", groups[0]) and re.fullmatch(r"\d?00", groups[1]):
        # A blank between thousands: "10 000".
        *head, last = cardinal(int("".join(groups))).split()
        is_number = len(groups[1]) == 3 and not sentence & CODING
        return {index: " ".join(head), index + 1: last + words[index + 1].closing} if is_number else {}
    if len(groups) < 2 or not _are_called(groups, sentence):
        return {}
    # A comma makes the voice pause between the groups.
    marks = [","] * (len(groups) - 1) + [words[end - 1].closing.lstrip(")")]
    return {
        place: in_groups(group) + mark for place, (group, mark) in enumerate(zip(groups, marks, strict=True), index)
    }


def amount_with_code(words: Sequence[Marked], index: int, read: Callable[[str], str | None]) -> dict[int, str]:
    """Return the readings of "EUR 45", "-45.10 USD" and 5' 10", whose words are read together."""
    if index + 1 == len(words):
        return {}
    first, second = words[index : index + 2]
    is_scaled = index + 2 < len(words) and words[index + 2].core in SCALE_WORDS
    spoken = None
    if (
        is_scaled
        and first.core in CODES
        and re.fullmatch(NUMBER, second.core)
        and not (first.closing or second.closing)
    ):
        # "CAD 2.3 million": the currency is said last.
        scale = words[index + 2]
        many = CURRENCIES[CODES[first.core]][1]
        return {index: decimal(second.core), index + 1: scale.core, index + 2: many + scale.closing}
    is_before = not first.closing or (first.core == "Rs" and first.closing == ".")
    if is_before and first.core in CODE_SIGNS and second.core[:1].isdigit() and not is_scaled:
        spoken = read(CODE_SIGNS[first.core] + second.core)
    elif not first.closing and second.core in CODE_SIGNS and (sign := re.fullmatch(r"([-−+]?)(\d[\d.,]*)", first.core)):
        spoken = read(f"{sign[1]}{CODE_SIGNS[second.core]}{sign[2]}")
    elif first.closing in ("'", "’", "′") and first.core.isdecimal() and second.closing[:1] in ('"', "″", "”"):
        is_height = second.core.isdecimal() and int(second.core) < 12 and not first.opening
        second = second._replace(closing=second.closing[1:])
        spoken = f"{cardinal(int(first.core))} foot {cardinal(int(second.core))}" if is_height else None
    *head, last = (spoken or "").rsplit(" ", 1)
    return {index: first.opening + head[0], index + 1: last + second.closing} if head else {}


def _is_group(word: Marked) -> bool:
    """Return True if a word may be a group of a phone number."""
    return bool(re.fullmatch(r"\(?\+?\d{1,9}\)?(?:[-./]?\d{2,8})*|[A-Z]{2}\d{2}|[A-Z]{4}", word.opening + word.core))


def _are_called(groups: Sequence[str], sentence: set[str]) -> bool:
    """Return True if groups of digits are read one digit at a time: by their form, or by the words beside them."""
    # The lengths of groups that are written so nowhere else: phone numbers, cards.
    sizes = [len(re.sub(r"\D", "", group)) for group in groups]
    if any(group[0].isalpha() for group in groups):
        # The beginning of an IBAN, and no group elsewhere.
        is_iban = bool(re.fullmatch(r"[A-Z]{2}\d{2}", groups[0]))
        return is_iban and all(size == 4 for size in sizes[2:-1]) and len(groups) > 3
    is_marked = groups[0][0] in "+(" or (groups[0][0] == "0" and sizes[0] > 1)
    is_formed = sizes in ([3, 3, 4], [1, 3, 3, 4], [4, 4, 4, 4], [4, 6, 5]) or (sizes == [3, 4] and groups[1][0] == "0")
    is_told = bool(sentence & CODING) or "number" in sentence
    return sum(sizes) >= 4 and (is_marked or is_formed or (is_told and min(sizes) > 1))


def in_groups(written: str) -> str:
    """Return the digits of each group one by one."""
    if written.isalpha():
        return " ".join(written)
    before = "plus " if "+" in written[:2] else f"{written[:2]} " if written[:1].isalpha() else ""
    return before + ", ".join(map(digits, re.findall(r"\d+", written)))


@numeric_rules.add(r"\d{2,6}")
def read_called_number(match: re.Match[str], around: Around) -> str | None:
    """Read "112" behind "dial", and a number beside "code" or "ZIP", one digit at a time."""
    # In the order of how sure they are: the word before, the sentence, both.
    number, before, sentence = match[0], around.before, around.sentence
    is_placed = before.lower() in COUNTRIES and around.after.lower() in ("", "or", "and")
    is_emergency = number in EMERGENCY_NUMBERS and (is_placed or bool(sentence & EMERGENCIES))
    # "Text STOP to 60999"
    is_short_code = 4 <= len(number) <= 6 and before.lower() == "to" and bool(sentence & {"text", "sms", "message"})
    if number == "911" or is_emergency or is_short_code:
        return digits(number)
    is_long = len(number) > 2
    is_called = before.lower() in ("dial", "call", "text", "extension", "ext", *CODING)
    is_told = is_long and bool(sentence & {"dial", "pin", "passcode", "otp", "zip", "emergency"})
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
def read_protocol(match: re.Match[str], _around: Around) -> str:
    """Read "HTTP/2"."""
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
        ("/" in word and not is_area)
        or (len(groups) == 1 and "(" in word)
        or word.count("(") != word.count(")")
        or (len(groups) == 2 and "." in word)
        or ("+" in word and len(word) < 4)
    ):
        return None
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
