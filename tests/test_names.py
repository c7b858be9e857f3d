"""The names of tests: sentences of at most sixty characters."""

import ast
from pathlib import Path

TESTS = Path(__file__).parent
MOST_CHARACTERS = 60
STILL_LONG = ("blueprints/cli/", "knowledge/", "speech/", "telemetry/", "server/test_hostile_clients.py")
"""Where names are still longer: an entry goes with its last long name."""


def test_no_name_is_longer_than_sixty_characters() -> None:
    long = [
        f"{path}::{node.name}"
        for file in sorted(TESTS.rglob("test_*.py"))
        if not (path := file.relative_to(TESTS).as_posix()).startswith(STILL_LONG)
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and len(node.name) > MOST_CHARACTERS
    ]
    assert long == []
