"""English: numbers as words, and the tables of months, currencies, units, signs and abbreviations.

Nothing here knows the text around a number or a sign: that is `normalization`. Numbers are spelled by our own code: of
the libraries one is under the LGPL (num2words), the other a hundred times as long (inflect).
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
    words = cardinal(number)
    # Only the last word changes.
    cut = max(words.rfind(" "), words.rfind("-")) + 1
    last = words[cut:]
    regular = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    return words[:cut] + ORDINALS.get(last, regular)


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
    return cardinal(int(integer or "0")) + (f" point {digits(fraction)}" if point else "")


def digits(text: str) -> str:
    """Return digits one by one: "507" is "five zero seven"."""
    return " ".join(ONES[int(digit)] for digit in text)


MONTHS = "January February March April May June July August September October November December".split()  # noqa: SIM905
# By the full name and by three letters; "Sept" is common as well.
MONTH_OF = {name[:length].lower(): name for name in MONTHS for length in (3, len(name))} | {"sept": "September"}
CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
}
CODES = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹"}
SCALE_SUFFIXES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion", "t": "trillion"}
# Behind these the currency comes: "$3 million" is "three million dollars".
SCALE_WORDS = frozenset({"hundred", "thousand", "million", "billion", "trillion"})
# "in" for inch is missing: it is a preposition far more often.
UNITS = {
    "km": ("kilometer", "kilometers"),
    "m": ("meter", "meters"),
    "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"),
    "mi": ("mile", "miles"),
    "ft": ("foot", "feet"),
    "kg": ("kilogram", "kilograms"),
    "g": ("gram", "grams"),
    "mg": ("milligram", "milligrams"),
    "lb": ("pound", "pounds"),
    "lbs": ("pound", "pounds"),
    "oz": ("ounce", "ounces"),
    "l": ("liter", "liters"),
    "ml": ("milliliter", "milliliters"),
    "h": ("hour", "hours"),
    "hr": ("hour", "hours"),
    "hrs": ("hour", "hours"),
    "min": ("minute", "minutes"),
    "mins": ("minute", "minutes"),
    "sec": ("second", "seconds"),
    "ms": ("millisecond", "milliseconds"),
    "mph": ("mile per hour", "miles per hour"),
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "GB": ("gigabyte", "gigabytes"),
    "MB": ("megabyte", "megabytes"),
    "kB": ("kilobyte", "kilobytes"),
    "KB": ("kilobyte", "kilobytes"),
    "TB": ("terabyte", "terabytes"),
    "W": ("watt", "watts"),
    "kW": ("kilowatt", "kilowatts"),
    "kWh": ("kilowatt hour", "kilowatt hours"),
    "V": ("volt", "volts"),
    "Hz": ("hertz", "hertz"),
    "kHz": ("kilohertz", "kilohertz"),
    "°": ("degree", "degrees"),
    "°C": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
}
# "St." is missing: street or saint, only the meaning tells.
WORDS = {
    "&": "and",
    "+": "plus",
    "=": "equals",
    "×": "times",
    "*": "times",
    "/": "or",
    "%": "percent",
    "@": "at",
    "e.g.": "for example",
    "e.g": "for example",
    "i.e.": "that is",
    "i.e": "that is",
    "etc.": "et cetera",
    "etc": "et cetera",
    "vs.": "versus",
    "vs": "versus",
    "approx.": "approximately",
    "Dr.": "Doctor",
    "Mr.": "Mister",
    "Mrs.": "Missus",
    "Ms.": "Miz",
    "Prof.": "Professor",
}
