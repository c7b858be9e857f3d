"""What is read from several words together, and numbers that are called."""

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
        ("112", "one one two"),
        ("Invoice #2024-118", "Invoice number two zero two four, one one eight"),
        ("+33 (0)1 55 55 01", "plus three three, zero, one, five five, five five, zero one"),
        ("plate B-MW 1234, case 14-1021", "plate B-MW one two three four, case one four, one zero two one"),
        ("+44 20 7946 0958", "plus four four, two zero, seven nine four six, zero nine five eight"),
        ("in 2019 300 came", "in twenty nineteen three hundred came"),
        ("Washington, D.C. 20500.", "Washington, D.C. two zero five zero zero."),
        ("Your PIN is 4829.", "Your PIN is four eight two nine."),
        ("*67 and ##002#", "star six seven and pound pound zero zero two pound"),
    ],
)
def test_numbers_that_are_called(written: str, said: str) -> None:
    assert read(written) == said
