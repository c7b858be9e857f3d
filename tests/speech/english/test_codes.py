"""Phone numbers, codes, versions, addresses; and what no rule reads."""

import pytest
from reading import read

pytestmark = pytest.mark.row("RB-03")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("XK7-49QZ", "X K seven, four nine Q Z"),
        (
            "ID 00451-77B, no. L24-0098",
            "ID zero zero four five one, seven seven B, number L two four, zero zero nine eight",
        ),
        ("#A1B2C3, +43/1/2345", "number A one B two C three, plus four three, one, two three four five"),
        ("MX-204B, F-16", "M X, two zero four B, F sixteen"),
        ("COVID-19, A4, 5G", "COVID nineteen, A four, five G"),
        ("seat 14C, room 12B", "seat fourteen C, room twelve B"),
        ("UA123, 00123-A", "UA one two three, zero zero one two three, A"),
        ("call 911", "call nine one one"),
        ("HTTP/2, 1.0.0-beta.2, 401(k)", "HTTP two, one point zero point zero beta two, four oh one k"),
        ("version 2.0.1", "version two point zero point one"),
        ("v2.3", "version two point three"),
        ("1.2.3-rc1", "one point two point three rc one"),
        ("192.168.1.1", "one nine two dot one six eight dot one dot one"),
        ("127.0.0.1:80", "one two seven dot zero dot zero dot one port eight zero"),
        ("www.foo.org.", "foo dot org."),
        ("example.com/pricing", "example dot com slash pricing"),
        ("john_doe2@x-y.co", "john underscore doe two at x dash y dot co"),
        ("Node.js", "Node dot JS"),
        ("Louis XIV ruled", "Louis the fourteenth ruled"),
        ("Chapter IV, World War II", "Chapter four, World War two"),
        ("Vitamin C, I am", "Vitamin C, I am"),
        ("vol. 2, no. 3, p. 42.", "volume two, number three, page forty-two."),
        ("There are no 5 star hotels", "There are no five star hotels"),
        ("Ctrl+C, C++", "Control plus C, C plus plus"),
    ],
)
def test_codes_addresses_and_numerals(written: str, said: str) -> None:
    assert read(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("2+2=4", "two plus two equals four"),
        ("5-3=2", "five minus three equals two"),
        ("3*4", "three times four"),
        ("x² and 10^2", "x squared and ten to the power of two"),
        ("5 <= 7", "five less than or equal to seven"),
        ("§5", "section five"),
        ("١٢٣, \uff11\uff12\uff13, ①, ⁵", "one hundred twenty-three, one hundred twenty-three, one, five"),
        ("ab12cd", "ab twelve cd"),
        ("16,18,20", "sixteen, eighteen, twenty"),
    ],
)
def test_what_remains_is_read_by_its_characters(written: str, said: str) -> None:
    assert read(written) == said
