"""Who may give metadata for the first chunk: a request that does so, and the tools where there are any."""

from typing import Any

import pytest
from scripted_upstream import ScriptedUpstream, context, last, offering, services, tool

from parley.answers.opening import with_metadata
from parley.turn import Batches

WISH = {"interruptable": False}


def opened(fields: dict[str, Any], *, tools: bool) -> dict[str, Any] | None:
    """Return the metadata of an answer; None where the envelope takes none."""
    asked = context(**fields)
    seen: list[Any] = []

    def answer(turn: Any, within: Any) -> Batches:
        # At this point already: an answer may take the request at once.
        seen.append(turn.envelope.first_chunk)
        yield last()

    within = offering(ScriptedUpstream(), tool("look")) if tools else services(ScriptedUpstream())
    list(with_metadata(answer)(asked, within))
    return None if seen[0] is None else dict(seen[0].take())


@pytest.mark.parametrize("fields", [{}, {"first_chunk": None}, {"first_chunk": {}}], ids=["none", "null", "empty"])
def test_a_request_that_gives_none_has_room_for_tools_alone(fields: dict[str, Any]) -> None:
    assert opened(fields, tools=False) is None
    assert opened(fields, tools=True) == {}


@pytest.mark.parametrize("tools", [True, False])
def test_a_request_gives_its_own(tools: bool) -> None:
    metadata = opened({"first_chunk": WISH}, tools=tools)

    assert metadata is not None and metadata.keys() == WISH.keys()
