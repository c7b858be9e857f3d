"""Times of day, dates, days, months, decades, years, and verses, which are written like times."""

import re

from parley.speech.english.amounts import counted
from parley.speech.english.numbers import cardinal, digits, ordinal, plural, year
from parley.speech.english.tables import BOOKS, DAY_OF, MONTH_OF, MONTHS, UNITS
from parley.speech.normalization import Around, Rules

DASH = "[-–—−]"
MIDDAY = re.compile(r"[ap]\.?m\.?", re.IGNORECASE)
LEADING_TO_DAYS = frozenset("on every each this next last until till through and or".split())  # noqa: SIM905
DATING = frozenset("due on until till since starts begins ends through effective expires".split())  # noqa: SIM905
"""Words before a date without a year."""
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


@rules.add(r"(\d{4}-\d{2}-\d{2})[T_](\d{2}):(\d{2})(?::\d{2}(?:\.\d+)?)?(?:Z|[-+]\d{2}:?\d{2})?")
def read_date_and_time(match: re.Match[str], around: Around) -> str | None:
    """Read "2024-03-05T14:05:00Z", without its seconds and its zone."""
    date, time = around.read(match[1]), clock(match[2], match[3], None)
    return f"{date}, {time}" if date and time else None


@rules.add(r"(\d{1,2}):(\d{2})(?::(\d{2}))?([ap]\.?m\.?)?|(\d{1,2})(?:\.(\d{2}))?([ap]\.?m\.?)", re.IGNORECASE)
def read_time(match: re.Match[str], around: Around) -> str | None:
    """Read "7:30pm", "9am" and "7:00", but not "25:99" and the verse "John 3:16"."""
    if around.before.lower() in BOOKS:
        return None
    hour, minute, half = match[1] or match[5], match[2] or match[6], match[4] or match[7]
    # "7:00 p.m." is "seven PM", "7:00" alone "seven o'clock".
    spoken = clock(hour, minute, half, alone=not MIDDAY.fullmatch(around.after))
    seconds = int(match[3] or 0)
    return f"{spoken} and {counted(str(seconds), UNITS['s'])}" if spoken and seconds else spoken


@rules.add(r"(\d{1,2})(h|\.)(\d{2})")
def read_time_with_point(match: re.Match[str], around: Around) -> str | None:
    """Read "14h30", and "10.30" before "a.m."."""
    is_time = match[2] == "h" or MIDDAY.fullmatch(around.after)
    return clock(match[1], match[3], None, alone=match[2] == "h") if is_time else None


@rules.add(r"([A-Z][a-z]{2,8})/([A-Z][a-z]{2,8})", words=True)
def read_two_names(match: re.Match[str], _around: Around) -> str | None:
    """Read "Tues/Thurs"."""
    names = [DAY_OF.get(name.lower()) or MONTH_OF.get(name.lower()) for name in match.groups()]
    return " and ".join(name for name in names if name) if all(names) else None


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
    """Read "due 12/1" as a date, but not "24/7" and "3/4 cup"."""
    first, second = int(match[1]), int(match[2])
    is_meant = around.before.lower() in DATING or around.before.lower() in DAY_OF or first > second
    return day_of_year(first, second) if is_meant else None


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


@rules.add(r"([A-Z][a-z]{2,4})\.?", words=True)
def read_short_name(match: re.Match[str], around: Around) -> str | None:
    """Read "Sep" beside a number, and "Tue." where a day is meant: "September", "Tuesday"."""
    beside = around.before[-1:].isdigit() or around.after[:1].isdigit()
    if name := MONTH_OF.get(match[1].lower()):
        return name if beside else None
    # "Sat" and "Sun" are words, too.
    before, after = around.before.lower(), around.after.lower()
    is_day = (
        before in LEADING_TO_DAYS
        or len(around.sentence & DAY_OF.keys()) > 1
        or {before, after} & {*DAY_OF, "-", "–", "—"}
    )
    return DAY_OF.get(match[1].lower()) if beside or is_day or match[0].endswith(".") else None


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
    is_group = len(match[1]) > 2 or around.before.lower() in ("under", "over", "the", "of")
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
