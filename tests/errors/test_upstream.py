"""Errors of an upstream: where to ask next, its reason and its code."""

import pytest

from parley.errors import ErrorWords, UpstreamError, UpstreamRefused


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


def test_a_callers_code_is_the_upstreams_where_it_gave_one() -> None:
    assert UpstreamError("bad", upstream_code="model_overloaded").public_code == "model_overloaded"
    assert UpstreamError("bad").public_code == "upstream_error"
