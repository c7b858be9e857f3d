"""The options of a turn."""

import pytest

from parley.services import Services
from parley.settings import Settings
from parley.wire.turn_options import DEFAULTS, TurnOptions


def test_the_defaults_are_those_of_the_settings() -> None:
    assert Services(Settings()).options == DEFAULTS


@pytest.mark.parametrize(("platform", "takes"), [("", True), ("agora", True), ("vapi", False), ("volcengine", False)])
def test_metadata_is_for_platforms_that_take_it(platform: str, takes: bool) -> None:
    assert TurnOptions(platform=platform).takes_metadata is takes
