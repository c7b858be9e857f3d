"""Keys, star codes, slashes and comparisons."""

import pytest
from reading import read


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Ctrl+C, Ctrl-Alt-Del", "Control plus C, Control plus Alt plus Delete"),
        ("Cmd+Shift+4, Alt+F4, ⌘C", "Command plus Shift plus four, Alt plus F four, Command C"),
        ("*67 and ##002#", "star six seven and pound pound zero zero two pound"),
        ("then Esc; press Del", "then Escape; press Delete"),
        ("⌘+K, S/M/L", "Command plus K, S M L"),
        ("blood type O+ or AB-", "blood type O plus or AB minus"),
        ("Press * or #", "Press star or pound"),
        ("3 * 4 = 12", "three times four equals twelve"),
        ("and/or, w/o, either/or", "and or, without, either or"),
        ("yes/no, TCP/IP, Mon/Wed/Fri", "yes or no, TCP IP, Monday, Wednesday and Friday"),
        ("$9.99 / month, 6 / 2 = 3", "nine dollars and ninety-nine cents per month, six divided by two equals three"),
        ("x <= 5, a != b, >=18", "x less than or equal to five, a is not equal to b, at least eighteen"),
        ("A -> B, if a<=b", "A to B, if a less than or equal to b"),
        ("7 days/week, M-F", "seven days per week, Monday to Friday"),
        ("7 days/wk, yes/no", "seven days per week, yes or no"),
    ],
)
def test_signs_are_read(written: str, said: str) -> None:
    assert read(written) == said
