"""The tree of errors: the docstring's statuses hold, and an error is complete when it is raised."""

import re
from typing import Any

import pytest

from parley import errors
from parley.errors import ErrorWords, InvalidRequest, ParleyError, UpstreamError, UpstreamRefused

DRAWN = re.findall(r"── (\w+) +(\d{3}|4xx)\b", errors.__doc__ or "")


def classes(base: type[ParleyError]) -> list[type[ParleyError]]:
    """Return a class and its subclasses, without those that other tests define."""
    ours = [below for below in base.__subclasses__() if below.__module__ == "parley.errors"]
    return [base, *(inner for below in ours for inner in classes(below))]


def test_the_drawing_shows_each_class_with_its_status() -> None:
    drawn = {name: status for name, status in DRAWN if name != "UpstreamRefused"}

    assert drawn == {
        one.__name__: str(one.status) for one in classes(ParleyError) if one not in (ParleyError, UpstreamRefused)
    }


def test_no_class_says_that_a_refusal_may_be_spoken_over() -> None:
    assert not [one for one in classes(ParleyError) if one.is_refusal and one.speakable]


def test_a_status_and_a_code_are_arguments() -> None:
    error = InvalidRequest("I am a teapot", status=418, code="teapot", param="cup")

    assert (error.status, error.code, error.param, str(error)) == (418, "teapot", "cup", "I am a teapot")
    assert (InvalidRequest.status, InvalidRequest.code) == (400, "invalid_value")


@pytest.mark.parametrize("elsewhere", [True, False])
@pytest.mark.parametrize("again", [True, False])
def test_again_and_elsewhere_are_two_arguments(again: bool, elsewhere: bool) -> None:
    error = UpstreamError("status 503", status=503, retryable=again, may_fail_over=elsewhere)

    assert (error.status, error.retryable, error.may_fail_over) == (503, again, elsewhere)


@pytest.mark.parametrize(
    ("status", "again", "elsewhere"), [(400, False, False), (404, False, True), (422, False, False), (429, True, True)]
)
def test_a_refusal_knows_where_to_ask_next(status: int, again: bool, elsewhere: bool) -> None:
    error = UpstreamRefused(status, {"message": "no"})

    assert (error.status, error.retryable, error.may_fail_over) == (status, again, elsewhere)


def test_the_reason_of_an_upstream_error_is_its_message_at_first() -> None:
    error = UpstreamError("it failed", words=ErrorWords("secret"))

    assert (error.reason, error.with_reason("theirs").reason, error.with_reason(None).reason) == (
        "it failed",
        "theirs",
        "it failed",
    )
    assert error.with_reason("theirs", status=503).status == 503 and error.with_reason("theirs").words is None


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


def test_a_callers_code_is_the_upstreams_where_it_gave_one() -> None:
    assert UpstreamError("bad", upstream_code="model_overloaded").public_code == "model_overloaded"
    assert UpstreamError("bad").public_code == "upstream_error"
