"""docs/scaling.md: the sums of the fleet, computed, from the figures that were measured."""

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from parley.shared import link

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "scaling.md").read_text()
DEVIATION = 0.1
"""Share by which a figure may differ from the one that was measured last: runs of `make bench` differ by as much."""
OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def table(name: str) -> list[list[str]]:
    """Return the rows between two marks of the page, without its head."""
    (block,) = re.findall(rf"<!-- {name}: begin -->\n(.*?)<!-- {name}: end -->", PAGE, re.DOTALL)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()[2:]]


def number(text: str) -> float:
    """Return the number with which a text begins; blanks stand between thousands."""
    return float(re.match(r"\d[\d ]*(?:\.\d+)?", text)[0].replace(" ", ""))  # type: ignore[index]


INPUTS = {name.strip("`"): float(value) for name, value, *_ in table("inputs")}


def computed(expression: str, names: Mapping[str, float]) -> float:
    """Return the value of a sum: numbers, names of the table, + * / and parentheses."""

    def value(node: ast.expr) -> float:
        match node:
            case ast.Constant(value=int() | float() as found):
                return float(found)
            case ast.Name(id=name):
                return names[name]
            case ast.BinOp(left=left, op=op, right=right):
                return OPERATORS[type(op)](value(left), value(right))
        raise ValueError(ast.dump(node))

    return value(ast.parse(expression, mode="eval").body)


@pytest.mark.parametrize(("part", "expression", "gives"), [row[:3] for row in table("sums")])
def test_each_sum_gives_what_the_table_says(part: str, expression: str, gives: str) -> None:
    told = re.match(r"\d[\d ]*(?:\.(\d+))?", gives)
    assert told, part
    # To the last digit that is told.
    assert abs(computed(expression.strip("`"), INPUTS) - number(gives)) <= 0.5 / 10 ** len(told[1] or "")


def test_each_figure_is_used() -> None:
    sums = " ".join(row[1] for row in table("sums"))
    assert [name for name in INPUTS if not re.search(rf"\b{name}\b", sums)] == []


def test_machines_are_as_many_as_the_cores_need() -> None:
    counted = 0
    for _, _, gives, takes in table("sums"):
        for machines in re.findall(r"(\d+) machines", takes):
            assert int(machines) == math.ceil(number(gives) / INPUTS["cores"])
            counted += 1
    assert counted == 3


def cells(page: str, row: str) -> list[str]:
    """Return what a page's table says in the row that begins so."""
    (line,) = re.findall(rf"^\| {re.escape(row)} \|(.*)\|$", (DOCS / page).read_text(), re.MULTILINE)
    return [cell.strip() for cell in line.split("|")]


def test_the_figures_are_those_that_were_measured() -> None:
    passages = cells("retrieval.md", "5 000")
    measured = {
        "chat_ms": number(cells("scaling.md", "CPU of a turn of 60 chunks")[0]),
        "words_ms": number(passages[3]),
        "meaning_ms": number(passages[4]),
        "busy": number(re.findall(r"^\| with (\d+)% of a core", PAGE, re.MULTILINE)[0]) / 100,
        "carried": number(re.findall(r"One Redis carries about ([\d ]+) questions", PAGE)[0]),
        "clients": link.CONNECTIONS,
    }
    told = {name: INPUTS[name] for name in measured}
    assert told == pytest.approx(measured, rel=DEVIATION)
