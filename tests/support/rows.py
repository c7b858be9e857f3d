"""The rows of docs/reliability.md and the tests that hold them.

    python tests/support/rows.py              compare: exit with 1 where the page and the tests differ
    python tests/support/rows.py --write      put the tests' names into the page
    python tests/support/rows.py UP-02 SD-08  print the tests of these rows, as arguments for pytest
    python tests/support/rows.py --run RA-    run the tests of rows, by code or its beginning; print a table of verdicts

A test belongs to a row by its marker, `@pytest.mark.row("UP-02")`, on itself, on its class or as `pytestmark` of its
module, with several rows if it holds several; or by its name, `test_up_02_...` (`test_um_07_to_09_...` for three rows).
Rows and their titles are written in the page by hand. A row that a test names and the page lacks is an error.
"""

import argparse
import ast
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
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


def run(beginnings: list[str]) -> int:
    """Run the tests of the rows whose codes have one of these beginnings; print each row's verdict and inputs.

    Return 0 where every row has a test and all of them passed.
    """
    tests = collect()
    titles = {row: title for row, title, _ in ROW.findall(PAGE.read_text()) if row.startswith(tuple(beginnings))}
    files = {(name, file) for row in titles for name, file in tests.get(row, {}).items()}
    results = _results(sorted(f"{file.relative_to(ROOT)}::{name}" for name, file in files))
    right = True
    for row, title in titles.items():
        cases = [case for name in tests.get(row, ()) for case in results.get(name, [])]
        good = bool(cases) and all(verdict != "FAILED" for _, verdict in cases)
        right &= good
        print(f"{'ok    ' if good else 'FAILED'} {row}  {title}")
        for name, verdict in cases:
            print(f"    {verdict:7} {name.removeprefix('test_').replace('_', ' ')}")
    return int(not right)


def _results(tests: list[str]) -> dict[str, list[tuple[str, str]]]:
    """Return the cases of each test with their verdicts, by the test's name."""
    with tempfile.NamedTemporaryFile(suffix=".xml") as report:
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", f"--junit-xml={report.name}", *tests], cwd=ROOT, check=False
        )
        found: dict[str, list[tuple[str, str]]] = {}
        for case in ElementTree.parse(report.name).iter("testcase"):
            failed = case.find("failure") is not None or case.find("error") is not None
            verdict = "FAILED" if failed else "skipped" if case.find("skipped") is not None else "passed"
            found.setdefault(case.get("name", "").split("[")[0], []).append((case.get("name", ""), verdict))
    return found


def main() -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW")
    parser.add_argument("--run", action="store_true", help="run the tests of the rows named, or of those that begin so")
    parser.add_argument("--write", action="store_true", help="put the tests' names into the page")
    options = parser.parse_args()
    if options.run:
        return run(options.rows)
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
