"""Ranges: "9-5", "10am-2pm", "$5-$10", "2019-21", "Mon-Fri". A further kind of range is one row of `RANGES`.

A row is a pattern of either end, and a function of the two matches that returns the reading, or None if they are no
range: then they may be the groups of a phone number or a code.
"""

import re
from collections.abc import Callable

from parley.languages.english_numbers import cardinal, decimal, ordinal, year
from parley.speech.english import names
from parley.speech.english.amounts import BEFORE, CURRENCY, HEATING, NUMBER, SCALE, counted, unit
from parley.speech.english.money import money
from parley.speech.english.tables import DAY_OF, LETTER_DAYS, MONTH_OF, SCALE_SUFFIXES, SCALE_WORDS, SHORT_DAYS, UNITS
from parley.speech.english.times import DASH, DATING, MIDDAY, clock, day_of_year
from parley.speech.normalization import Around, Rules

Match = re.Match[str]
ReadRange = Callable[[Match, Match, Around], str | None]
CODING = frozenset(
    """
    phone call dial telephone text fax mobile cell hotline helpline whatsapp code pin passcode password zip
    account serial part model order ref reference isbn iban vin ssn cvv cvc otp policy claim member customer routing
    plate license licence tel id ticket case booking confirmation reservation tracking invoice
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
)
"""Words beside numbers that are read digit by digit."""
_UNIT = rf"(?:{'|'.join(re.escape(symbol) for symbol in sorted((*UNITS, 'in'), key=len, reverse=True))})[²³]?"
rules = Rules()


def times(first: Match, second: Match, around: Around) -> str | None:
    """Read "9:30-10:15", "10am-2pm" and "9-5pm"."""
    is_meant = first[2] or second[2] or first[3] or second[3] or MIDDAY.fullmatch(around.after)
    # Both ends are read alike: "9-5 pm" has no "o'clock".
    alone = not (first[3] or second[3] or MIDDAY.fullmatch(around.after)) and bool(first[2] and second[2])
    ends = [clock(*end.group(1, 2, 3), alone=alone) for end in (first, second)]
    return " to ".join(end for end in ends if end) if is_meant and all(ends) else None


def until(first: Match, second: Match, around: Around) -> str | None:
    """Read "8am-noon", and the "am-9" of "6 am-9 pm"."""
    if not (first[0][0].isalpha() or second[0].isalpha()):
        return None
    is_word = first[0] in ("noon", "midnight", "midday")
    half = f"{first[0][0].upper()}M" if around.before[-1:].isdigit() else None
    begin = first[0] if is_word else around.read(first[0]) or half
    return f"{begin} to {around.read(second[0]) or second[0]}" if begin else None


def day_and_month(first: Match, second: Match, around: Around) -> str | None:
    """Read the "30-July" of "June 30-July 4"."""
    month = MONTH_OF.get(second[1].lower())
    return f"{ordinal(int(first[0]))} to {month}" if month and around.before.lower() in MONTH_OF else None


def dates(first: Match, second: Match, around: Around) -> str | None:
    """Read "12/1-12/5", and "1/2-3/4" as fractions."""
    if all(int(end[1]) < int(end[2]) <= 10 for end in (first, second)) and around.before.lower() not in DATING:
        return f"{around.read(first[0])} to {around.read(second[0])}"
    ends = [day_of_year(int(end[1]), int(end[2])) for end in (first, second)]
    return " to ".join(end for end in ends if end) if all(ends) else None


def year_and_day(first: Match, second: Match, around: Around) -> str | None:
    """Read the "2026–31" of "1 Jan 2026–31 Dec 2027"."""
    is_date = around.before.lower() in MONTH_OF and around.after[:1].isupper() and around.after.lower() in MONTH_OF
    return f"{year(int(first[0]))} to the {ordinal(int(second[0]))} of" if is_date else None


def years(first: Match, second: Match, around: Around) -> str | None:
    """Read "2019-2021" and "2019-21"."""
    if around.after in UNITS or (len(second[0]) == 2 and int(second[0]) <= int(first[0][2:])):
        return None
    return f"{year(int(first[0]))} to {year(int(second[0])) if len(second[0]) > 2 else cardinal(int(second[0]))}"


def alike(first: Match, second: Match, around: Around) -> str | None:
    """Read two ends that are read by themselves: ordinals, decades, versions, seats."""
    return f"{around.read(first[0]) or first[0]} to {around.read(second[0]) or second[0]}"


def fractions(first: Match, second: Match, around: Around) -> str | None:
    """Read "1/2-1" and "1–1½", and "1-1/2" as one and a half."""
    part = around.read(second[1]) if second[1] else None
    if first[0].isdecimal() and part:
        return f"{around.read(first[0])} and {re.sub('^one ', 'an ' if 'eighth' in part else 'a ', part)}"
    if first[0].isdecimal() and second[0].isdecimal():
        return None
    return alike(first, second, around)


def quarters(first: Match, second: Match, around: Around) -> str | None:
    """Read the "2023-Q1" of "Q3 2023-Q1 2024"."""
    return alike(first, second, around) if re.fullmatch(r"[QH]\d", around.before) else None


def scaled(first: Match, second: Match, _around: Around) -> str | None:
    """Read "10-20k" and "5M–10M"."""
    if first[1][0] == "0":
        # A code: "00451-77B".
        return None
    begin = f" {SCALE_SUFFIXES[first[2].lower()]}" if first[2] and first[2] != second[2] else ""
    return f"{decimal(first[1])}{begin} to {decimal(second[1])} {SCALE_SUFFIXES[second[2].lower()]}"


def places(first: Match, second: Match, around: Around) -> str | None:
    """Read "A1-B2" and "12A-14C", unless it is a code."""
    return None if around.sentence & CODING else alike(first, second, around)


def days_or_months(first: Match, second: Match, _around: Around) -> str | None:
    """Read "Mon-Fri" and "January-March"."""
    for table in (DAY_OF, MONTH_OF, SHORT_DAYS):
        if first[1].lower() in table and second[1].lower() in table:
            return f"{table[first[1].lower()]} to {table[second[1].lower()]}"
    return None


def year_and_month(first: Match, second: Match, _around: Around) -> str | None:
    """Read the "2025–Jan" of "Dec 24, 2025–Jan 3, 2026"."""
    month = MONTH_OF.get(second[1].lower())
    return f"{year(int(first[0]))} to {month}" if month else None


def letters_of_days(first: Match, second: Match, _around: Around) -> str:
    """Read "M–Th"."""
    return f"{LETTER_DAYS[first[0]]} to {LETTER_DAYS[second[0]]}"


def romans(first: Match, second: Match, around: Around) -> str | None:
    """Read "Louis XVI–XVIII" and "Chapters IV-VI"."""
    before = around.before.lower()
    ends = [names.roman_value(end[0]) for end in (first, second)]
    if before in names.RULERS:
        return " to ".join(f"the {ordinal(end)}" for end in ends)
    return " to ".join(map(cardinal, ends)) if before.removesuffix("s") in names.NUMBERED else None


def temperatures(first: Match, second: Match, around: Around) -> str | None:
    """Read "20-25C"."""
    end = counted(second[1], UNITS[f"°{second[2]}"])
    return f"{decimal(first[0])} to {end}" if around.sentence & HEATING else None


def numbered(first: Match, second: Match, _around: Around) -> str | None:
    """Read "Q1-Q3"."""
    if first[1] != second[1]:
        return None
    return f"{first[1]} {cardinal(int(first[2]))} to {second[1]} {cardinal(int(second[2]))}"


def compound(first: Match, second: Match, _around: Around) -> str | None:
    """Read "5-10-minute" and "40-50ish"."""
    return f"{decimal(first[0])} to {decimal(second[1])} {second[2].replace('-', ' ')}"


def letters(first: Match, second: Match, _around: Around) -> str | None:
    """Read "A-Z"."""
    return f"{first[0]} to {second[0]}"


def amounts(first: Match, second: Match, around: Around) -> str | None:
    """Read "$5-$10", "$5-10", "5-10€" and "$1.5M-$2M"."""
    signs = [end[1] or end[4] for end in (first, second)]
    if not any(signs):
        return None
    sign = signs[1] or signs[0]
    if around.after.lower() in SCALE_WORDS:
        return f"{decimal(first[2])} to {decimal(second[2])}"
    is_round = not re.search(r"\.\d\d\Z", first[2]) and (signs[0] or sign) == sign
    scale = f" {SCALE_SUFFIXES[first[3].lower()]}" if first[3] else ""
    begin = decimal(first[2]) + scale if is_round else money(signs[0] or sign, first[2], first[3] or "")
    return f"{begin} to {money(sign, second[2], second[3] or '')}"


def quantities(first: Match, second: Match, around: Around) -> str | None:
    """Read "100-200", "5-10%", "5kg-10kg" and "-5--1"; decline what looks like the groups of a code."""
    symbol = second[3] or ""
    if not symbol and not first[3] and not _are_numbers(first[2], second[2], around):
        return None
    is_open = bool(around.sentence & {"open", "opens", "hours", "closed"}) or around.after.lower() in DAY_OF
    if not symbol and not is_open and (first[0] == second[0] or (first[0], second[0]) == ("24", "7")):
        # "50-50", "24-7"
        return f"{decimal(first[2])} {decimal(second[2])}"
    minus = ["minus " if end[1] else "" for end in (first, second)]
    begin = (
        counted(first[2], unit(first[3], glued=True) or ("", ""))
        if first[3] not in (None, symbol)
        else decimal(first[2])
    )
    end = counted(second[2], unit(symbol, glued=True) or ("", "")) if symbol else decimal(second[2])
    return f"{minus[0]}{begin} to {minus[1]}{end}"


def _are_numbers(first: str, second: str, around: Around) -> bool:
    """Return True if two numbers are the ends of a range, not the groups of a phone number or a code."""
    if not (first.isdecimal() and second.isdecimal()):
        return True
    if (len(first) > 1 and first[0] == "0") or (len(second) > 1 and second[0] == "0"):
        return False
    is_round = int(first) % 10 == 0 and int(second) % 10 == 0
    # "14-1021" is the number of a case.
    is_uneven = len(second) > 3 and len(first) < 3 and int(second) % 10 > 0
    is_short = (len(first) < 3 or len(second) < 3) and not is_uneven
    is_code = bool(around.sentence & CODING) or len(second) > 3
    return is_short or is_round or not is_code


TIME = r"(\d{1,2})(?:[:.](\d{2}))?((?i:[ap]\.?m\.?))?"
YEAR = r"(?:1[1-9]|20)\d\d"
FRACTION = r"(\d{1,2}/\d{1,2})|\d{0,3}[½⅓⅔¼¾⅛]|\d{1,3}"
HEIGHT = r"\d['′’]\d{1,2}[\"″”]?"
DECADE = r"['’‘]?(?:(?:1[1-9]|20)?\d0)['’]?s"
AMOUNT = rf"({CURRENCY})?({NUMBER})({SCALE})?([€$£¥₹₩])?"
QUANTITY = rf"([-−])?({NUMBER})({_UNIT})?"
RANGES: list[tuple[re.Pattern[str], re.Pattern[str], ReadRange]] = [
    (re.compile(first), re.compile(second or first), read)
    for first, second, read in (
        (TIME, "", times),
        (
            rf"{TIME}|(?i:[ap]\.?m\.?)|noon|midnight|midday",
            r"\d{1,2}(?::\d{2})?(?i:[ap]\.?m\.?)?|noon|midnight|midday|late",
            until,
        ),
        (r"\d{1,2}", r"([A-Z][a-z]{2,8})\.?", day_and_month),
        (r"(\d{1,2})/(\d{1,2})", "", dates),
        (FRACTION, "", fractions),
        (YEAR, r"([A-Z][a-z]{2,8})\.?", year_and_month),
        (YEAR, r"\d{1,2}", year_and_day),
        (YEAR, rf"{YEAR}|\d\d", years),
        (YEAR, r"[QH]\d", quarters),
        (r"['’‘]\d\d", "", alike),
        (HEIGHT, "", alike),
        (r"v\d+(?:\.\d+)*", "", alike),
        (r"\d{1,3}\([a-z]{1,3}\)?", "", alike),
        (r"(?:pre-)?K", r"\d{1,2}", alike),
        (DECADE, "", alike),
        (r"\d+(?i:st|nd|rd|th)", "", alike),
        (r"([A-Za-z]{2,9})\.?", "", days_or_months),
        (r"[MTW]", r"W|T|Th|F|Sa?|Su", letters_of_days),
        (r"[IVXL]+", "", romans),
        (r"[A-Z]", "", letters),
        (r"([A-Z]{1,3})(\d{1,3})", "", numbered),
        (r"-?\d{1,3}", r"(\d{1,3})([CF])", temperatures),
        (r"[A-Z]\d{1,2}|\d{1,3}[A-F]", "", places),
        (rf"({NUMBER})([kKMB]|[mb]n)?", rf"({NUMBER})([kKMB]|[mb]n)", scaled),
        (AMOUNT, "", amounts),
        (QUANTITY, "", quantities),
        (NUMBER, rf"({NUMBER})-?([a-z]+(?:-[a-z]+)*)", compound),
    )
]


@rules.add(r".+[-–—−].+", words=True)
def read_range(match: re.Match[str], around: Around) -> str | None:
    """Read a word whose dash stands for "to", with a sign in front of all of it: "~50-60"."""
    if match[0][0] in "~≈<>≤≥±" and (reading := around.read(match[0][1:])):
        return BEFORE[match[0][0]] + reading
    for dash in re.finditer(DASH, match[0][1:-1]):
        begin, end = match[0][: dash.start() + 1], match[0][dash.end() + 1 :]
        for first, second, read in RANGES:
            ends = first.fullmatch(begin), second.fullmatch(end)
            if ends[0] and ends[1] and (reading := read(ends[0], ends[1], around)):
                # "between 5-10": a person says "and" there.
                return reading.replace(" to ", " and ") if around.before.lower() == "between" else reading
    return None


@rules.add(r"[-–—−]+", words=True)
def read_dash(_match: re.Match[str], around: Around) -> str | None:
    """Read a dash that stands alone between two numbers or names: "to"; in a sum: "minus"."""
    if around.before.lower() in ("is", "of", "at", "was", "minus") and re.match(rf"{CURRENCY}?\d", around.after):
        # "The balance is - $45".
        return "minus"
    is_range = all(
        re.search(r"\d", word) or MIDDAY.fullmatch(word) or word.lower() in DAY_OF or word.lower() in MONTH_OF
        for word in (around.before, around.after)
    )
    return None if not is_range else "minus" if "=" in around.sentence else "to"
