"""The tree of errors: the docstring's statuses hold, and an error is complete when it is raised."""

import re
from typing import Any

import pytest

from parley import errors
from parley.errors import InvalidRequest, ParleyError, UpstreamError, UpstreamRefused

DRAWN = re.findall(r"── (\w+) +(\d{3}|4xx)\b", errors.__doc__ or "")


def classes(base: type[ParleyError]) -> list[type[ParleyError]]:
    """Return a class and its subclasses, without those that other tests define."""
    ours = [below for below in base.__subclasses__() if below.__module__.startswith("parley.errors.")]
    return [base, *(inner for below in ours for inner in classes(below))]


def test_the_drawing_shows_each_class_with_its_status() -> None:
    drawn = {name: status for name, status in DRAWN if name != "UpstreamRefused"}

    assert drawn == {
        one.__name__: str(one.status) for one in classes(ParleyError) if one not in (ParleyError, UpstreamRefused)
    }


def test_no_class_says_that_a_refusal_may_be_spoken_over() -> None:
    assert not [one for one in classes(ParleyError) if one.is_refusal and one.speakable]


def cause_of(error: BaseException) -> tuple[Any, ...]:
    return error.__cause__, error.__context__, error.__suppress_context__, error.__traceback__


def raised(error: ParleyError) -> ParleyError:
    """Return the error after it was raised for a cause."""
    with pytest.raises(ParleyError) as caught:
        try:
            raise KeyError("a cause")
        except KeyError as cause:
            raise error from cause
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest("bad", param="model", headers={"retry-after": "2", "allow": "POST"}),
        UpstreamError("bad", upstream_code="theirs", headers={"retry-after": "2", "allow": "POST"}),
        UpstreamRefused(429, {"message": "slow down", "code": "c"}, headers={"retry-after": "2", "allow": "POST"}),
    ],
    ids=lambda error: type(error).__name__,
)
def test_with_headers_copies_all_else_and_changes_no_original(error: ParleyError) -> None:
    error = raised(error)

    copied = error.with_headers({"retry-after": "1", "x-relay-attempts": "3"})

    assert copied is not error and type(copied) is type(error)
    assert copied.headers == {"retry-after": "1", "allow": "POST", "x-relay-attempts": "3"}
    assert error.headers == {"retry-after": "2", "allow": "POST"}
    assert {**vars(copied), "headers": 0} == {**vars(error), "headers": 0}
    assert copied.args == error.args and cause_of(copied) == cause_of(error)


def test_a_copy_without_a_cause_hides_no_context() -> None:
    copied = ParleyError("bad").with_headers({})

    assert cause_of(copied) == (None, None, False, None)
