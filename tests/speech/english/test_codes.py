"""Phone numbers, codes, versions, addresses; and what no rule reads."""

import pytest
from reading import read

pytestmark = pytest.mark.row("RB-03")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("is 0800 330 7000.", "is zero eight zero zero, three three zero, seven zero zero zero."),
        ("The phone number is 555 0142.", "The phone number is five five five, zero one four two."),
        ("dial 112 or 116 117.", "dial one one two or one one six, one one seven."),
        ("Police 110; in the UK 999", "Police one one zero; in the UK nine nine nine"),
        ("Text HELP to 74141.", "Text HELP to seven four one four one."),
        ("Order #10457-B", "Order number one zero four five seven, B"),
        ("no. 7734-AX, 555-TAXI", "number seven seven three four, A X, five five five, TAXI"),
        ("Part # 8821-C", "Part number eight eight two one, C"),
        ("at x4410", "at extension four four one zero"),
        ("In Italy 113 people", "In Italy one hundred thirteen people"),
        ("in Italy 113", "in Italy one one three"),
        (
            "It cost 999 and I was sent to 1000 shops",
            "It cost nine hundred ninety-nine and I was sent to one thousand shops",
        ),
        ("It ended 3-1 (2-0 then)", "It ended three to one (two to zero then)"),
        ("(555) 014-2288", "five five five, zero one four, two two eight eight"),
        (
            "IBAN GB29 NWBK 6016 1331 9268 19",
            "IBAN GB two nine, N W B K, six zero one six, one three three one, nine two six eight, one nine",
        ),
        ("555-0142 x204", "five five five, zero one four two extension two zero four"),
        ("030/901820", "zero three zero, nine zero one eight two zero"),
        ("+49 (0)30 9018", "plus four nine, zero, three zero, nine zero one eight"),
        ("Ref #123456, ending in 4242", "Ref number one two three four five six, ending in four two four two"),
        ("10115 Berlin, SW1A 1AA", "one zero one one five Berlin, S W one A one A A"),
        ("555.123.4567", "five five five, one two three, four five six seven"),
        ("+44 20 7946 0958", "plus four four, two zero, seven nine four six, zero nine five eight"),
        ("in 2019 300 came", "in twenty nineteen three hundred came"),
        ("Washington, D.C. 20500.", "Washington, D.C. two zero five zero zero."),
        ("Your PIN is 4829.", "Your PIN is four eight two nine."),
        ("*67 and ##002#", "star six seven and pound pound zero zero two pound"),
    ],
)
def test_numbers_that_are_called(written: str, said: str) -> None:
    assert read(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("XK7-49QZ", "X K seven, four nine Q Z"),
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
