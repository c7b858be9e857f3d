"""Fields that an operator adds to a request."""

import pytest

from parley.wire.params import filled, forced


def test_what_a_request_says_stays() -> None:
    assert filled({"temperature": 1, "seed": None}, {"temperature": 0, "seed": 3, "top_p": 0.5}) == {
        "temperature": 1,
        "seed": None,
        "top_p": 0.5,
    }


def test_what_is_forced_wins() -> None:
    assert forced({"temperature": 1, "seed": 3}, {"temperature": 0}) == {"temperature": 0, "seed": 3}


@pytest.mark.parametrize(("given", "added"), [("max_tokens", "max_completion_tokens"), ("max_completion_tokens",) * 2])
def test_of_a_pair_one_is_sent(given: str, added: str) -> None:
    assert filled({given: 5}, {added: 7}) == {given: 5}
    assert forced({given: 5}, {added: 7}) == {added: 7}
