"""Quantities with their units, fractions, and plain numbers."""

import re
import unicodedata

from parley.languages.english_numbers import cardinal, decimal, ordinal
from parley.speech.english.tables import (
    CODES,
    CURRENCIES,
    PER,
    POWERS,
    SCALE_SUFFIXES,
    SCALE_WORDS,
    SIGNS,
    UNITS,
)
from parley.speech.normalization import Around, Rules

NUMBER = r"(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)"
CURRENCY = rf"(?:{'|'.join(re.escape(sign) for sign in sorted(CURRENCIES, key=len, reverse=True))})"
SCALE = r"(?:MM|[mMbB]n|[kKmMbBtT])"
HALVES = {2: "half", 4: "quarter"}
VULGAR = {"½": "a half", "⅓": "a third", "⅔": "two thirds", "¼": "a quarter", "¾": "three quarters", "⅛": "an eighth"}
BEFORE = {"-": "minus ", "−": "minus ", "+": "plus ", "~": "about ", "≈": "about ", "#": "number "}
BEFORE |= {"<": "less than ", ">": "more than ", "≤": "at most ", "≥": "at least ", "±": "plus or minus ", "": ""}
BEFORE |= {"<=": "at most ", ">=": "at least ", "=<": "at most ", "+/-": "plus or minus ", "=": "equals "}
"""Signs in front of a number."""
MEASURED = frozenset(
    """
    tall wide long deep thick high screen tv monitor display laptop pipe pizza screw bolt nail drive hose tape board
    jack drill socket wrench plug cable x by
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
)
"""Words behind a number of inches."""
COUNTED = frozenset(
    """
    people steps users views followers downloads customers subscribers visitors members units copies
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
)
"""Words behind a number whose "m" is a million, not a meter."""
JOINING = frozenset(
    """
    of or and to at in from for with on per by than as is are was away more less a the tall long
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
)
"""Words behind a quantity that do not name what is measured."""
HEATING = frozenset(
    """
    oven preheat bake roast heat temperature temperatures cook grill outside inside weather degrees highs lows sunny
    cloudy forecast
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
)
"""Words beside a temperature without its sign: "bake at 180C"."""
LINES = ("480", "576", "720", "1080", "1440", "2160", "4320")
"""Heights of pictures: "1080p"."""
SPATIAL = frozenset("mm cm m km in ft feet inches meters metres centimeters millimeters pixels px".split())  # noqa: SIM905
"""Words beside two sides of something."""
SQUARES = {"sq": "square", "cu": "cubic"}
RATING = frozenset(
    """
    rated rating rate rates score scored scores stars review reviews grade test exam quiz marks
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
)
PLACES = frozenset(
    """
    room apt apartment suite unit seat row gate flat platform building bus exit section no
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
)
"""Words before a number whose letter is no unit: "seat 14C"."""
QUANTITY = rf"[-−+]?{CURRENCY}?[-−]?{NUMBER}(?:[A-Za-zµμ°]{{0,5}}[²³]?|{CURRENCY}|[x×])"
"""An amount of money or of a unit."""
BEFORE_UNIT = rf"(?:.*[-–—−x×~≈<>≤≥±/+])?(?:{NUMBER}|\d+,\d{{1,2}}|\d{{1,3}}(?:['’]\d{{3}})+|\d*[½⅓⅔¼¾⅛])"
"""A number in the word before a unit."""
rules = Rules()


def counted(number: str, one_and_many: tuple[str, str]) -> str:
    """Return a number with the singular or plural of its unit."""
    one, many = one_and_many
    return f"{decimal(number)} {one if number == '1' else many}"


def unit(symbol: str, *, glued: bool = False) -> tuple[str, str] | None:
    """Return the names of a unit, one and many, also of its square and of what is measured per something, or None.

    `glued` to its number "in" is a unit, and no preposition.
    """
    if symbol in UNITS:
        return UNITS[symbol]
    if symbol == "in" and glued:
        return "inch", "inches"
    if symbol[-1:] in POWERS and symbol[:-1] in UNITS:
        one, many = UNITS[symbol[:-1]]
        return f"{POWERS[symbol[-1]]} {one}", f"{POWERS[symbol[-1]]} {many}"
    # What is measured, per what: "kg/m³".
    above, slash, below = symbol.partition("/")
    if slash and (names := unit(above)) and (per := per_unit(below)):
        return f"{names[0]} {per}", f"{names[1]} {per}"
    return None


def per_unit(word: str) -> str | None:
    """Return "per month" for a word or a unit behind a slash, or None if it is neither."""
    if word in PER or word in UNITS:
        return f"per {PER.get(word) or UNITS[word][0]}"
    if word[-1:] in POWERS and word[:-1] in UNITS:
        # An acceleration is "per second squared", a density "per cubic meter".
        is_time = UNITS[word[:-1]][0] in ("second", "hour", "minute")
        one = UNITS[word[:-1]][0]
        return f"per {one} {'squared' if word[-1] == '²' else 'cubed'}" if is_time else f"per {POWERS[word[-1]]} {one}"
    return f"per {word}" if word.isalpha() and len(word) > 2 else None


@rules.add(r"(\d{1,2})-(\d{1,2}/\d{1,2})")
def read_mixed_fraction(match: re.Match[str], around: Around) -> str | None:
    """Read "1-1/2" as one and a half."""
    # Only a proper fraction is a part of a number.
    above, below = map(int, match[2].split("/"))
    reading = around.read(match[2]) if above < below else None
    return reading and f"{cardinal(int(match[1]))} and {'a' + reading[3:] if above == 1 else reading}"


@rules.add(rf"({NUMBER})/(5|10|20|25|30|40|50|100)")
def read_rating(match: re.Match[str], around: Around) -> str | None:
    """Read "4.5/5" and "page 3/10"."""
    # "9/10" may be a date or a fraction; the words beside it tell.
    whole = f"{decimal(match[1])} {{}}{decimal(match[2])}"
    if "." in match[1] or match[1] == match[2] != "20" or (around.sentence | {around.after.lower()}) & RATING:
        return whole.format("out of ")
    return whole.format("of ") if around.before.lower() in ("page", "part", "step", "slide", "question") else None


@rules.add(r"(\d{1,2}/\d{1,2})-([a-z]+)")
def read_fraction_of_unit(match: re.Match[str], around: Around) -> str:
    """Read "1/2-inch"."""
    return f"{around.read(match[1])} {match[2]}"


@rules.add(rf"({NUMBER}[A-Za-z]+)/({NUMBER}[A-Za-z]+)")
def read_rate(match: re.Match[str], around: Around) -> str | None:
    """Read "6L/100km"."""
    ends = [around.read(end) for end in match.groups()]
    return " per ".join(map(str, ends)) if all(unit(re.sub(r"[\d.,]", "", end)) for end in match.groups()) else None


@rules.add(r"(\d{1,4})/(\d{1,4})(st|nd|rd|th)?s?")
def read_fraction(match: re.Match[str], around: Around) -> str:
    """Read "3/4" as three quarters, "1 1/2" as one and a half, and "24/7" as its two numbers."""
    above, below = int(match[1]), int(match[2])
    if not (0 < above < below and (below <= 10 or below in (12, 16, 20, 32, 64, 100, 1000))):
        return f"{cardinal(above)} {'over ' if above > 60 and above != below else ''}{cardinal(below)}"
    part = HALVES.get(below, ordinal(below))
    is_mixed = around.before.isdecimal()
    if above == 1 and is_mixed:
        return f"and {'an' if below == 8 else 'a'} {part}"
    return f"{'and ' if is_mixed else ''}{cardinal(above)} {part}{'s' if above > 1 else ''}"


@rules.add(
    rf"({NUMBER})[eE]([-+−]?)(\d{{1,3}})|(?:({NUMBER})[x×·*])?10(?:\^([-−]?)(\d{{1,3}})|([⁻]?)([⁰¹²³⁴-⁹]{{2,}}|[⁴-⁹¹⁰]))"
)
def read_power_of_ten(match: re.Match[str], _around: Around) -> str | None:
    """Read "1e-5" and "6.02×10²³"."""
    factor, sign = match[1] or match[4], match[2] or match[5] or match[7] or ""
    power = match[3] or match[6] or unicodedata.normalize("NFKC", match[8])
    times = f"{decimal(factor)} times " if factor else ""
    return f"{times}ten to the power of {'minus ' if sign in ('-', '−', '⁻') else ''}{cardinal(int(power))}"


@rules.add(rf"({NUMBER}?)([½⅓⅔¼¾⅛])")
def read_vulgar_fraction(match: re.Match[str], around: Around) -> str:
    """Read "½" and "1½"."""
    if match[1]:
        return f"{decimal(match[1])} and {VULGAR[match[2]]}"
    return f"and {VULGAR[match[2]]}" if around.before.isdecimal() else VULGAR[match[2]]


@rules.add(rf"({NUMBER})([A-Za-z\"″]*)[x×]({NUMBER})([A-Za-z\"″]*)(?:[x×]({NUMBER})([A-Za-z\"″]*))?")
def read_dimensions(match: re.Match[str], around: Around) -> str | None:
    """Read "20x30cm": "twenty by thirty centimeters"."""
    sides = []
    for number, symbol in zip(match.groups()[::2], match.groups()[1::2], strict=True):
        if number is not None:
            names = ("inch", "inches") if symbol in ("″", '"') else unit(symbol) if symbol else ("", "")
            if names is None:
                return None
            sides.append(counted(number, names).strip())
    is_product = "×" in match[0] and not any(match.groups()[1::2]) and unit(around.after) is None
    return (" times " if is_product else " by ").join(sides)


@rules.add(r"(sq|cu)\.?", words=True)
def read_square(match: re.Match[str], around: Around) -> str | None:
    """Read the "sq." in "200 sq. ft."."""
    return SQUARES[match[1]] if around.before[-1:].isdigit() and unit(around.after) else None


@rules.add(r"[x×]", words=True)
def read_by(match: re.Match[str], around: Around) -> str | None:
    """Read the "x" in "20 x 30" and the "×" in "148 × 210 mm"; "5 × 6" is a product."""
    is_between = (around.before[-1:].isdigit() or around.before in UNITS) and bool(
        re.match(r"\d|[A-Z]\Z", around.after)
    )
    is_size = "=" not in around.sentence and (match[0] == "x" or around.sentence & SPATIAL)
    return "by" if is_between and is_size else SIGNS.get("×" if is_between else match[0])


@rules.add(r"(\d{1,2})['′’](?:-?(\d{1,2})(?:[\"″”]|'')?)?|(\d+(?:\.\d+)?)([\"″])")
def read_feet_and_inches(match: re.Match[str], around: Around) -> str | None:
    """Read 5'10" as a height, and the inches of a screen; leave other quotes."""
    feet, inches, alone = match[1], match[2], match[3]
    # Two numbers are a height; one may as well stand before the end of a quotation.
    if feet and inches:
        return f"{cardinal(int(feet))} foot {cardinal(int(inches))}"
    is_length = around.after.lower().rstrip("s") in MEASURED or (match[4] == "″")
    if alone:
        return f"{decimal(alone)} inch" if is_length else None
    return counted(feet, UNITS["ft"]) if around.after.lower() in MEASURED or "′" in match[0] else None


@rules.add(r"(\d{1,2}/\d{1,2})[\"″]")
def read_part_of_inch(match: re.Match[str], around: Around) -> str | None:
    """Read 3/4" before what is measured so."""
    return f"{around.read(match[1])} inch" if around.after.lower().rstrip("s") in MEASURED else None


@rules.add(rf"({'|'.join(LINES)})([pi])")
def read_lines(match: re.Match[str], _around: Around) -> str:
    """Read "1080p"."""
    return f"{cardinal(int(match[1][:-2]))} {cardinal(int(match[1][-2:]))} {match[2]}"


@rules.add(r"(\d{2,3})([CF])")
def read_heat(match: re.Match[str], around: Around) -> str | None:
    """Read "bake at 180C"."""
    return counted(match[1], UNITS[f"°{match[2]}"]) if around.sentence & HEATING else None


@rules.add(rf"([<>]=|=<|\+/-|[-−+~≈<>≤≥±#=]?)({NUMBER})([^\d\s].*)?")
def read_number(match: re.Match[str], around: Around) -> str | None:
    """Read "-5", "#3" and "10kg", and take "10x" for ten and a word."""
    sign, number, behind = match.groups()
    # "007" is no quantity: `codes` reads it digit by digit.
    if number[0] == "0" and number.isdecimal() and len(number) > 1:
        return None
    if behind is None:
        return BEFORE[sign] + decimal(number)
    reading = with_ending(number, behind, around)
    return reading and BEFORE[sign] + reading


def with_ending(number: str, behind: str, around: Around) -> str | None:
    """Return a number with what is glued to it: a unit, a scale, words; None if it is none of them."""
    if behind in ("x", "×"):
        return f"{decimal(number)} times"
    if behind in ("in", "-in"):
        return f"{decimal(number)} inch{'' if number == '1' or behind == '-in' else 'es'}"
    # "5m people", "1h 30m"
    if behind == "m" and around.after.lower() in COUNTED:
        return f"{decimal(number)} million"
    if behind == "m" and re.fullmatch(r"\d+(?:h|hr|hrs)", around.before):
        return counted(number, UNITS["min"])
    is_letter = behind.isupper() and len(behind) == 1 and around.before.lower() in PLACES
    if not is_letter and (names := unit(behind, glued=True)):
        # "a 12V battery"
        is_adjective = (
            around.before.lower() in ("a", "an", "the", "your", "this", "each")
            and around.after.isalpha()
            and around.after.islower()
        )
        return counted(number, (names[0], names[0]) if is_adjective and around.after not in JOINING else names)
    if behind[0] == "-" and (names := unit(behind[1:])):
        return f"{decimal(number)} {names[0]}"
    is_scale = behind in ("M", "bn", "mn") or (behind == "B" and "." in number)
    if not is_letter and (
        is_scale or (behind in ("k", "K") and (around.after[:3] in CODES or around.after.lower() in COUNTED))
    ):
        return f"{decimal(number)} {SCALE_SUFFIXES[behind.lower()]}"
    words = ["plus"] if behind == "+" else behind.removeprefix("-").split("-")
    is_glued = len(words) == 1 or behind[0] == "-"
    return f"{decimal(number)} {' '.join(words)}" if is_glued and all(map(str.isalpha, words)) else None


@rules.add(r"([-−]?\d{1,3}),(\d{1,2})([^\d\s,.:/]*)")
def read_decimal_comma(match: re.Match[str], around: Around) -> str | None:
    """Read "7,5 %", "1,5 l" and "1,5kg": a comma before a unit is that of other countries."""
    is_quantity = unit(match[3], glued=True) if match[3] else unit(around.after)
    return around.read(f"{match[1]}.{match[2]}{match[3]}") if is_quantity else None


@rules.add(r"([-−]?)(\d{1,3}(?:\.\d{3})+),(\d{1,2})(\D.*)?")
def read_continental_number(match: re.Match[str], around: Around) -> str | None:
    """Read "1.234,56" as "1,234.56"."""
    return around.read(f"{match[1]}{match[2].replace('.', ',')}.{match[3]}{match[4] or ''}")


@rules.add(rf"(°[CF]|[A-Za-z]+)/({NUMBER})")
def read_second_unit(match: re.Match[str], around: Around) -> str | None:
    """Read the middle of "250 °C/480 °F" and of "6 L/100 km"."""
    names = unit(match[1]) if around.before[-1:].isdigit() and unit(around.after) else None
    return names and f"{names[around.before != '1']} {'per' if match[2] == '100' else 'or'} {decimal(match[2])}"


@rules.add(r"\S+", words=True)
def read_unit(match: re.Match[str], around: Around) -> str | None:
    """Read "km" behind a number."""
    # The full stop of "168 sq. ft. in all" ends no sentence.
    symbol = match[0][:-1] if match[0][-1] == "." and around.after[:1].islower() else match[0]
    # Behind "sq." the number is two words away.
    names = unit(symbol)
    if names and around.before.lower() in SQUARES:
        return names[1]
    is_number = re.fullmatch(BEFORE_UNIT, around.before) or around.before in SCALE_WORDS
    # "one half pound" is as singular as "one pound".
    is_one = around.before == "1" or re.fullmatch(r"\d/\d+|[½⅓⅔¼¾⅛]", around.before)
    return names[not is_one] if names and is_number else None
