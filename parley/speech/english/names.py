"""Abbreviations of streets and titles, which their place tells apart, and Roman numerals beside names."""

import re

from parley.languages.english_numbers import cardinal, ordinal, year
from parley.speech.english.abbreviations import (
    BEFORE_NAMES,
    COUNTED,
    DIRECTIONS,
    REFERENCES,
    STATES,
    STREETS,
    TITLES,
)
from parley.speech.normalization import Around, Rules

NUMBERED = frozenset(
    """
    chapter part act scene volume section war type phase level title book article stage class grade mark bowl rocky
    episode season round tier module unit lesson appendix figure table annex category group division model
    page step version edition generation schedule verse canto movement psalm amendment
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
)
"""Words before a Roman numeral that counts them."""
RULERS = frozenset(
    """
    louis henry elizabeth charles george edward william richard james philip ludwig wilhelm friedrich frederick
    alexander nicholas ivan peter paul pius benedict john leo gregory clement innocent urban catherine mary victoria
    napoleon felipe carlos alfonso juan haakon harald olav gustav gustaf carl christian margrethe beatrix ramses
    ptolemy cleopatra darius xerxes constantine justinian theodosius otto conrad rudolf maximilian leopold albert
    baudouin umberto vittorio emmanuel francis stephen robert david edgar rama mohammed muhammad hassan hussein
    abdullah kamehameha pedro afonso sancho manuel sixtus boniface celestine adrian sergius mehmed suleiman selim murad
    ferdinand isabella sigismund casimir stanislaus ladislaus matthias akbar thutmose amenhotep seti artaxerxes cyrus
    philippe franz joseph josef hirohito willem wilhelmina juliana rainier hans-adam tiberius valentinian
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
)
"""Names of monarchs and popes: their numerals are ordinals."""
STREET_WORDS = frozenset(word.lower() for words in STREETS.items() for word in words) - {"br", "pk", "way", "place"}
FOREIGN_STREETS = frozenset("Rue Place Avenue Boulevard Quai Pont Port Mont Square Mount Lake Fort".split())  # noqa: SIM905
"""Words before a saint."""
RANKS = frozenset("king queen pope emperor empress tsar czar prince kaiser sultan pharaoh saint duke shah".split())  # noqa: SIM905
AGES = frozenset("century centuries dynasty amendment olympiad edition corps legion arrondissement".split())  # noqa: SIM905
"""Words behind a Roman numeral that is an ordinal."""
LEADING = frozenset(
    """
    the a in at on to from near by of and or for with visit see call ask meet try take join love find reach saint
    via is was who which where when dear hello hi thanks contact old new if than like
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
)
"""Words before a name that are no part of it, whatever their capitals."""
WITHOUT_STOP = frozenset("pp vol ch fig § nos ext apt rm blk".split())  # noqa: SIM905
"""Abbreviations before a number that are no words without their full stop."""
CODED = frozenset(
    """
    card phone telephone account order ref reference case model serial part ticket booking invoice customer tracking
    flight member policy our your my his her their confirmation passport license licence tax vat contact mobile fax
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
)
"""Words before "no." for a number."""
MEASURED_BY = frozenset("tall wide long deep thick high of by x".split())  # noqa: SIM905
_ROMAN = r"(?=[IVXLCDM])(M{0,3})(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})"
_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
rules = Rules()


def is_name(word: str) -> bool:
    """Return True if a word looks like a part of a name: "Elm", "5th"."""
    return word[:1].isupper() or bool(re.fullmatch(r"\d+(?:st|nd|rd|th)", word))


@rules.add(rf"({'|'.join(sorted({*STREETS, *BEFORE_NAMES}, key=len, reverse=True))})\.?", words=True)
def read_street(match: re.Match[str], around: Around) -> str | None:
    """Read "Elm St." as a street and "St. John" as a saint, "Hill Dr." as a drive and "Dr. Hill" as a doctor."""
    short, before, after = match[1], around.before, around.after
    leads = is_name(after) and after not in DIRECTIONS and after.lower() not in REFERENCES and after not in STREETS
    follows = is_name(before) and before.lower() not in LEADING and before.rstrip(".") not in TITLES
    if (short in ("Hwy", "Rte") and after[:1].isdigit()) or (short == "Bd" and leads):
        return STREETS[short]
    if short == "St" and leads and before in FOREIGN_STREETS:
        return BEFORE_NAMES[short]
    if short in STREETS and follows and not (leads and short in BEFORE_NAMES and not is_address(short, around)):
        return STREETS[short]
    if short in BEFORE_NAMES and leads and not (short == "Ste" and len(after) < 3):
        return BEFORE_NAMES[short]
    # A title that stands alone: "the Dr. is in".
    return "Doctor" if short == "Dr" and match[0].endswith(".") else None


@rules.add(r"(Ste?)-([A-Z][^\W\d_]+)", words=True)
def read_saint(match: re.Match[str], _around: Around) -> str:
    """Read "St-Michel"."""
    return f"{BEFORE_NAMES[match[1]]} {match[2]}"


def is_address(short: str, around: Around) -> bool:
    """Return True if a name stands on either side of "St", and the number of a house in the sentence."""
    return short == "St" and (around.before[:1].isdigit() or any(word.isdecimal() for word in around.sentence))


@rules.add(r"(N|S|E|W|NE|NW|SE|SW)\.?", words=True)
def read_direction(match: re.Match[str], around: Around) -> str | None:
    """Read "20 N. Main St." and "5th Ave. NW"."""
    is_first = is_name(around.after) and (around.before.isdecimal() or around.after[:1].isdigit())
    is_first = is_first or bool(re.fullmatch(r"(?:I|US|SR)-\d+", around.before))
    # "and N. Main St."
    is_first = is_first or (match[0][-1] == "." and is_name(around.after) and bool(around.sentence & STREET_WORDS))
    is_first = is_first or (around.before.endswith("°") and len(match[1]) == 1)
    is_last = around.before.rstrip(".") in STREETS or around.before in STREETS.values()
    return DIRECTIONS[match[1]] if is_first or is_last else None


@rules.add(r"([A-Z][^\W\d_]{2,}s?)str\.?", words=True)
def read_german_street(match: re.Match[str], _around: Around) -> str:
    """Read "Friedrichstr."."""
    return f"{match[1]}strasse"


@rules.add(r"([Ii]n|[Ee]x)cl\.?", words=True)
def read_inclusive(match: re.Match[str], around: Around) -> str:
    """Read "incl. VAT" and "service incl."."""
    return f"{match[1]}clud{'ing' if around.after else 'ed'}"


@rules.add("|".join(STATES), words=True)
def read_state(match: re.Match[str], around: Around) -> str | None:
    """Read the state before a ZIP code: "Austin, TX 78701"."""
    return STATES[match[0]] if re.fullmatch(r"\d{5}(?:-\d{4})?", around.after) else None


@rules.add(rf"({'|'.join(TITLES)})\.", words=True)
def read_title(match: re.Match[str], around: Around) -> str | None:
    """Read "Sgt. Smith"; a title of three letters and more is none without a name."""
    return TITLES[match[1]] if around.after[:1].isupper() or match[1] in ("Mr", "Mrs", "Ms", "Prof") else None


@rules.add(rf"({'|'.join(map(re.escape, COUNTED))})\.?", words=True)
def read_counted(match: re.Match[str], around: Around) -> str | None:
    """Read "30 min.", "3 pcs" and "6 ft 2 in tall" behind a number."""
    if not around.before[-1:].isdigit() or not re.fullmatch(r"[\d.,]+(?:[-–]\d+)?", around.before):
        return None
    is_short = match[0].endswith(".") or match[1] not in ("in", "p", "pp", "max", "mo")
    # "in" is a preposition far more often.
    is_inch = match[1] == "in" and (around.after.lower() in MEASURED_BY or bool(around.sentence & {"ft", "feet"}))
    if not is_short and not is_inch:
        return None
    word = COUNTED[match[1]]
    irregular = {"inches": "inch", "feet": "foot", "pence": "penny", "people": "person"}
    one = irregular.get(word) or (word[:-1] if word.endswith("s") else word)
    return one if around.before == "1" else word


@rules.add(rf"({'|'.join(map(re.escape, REFERENCES))})(\.?)", re.IGNORECASE, words=True)
def read_reference(match: re.Match[str], around: Around) -> str | None:
    """Read "No." and "pp." before a number: "number", "pages"."""
    is_numbered = around.after[:1].isdigit() or bool(
        re.fullmatch(r"[IVX]+|[A-Z]\d*|[A-Z]{1,3}-?\d\S*|#\w+", around.after)
    )
    # Without its full stop "no 5" may be the word.
    is_short = match[2] or match[0] == "No" or match[1].lower() in WITHOUT_STOP
    if match[2] and match[1].lower() == "no" and around.before.lower() in CODED:
        # "Your card no. is ..."
        return "number"
    if match[1].lower() in ("fl", "ed", "c") and re.fullmatch(r"\d+(?:st|nd|rd|th)", around.before):
        return "century" if match[1] == "c" else REFERENCES[match[1].lower()]
    return REFERENCES[match[1].lower()] if is_numbered and is_short else None


@rules.add(rf"({'|'.join(one for one in REFERENCES if len(one) > 1 or one == 'p')})\.(\d.*)", re.IGNORECASE)
def read_glued_reference(match: re.Match[str], around: Around) -> str:
    """Read "No.2" and "pp.12-14"."""
    return f"{REFERENCES[match[1].lower()]} {around.read(match[2]) or match[2]}"


@rules.add(r"[CF]", words=True)
def read_scale_of_temperature(match: re.Match[str], around: Around) -> str | None:
    """Read the letter of "20 degrees C"."""
    is_degree = around.before.lower() in ("degree", "degrees", "deg", "°")
    return {"C": "Celsius", "F": "Fahrenheit"}[match[0]] if is_degree else None


@rules.add(rf"{_ROMAN}(['’]s)?", words=True)
def read_roman(match: re.Match[str], around: Around) -> str | None:
    """Read "Louis XIV", "Chapter IV" and "the XXI century"; leave "I", "MIX" and "Windows XP"."""
    numeral, owner = match[0].removesuffix(match[5] or ""), "'s" if match[5] else ""
    value = roman_value(numeral)
    before = around.before.lower()
    if around.after.lower() in AGES and len(numeral) > 1:
        return f"{'' if before == 'the' else 'the '}{ordinal(value)}"
    if before in RULERS and around.before[:1].isupper():
        # "Elizabeth I", but not "Charles I know".
        is_king = numeral != "I" or around.after == "" or bool(around.sentence & RANKS) or owner
        is_number = not set(numeral) & set("LCDM")
        return f"the {ordinal(value)}{owner}" if is_king and is_number else None
    if before in NUMBERED:
        return cardinal(value) + owner if around.before[:1].isupper() or numeral != "I" else None
    if numeral[:2] == "MM" or (numeral[:2] in ("MD", "MC") and len(numeral) > 3):
        return year(value) + owner
    is_behind_name = bool(re.fullmatch(r"[A-Z][a-z]+", around.before)) and before not in LEADING
    return cardinal(value) + owner if is_behind_name and len(numeral) > 1 and set(numeral) <= set("IVX") else None


@rules.add(r"[ivx]+", words=True)
def read_small_roman(match: re.Match[str], around: Around) -> str | None:
    """Read "Scene iv" and "page xii"."""
    is_numeral = re.fullmatch(_ROMAN, match[0].upper()) and around.before.lower() in NUMBERED
    return cardinal(roman_value(match[0].upper())) if is_numeral else None


def roman_value(numeral: str) -> int:
    """Return the value of a Roman numeral."""
    values = [_VALUES[letter] for letter in numeral]
    return sum(-value if value < max(values[place:]) else value for place, value in enumerate(values))
