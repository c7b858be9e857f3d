"""Numbers as English words: how they are said, and so how callers say them.

Spelled by our own code: of the libraries one is under the LGPL (num2words), the other is a hundred times as long
(inflect).
"""

ONES = """
    zero one two three four five six seven eight nine
    ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen
    """.split()  # noqa: SIM905 - read as the list that it is
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()  # noqa: SIM905
SCALES = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
SPELLED_BELOW = 10**15
"""Limit on the numbers that are spelled as a whole; larger ones are read digit by digit."""
ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}


def cardinal(number: int) -> str:
    """Return a number as words: 1250 is "one thousand two hundred fifty"."""
    if number < 0:
        return f"minus {cardinal(-number)}"
    if number >= SPELLED_BELOW:
        return digits(str(number))
    for scale, name in SCALES:
        if number >= scale:
            head, tail = divmod(number, scale)
            return f"{cardinal(head)} {name}" + (f" {cardinal(tail)}" if tail else "")
    if number < 20:
        return ONES[number]
    tens, ones = divmod(number, 10)
    return TENS[tens] + (f"-{ONES[ones]}" if ones else "")


def ordinal(number: int) -> str:
    """Return an ordinal number as words: 23 is "twenty-third"."""
    return _last_word(cardinal(number), ORDINALS, "ieth", "th")


def plural(words: str) -> str:
    """Return a number's words in the plural: "nineties", "nineteen hundreds", "twelves"."""
    return _last_word(words, {"six": "sixes"}, "ies", "s")


def _last_word(words: str, irregular: dict[str, str], for_y: str, ending: str) -> str:
    """Return words of which the last has another ending."""
    cut = max(words.rfind(" "), words.rfind("-")) + 1
    last = words[cut:]
    regular = f"{last[:-1]}{for_y}" if last.endswith("y") else f"{last}{ending}"
    return words[:cut] + irregular.get(last, regular)


def year(number: int) -> str:
    """Return a year as words: 1905 is "nineteen oh five", 2007 "two thousand seven", 2024 "twenty twenty-four"."""
    century, in_century = divmod(number, 100)
    # 2007 is "two thousand seven", not "twenty oh seven".
    if not 10 < century < 100 or (century % 10 == 0 and in_century < 10):
        return cardinal(number)
    if in_century == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if in_century < 10 else ''}{cardinal(in_century)}"


def decimal(text: str) -> str:
    """Return a written number as words: "1,250.50" is "one thousand two hundred fifty point five zero"."""
    integer, point, fraction = text.replace(",", "").partition(".")
    whole = digits(integer) if len(integer) > len(str(SPELLED_BELOW)) else cardinal(int(integer or "0"))
    return whole + (f" point {digits(fraction)}" if point and fraction else "")


def digits(text: str) -> str:
    """Return digits one by one: "507" is "five zero seven"."""
    return " ".join(ONES[int(digit)] for digit in text)
