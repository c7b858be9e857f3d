"""The tables of English are complete in themselves."""

from parley.speech.english import tables


def test_units_have_regular_and_irregular_plurals() -> None:
    assert tables.UNITS["km/h"] == ("kilometer per hour", "kilometers per hour")
    assert tables.UNITS["ft"] == ("foot", "feet") and tables.UNITS["lb"] == tables.UNITS["lbs"]


def test_every_code_names_a_currency() -> None:
    assert {*tables.CODES.values()} <= {*tables.CURRENCIES}
