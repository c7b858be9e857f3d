"""Money: signs and codes of currencies before and behind amounts, prices per something."""

import re

from parley.languages.english_numbers import decimal
from parley.speech.english.amounts import BEFORE, CURRENCY, NUMBER, QUANTITY, SCALE, counted, per_unit
from parley.speech.english.tables import CODES, CURRENCIES, PER, SCALE_SUFFIXES, SCALE_WORDS, UNITS
from parley.speech.normalization import Around, Rules

PRICED = frozenset("a an per each off plus to or".split())  # noqa: SIM905
"""Words behind an amount of money that stands for itself: "$5-an-hour", but "$5-bill"."""
SIGNS_BEFORE = r"(?:[<>]=|=<|[~≈<>≤≥±])?[-−+]?"
rules = Rules()


def money(sign: str, number: str, scale: str = "") -> str:
    """Return an amount of money: "forty-five dollars and fifty cents"."""
    one, many, cent, cents = CURRENCIES[sign]
    if scale:
        return f"{decimal(number)} {SCALE_SUFFIXES[scale.lower()]} {many}"
    integer, _, fraction = number.replace(",", "").partition(".")
    # "$9.5" is nine fifty.
    fraction = f"{fraction}0" if len(fraction) == 1 and fraction != "0" else fraction
    if len(fraction) != 2:
        return counted(number, (one, many))
    if fraction == "00":
        return counted(integer, (one, many))
    small = counted(fraction.lstrip("0"), (cent, cents))
    return small if integer in ("", "0") else f"{counted(integer, (one, many))} and {small}"


@rules.add(r"([-−]?)(€|CHF)(\d{1,3}(?:\.\d{3})+)|([-−]?)(\d{1,3}(?:\.\d{3})+)(€)")
def read_continental_thousands(match: re.Match[str], _around: Around) -> str:
    """Read "€3.200"; no price in euros has three decimals."""
    sign, number = match[2] or match[6], match[3] or match[5]
    return BEFORE[match[1] or match[4] or ""] + money(sign, number.replace(".", ""))


@rules.add(
    rf"({SIGNS_BEFORE})({CURRENCY})([-−]?)({NUMBER})({SCALE}?)(\+?)|({SIGNS_BEFORE})({NUMBER})({SCALE}?)({CURRENCY})(\+?)"
)
def read_money(match: re.Match[str], around: Around) -> str:
    """Read "$45.50", "-$5", "~$2k", "15€" and "$100+"."""
    signs = f"{match[1] or ''} {match[3] or match[7] or ''}"
    before = "".join(BEFORE.get(sign, "") for sign in re.findall(r"[<>]=|=<|.", signs))
    sign, number, scale = match[2] or match[10], match[4] or match[8], match[5] or match[9]
    more = " plus" if match[6] or match[11] else ""
    if around.after.lower() in SCALE_WORDS:
        # "dollars" comes behind the next word.
        return before + decimal(number)
    return before + money(sign, number, scale or "") + more


@rules.add(rf"({CURRENCY})({NUMBER})({SCALE}?)-([A-Za-z]+)((?:-[A-Za-z]+)*)")
def read_compound_of_money(match: re.Match[str], _around: Around) -> str:
    """Read "$5-an-hour", "$20-bill" and "$50-million"."""
    sign, number, scale, word, words = match.groups()
    if word in SCALE_WORDS:
        return f"{decimal(number)} {word} {CURRENCIES[sign][0]}{words.replace('-', ' ')}"
    amount = (
        money(sign, number, scale) if word in PRICED or "." in number else f"{decimal(number)} {CURRENCIES[sign][0]}"
    )
    return f"{amount} {word}{words.replace('-', ' ')}"


@rules.add(rf"([-−]?)({CURRENCY}?)(\d{{1,3}}(?:\.\d{{3}})*|\d+),(\d{{2}})({CURRENCY}?)")
def read_continental_money(match: re.Match[str], around: Around) -> str | None:
    """Read "€1.234,50" and "5,50 €"."""
    sign = match[2] or match[5] or (around.after if around.after in CURRENCIES else CODES.get(around.after, ""))
    if not sign:
        return None
    amount = money(sign, f"{match[3].replace('.', '')}.{match[4]}")
    # The sign behind the number is read by itself.
    is_apart = not (match[2] or match[5])
    return BEFORE[match[1]] + (decimal(f"{match[3].replace('.', '')}.{match[4]}") if is_apart else amount)


@rules.add(r"(.*?)(\d{1,3}(?:['’]\d{3})+)(.*)")
def read_swiss_number(match: re.Match[str], around: Around) -> str | None:
    """Read "1'250.50" and "CHF1'250" with their apostrophes between thousands."""
    return around.read(match[1] + re.sub("['’]", "", match[2]) + match[3])


@rules.add(rf"({CURRENCY})({NUMBER})[,.][-–—]|({NUMBER})[,.][-–—]({CURRENCY})")
def read_round_amount(match: re.Match[str], _around: Around) -> str:
    """Read "€750,-"."""
    return money(match[1] or match[4], match[2] or match[3])


@rules.add(rf"({CURRENCY}{NUMBER}{SCALE}?)/({CURRENCY}{NUMBER}{SCALE}?)|({CURRENCY}{NUMBER})({'|'.join(CODES)})")
def read_two_amounts(match: re.Match[str], around: Around) -> str:
    """Read "$20/$30", and "$50USD"."""
    # The code behind "$50USD" says no more than the sign.
    return " or ".join(around.read(amount) or amount for amount in match.group(1, 2, 3) if amount)


@rules.add(rf"{CURRENCY}", words=True)
def read_currency_sign(match: re.Match[str], around: Around) -> str | None:
    """Read "€" behind a number."""
    return CURRENCIES[match[0]][around.before != "1"] if around.before[-1:].isdigit() else None


@rules.add("|".join(SCALE_WORDS), words=True)
def read_scale_of_money(match: re.Match[str], around: Around) -> str | None:
    """Read "million" behind "$3": "million dollars"."""
    sign = re.match(rf"{SIGNS_BEFORE}({CURRENCY})", around.before)
    return f"{match[0]} {CURRENCIES[sign[1]][1]}" if sign else None


@rules.add(rf"([-−+]?)({'|'.join(CODES)})([\d.].*)")
def read_glued_code(match: re.Match[str], around: Around) -> str | None:
    """Read "USD1,500.00"."""
    return around.read(match[1] + CODES[match[2]] + match[3])


@rules.add("|".join(CODES), words=True)
def read_currency_code(match: re.Match[str], around: Around) -> str | None:
    """Read "USD" behind a number: "dollars"."""
    is_number = re.fullmatch(rf".*?{NUMBER}{SCALE}?", around.before)
    name = CURRENCIES[CODES[match[0]]][around.before != "1"]
    return name if is_number or around.before in SCALE_WORDS else None


@rules.add(r"pp\.?|p\.p\.", words=True)
def read_per_person(_match: re.Match[str], around: Around) -> str | None:
    """Read the "pp" of "£60 pp"."""
    is_price = re.search(CURRENCY, around.before) and around.before[-1:].isdigit()
    return "per person" if is_price or around.before in CODES else None


@rules.add(r"(\S+)/([A-Za-z]+)(\.?)", words=True)
def read_price(match: re.Match[str], around: Around) -> str | None:
    """Read "$9.99/month", "5k USD/yr" and "$15/mo. or less"."""
    if match[3] and match[2] not in PER:
        return None
    per = per_unit(match[2])
    is_unit = match[1] in UNITS or match[1] in CODES
    amount = None
    if per and is_unit and around.before[-1:].isalnum():
        names = CURRENCIES[CODES[match[1]]] if match[1] in CODES else UNITS[match[1]]
        amount = names[around.before != "1"] if around.before[:1].isdigit() else None
    elif per and re.match(QUANTITY, match[1]) and not re.match(r"\d+\.\d+\.\d", match[1]):
        # No address: "192.168.0.1/admin".
        amount = around.read(match[1])
    return f"{amount} {per}" if amount else None
