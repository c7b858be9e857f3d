"""Ranges of every kind are read with "to"; what only looks like a range is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading import read

pytestmark = pytest.mark.row("RB-03")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("2019-2021", "twenty nineteen to twenty twenty-one"),
        ("1914–18", "nineteen fourteen to eighteen"),
        ("the 2023-24 season", "the twenty twenty-three to twenty-four season"),
        ("1990s-2000s", "nineteen nineties to two thousands"),
        ("'60s-'70s", "sixties to seventies"),
        ("100-200 people", "one hundred to two hundred people"),
        ("500-1000 people", "five hundred to one thousand people"),
        ("1,000-2,000", "one thousand to two thousand"),
        ("1500-2000 kg", "one thousand five hundred to two thousand kilograms"),
        ("0-3", "zero to three"),
        ("won 3-2", "won three to two"),
        ("a 50-50 chance", "a fifty fifty chance"),
        ("-5--1 or -10–-5", "minus five to minus one or minus ten to minus five"),
        ("1.5-2.5", "one point five to two point five"),
        ("pp. 12-15", "pages twelve to fifteen"),
        ("between 1990-1995", "between nineteen ninety and nineteen ninety-five"),
        ("a 5-10-minute walk", "a five to ten minute walk"),
        ("Q1-Q3", "Q one to Q three"),
        ("1/2-3/4 cup", "one half to three quarters cup"),
        ("1st-3rd, 5th–7th", "first to third, fifth to seventh"),
        ("Q3 2023-Q1 2024", "Q three twenty twenty-three to Q one twenty twenty-four"),
        ("the '08-'09 season", "the oh eight to oh nine season"),
        ("FY2023-24 and FY24", "fiscal year twenty twenty-three to twenty-four and fiscal year twenty-four"),
        ("1-1/2 hours", "one and a half hours"),
        ("1/2-1 inch", "one half to one inch"),
        ("½-¾ cup, 1–1½ hours", "a half to three quarters cup, one to one and a half hours"),
        ("10-20k users", "ten to twenty thousand users"),
        ("5M–10M views", "five to ten million views"),
        ("~50-60 people", "about fifty to sixty people"),
        ("K-12 and pre-K–8", "K to twelve and pre-K to eight"),
        ("A1-B2 level", "A one to B two level"),
        ("seats 12A-14C", "seats twelve A to fourteen C"),
        ("v1.2-v1.4", "version one point two to version one point four"),
        ("§§12–14", "sections twelve to fourteen"),
        ("""5'10"-6'2" tall""", "five foot ten to six foot two tall"),
        ("10-12in wide", "ten to twelve inches wide"),
        ("−3 to −1", "minus three to minus one"),
        ("10^-3", "ten to the power of minus three"),
        ("under-5s", "under fives"),
    ],
)
def test_numbers_and_years(written: str, said: str) -> None:
    assert read(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("$100-$200", "one hundred to two hundred dollars"),
        ("$50–100", "fifty to one hundred dollars"),
        ("5-10€", "five to ten euros"),
        ("$9.99-$19.99", "nine dollars and ninety-nine cents to nineteen dollars and ninety-nine cents"),
        ("$1.5M-$2M", "one point five million to two million dollars"),
        ("$1.5-2 million", "one point five to two million dollars"),
        ("$10-$15/hour", "ten to fifteen dollars per hour"),
        ("$5-£10", "five dollars to ten pounds"),
        ("5-10%", "five to ten percent"),
        ("5%-10%", "five to ten percent"),
        ("10-15kg", "ten to fifteen kilograms"),
        ("5-10 °C", "five to ten degrees Celsius"),
        ("a $5-an-hour job", "a five dollars an hour job"),
        ("a $50-million deal", "a fifty million dollar deal"),
        ("$5-per-hour", "five dollars per hour"),
        ("800g-1kg", "eight hundred grams to one kilogram"),
        ("100-200 km/h", "one hundred to two hundred kilometers per hour"),
    ],
)
def test_money_and_units(written: str, said: str) -> None:
    assert read(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("10am-2pm", "ten AM to two PM"),
        ("9:30-10:15am", "nine thirty to ten fifteen AM"),
        ("9-5pm", "nine to five PM"),
        ("6 am-9 pm", "six AM to nine PM"),
        ("8am–noon", "eight AM to noon"),
        ("June 30-July 4", "June thirtieth to July fourth"),
        ("10-2 p.m.", "ten to two PM"),
        ("10:00-2:00", "ten o'clock to two o'clock"),
        ("Mon-Fri 9-5", "Monday to Friday nine to five"),
        ("Mon - Fri", "Monday to Friday"),
        ("open 8-8", "open eight to eight"),
        (
            "M–Th 8-5, T/Th, M/W/F",
            "Monday to Thursday eight to five, Tuesday and Thursday, Monday, Wednesday and Friday",
        ),
        ("2025–Jan 3", "twenty twenty-five to January third"),
        ("outside 20-25C", "outside twenty to twenty-five degrees Celsius"),
        ("Mo–Fr 9-5, Sa 10:00", "Monday to Friday nine to five, Saturday ten o'clock"),
        ("24-7 service", "twenty-four seven service"),
        ("Saturday–Sunday", "Saturday to Sunday"),
        ("Jan-Mar", "January to March"),
        ("12/1-12/5", "December first to December fifth"),
        ("10 am – 2 pm", "ten AM to two PM"),
        ("5 - 10 people", "five to ten people"),
        ("A-Z", "A to Z"),
    ],
)
def test_times_and_names(written: str, said: str) -> None:
    assert read(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("555-1234", "five five five, one two three four"),
        ("call 867-5309", "call eight six seven, five three zero nine"),
        ("1234-5678", "one two three four, five six seven eight"),
        ("part number 123-456", "part number one two three, four five six"),
        ("123-45-6789", "one two three, four five, six seven eight nine"),
        ("5 - 3 = 2", "five minus three equals two"),
        ("wait - what", "wait - what"),
        ("co-op", "co-op"),
        ("a 9-year-old", "a nine year old"),
    ],
)
def test_what_is_no_range(written: str, said: str) -> None:
    assert read(written) == said


@given(st.integers(1, 99), st.integers(1, 99), st.sampled_from("-–—"), st.sampled_from(["", "%", "kg", "€"]))
def test_two_short_numbers_are_always_a_range(first: int, second: int, dash: str, unit: str) -> None:
    reading = read(f"{first}{dash}{second}{unit}")

    assert (" to " in reading) != (first == second and not unit)
