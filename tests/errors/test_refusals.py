"""Errors of a request: status, code and field are arguments."""

from parley.errors import InvalidRequest


def test_a_status_and_a_code_are_arguments() -> None:
    error = InvalidRequest("I am a teapot", status=418, code="teapot", param="cup")

    assert (error.status, error.code, error.param, str(error)) == (418, "teapot", "cup", "I am a teapot")
    assert (InvalidRequest.status, InvalidRequest.code) == (400, "invalid_value")
