"""The error for each status of an upstream, and the parts of its answer that a caller may see."""

import json
from typing import Any

import pytest

from parley.errors import ParleyError, UpstreamAuthFailed, UpstreamError, UpstreamRedirect, UpstreamRefused
from parley.telemetry.redaction import Redactor
from parley.upstream.status_errors import error_for_status

KEY = "sekret/Key+1"
BASE_URL = "https://llm.internal:8443/v1"
REDACTOR = Redactor([KEY, BASE_URL], hosts=["llm.internal"])


def error_of(
    status: int, body: bytes = b"", headers: dict[str, str] | None = None, *, own_key: bool = True
) -> ParleyError:
    return error_for_status(status, headers or {}, body, redactor=REDACTOR, own_key=own_key)


def refused(body: bytes, status: int = 400) -> dict[str, Any]:
    """Return the error object that a caller sees."""
    error = error_of(status, body)
    assert isinstance(error, UpstreamRefused)
    return error.body


@pytest.mark.parametrize("status", [400, 404, 413, 422, 429])
def test_a_refusal_of_the_request_is_passed_on(status: int) -> None:
    error = error_of(status, b'{"error":{"message":"no","type":"t","param":"p","code":"c"}}')

    assert isinstance(error, UpstreamRefused)
    assert error.status == status
    assert error.body == {"message": "no", "type": "t", "param": "p", "code": "c"}
    assert (error.retryable, error.speakable) == (status == 429, False)


@pytest.mark.parametrize(("status", "code"), [(400, "upstream_error"), (422, "upstream_error"), (429, "rate_limited")])
def test_a_refusal_has_a_code_of_ours(status: int, code: str) -> None:
    assert error_of(status, b'{"error":{"message":"no","code":"anything"}}').code == code


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_of_our_own_key_is_hidden_from_the_caller(status: int) -> None:
    error = error_of(status, b'{"error":{"message":"Incorrect API key provided: secret"}}', {"retry-after": "1"})

    assert isinstance(error, UpstreamAuthFailed)
    assert (error.status, error.code) == (502, "upstream_auth_failed")
    assert error.message == "the upstream refused the server's own key"


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_of_the_callers_own_key_is_passed_on(status: int) -> None:
    error = error_of(status, b'{"error":{"message":"bad key","code":"invalid_api_key"}}', own_key=False)

    assert isinstance(error, UpstreamRefused)
    assert error.status == status
    assert error.body == {"message": "bad key", "code": "invalid_api_key"}


@pytest.mark.parametrize("status", [300, 301, 302, 307, 308])
def test_a_redirect_is_not_followed_and_not_shown(status: int) -> None:
    error = error_of(status, b"secret", {"location": "https://secret.example"})

    assert isinstance(error, UpstreamRedirect)
    assert (error.status, error.code, error.headers) == (502, "upstream_redirect", {})
    assert "secret" not in error.message


@pytest.mark.parametrize(
    ("status", "told"),
    [(500, 502), (502, 502), (503, 503), (504, 502), (529, 502), (402, 502), (408, 502), (409, 502), (418, 502)],
)
def test_any_other_status_is_a_failure_of_the_upstream(status: int, told: int) -> None:
    error = error_of(status, b'{"error":{"message":"secret","code":"secret"}}')

    assert type(error) is UpstreamError
    may_retry = status not in (402, 418)
    assert (error.status, error.public_code, error.retryable) == (told, "upstream_error", may_retry)
    assert error.message == f"the upstream answered with status {status}"


def test_a_status_of_one_answer_is_not_the_status_of_the_next() -> None:
    error_of(503)

    assert error_of(500).status == UpstreamError("x").status == 502


@pytest.mark.parametrize("status", [400, 429, 500, 503])
def test_headers_that_say_when_to_come_back_are_passed_on(status: int) -> None:
    headers = {
        "Retry-After": "7",
        "retry-after-ms": "7000",
        "X-RateLimit-Remaining-Tokens": "0",
        "x-ratelimit-reset-requests": "1s",
    }

    assert error_of(status, b"", headers).headers == headers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("set-cookie", "a=b"),
        ("server", "x"),
        ("openai-organization", "x"),
        ("x-request-id", "x"),
        ("location", "x"),
        ("content-length", "9"),
        ("x-retry-after", "1"),
        ("retry-after-x", "1"),
        ("x-ratelimit-", "1"),
        ("x-ratelimit-a\r\nx", "1"),
        ("retry-after", ""),
        ("retry-after", "1\r\nx: y"),
        ("retry-after", "1\0"),
        ("retry-after", "é"),
        ("retry-after", "9" * 201),
    ],
)
def test_no_other_header_and_no_unsafe_value_is_passed_on(name: str, value: str) -> None:
    assert error_of(429, b"", {name: value}).headers == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"key {KEY} is bad", "key *** is bad"),
        (f"POST {BASE_URL}/chat/completions: no", "POST ***/chat/completions: no"),
        ("You gave sk-abcdef123456.", "You gave sk-***"),
        ("sk-proj-Ab_c*****xyz and gsk-0123456789", "sk-*** and gsk-***"),
        ("xai-abcdefg (pk-abcdefg)", "xai-*** (pk-***)"),
        ("a task-manager, sk-short", "a task-manager, sk-short"),
    ],
)
def test_keys_and_addresses_are_masked(text: str, told: str) -> None:
    body = json.dumps({"error": {"message": text, "code": text, "param": text, "type": text}}).encode()

    assert refused(body) == dict.fromkeys(["message", "code", "param", "type"], told)


def test_a_key_is_masked_before_a_long_text_is_cut() -> None:
    body = json.dumps({"error": {"message": "x" * 1995 + KEY}}).encode()

    assert refused(body)["message"] == "x" * 1995 + "***"
    assert len(refused(json.dumps({"error": {"message": "x" * 9000}}).encode())["message"]) == 2000


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"error":"no"}', {"message": "no"}),
        (b'{"message":"no","code":400}', {"message": "no", "code": "400"}),
        (b'{"object":"error","message":"no","type":"t","param":null}', {"message": "no", "type": "t"}),
        (b'{"error":{"message":"no","internal":"secret"},"trace":"secret"}', {"message": "no"}),
        (b'{"error":{"message":"no","param":["a"]}}', {"message": "no", "param": "['a']"}),
    ],
)
def test_error_objects_of_other_forms_are_read(body: bytes, told: dict[str, Any]) -> None:
    assert refused(body) == told


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>secret</html>",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"null",
        b"NaN",
        b"{}",
        b'{"error":null}',
        b'{"error":{"message":{"x":"secret"}}}',
        b'{"error":{"message":null}}',
        b"9" * 5000,
    ],
)
def test_a_body_without_a_message_is_replaced(body: bytes) -> None:
    assert refused(body, 422) == {"message": "the upstream refused the request with status 422"}
