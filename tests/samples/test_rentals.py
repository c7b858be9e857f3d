"""The sample tools: opening hours as the sample knowledge has them, and reservations that are made once."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from parley.tools import python_tools
from parley.tools.tool import Call, Tool

FILE = Path(__file__).parents[2] / "samples" / "tools" / "rentals.py"


@pytest.fixture
def tools(tmp_path: Path) -> Mapping[str, Tool]:
    loaded, faults = python_tools.load(FILE)
    assert faults == []
    loaded[0].run.args[0].__globals__["RESERVATIONS"] = tmp_path / "made.jsonl"  # type: ignore[attr-defined]
    return {tool.name: tool for tool in loaded}


def reserve(tools: Mapping[str, Tool], key: str, **arguments: Any) -> Any:
    wanted = {"kind": "trailer", "date": "2026-12-05", "name": "Ada", **arguments}
    return json.loads(tools["reserve_rental"].run(wanted, dataclasses.replace(Call("", ""), idempotency_key=key)).text)


@pytest.mark.parametrize(
    ("date", "hours"),
    [("2026-12-04", "9 to 6"), ("2026-12-05", "10 to 4"), ("2026-12-06", "closed"), ("2026-12-24", "closed")],
)
def test_the_opening_hours_are_those_of_the_knowledge(tools: Mapping[str, Tool], date: str, hours: str) -> None:
    said = json.loads(tools["opening_hours_on"].run({"date": date}, Call("", "")).text)
    assert said["hours"] == hours
    assert hours == "closed" or hours in (FILE.parents[2] / "kb_data" / "house.json").read_text()


def test_a_repeated_turn_reserves_once_and_stock_ends(tools: Mapping[str, Tool]) -> None:
    made = {"number": "R1", "date": "2026-12-05", "price_usd": 18}
    assert [reserve(tools, "first"), reserve(tools, "first")] == [made, made]
    assert reserve(tools, "second") == {"error": "no trailer rental is left on 2026-12-05"}
    assert reserve(tools, "third", date="2026-12-07")["number"] == "R2"
    assert reserve(tools, "fourth", date="2026-12-25") == {"error": "the shop is closed on Friday, 2026-12-25"}
