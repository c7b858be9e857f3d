"""Streets, saints and titles by their place, abbreviations by their numbers, Roman numerals by their names."""

import pytest
from reading import read

from parley.speech.english.names import roman_value


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Visit 12 Elm St. today", "Visit twelve Elm Street today"),
        ("on St. James St.", "on Saint James Street"),
        ("St. John's, St Andrews", "Saint John's, Saint Andrews"),
        ("Main St and 3rd Ave", "Main Street and third Avenue"),
        ("123 Main St., Apt. 4B", "one hundred twenty-three Main Street, apartment four B"),
        ("Dr. Hill of 12 Hill Dr.", "Doctor Hill of twelve Hill Drive"),
        ("20 N. Main St.", "twenty North Main Street"),
        ("10 Bd. St-Michel", "ten Boulevard Saint Michel"),
        ("500 Oak St., Ste. B", "five hundred Oak Street, suite B"),
        ("No.2, pp.12-14, our no. is", "number two, pages twelve to fourteen, our number is"),
        ("10 Rue St. Honoré", "ten Rue Saint Honoré"),
        ("5th Ave. and N. Main St.", "fifth Avenue and North Main Street"),
        ("Austin, TX 78701, Friedrichstr. 12", "Austin, Texas seven eight seven zero one, Friedrichstrasse twelve"),
        ("Blk. 3, 1st fl., Apt #5", "block three, first floor, apartment number five"),
        ("Your card no. is long, no. 5", "Your card number is long, number five"),
        ("1600 Oak Ave. NW", "sixteen hundred Oak Avenue Northwest"),
        ("Mt. Everest, Ft. Worth", "Mount Everest, Fort Worth"),
        ("Sgt. Smith met Gov. Jones", "Sergeant Smith met Governor Jones"),
        ("Hwy. 101, Ste. 200, Fl. 3", "Highway one hundred one, suite two hundred, floor three"),
    ],
)
def test_an_abbreviation_is_read_by_its_place(written: str, said: str) -> None:
    assert read(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("min. 5 or 5 min. away", "minimum five or five minutes away"),
        ("6 ft 2 in tall", "six feet two inches tall"),
        ("3 pcs. at $5 ea.", "three pieces at five dollars each"),
        ("est. 1990, temp. 20°C", "established nineteen ninety, temperature twenty degrees Celsius"),
        ("incl. VAT, a.k.a. tax", "including VAT, also known as tax"),
        ("service incl., tax excl.", "service included, tax excluded"),
        ("Reference no.: 5", "Reference number: five"),
        ("5 sq ft, 2 cu ft", "five square feet, two cubic feet"),
        ("There is no 5 in it", "There is no five in it"),
    ],
)
def test_an_abbreviation_is_read_by_its_number(written: str, said: str) -> None:
    assert read(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("King Louis XIV's, Henry V", "King Louis the fourteenth's, Henry the fifth"),
        ("Queen Elizabeth I ruled", "Queen Elizabeth the first ruled"),
        ("World War I and II, Act I", "World War one and II, Act one"),
        ("Super Bowl LVIII, Rocky III", "Super Bowl fifty-eight, Rocky three"),
        ("Final Fantasy VII, Apollo XIII", "Final Fantasy seven, Apollo thirteen"),
        ("the XIV century", "the fourteenth century"),
        ("Louis XVI–XVIII, Chapters IV-VI", "Louis the sixteenth to the eighteenth, Chapters four to six"),
        ("WWII", "World War two"),
        ("Scene iv, the 19th c. novel, mix i", "Scene four, the nineteenth century novel, mix i"),
        ("in MMXXVI", "in twenty twenty-six"),
        ("Am I in? Windows XP, Vitamin C", "Am I in? Windows XP, Vitamin C"),
        ("Malcolm X, CD, MIX, IV drip", "Malcolm X, CD, MIX, IV drip"),
    ],
)
def test_roman_numerals_stand_behind_names(written: str, said: str) -> None:
    assert read(written) == said


def test_the_value_of_a_roman_numeral() -> None:
    assert [roman_value(one) for one in ("XIV", "LVIII", "MCMXCIX")] == [14, 58, 1999]
