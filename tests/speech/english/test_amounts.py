"""Units, dimensions, fractions."""

import pytest
from reading import read

from parley.speech.english import amounts

pytestmark = pytest.mark.row("RB-03")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("2.4 GHz at 60 fps", "two point four gigahertz at sixty frames per second"),
        ("100 Mbit/s", "one hundred megabits per second"),
        ("7,5 % of 1,5 l, 2,25kg", "seven point five percent of one point five liters, two point two five kilograms"),
        ("at 1080p", "at ten eighty p"),
        ("18/20 on the test", "eighteen out of twenty on the test"),
        ("250 °C/480 °F", "two hundred fifty degrees Celsius or four hundred eighty degrees Fahrenheit"),
        ("6 L/100 km", "six liters per one hundred kilometers"),
        ("168 sq. ft. in all", "one hundred sixty-eight square feet in all"),
        ("6L/100km, a 1/2-inch pipe", "six liters per one hundred kilometers, a one half inch pipe"),
        ("37.5℃, 20 degrees F", "thirty-seven point five degrees Celsius, twenty degrees Fahrenheit"),
        ("W 60 x D 40", "W sixty by D forty"),
        ("2½ tsp, ½ tsp", "two and a half teaspoons, a half teaspoon"),
        ("50 Mb/s", "fifty megabits per second"),
        ("5'11\", then", "five foot eleven, then"),
        ("bake at 180C", "bake at one hundred eighty degrees Celsius"),
        ("148 × 210 mm", "one hundred forty-eight by two hundred ten millimeters"),
        ("2.3k users", "two point three thousand users"),
        ("≤3 kg, ±2 °C", "at most three kilograms, plus or minus two degrees Celsius"),
        ("a 512 GB SSD, the 12V battery", "a five hundred twelve gigabyte SSD, the twelve volt battery"),
        ('The TV is 55" and wide.', "The TV is fifty-five inches and wide."),
        ('He said "give me 55" and left.', 'He said "give me fifty-five" and left.'),
        ('It is "m.x" and "x < 3" is so', 'It is "m.x" and "x less than three" is so'),
        ('boxes are 47" x 24" x 30"', "boxes are forty-seven inch by twenty-four inch by thirty inches"),
        ("12' x 14'", "twelve feet by fourteen feet"),
        ("20x30 cm", "twenty by thirty centimeters"),
        ("20 x 30", "twenty by thirty"),
        ("5×3", "five times three"),
        ("5'10\" tall", "five foot ten tall"),
        ('a 12" screen', "a twelve inch screen"),
        ('said 12"', 'said twelve"'),
        ("25 m²", "twenty-five square meters"),
        ("a 10-km run", "a ten kilometer run"),
        ("3 million km", "three million kilometers"),
        ("10+", "ten plus"),
        (">5 kg", "more than five kilograms"),
        ("1.234,56", "one thousand two hundred thirty-four point five six"),
        ("1.000.000", "one million"),
    ],
)
def test_units_and_dimensions(written: str, said: str) -> None:
    assert read(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("½ cup", "a half cup"),
        ("1½", "one and a half"),
        ("1 1/2 cups", "one and a half cups"),
        ("2 3/4", "two and three quarters"),
        ("5/8 and 1/16", "five eighths and one sixteenth"),
        ("9/11", "nine eleven"),
        ("120/80", "one hundred twenty over eighty"),
    ],
)
def test_fractions(written: str, said: str) -> None:
    assert read(written) == said


def test_what_is_measured_per_something() -> None:
    assert amounts.unit("mg/dL") == ("milligram per deciliter", "milligrams per deciliter")
    assert amounts.unit("words") is None
