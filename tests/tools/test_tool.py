"""A tool's definition is an entry of a request's `tools`."""

from parley.tools.tool import Result, Tool


def test_a_definition_is_an_entry_of_tools() -> None:
    tool = Tool("order_status", "State of an order.", {"type": "object"}, "http", lambda *_: Result("{}"))

    assert tool.definition == {
        "type": "function",
        "function": {"name": "order_status", "description": "State of an order.", "parameters": {"type": "object"}},
    }
