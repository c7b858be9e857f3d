"""The values of a request that templates may use."""

import json

from parley.wire.request import Origin, parse
from parley.wire.request_variables import private_values, template_variables

MESSAGES = [{"role": "user", "content": "Hi"}]


def test_scalars_of_the_body_win_over_the_query() -> None:
    body = {"messages": MESSAGES, "model": "m", "plan": "b", "n": 2, "on": True, "deep": {}, "long": "x" * 5000}
    chat = parse(json.dumps(body).encode(), Origin("r", v1=False, query={"plan": "a", "city": "Bonn"}))
    assert private_values(chat) == {"plan": "b", "city": "Bonn", "on": True}


def test_variables_of_another_type_count_as_none() -> None:
    for given, read in (({"a": [1]}, {"a": [1]}), ("text", {}), (None, {})):
        body = json.dumps({"messages": MESSAGES, "template_variables": given}).encode()
        assert template_variables(parse(body, Origin("r", v1=False))) == read
