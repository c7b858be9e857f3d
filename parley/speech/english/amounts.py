"""Money, quantities with their units, fractions, and plain numbers."""

import re

from parley.speech.english.numbers import cardinal, decimal, ordinal
from parley.speech.english.tables import (
    CODES,
    CURRENCIES,
    PER,
    POWERS,
    SCALE_SUFFIXES,
    SCALE_WORDS,
    UNITS,
)
from parley.speech.normalization import Around, Rules

NUMBER = r"(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)"
CURRENCY = r"(?:(?:US|[ACR])?\$|[€£¥₹₩])"
SCALE = r"(?:[mMbB]n|[kKmMbBtT])"
HALVES = {2: "half", 4: "quarter"}
VULGAR = {"½": "a half", "⅓": "a third", "⅔": "two thirds", "¼": "a quarter", "¾": "three quarters", "⅛": "an eighth"}
BEFORE = {"-": "minus ", "−": "minus ", "+": "plus ", "~": "about ", "≈": "about ", "#": "number "}
BEFORE |= {"<": "less than ", ">": "more than ", "≤": "at most ", "≥": "at least ", "±": "plus or minus ", "": ""}
"""Signs in front of a number."""
MEASURED = frozenset("tall wide long deep thick high screen tv monitor display laptop pipe pizza x by".split())  # noqa: SIM905
"""Words behind a number of inches."""
PRICED = frozenset("a an per each off plus to or".split())  # noqa: SIM905
"""Words behind an amount of money that stands for itself: "$5-an-hour", but "$5-bill"."""
PLACES = frozenset("room apt apartment suite unit seat row gate flat platform building bus exit section no".split())  # noqa: SIM905
"""Words before a number whose letter is no unit: "seat 14C"."""
money_rules = Rules()
rules = Rules()


def money(sign: str, number: str, scale: str = "") -> str:
    """Return an amount of money: "forty-five dollars and fifty cents"."""
    one, many, cent, cents = CURRENCIES[sign]
    if scale:
        return f"{decimal(number)} {SCALE_SUFFIXES[scale.lower()]} {many}"
    integer, _, fraction = number.replace(",", "").partition(".")
    if len(fraction) != 2:
        return counted(number, (one, many))
    if fraction == "00":
        return counted(integer, (one, many))
    small = counted(fraction.lstrip("0"), (cent, cents))
    return small if integer in ("", "0") else f"{counted(integer, (one, many))} and {small}"


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
    above, slash, below = symbol.partition("/")
    if slash and above in UNITS and (per := per_unit(below)):
        return f"{UNITS[above][0]} {per}", f"{UNITS[above][1]} {per}"
    return None


def per_unit(word: str) -> str | None:
    """Return "per month" for a word or a unit behind a slash, or None if it is neither."""
    if word in PER or word in UNITS:
        return f"per {PER.get(word) or UNITS[word][0]}"
    return f"per {word}" if word.isalpha() and len(word) > 2 else None


@money_rules.add(rf"([-−+]?)({CURRENCY})([-−]?)({NUMBER})({SCALE}?)(\+?)|([-−+]?)({NUMBER})({SCALE}?)([€$£¥₹₩])(\+?)")
def read_money(match: re.Match[str], around: Around) -> str:
    """Read "$45.50", "-$5", "$2k", "15€" and "$100+"."""
    before = BEFORE[match[1] or match[3] or match[7] or ""]
    sign, number, scale = match[2] or match[10], match[4] or match[8], match[5] or match[9]
    more = " plus" if match[6] or match[11] else ""
    if around.after.lower() in SCALE_WORDS:
        # "dollars" comes behind the next word.
        return before + decimal(number)
    return before + money(sign, number, scale or "") + more


@money_rules.add(rf"({CURRENCY})({NUMBER})({SCALE}?)-([A-Za-z]+)((?:-[A-Za-z]+)*)")
def read_compound_of_money(match: re.Match[str], _around: Around) -> str:
    """Read "$5-an-hour", "$20-bill" and "$50-million"."""
    sign, number, scale, word, words = match.groups()
    if word in SCALE_WORDS:
        return f"{decimal(number)} {word} {CURRENCIES[sign][0]}{words.replace('-', ' ')}"
    amount = (
        money(sign, number, scale) if word in PRICED or "." in number else f"{decimal(number)} {CURRENCIES[sign][0]}"
    )
    return f"{amount} {word}{words.replace('-', ' ')}"


@money_rules.add(rf"([-−]?)({CURRENCY}?)(\d{{1,3}}(?:\.\d{{3}})*|\d+),(\d{{2}})([€$£]?)")
def read_continental_money(match: re.Match[str], around: Around) -> str | None:
    """Read "€1.234,50" and "5,50 €"."""
    sign = match[2] or match[5] or (around.after if around.after in CURRENCIES else CODES.get(around.after, ""))
    if not sign:
        return None
    amount = money(sign, f"{match[3].replace('.', '')}.{match[4]}")
    # The sign behind the number is read by itself.
    is_apart = not (match[2] or match[5])
    return BEFORE[match[1]] + (decimal(f"{match[3].replace('.', '')}.{match[4]}") if is_apart else amount)


@money_rules.add(rf"{CURRENCY}", words=True)
def read_currency_sign(match: re.Match[str], around: Around) -> str | None:
    """Read "€" behind a number."""
    return CURRENCIES[match[0]][around.before != "1"] if around.before[-1:].isdigit() else None


@money_rules.add("|".join(SCALE_WORDS), words=True)
def read_scale_of_money(match: re.Match[str], around: Around) -> str | None:
    """Read "million" behind "$3": "million dollars"."""
    sign = re.match(rf"[-−]?({CURRENCY})", around.before)
    return f"{match[0]} {CURRENCIES[sign[1]][1]}" if sign else None


@money_rules.add("|".join(CODES), words=True)
def read_currency_code(match: re.Match[str], around: Around) -> str | None:
    """Read "USD" behind a number: "dollars"."""
    is_number = re.fullmatch(rf".*?{NUMBER}{SCALE}?", around.before)
    name = CURRENCIES[CODES[match[0]]][around.before != "1"]
    return name if is_number or around.before in SCALE_WORDS else None


@money_rules.add(r"(\S+)/([A-Za-z]+)", words=True)
def read_price(match: re.Match[str], around: Around) -> str | None:
    """Read "$9.99/month" and "5k USD/yr"."""
    per = per_unit(match[2])
    is_unit = match[1] in UNITS or match[1] in CODES
    amount = None
    if per and is_unit and around.before[-1:].isalnum():
        names = CURRENCIES[CODES[match[1]]] if match[1] in CODES else UNITS[match[1]]
        amount = names[around.before != "1"] if around.before[:1].isdigit() else None
    elif per and re.search(r"\d", match[1]):
        amount = around.read(match[1])
    return f"{amount} {per}" if amount else None


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


@rules.add(r"[x×]", words=True)
def read_by(_match: re.Match[str], around: Around) -> str | None:
    """Read the "x" in "20 x 30"."""
    return "by" if around.before[-1:].isdigit() and around.after[:1].isdigit() else None


@rules.add(r"(\d{1,2})['′’](?:-?(\d{1,2})(?:[\"″”]|'')?)?|(\d+(?:\.\d+)?)([\"″])")
def read_feet_and_inches(match: re.Match[str], around: Around) -> str | None:
    """Read 5'10" as a height, and the inches of a screen; leave other quotes."""
    feet, inches, alone = match[1], match[2], match[3]
    if feet and inches:
        return f"{cardinal(int(feet))} foot {cardinal(int(inches))}"
    is_length = around.after.lower() in MEASURED or (match[4] == "″")
    if alone:
        return f"{decimal(alone)} inch" if is_length else None
    return counted(feet, UNITS["ft"]) if around.after.lower() in MEASURED or "′" in match[0] else None


@rules.add(rf"([-−+~≈<>≤≥±#]?)({NUMBER})([^\d\s].*)?")
def read_number(match: re.Match[str], around: Around) -> str | None:
    """Read "-5", "#3" and "10kg", and take "10x" for ten and a word."""
    sign, number, behind = match.groups()
    if number[0] == "0" and number.isdecimal() and len(number) > 1:
        return None
    if behind is None:
        return BEFORE[sign] + decimal(number)
    reading = with_ending(number, behind, around)
    return reading and BEFORE[sign] + reading


def with_ending(number: str, behind: str, around: Around) -> str | None:
    """Return a number with what is glued to it: a unit, a scale, words; None if it is none of them."""
    is_letter = behind.isupper() and len(behind) == 1 and around.before.lower() in PLACES
    if not is_letter and (names := unit(behind, glued=True)):
        return counted(number, names)
    if behind[0] == "-" and (names := unit(behind[1:])):
        return f"{decimal(number)} {names[0]}"
    is_scale = behind in ("M", "bn", "mn") or (behind == "B" and "." in number)
    if not is_letter and (is_scale or (behind in ("k", "K") and around.after[:3] in CODES)):
        return f"{decimal(number)} {SCALE_SUFFIXES[behind.lower()]}"
    words = ["plus"] if behind == "+" else behind.removeprefix("-").split("-")
    is_glued = len(words) == 1 or behind[0] == "-"
    return f"{decimal(number)} {' '.join(words)}" if is_glued and all(map(str.isalpha, words)) else None


@rules.add(r"([-−]?)(\d{1,3}(?:\.\d{3})+),(\d{1,2})(\D.*)?")
def read_continental_number(match: re.Match[str], around: Around) -> str | None:
    """Read "1.234,56" as "1,234.56"."""
    return around.read(f"{match[1]}{match[2].replace('.', ',')}.{match[3]}{match[4] or ''}")


@rules.add(r"\S+", words=True)
def read_unit(match: re.Match[str], around: Around) -> str | None:
    """Read "km" behind a number."""
    names = unit(match[0])
    is_number = re.fullmatch(rf"(?:.*[-–—−x×~<>])?{NUMBER}", around.before) or around.before in SCALE_WORDS
    return names[around.before != "1"] if names and is_number else None
