"""Sample tools for the sample knowledge (`kb_data/`): opening hours of a day, and bicycles that can be reserved.

They need no network. Try them: `TOOLS_DIR=samples/tools flask tools list`. docs/tools.md shows more.
"""

import datetime
import json
import tempfile
from pathlib import Path
from typing import Literal

from parley.tools import Call, ToolError, tool

SERVICES = Path(__file__).parents[2] / "kb_data" / "services.json"
RESERVATIONS = Path(tempfile.gettempdir()) / "parley-sample-reservations.jsonl"
STOCK = {"city": 4, "electric": 2, "trailer": 1}


def hours(day: datetime.date) -> str:
    """Return the opening hours of a day; the days are those of kb_data/house.json."""
    closed = (day.month, day.day) in {(1, 1), (1, 2), (7, 4)} or (day.month == 12 and day.day >= 24)
    if closed or day.weekday() == 6:
        return "closed"
    return "10 to 4" if day.weekday() == 5 else "9 to 6"


@tool
def opening_hours_on(date: datetime.date) -> dict[str, str]:
    """Opening hours of the shop on a date, holidays included.

    date: ISO date such as 2026-12-01
    """
    return {"date": date.isoformat(), "weekday": f"{date:%A}", "hours": hours(date)}


@tool(waiting=["I am reserving it for you.", "One moment, I am writing that down."], cancel=False)
def reserve_rental(
    kind: Literal["city", "electric", "trailer"], date: datetime.date, name: str, *, call: Call
) -> dict[str, str | int]:
    """Reserve a rental for one day. Ask for the day and the name first, and repeat both before you reserve.

    kind: city bike, electric bike or child trailer
    date: ISO date such as 2026-12-01
    name: the caller's name
    """
    if hours(date) == "closed":
        raise ToolError(f"the shop is closed on {date:%A}, {date.isoformat()}")
    made = [json.loads(line) for line in RESERVATIONS.read_text().splitlines()] if RESERVATIONS.exists() else []
    # A platform that repeats a turn repeats the key: the reservation is there already.
    same = [one for one in made if one["key"] == call.idempotency_key]
    if not same:
        if sum(one["kind"] == kind and one["date"] == date.isoformat() for one in made) >= STOCK[kind]:
            raise ToolError(f"no {kind} rental is left on {date.isoformat()}")
        number = f"R{len(made) + 1}"
        same = [{"key": call.idempotency_key, "kind": kind, "date": date.isoformat(), "name": name, "number": number}]
        with RESERVATIONS.open("a") as file:
            file.write(json.dumps(same[0]) + "\n")
    prices = {one["id"]: one.get("price_usd") for one in json.loads(SERVICES.read_text())}
    return {"number": same[0]["number"], "date": date.isoformat(), "price_usd": prices[f"rental-{kind}"]}
