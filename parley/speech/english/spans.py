"""Readings of several words together: numbers in groups, amounts with a code, lengths, hours behind a date.

These come before the rules, which see one word each.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from parley.languages.english_numbers import cardinal, decimal, digits
from parley.speech.english.amounts import JOINING, MEASURED, NUMBER, counted
from parley.speech.english.ranges import CODING
from parley.speech.english.tables import CODES, CURRENCIES, MONTH_OF, SCALE_WORDS, UNITS
from parley.speech.normalization import Marked

CODE_SIGNS = CODES | {sign: sign for sign in CURRENCIES}
LONG = frozenset("is are measures screen monitor tv display laptop diagonal size inch".split())  # noqa: SIM905
"""Words beside a length in inches."""
FEET_MARKS = ("'", "’", "′")
LENGTH_MARKS = (*FEET_MARKS, '"', "″")


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
    # Other lengths before this one open no quotation.
    others = ("".join(word) for word in words[:index] if not re.fullmatch(rf"\(?{NUMBER}\"", "".join(word)))
    is_quoted = "".join(others).count('"') % 2 == 1
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
    if first.core in ("PHP", "TRY") and re.fullmatch(r"\d\d?|\d\.\d", second.core):
        # "PHP 8.2" is a version of software.
        return {}
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
    return bool(
        re.fullmatch(
            r"\(0\)\d{1,8}|\(?\+?\d{1,9}\)?(?:[-./]?\d{2,8})*|[A-Z]{2}\d{2}|[A-Z]{4}", word.opening + word.core
        )
    )


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
