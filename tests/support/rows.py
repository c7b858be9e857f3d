"""The rows of docs/reliability.md and the tests that hold them.

    python tests/support/rows.py              compare: exit with 1 where the page and the tests differ
    python tests/support/rows.py --write      put the tests' names into the page
    python tests/support/rows.py UP-02 SD-08  print the tests of these rows, as arguments for pytest

A test belongs to a row by its marker, `@pytest.mark.row("UP-02")`, on itself, on its class or as `pytestmark` of its
module, with several rows if it holds several; or by its name, `test_up_02_...` (`test_um_07_to_09_...` for three rows).
Rows and their titles are written in the page by hand. A row that a test names and the page lacks is an error.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reliability.md"
ROW = re.compile(r"^\| ([A-Z]{2}-\d\d) \| (.*) \| (.+) \|$", re.MULTILINE)
LEGEND = re.compile(r"^\| ([A-Z]{2}) \| (.+) \|$", re.MULTILINE)
PREFIX = re.compile(r"test_([a-z]{2})_(\d\d)(?:_to_(\d\d))?_")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def collect(folder: Path = ROOT / "tests") -> dict[str, dict[str, Path]]:
    """Return the tests of each row: the file of each by its name."""
    found: dict[str, dict[str, Path]] = {}
    for file in sorted(folder.rglob("test_*.py")):
        for row, test in rows_of(ast.parse(file.read_text())):
            found.setdefault(row, {})[test] = file
    return found


def rows_of(module: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield each row that a test of the module holds, with the test's name."""
    of_all = [
        row
        for statement in module.body
        if isinstance(statement, ast.Assign) and "pytestmark" in map(ast.unparse, statement.targets)
        for row in _marked(_elements(statement.value))
    ]
    for node in module.body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        of_class = list(_marked(node.decorator_list)) if isinstance(node, ast.ClassDef) else []
        for test in inner:
            if isinstance(test, Function) and test.name.startswith("test_"):
                for row in {*of_all, *of_class, *_marked(test.decorator_list), *_named(test.name)}:
                    yield row, test.name


def _elements(value: ast.expr) -> list[ast.expr]:
    return value.elts if isinstance(value, ast.List | ast.Tuple) else [value]


def _marked(marks: Iterable[ast.expr]) -> Iterator[str]:
    for mark in marks:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.row":
            yield from (ast.literal_eval(argument) for argument in mark.args)


def _named(name: str) -> Iterator[str]:
    if found := PREFIX.match(name):
        letters, first, last = found.groups()
        yield from (f"{letters.upper()}-{number:02}" for number in range(int(first), int(last or first) + 1))


def rendered(page: str, tests: dict[str, dict[str, Path]]) -> str:
    """Return the page with each row's tests; a row without one keeps what it says about how it is held.

    Raises ValueError for a row that a test names and the page lacks.
    """
    titles = {row for row, _, _ in ROW.findall(page)}
    if unknown := tests.keys() - titles:
        raise ValueError(f"tests name rows that {PAGE.name} lacks: {', '.join(sorted(unknown))}")

    def row(found: re.Match[str]) -> str:
        id, title, held = found.groups()
        names = sorted(tests.get(id, ()))
        return f"| {id} | {title} | {'<br>'.join(f'`{name}`' for name in names) or held} |"

    return ROW.sub(row, page)


def prefixes(page: str) -> set[str]:
    """Return the prefixes of rows that the page's legend explains."""
    return {prefix for prefix, _ in LEGEND.findall(page)}


def main() -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW")
    parser.add_argument("--write", action="store_true", help="put the tests' names into the page")
    options = parser.parse_args()
    tests = collect()
    if options.rows:
        for row in options.rows:
            for name, file in tests.get(row, {}).items():
                print(f"{file.relative_to(ROOT)}::{name}")
        return 0 if all(row in tests for row in options.rows) else 1
    page = PAGE.read_text()
    made = rendered(page, tests)
    if options.write:
        PAGE.write_text(made)
        return 0
    if made != page:
        print(f"{PAGE.name} differs from the tests: run `make rows`", file=sys.stderr)
    return int(made != page)


if __name__ == "__main__":
    sys.exit(main())
