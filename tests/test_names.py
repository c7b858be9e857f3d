"""The names of tests: sentences of at most sixty characters."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
MOST_CHARACTERS = 60


@pytest.mark.slow
def test_no_name_is_longer_than_sixty_characters() -> None:
    long = [
        f"{file.relative_to(TESTS)}::{node.name}"
        for file in sorted(TESTS.rglob("test_*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and len(node.name) > MOST_CHARACTERS
    ]
    assert long == []
