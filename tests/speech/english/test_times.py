"""Times, dates, days, decades and verses."""

import pytest
from reading import read

pytestmark = pytest.mark.row("RB-03")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            "2026-11-22T14:05:30+01:00",
            "November twenty-second, twenty twenty-six, fourteen oh five and thirty seconds UTC plus one",
        ),
        ("by 1/31, on 15/3, on 15.03. we", "by January thirty-first, on March fifteenth, on March fifteenth we"),
        ("06/2027, in 2026/27", "June twenty twenty-seven, in twenty twenty-six twenty-seven"),
        ("Jan. to Mar., Sun: closed", "January to March, Sunday: closed"),
        ("a scale of 1:10, 1:50,000", "a scale of one to ten, one to fifty thousand"),
        ("from 1:10 to 2:10", "from one ten to two ten"),
        ("size 12s, Under-12s, two 5s", "size twelves, Under twelves, two fives"),
        ("14:05:30", "fourteen oh five and thirty seconds"),
        ("7.30pm", "seven thirty PM"),
        ("14h30", "fourteen thirty"),
        ("at 2026-11-22T14:05:00Z.", "at November twenty-second, twenty twenty-six, fourteen oh five."),
        ("due 12/1.", "due December first."),
        ("on 3/5", "on March fifth"),
        ("24/7", "twenty-four seven"),
        ("on 5.3.2024", "on March fifth, twenty twenty-four"),
        ("Jan. 5", "January fifth"),
        ("March 3-5", "March third to fifth"),
        ("5–7 May", "the fifth to the seventh of May"),
        ("on Sat. 10am, Tue.", "on Saturday ten AM, Tuesday"),
        ("10.30 a.m.", "ten thirty AM"),
        ("Mon, Wed and Fri, Tues/Thurs", "Monday, Wednesday and Friday, Tuesday and Thursday"),
        ("There he Sat", "There he Sat"),
    ],
)
def test_times_and_dates(written: str, said: str) -> None:
    assert read(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("in the '90s", "in the nineties"),
        ("the ’60s and 80s", "the sixties and eighties"),
        ("the '00s", "the two thousands"),
        ("1990's", "nineteen nineties"),
        ("the 1800s", "the eighteen hundreds"),
        ("mid-1990s", "mid nineteen nineties"),
        ("in '68, '05", "in sixty-eight, oh five"),
        ("under 12s", "under twelves"),
        ("after 5s", "after five seconds"),
        ("1s and 0s", "ones and zeros"),
        ("1960s-era", "nineteen sixties era"),
        ("two 747s", "two seven hundred forty-sevens"),
        ("'12'", "'twelve'"),
    ],
)
def test_decades_short_years_and_plurals(written: str, said: str) -> None:
    assert read(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Psalm 78:65-72", "Psalm seventy-eight, sixty-five to seventy-two"),
        ("John 3:16", "John three sixteen"),
        ("John 3:16-18", "John three, sixteen to eighteen"),
        ("Gen. 1:1–2:3", "Gen. one, one to two, three"),
        ("from 3:16-18", "from three sixteen to eighteen"),
        ("The ratio is 16:9.", "The ratio is sixteen to nine."),
        ("The odds are 5/1.", "The odds are five to one."),
        ("exp. 05/27", "expires May twenty twenty-seven"),
        ("It opens Mon, and they sat", "It opens Monday, and they sat"),
        ("open Tue, Dec 27", "open Tuesday, December twenty-seventh"),
        ("24 Dec 9–13", "the twenty-fourth of December nine to thirteen"),
        ("Dec 24 Jan 3-5", "December twenty-fourth January third to fifth"),
        (
            "1 Jan 2026–31 Dec 2027",
            "the first of January twenty twenty-six to the thirty-first of December twenty twenty-seven",
        ),
    ],
)
def test_verses_and_ratios(written: str, said: str) -> None:
    assert read(written) == said
