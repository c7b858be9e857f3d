"""How written English is read aloud: numbers, money, dates, times, units and signs become words.

Each written word keeps its own reading, so that the time of what was heard is the time of what was written. A rule is a
pattern of the whole word, and a function of the match and of the words around it; the first that gives a reading wins.
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
EDGES = re.compile(r"([(\[{\"'“‘¿¡]*)(.*?)([)\]}\"'”’.,;:!?…—–]*)\Z", re.DOTALL)


class Around(NamedTuple):
    """The bare words before and after."""

    before: str
    after: str


Rule = Callable[[re.Match[str], Around], str | None]
RULES: list[tuple[re.Pattern[str], Rule]] = []


def rule(pattern: str, flags: int = 0) -> Callable[[Rule], Rule]:
    """Add a rule to the table, behind those before it."""

    def add(function: Rule) -> Rule:
        RULES.append((re.compile(pattern, flags), function))
        return function

    return add


def normalize(words: Sequence[str]) -> list[str]:
    """How each of these words is read; a reading may be several words, or the word itself."""
    return [_reading(word, _around(words, at)) for at, word in enumerate(words)]


def _around(words: Sequence[str], at: int) -> Around:
    """The neighbours, as far as no mark parts them from the word."""
    before = words[at - 1] if at and not words[at - 1].endswith(PARTING) else ""
    after = words[at + 1] if at + 1 < len(words) and not words[at].endswith(PARTING) else ""
    return Around(_edges(before)[1], _edges(after)[1])


def _edges(word: str) -> tuple[str, str, str]:
    """What opens the word, the bare word, and what closes it."""
    match = EDGES.fullmatch(word)
    return (match[1], match[2], match[3]) if match else ("", word, "")


def _reading(word: str, around: Around) -> str:
    opening, core, closing = _edges(word)
    if closing[:1] == "." and f"{core}." in WORDS:
        core, closing = f"{core}.", closing[1:]
    return _core(word, around) or opening + (_core(core, around) or core) + closing


def _core(core: str, around: Around) -> str | None:
    if core in WORDS:
        return WORDS[core]
    for pattern, function in RULES:
        if (match := pattern.fullmatch(core)) and (found := function(match, around)) is not None:
            return found
    return None


def _counted(number: str, one_and_many: tuple[str, str]) -> str:
    one, many = one_and_many
    return f"{decimal(number)} {one if number == '1' else many}"


@rule(rf"([$€£¥₹])({NUMBER})([kmbt]n?)?", re.IGNORECASE)
def _money(match: re.Match[str], around: Around) -> str:
    sign, number, scale = match.groups()
    one, many, cent, cents = CURRENCIES[sign]
    if scale:
        return f"{decimal(number)} {SCALE_SUFFIXES[scale.lower()]} {many}"
    if around.after.lower() in SCALE_WORDS:
        return decimal(number)  # "dollars" comes behind the next word
    whole, _, fraction = number.replace(",", "").partition(".")
    if len(fraction) != 2:
        return _counted(number, (one, many))
    if fraction == "00":
        return _counted(whole, (one, many))
    small = _counted(fraction.lstrip("0"), (cent, cents))
    return small if whole == "0" else f"{_counted(whole, (one, many))} and {small}"


@rule(rf"({NUMBER})([$€£¥₹])")
def _money_behind(match: re.Match[str], around: Around) -> str | None:
    return _core(match[2] + match[1], around)


@rule("|".join(SCALE_WORDS))
def _scale_of_money(match: re.Match[str], around: Around) -> str | None:
    names = CURRENCIES.get(around.before[:1])
    return f"{match[0]} {names[1]}" if names else None


@rule("|".join(CODES))
def _currency_code(match: re.Match[str], around: Around) -> str | None:
    beside = re.fullmatch(NUMBER, around.before) or re.fullmatch(NUMBER, around.after)
    return CURRENCIES[CODES[match[0]]][1] if beside else None


@rule(rf"(-?)({NUMBER})%")
def _percent(match: re.Match[str], _around: Around) -> str:
    return f"{'minus ' if match[1] else ''}{decimal(match[2])} percent"


@rule(r"(\d{1,2})(?::(\d{2}))?([ap]\.?m\.?)?", re.IGNORECASE)
def _time(match: re.Match[str], around: Around) -> str | None:
    hour, minute, half = match.groups()
    if (minute is None and half is None) or int(hour) > 24 or int(minute or 0) > 59:
        return None
    has_half = half or MIDDAY.fullmatch(around.after)
    end = "" if has_half else " o'clock"
    minutes = int(minute or 0)
    spoken = f" {'oh ' if minutes < 10 else ''}{cardinal(minutes)}" if minutes else end
    return cardinal(int(hour)) + spoken + (f" {half[0].upper()}M" if half else "")


@rule(r"[ap]\.?m\.?", re.IGNORECASE)
def _half_of_day(match: re.Match[str], around: Around) -> str | None:
    return f"{match[0][0].upper()}M" if around.before[:1].isdigit() else None


@rule(r"(\d{4})-(\d{2})-(\d{2})")
def _iso_date(match: re.Match[str], _around: Around) -> str | None:
    return _date(int(match[1]), int(match[2]), int(match[3]))


@rule(r"(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})")
def _slashed_date(match: re.Match[str], _around: Around) -> str | None:
    first, second, number = (int(part) for part in match.groups())
    month, day = (first, second) if first <= 12 else (second, first)
    century = 0 if number > 99 else 1900 if number >= 50 else 2000
    return _date(century + number, month, day)


def _date(number: int, month: int, day: int) -> str | None:
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    return f"{MONTHS[month - 1]} {ordinal(day)}, {year(number)}"


@rule(r"(\d{1,2})(?:st|nd|rd|th)?")
def _day(match: re.Match[str], around: Around) -> str | None:
    if not 1 <= int(match[1]) <= 31:
        return None
    if around.before.lower() in MONTH_OF:
        return ordinal(int(match[1]))
    # "May" is as often a verb; a small letter is one for certain.
    if around.after[:1].isupper() and around.after.lower() in MONTH_OF:
        return f"{'' if around.before.lower() == 'the' else 'the '}{ordinal(int(match[1]))} of"
    return None


@rule(r"([A-Z][a-z]{2,3})")
def _short_month(match: re.Match[str], around: Around) -> str | None:
    name = MONTH_OF.get(match[0].lower())
    beside = around.before[:1].isdigit() or around.after[:1].isdigit()
    return name if beside else None


@rule(r"(\d{1,12})(?:st|nd|rd|th)")
def _ordinal(match: re.Match[str], _around: Around) -> str:
    return ordinal(int(match[1]))


@rule(r"(1[1-9]|20)(\d0)s")
def _decade(match: re.Match[str], _around: Around) -> str:
    spoken = year(int(match[1] + match[2]))
    return f"{spoken[:-1]}ies" if spoken.endswith("y") else f"{spoken}s"


@rule(r"(?:1[1-9]|20)\d\d")
def _year(match: re.Match[str], around: Around) -> str | None:
    return None if around.after in UNITS else year(int(match[0]))


@rule(r"\+?\d{1,3}(?:[-.]\d{3,4}){1,3}|\+\d{2,15}|\d{3,4}(?:[-.]\d{3,4}){1,2}|0\d+|\d{8,}")
def _phone(match: re.Match[str], _around: Around) -> str | None:
    groups = re.findall(r"\d+", match[0])
    if "." in match[0] and len(groups) < 3:
        return None
    return ("plus " if match[0][0] == "+" else "") + ", ".join(map(digits, groups))


@rule(rf"({NUMBER}|\d{{1,2}}:\d{{2}})[-–—]({NUMBER}|\d{{1,2}}:\d{{2}})([%$€£]|[ap]m)?", re.IGNORECASE)
def _range(match: re.Match[str], around: Around) -> str:
    first, second, unit = match.groups()
    nowhere = Around("", "am" if MIDDAY.fullmatch(unit or around.after) else "")
    return f"{_core(first, nowhere)} to {_core(second + (unit or ''), nowhere)}"


@rule(r"(\d{1,2})/(\d{1,2})")
def _fraction(match: re.Match[str], _around: Around) -> str | None:
    above, below = int(match[1]), int(match[2])
    if not 0 < above < below <= 10:
        return f"{cardinal(above)} {cardinal(below)}"
    part = HALVES.get(below, ordinal(below))
    return f"{ONES[above]} {part}{'s' if above > 1 else ''}"


@rule(rf"([-−~≈#]?)({NUMBER})([^\d\s].*)?")
def _number(match: re.Match[str], _around: Around) -> str | None:
    sign, number, behind = match.groups()
    before = {"-": "minus ", "−": "minus ", "~": "about ", "≈": "about ", "#": "number "}.get(sign, "")
    if behind is None:
        return before + decimal(number)
    if behind in UNITS:
        return before + _counted(number, UNITS[behind])
    return f"{before}{decimal(number)} {behind.lstrip('-')}" if behind.lstrip("-").isalpha() else None


@rule("|".join(map(re.escape, UNITS)))
def _unit(match: re.Match[str], around: Around) -> str | None:
    is_number = re.fullmatch(rf"-?{NUMBER}", around.before)
    return UNITS[match[0]][around.before != "1"] if is_number and len(around.before) else None


@rule(r"([A-Za-z]+)-?(\d{1,3})")
def _model_number(match: re.Match[str], _around: Around) -> str:
    return f"{match[1]} {cardinal(int(match[2]))}"


@rule(r"No\.?")
def _number_sign(_match: re.Match[str], around: Around) -> str | None:
    return "number" if around.after[:1].isdigit() else None


@rule(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|(?:[\w-]+\.)+(?:com|org|net|edu|gov|io|co|uk|de|info|ai|app|dev)", re.IGNORECASE)
def _address(match: re.Match[str], _around: Around) -> str:
    return match[0].replace("@", " at ").replace(".", " dot ")
