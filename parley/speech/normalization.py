"""Text normalization for English speech: numbers, money, dates, times, units and signs become words.

Each written word keeps its own reading, so that the time of a spoken reading is the time of the written word. A rule
is a pattern of the whole word and a function of the match and the neighbouring words. Rules are tried in the order of
this file, and the first that returns a reading wins: a rule may rely on those above it having declined.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from parley.speech.english import (
    CODES,
    CURRENCIES,
    MONTH_OF,
    MONTHS,
    ONES,
    SCALE_SUFFIXES,
    SCALE_WORDS,
    UNITS,
    WORDS,
    cardinal,
    decimal,
    digits,
    ordinal,
    year,
)

HALVES = {2: "half", 4: "quarter"}
MIDDAY = re.compile(r"[ap]\.?m\.?", re.IGNORECASE)
NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?"
PARTING = (",", ";", ":", "!", "?")
"""Marks that part a word from the next one. Not the full stop: "Sep. 5" and "No. 5" belong together."""
EDGES = re.compile(r"([(\[{\"'“‘¿¡]*)(.*?)([)\]}\"'”’.,;:!?…—–]*)\Z", re.DOTALL)


class Around(NamedTuple):
    """The words before and after a word, without their marks; empty where a mark parts them from it."""

    before: str
    after: str


Rule = Callable[[re.Match[str], Around], str | None]
RULES: list[tuple[re.Pattern[str], Rule]] = []


def rule(pattern: str, flags: int = 0) -> Callable[[Rule], Rule]:
    """Return a decorator that appends a rule to the table."""

    def add(function: Rule) -> Rule:
        RULES.append((re.compile(pattern, flags), function))
        return function

    return add


def normalize(words: Sequence[str]) -> list[str]:
    """Return a reading of each word: several words, or the word itself."""
    readings = []
    for index, word in enumerate(words):
        before = words[index - 1] if index and not words[index - 1].endswith(PARTING) else ""
        after = words[index + 1] if index + 1 < len(words) and not word.endswith(PARTING) else ""
        around = Around(_split_marks(before)[1], _split_marks(after)[1])
        opening, core, closing = _split_marks(word)
        # The full stop of "etc." belongs to the abbreviation.
        if closing[:1] == "." and f"{core}." in WORDS:
            core, closing = f"{core}.", closing[1:]
        # First with all marks: the full stops of "p.m." and "No." are part of them.
        readings.append(_read(word, around) or opening + (_read(core, around) or core) + closing)
    return readings


def _split_marks(word: str) -> tuple[str, str, str]:
    """Return the opening marks of a word, the word without marks, and its closing marks."""
    match = EDGES.fullmatch(word)
    return (match[1], match[2], match[3]) if match else ("", word, "")


def _read(word: str, around: Around) -> str | None:
    """Return the reading of a word, or None if it reads itself."""
    if word in WORDS:
        return WORDS[word]
    for pattern, function in RULES:
        if (match := pattern.fullmatch(word)) and (reading := function(match, around)) is not None:
            return reading
    return None


def _count(number: str, one_and_many: tuple[str, str]) -> str:
    """Return a number with the singular or plural of its unit."""
    one, many = one_and_many
    return f"{decimal(number)} {one if number == '1' else many}"


@rule(rf"([$€£¥₹])({NUMBER})([kmbt]n?)?|({NUMBER})([$€£¥₹])", re.IGNORECASE)
def read_money(match: re.Match[str], around: Around) -> str:
    """Read "$45.50", "$2k" and "15€"."""
    sign, number, scale = match[1] or match[5], match[2] or match[4], match[3]
    one, many, cent, cents = CURRENCIES[sign]
    if scale:
        return f"{decimal(number)} {SCALE_SUFFIXES[scale.lower()]} {many}"
    if around.after.lower() in SCALE_WORDS:
        # "dollars" comes behind the next word.
        return decimal(number)
    integer, _, fraction = number.replace(",", "").partition(".")
    if len(fraction) != 2:
        return _count(number, (one, many))
    if fraction == "00":
        return _count(integer, (one, many))
    small = _count(fraction.lstrip("0"), (cent, cents))
    return small if integer == "0" else f"{_count(integer, (one, many))} and {small}"


@rule("|".join(SCALE_WORDS))
def read_scale_of_money(match: re.Match[str], around: Around) -> str | None:
    """Read "million" behind "$3": "million dollars"."""
    names = CURRENCIES.get(around.before[:1])
    return f"{match[0]} {names[1]}" if names else None


@rule("|".join(CODES))
def read_currency_code(match: re.Match[str], around: Around) -> str | None:
    """Read "USD" beside a number: "dollars"."""
    beside = re.fullmatch(NUMBER, around.before) or re.fullmatch(NUMBER, around.after)
    return CURRENCIES[CODES[match[0]]][1] if beside else None


@rule(rf"(-?)({NUMBER})%")
def read_percent(match: re.Match[str], _around: Around) -> str:
    """Read "50%"."""
    return f"{'minus ' if match[1] else ''}{decimal(match[2])} percent"


@rule(r"(\d{1,2})(?::(\d{2}))?([ap]\.?m\.?)?", re.IGNORECASE)
def read_time(match: re.Match[str], around: Around) -> str | None:
    """Read "7:30pm", "9am" and "7:00", but not "25:99"."""
    hour, minute, half = match.groups()
    if (minute is None and half is None) or int(hour) > 24 or int(minute or 0) > 59:
        return None
    has_half = half or MIDDAY.fullmatch(around.after)
    # "7:00 p.m." is "seven PM", "7:00" alone "seven o'clock".
    end = "" if has_half else " o'clock"
    minutes = int(minute or 0)
    spoken = f" {'oh ' if minutes < 10 else ''}{cardinal(minutes)}" if minutes else end
    return cardinal(int(hour)) + spoken + (f" {half[0].upper()}M" if half else "")


@rule(r"[ap]\.?m\.?", re.IGNORECASE)
def read_half_of_day(match: re.Match[str], around: Around) -> str | None:
    """Read "p.m." behind a number, but not the verb "am"."""
    return f"{match[0][0].upper()}M" if around.before[:1].isdigit() else None


@rule(r"(\d{4})-(\d{2})-(\d{2})|(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})")
def read_date(match: re.Match[str], _around: Around) -> str | None:
    """Read "2024-03-05" and "3/5/2024": both the fifth of March."""
    if match[1]:
        full_year, month, day = (int(part) for part in match.group(1, 2, 3))
    else:
        first, second, short_year = (int(part) for part in match.group(4, 5, 6))
        # American order, unless the first number can be no month.
        month, day = (first, second) if first <= 12 else (second, first)
        full_year = short_year + (0 if short_year > 99 else 1900 if short_year >= 50 else 2000)
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    return f"{MONTHS[month - 1]} {ordinal(day)}, {year(full_year)}"


@rule(r"(\d{1,2})(?:st|nd|rd|th)?")
def read_day(match: re.Match[str], around: Around) -> str | None:
    """Read the number in "March 3" and "3 May"."""
    if not 1 <= int(match[1]) <= 31:
        return None
    if around.before.lower() in MONTH_OF:
        return ordinal(int(match[1]))
    # "may" and "march" are verbs: a month begins with a capital.
    if around.after[:1].isupper() and around.after.lower() in MONTH_OF:
        return f"{'' if around.before.lower() == 'the' else 'the '}{ordinal(int(match[1]))} of"
    return None


@rule(r"([A-Z][a-z]{2,3})")
def read_short_month(match: re.Match[str], around: Around) -> str | None:
    """Read "Sep" beside a number: "September"."""
    name = MONTH_OF.get(match[0].lower())
    beside = around.before[:1].isdigit() or around.after[:1].isdigit()
    return name if beside else None


@rule(r"(\d{1,12})(?:st|nd|rd|th)")
def read_ordinal(match: re.Match[str], _around: Around) -> str:
    """Read "23rd"."""
    return ordinal(int(match[1]))


@rule(r"(1[1-9]|20)(\d0)s")
def read_decade(match: re.Match[str], _around: Around) -> str:
    """Read "1990s"."""
    spoken = year(int(match[1] + match[2]))
    return f"{spoken[:-1]}ies" if spoken.endswith("y") else f"{spoken}s"


@rule(r"(?:1[1-9]|20)\d\d")
def read_year(match: re.Match[str], around: Around) -> str | None:
    """Read "1984", but not the number in "1984 km"."""
    return None if around.after in UNITS else year(int(match[0]))


@rule(r"\+?\d{1,3}(?:[-.]\d{3,4}){1,3}|\+\d{2,15}|\d{3,4}(?:[-.]\d{3,4}){1,2}|0\d+|\d{8,}")
def read_phone(match: re.Match[str], _around: Around) -> str | None:
    """Read "555-0123", "+15551234567" and "007" digit by digit, in their groups."""
    groups = re.findall(r"\d+", match[0])
    # One dot is a decimal point.
    if "." in match[0] and len(groups) < 3:
        return None
    # A comma makes the voice pause between the groups.
    return ("plus " if match[0][0] == "+" else "") + ", ".join(map(digits, groups))


@rule(rf"({NUMBER}|\d{{1,2}}:\d{{2}})[-–—]({NUMBER}|\d{{1,2}}:\d{{2}})([%$€£]|[ap]m)?", re.IGNORECASE)
def read_range(match: re.Match[str], around: Around) -> str:
    """Read "5-10" and "9:00-17:30": "five to ten"."""
    first, second, unit = match.groups()
    # Both ends are read alike: "9-5 pm" has no "o'clock".
    neighbours = Around("", "am" if MIDDAY.fullmatch(unit or around.after) else "")
    return f"{_read(first, neighbours)} to {_read(second + (unit or ''), neighbours)}"


@rule(r"(\d{1,2})/(\d{1,2})")
def read_fraction(match: re.Match[str], _around: Around) -> str | None:
    """Read "3/4" as three quarters, and "24/7" as its two numbers."""
    above, below = int(match[1]), int(match[2])
    if not 0 < above < below <= 10:
        return f"{cardinal(above)} {cardinal(below)}"
    part = HALVES.get(below, ordinal(below))
    return f"{ONES[above]} {part}{'s' if above > 1 else ''}"


@rule(rf"([-−~≈#]?)({NUMBER})([^\d\s].*)?")
def read_number(match: re.Match[str], _around: Around) -> str | None:
    """Read "-5", "#3" and "10kg", and take "10x" for ten and a word."""
    sign, number, behind = match.groups()
    before = {"-": "minus ", "−": "minus ", "~": "about ", "≈": "about ", "#": "number "}.get(sign, "")
    if behind is None:
        return before + decimal(number)
    if behind in UNITS:
        return before + _count(number, UNITS[behind])
    return f"{before}{decimal(number)} {behind.lstrip('-')}" if behind.lstrip("-").isalpha() else None


@rule("|".join(map(re.escape, UNITS)))
def read_unit(match: re.Match[str], around: Around) -> str | None:
    """Read "km" behind a number."""
    is_number = re.fullmatch(rf"-?{NUMBER}", around.before)
    return UNITS[match[0]][around.before != "1"] if is_number else None


@rule(r"([A-Za-z]+)-?(\d{1,3})")
def read_model_number(match: re.Match[str], _around: Around) -> str:
    """Read "A4"."""
    return f"{match[1]} {cardinal(int(match[2]))}"


@rule(r"No\.?")
def read_number_sign(_match: re.Match[str], around: Around) -> str | None:
    """Read "No." before a number: "number"."""
    return "number" if around.after[:1].isdigit() else None


@rule(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|(?:[\w-]+\.)+(?:com|org|net|edu|gov|io|co|uk|de|info|ai|app|dev)", re.IGNORECASE)
def read_address(match: re.Match[str], _around: Around) -> str:
    """Read "info@example.org": "info at example dot org"."""
    return match[0].replace("@", " at ").replace(".", " dot ")
