"""Counts over the product's source that tell how well it reads: `python tests/support/house.py [parley/wire]`.

Pure `ast` and `tokenize`; nothing of the product is imported.
"""

import ast
import functools
import io
import re
import sys
import tokenize
from collections import Counter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PRODUCT = sorted(
    [ROOT / "app.py", ROOT / "gunicorn.conf.py", *ROOT.glob("blueprints/**/*.py"), *ROOT.glob("parley/**/*.py")]
)
FORBIDDEN_OPENER = re.compile(r"(What|Whether|Who|Whom|Whose|Where|How|It|Its|They|The same|Same|As)\b")
"""Words with which no docstring begins: each begins with what it is, or does."""
LONG_FUNCTION = 20
"""Lines above which a function needs comments."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.Module | ast.ClassDef | Function


class Docstring(NamedTuple):
    """A docstring, and where it stands; `owner` is empty for a module's and for that of a constant."""

    file: Path
    line: int
    owner: str
    text: str


def path_of(file: Path) -> str:
    """Return a file's path below the repository's root."""
    return file.relative_to(ROOT).as_posix()


@functools.cache
def tree_of(file: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(file.read_text())


def docstrings(file: Path) -> list[Docstring]:
    """Return all docstrings of a file, those that stand below a constant or an attribute included."""
    found = []
    for node in ast.walk(tree_of(file)):
        body = getattr(node, "body", None)
        for number, statement in enumerate(body if isinstance(body, list) else []):
            value = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                owner = node.name if number == 0 and isinstance(node, ast.ClassDef | Function) else ""
                found.append(Docstring(file, statement.lineno, owner, value.value))
    return found


def functions(file: Path) -> list[Function]:
    """Return all functions and methods of a file."""
    return [node for node in ast.walk(tree_of(file)) if isinstance(node, Function)]


def comment_lines(file: Path) -> list[int]:
    """Return the numbers of the lines that bear a comment; those that speak to a tool alone don't count."""
    tokens = tokenize.generate_tokens(io.StringIO(file.read_text()).readline)
    return [
        token.start[0]
        for token in tokens
        if token.type == tokenize.COMMENT and not re.match(r"#\s*(type:|noqa|!)", token.string)
    ]


def lines_of(file: Path) -> int:
    """Return how many lines a file has."""
    return file.read_text().count("\n")


def private_helpers(file: Path) -> list[str]:
    """Return the names of a file's private functions and methods, special methods apart."""
    return [
        function.name
        for function in functions(file)
        if function.name.startswith("_") and not function.name.startswith("__")
    ]


def uses(name: str, file: Path) -> int:
    """Return how often a file mentions a name, its definition apart."""
    return sum(
        (isinstance(node, ast.Name) and node.id == name) or (isinstance(node, ast.Attribute) and node.attr == name)
        for node in ast.walk(tree_of(file))
    )


def loose_modules() -> list[str]:
    """Return the modules that stand in the package itself, not in one of its folders."""
    return sorted(file.name for file in (ROOT / "parley").glob("*.py") if file.name != "__init__.py")


def untested_modules() -> list[str]:
    """Return the modules of the product without a test file of their name at the mirrored place.

    Tables need none: modules that define no function.
    """
    untested = []
    for file in PRODUCT:
        path = Path(path_of(file))
        folder = Path(*path.parts[1:-1]) if path.parts[0] == "parley" else path.parent
        test = ROOT / "tests" / folder / f"test_{path.stem.replace('.', '_')}.py"
        is_table = not any(isinstance(node, ast.FunctionDef) for node in ast.walk(tree_of(file)))
        if path.name != "__init__.py" and not is_table and not test.exists():
            untested.append(str(path))
    return untested


def main() -> None:
    """Print the counts; with a folder as argument those of its files alone."""
    if len(sys.argv) > 1:
        PRODUCT[:] = [file for file in PRODUCT if path_of(file).startswith(sys.argv[1])]
    total = sum(map(lines_of, PRODUCT))
    told = [docstring for file in PRODUCT for docstring in docstrings(file)]
    bad = [docstring for docstring in told if FORBIDDEN_OPENER.match(docstring.text.strip())]
    comments = sum(len(comment_lines(file)) for file in PRODUCT)
    helpers = [(name, file) for file in PRODUCT for name in private_helpers(file)]
    once = sum(uses(name, file) <= 1 for name, file in helpers)
    longest = Counter(
        {
            f"{path_of(file)}:{one.name}": (one.end_lineno or 0) - one.lineno + 1
            for file in PRODUCT
            for one in functions(file)
        }
    )
    rows = {
        "files": f"{len(PRODUCT)}, {total} lines, longest {max(map(lines_of, PRODUCT))}",
        "docstrings with a forbidden opener": f"{len(bad)} of {len(told)} ({100 * len(bad) / len(told):.1f} %)",
        "comments in 100 lines": f"{100 * comments / total:.1f}",
        "private helpers in 1 000 lines": (
            f"{1000 * len(helpers) / total:.1f} (used once: {100 * once / len(helpers):.0f} %)"
        ),
        "loose modules in parley/": len(loose_modules()),
        "modules without a test file": f"{len(untested_modules())}: {', '.join(untested_modules())}",
        "longest functions": ", ".join(f"{name} {lines}" for name, lines in longest.most_common(3)),
    }
    for name, value in rows.items():
        print(f"{name:36}{value}")


if __name__ == "__main__":
    main()
