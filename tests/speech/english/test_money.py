"""Money: signs and codes before and behind, prices per something."""

import pytest
from reading import read

pytestmark = pytest.mark.row("RB-03")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("-$45.10", "minus forty-five dollars and ten cents"),
        ("−$5, -45.10 USD", "minus five dollars, minus forty-five dollars and ten cents"),
        ("$5/user/month, EUR 45/month", "five dollars per user per month, forty-five euros per month"),
        ("$20/$30, USD 50-100", "twenty dollars or thirty dollars, fifty to one hundred dollars"),
        ("$9.99/month", "nine dollars and ninety-nine cents per month"),
        ("5k USD/yr", "five thousand dollars per year"),
        ("EUR 45 or 45 EUR.", "forty-five euros or forty-five euros."),
        ("US$5, $.99", "five US dollars, ninety-nine cents"),
        ("£1.5bn", "one point five billion pounds"),
        ("$100+", "one hundred dollars plus"),
        ("50¢", "fifty cents"),
        ("€1.234,50", "one thousand two hundred thirty-four euros and fifty cents"),
        ("5,50 €", "five euros and fifty cents"),
        ("~$65, >€5 million", "about sixty-five dollars, more than five million euros"),
        ("USD1,500.00, $3MM", "one thousand five hundred dollars, three million dollars"),
        ("$5.- each", "five dollars each"),
        ("PHP 8.2, PHP 500", "PHP eight point two, five hundred pesos"),
        ("$9.5, $0.5/min", "nine dollars and fifty cents, fifty cents per minute"),
        ("£60 pp", "sixty pounds per person"),
        ("3.200 €, €3.200", "three thousand two hundred euros, three thousand two hundred euros"),
        ("CAD 2.3 million", "two point three million Canadian dollars"),
        (
            "CHF 1'250.50, 1'000 kg",
            "one thousand two hundred fifty Swiss francs and fifty centimes, one thousand kilograms",
        ),
        ("Rs. 500, CA$40", "five hundred rupees, forty Canadian dollars"),
        ("€750,- per month", "seven hundred fifty euros per month"),
        ("$15/mo. or less", "fifteen dollars per month or less"),
    ],
)
def test_money(written: str, said: str) -> None:
    assert read(written) == said
