"""Times of day, dates, days, months, decades, years, and verses, which are written like times."""

import re

from parley.languages.english_numbers import cardinal, decimal, digits, ordinal, plural, year
from parley.speech.english.amounts import counted
from parley.speech.english.tables import BOOKS, DAY_OF, MONTH_OF, MONTHS, SHORT_DAYS, UNITS
from parley.speech.normalization import Around, Rules

DASH = "[-–—−]"
MIDDAY = re.compile(r"[ap]\.?m\.?", re.IGNORECASE)
LEADING_TO_DAYS = frozenset("on every each this next last until till through and or".split())  # noqa: SIM905
SURE_DAYS = frozenset("Tue Tues Thu Thur Thurs Fri".split())  # noqa: SIM905
"""Short names of days that are no words."""
DATING = frozenset(
    """
    due on by until till since starts begins ends through thru effective expires exp from before after valid date
    dated
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
)
"""Words before a date without a year."""
RATIOS = frozenset(
    """
    ratio odds scale mix aspect score scored won lost dilute proportion map beat wins
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
)
"""Words beside two numbers that are compared, not a time of day."""
GROUPING = frozenset("under over the of size sizes two three four five six and in for between aged".split())  # noqa: SIM905
"""Words before a number in the plural."""
MONTHLY = frozenset("in of since by until from last next early late mid to through and or till".split())  # noqa: SIM905
"""Words before a month."""
rules = Rules()


def clock(hour: str, minute: str | None, half: str | None, *, alone: bool = True) -> str | None:
    """Return a time of day, or None if it is none. `alone`: "7:00" is "seven o'clock"."""
    if int(hour) > 24 or int(minute or 0) > 59:
        return None
    minutes = int(minute or 0)
    end = " o'clock" if alone and not half else ""
    spoken = f" {'oh ' if minutes < 10 else ''}{cardinal(minutes)}" if minutes else end
    return cardinal(int(hour)) + spoken + (f" {half[0].upper()}M" if half else "")


def day_of_year(month: int, day: int) -> str | None:
    """Return a day of a month, or None if there is none."""
    return f"{MONTHS[month - 1]} {ordinal(day)}" if 1 <= month <= 12 and 1 <= day <= 31 else None


@rules.add(r"(\d{4}-\d{2}-\d{2})[T_](\d{2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?(Z|[-+]\d{2}(?::?\d{2})?)?")
def read_date_and_time(match: re.Match[str], around: Around) -> str | None:
    """Read "2024-03-05T14:05:00Z", without the parts of a second; the zone if it is not UTC."""
    date, time = around.read(match[1]), clock(match[2], match[3], None)
    seconds = f" and {counted(match[4].lstrip('0'), UNITS['s'])}" if (match[4] or "").strip("0") else ""
    offset = re.match(r"([-+])(\d\d):?(\d\d)?", match[5] or "")
    zone = ""
    if offset and (offset[2].strip("0") or (offset[3] or "").strip("0")):
        minutes = f" {cardinal(int(offset[3]))}" if (offset[3] or "").strip("0") else ""
        zone = f" UTC {'plus' if offset[1] == '+' else 'minus'} {cardinal(int(offset[2]))}{minutes}"
    return f"{date}, {time}{seconds}{zone}" if date and time else None


@rules.add(r"(\d{1,3}):(\d{1,3}(?:,\d{3})*)")
def read_ratio(match: re.Match[str], around: Around) -> str | None:
    """Read "1:10" beside "scale" or "odds", and "1:50,000" anywhere."""
    is_told = bool(around.sentence & RATIOS) and int(match[1]) < 60
    return f"{cardinal(int(match[1]))} to {decimal(match[2])}" if is_told or "," in match[2] else None


@rules.add(r"(\d{1,2}):(\d{2})(?::(\d{2}))?([ap]\.?m\.?|h)?|(\d{1,2})(?:\.(\d{2}))?([ap]\.?m\.?)", re.IGNORECASE)
def read_time(match: re.Match[str], around: Around) -> str | None:
    """Read "7:30pm", "9am" and "7:00", but not "25:99" and the verse "John 3:16"."""
    if around.before.lower() in BOOKS:
        return None
    hour, minute, half = match[1] or match[5], match[2] or match[6], match[4] or match[7]
    half = None if half in ("h", "H") else half
    # "7:00 p.m." is "seven PM", "7:00" alone "seven o'clock".
    spoken = clock(hour, minute, half, alone=not MIDDAY.fullmatch(around.after))
    seconds = int(match[3] or 0)
    return f"{spoken} and {counted(str(seconds), UNITS['s'])}" if spoken and seconds else spoken


@rules.add(r"(\d{1,2})(h|\.)(\d{2})")
def read_time_with_point(match: re.Match[str], around: Around) -> str | None:
    """Read "14h30", and "10.30" before "a.m."."""
    is_time = match[2] == "h" or MIDDAY.fullmatch(around.after)
    return clock(match[1], match[3], None, alone=match[2] == "h") if is_time else None


@rules.add(r"[ap]\.?m\.?", re.IGNORECASE, words=True)
def read_half_of_day(match: re.Match[str], around: Around) -> str | None:
    """Read "p.m." behind a number, but not the verb "am"."""
    return f"{match[0][0].upper()}M" if around.before[:1].isdigit() or around.before[-1:].isdigit() else None


@rules.add(r"(\d{4})([-/])(\d{2})\2(\d{2})|(\d{1,2})([-/.])(\d{1,2})\6(\d{4}|\d{2})")
def read_date(match: re.Match[str], _around: Around) -> str | None:
    """Read "2024-03-05" and "3/5/2024": both the fifth of March; with dots the day comes first."""
    if match[1]:
        full_year, month, day = (int(part) for part in match.group(1, 3, 4))
    elif match[6] != "/" and len(match[8]) < 4:
        return None
    else:
        first, second, short_year = (int(part) for part in match.group(5, 7, 8))
        # American order, unless the first number can be no month.
        month, day = (first, second) if first <= 12 and match[6] != "." else (second, first)
        full_year = short_year + (0 if short_year > 99 else 1900 if short_year >= 50 else 2000)
    date = day_of_year(month, day)
    return date and f"{date}, {year(full_year)}"


@rules.add(r"(\d{1,2})/(\d{1,2})")
def read_short_date(match: re.Match[str], around: Around) -> str | None:
    """Read "due 12/1" and "12/25" as dates, but not "24/7" and "3/4 cup"."""
    first, second = int(match[1]), int(match[2])
    before = around.before.lower()
    is_card = before in ("exp", "expiry", "expiration") or (before == "thru" and "valid" in around.sentence)
    if is_card and first <= 12 and second > 22:
        return f"{MONTHS[first - 1]} {year(2000 + second)}"
    if "odds" in around.sentence:
        return f"{cardinal(first)} to {cardinal(second)}"
    is_dated = before in DATING or before in DAY_OF
    # No fraction and no ratio is written so: "1/31".
    is_day = 13 <= second <= 31 and second not in (16, 20, 24, 25, 30) and first <= 12
    if is_dated and first > 12:
        return day_of_year(second, first)
    return day_of_year(first, second) if is_dated or is_day or first > second else None


@rules.add(r"(\d{1,2})\.(\d{1,2})\.")
def read_date_with_points(match: re.Match[str], around: Around) -> str | None:
    """Read "on 15.03. we close"."""
    is_date = around.before.lower() in DATING and around.after
    return day_of_year(int(match[2]), int(match[1])) if is_date else None


@rules.add(r"(0?[1-9]|1[0-2])/((?:19|20)\d\d)|((?:19|20)\d\d)/(\d\d)")
def read_month_and_year(match: re.Match[str], _around: Around) -> str:
    """Read "06/2027" and "2026/27"."""
    if match[1]:
        return f"{MONTHS[int(match[1]) - 1]} {year(int(match[2]))}"
    return f"{year(int(match[3]))} {f'oh {cardinal(int(match[4]))}' if match[4][0] == '0' else cardinal(int(match[4]))}"


@rules.add(rf"(\d{{1,2}})(?:st|nd|rd|th)?(?:{DASH}(\d{{1,2}})(?:st|nd|rd|th)?)?")
def read_day(match: re.Match[str], around: Around) -> str | None:
    """Read the number in "March 3", "3 May" and "March 3-5"."""
    days = [int(day) for day in match.groups() if day]
    if not all(1 <= day <= 31 for day in days):
        return None
    if re.split(DASH, around.before)[-1].lower() in MONTH_OF:
        return " to ".join(map(ordinal, days))
    # "may" and "march" are verbs: a month begins with a capital.
    if around.after[:1].isupper() and around.after.lower() in MONTH_OF:
        spoken = " to the ".join(map(ordinal, days))
        return f"{'' if around.before.lower() == 'the' else 'the '}{spoken} of"
    return None


@rules.add(r"([A-Z][a-z]{2,4})([.:]?)", words=True)
def read_short_name(match: re.Match[str], around: Around) -> str | None:
    """Read "Sep" beside a number, and "Tue." where a day is meant: "September", "Tuesday"."""
    beside = around.before[-1:].isdigit() or around.after[:1].isdigit()
    if name := MONTH_OF.get(match[1].lower()):
        is_month = match[2] == "." and (around.before.lower() in MONTHLY or around.after.lower() in MONTHLY)
        return name if beside or is_month else None
    if match[2] == ":":
        return f"{DAY_OF[match[1].lower()]}:" if match[1].lower() in DAY_OF else None
    # "Sat" and "Sun" are words, too.
    before, after = around.before.lower(), around.after.lower()
    is_day = (
        match[1] in SURE_DAYS
        # A capital within a sentence.
        or (match[1] in ("Mon", "Wed") and around.before[:1].islower())
        or before in LEADING_TO_DAYS
        or len(around.sentence & DAY_OF.keys()) > 1
        or around.sentence & MONTH_OF.keys() - {"may", "march", "mar"}
        or {before, after} & {*DAY_OF, "-", "–", "—"}
    )
    return DAY_OF.get(match[1].lower()) if beside or is_day or match[0].endswith(".") else None


@rules.add("|".join(name.capitalize() for name in SHORT_DAYS), words=True)
def read_day_of_two_letters(match: re.Match[str], around: Around) -> str | None:
    """Read the "Sa" of "Sa 10:00"."""
    is_day = re.fullmatch(r"\d{1,2}(?::\d\d)?(?:[-–]\d.*)?", around.after) and match[0] not in ("Mo", "We")
    return SHORT_DAYS[match[0].lower()] if is_day else None


@rules.add(r"(\d{1,12})(?:st|nd|rd|th)", re.IGNORECASE)
def read_ordinal(match: re.Match[str], _around: Around) -> str:
    """Read "23rd"."""
    return ordinal(int(match[1]))


@rules.add(r"(1[1-9]|20)(\d0)['’]?s|['’‘]?(\d0)['’]?s")
def read_decade(match: re.Match[str], _around: Around) -> str:
    """Read "1990s" and "'90s"."""
    if match[1]:
        return plural(year(int(match[1] + match[2])))
    return "two thousands" if match[3] == "00" else plural(cardinal(int(match[3])))


@rules.add(r"['’‘](\d\d)")
def read_year_without_century(match: re.Match[str], _around: Around) -> str:
    """Read "'68" and "'05"."""
    return f"oh {digits(match[1][1])}" if match[1][0] == "0" else cardinal(int(match[1]))


@rules.add(r"(\d{1,4})s")
def read_plural(match: re.Match[str], around: Around) -> str | None:
    """Read "under 12s" and "747s", but leave "5s" to the units."""
    if match[1] in ("0", "1") and {"0s", "1s"} & around.sentence - {match[0]}:
        return "zeros" if match[1] == "0" else "ones"
    is_group = len(match[1]) > 2 or around.before.lower() in GROUPING
    return plural(cardinal(int(match[1]))) if is_group else None


@rules.add(rf"(\d{{1,3}}):(\d{{1,3}})(?:{DASH}(?:(\d{{1,3}}):)?(\d{{1,3}}))?")
def read_verse(match: re.Match[str], around: Around) -> str | None:
    """Read "Psalm 78:65-72", and "16:9" as a ratio."""
    chapter, verse, last_chapter, last = match.groups()
    is_verse = around.before.lower() in BOOKS
    if last is None:
        return f"{cardinal(int(chapter))}{' ' if is_verse else ' to '}{cardinal(int(verse))}"
    # A range of two times of day is left to the ranges.
    ends = clock(chapter, verse, None), clock(last_chapter or last, last if last_chapter else None, None)
    if not is_verse and len(verse) == 2 and all(ends) and (not last_chapter or len(last) == 2):
        return None
    end = f"{cardinal(int(last_chapter))}, " if last_chapter else ""
    return f"{cardinal(int(chapter))}, {cardinal(int(verse))} to {end}{cardinal(int(last))}"


years = Rules()


@years.add(r"(?:1[1-9]|20)\d\d")
def read_year(match: re.Match[str], around: Around) -> str | None:
    """Read "1984", but not the number in "1984 km"."""
    return None if around.after in UNITS else year(int(match[0]))
