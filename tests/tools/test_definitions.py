"""Schemas of definitions: which parameters they list, and which variables of templates they don't have."""

from typing import Any

import pytest

from parley.tools.definitions import listed_parameters, undeclared
from parley.tools.templates import Variable

USED = [Variable("args", "a"), Variable("args", "b"), Variable("request", "c")]
OPEN: list[dict[str, Any]] = [
    {},
    {"properties": {"a": {}}, "additionalProperties": True},
    {"$ref": "#/x"},
    {"anyOf": []},
]


@pytest.mark.parametrize(
    "schema", [{"properties": {"a": {}}}, {"properties": {"a": {}}, "additionalProperties": False}]
)
def test_a_closed_schema_has_only_what_it_lists(schema: dict[str, Any]) -> None:
    assert listed_parameters(schema) == {"a"} and undeclared(USED, schema) == ["b"]


@pytest.mark.parametrize("schema", OPEN, ids=str)
def test_an_open_schema_may_have_anything(schema: dict[str, Any]) -> None:
    assert listed_parameters(schema) is None and undeclared(USED, schema) == []
