"""The error for each status of an upstream, and the parts of its answer that a caller may see."""

import json
from typing import Any

import pytest

from parley.errors import ParleyError, UpstreamAuthFailed, UpstreamError, UpstreamRedirect, UpstreamRefused
from parley.telemetry.redaction import Redactor
from parley.upstream.status_errors import error_for_report, error_for_status
from parley.wire.error_forms import read_error

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


@pytest.mark.row("RE-07")
@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([], "'input': {'content': 'My card is 4711 0815 it is'} is bad"),
        (["My card is 4711 0815 it is"], "'input': {'content': '***'} is bad"),
        (["hello", "Well. My card is 4711 0815 it is red"], "'input': {'content': 'My card is *** *** it is'} is bad"),
        (["so card is 4711 0815 it is'} is good"], "'input': {'content': 'My *** bad"),
        (["is", "bad"], "'input': {'content': 'My card is 4711 0815 it is'} is bad"),
    ],
    ids=["nothing", "the whole", "numbers", "a run", "short words"],
)
def test_a_reason_quotes_no_caller(said: list[str], reason: str) -> None:
    body = json.dumps({"message": "'input': {'content': 'My card is 4711 0815 it is'} is bad"}).encode()
    error = error_for_status(400, {}, body, redactor=REDACTOR, own_key=True, said=said)
    assert isinstance(error, UpstreamRefused)
    assert error.reason == reason and "4711" in error.message


@pytest.mark.row("RE-07")
@pytest.mark.parametrize(
    "message", ["x" * 500, "word " * 300, "a\nb\tc\x00d\x1b[31m\u2028e", f"{KEY} at {BASE_URL}", "é" * 250]
)
def test_a_reason_is_one_short_line_without_secrets(message: str) -> None:
    error = error_of(500, json.dumps({"error": {"message": message}}).encode())
    assert isinstance(error, UpstreamError) and error.reason
    assert len(error.reason) <= 200 and error.reason.isprintable()
    assert KEY not in error.reason and "llm.internal" not in error.reason


@pytest.mark.row("RA-03")
@pytest.mark.parametrize(
    ("status", "again", "elsewhere"),
    [
        (400, False, False),
        (401, False, True),
        (402, False, True),
        (403, False, True),
        (404, False, True),
        (408, True, True),
        (409, True, True),
        (410, False, True),
        (413, False, False),
        (418, False, False),
        (422, False, False),
        (429, True, True),
        (500, True, True),
        (503, True, True),
        (529, True, True),
        (301, False, False),
    ],
)
def test_each_status_answers_both_questions(status: int, again: bool, elsewhere: bool) -> None:
    error = error_of(status)
    assert (error.retryable, error.may_fail_over) == (again, elsewhere)


@pytest.mark.row("RA-03")
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404])
def test_a_fault_of_the_callers_own_key_stays_here(status: int) -> None:
    error = error_of(status, b'{"error":{"message":"Insufficient balance, model not found"}}', own_key=False)
    assert isinstance(error, UpstreamRefused) and error.status == status
    assert (error.retryable, error.may_fail_over, error.fault) == (False, False, None)


@pytest.mark.row("RF-08")
@pytest.mark.parametrize(
    ("status", "message", "opens"),
    [
        (401, "Incorrect API key", True),
        (403, "Forbidden", True),
        (403, "Your input was flagged", False),
        (400, "Incorrect API key provided", False),
    ],
)
def test_only_a_proven_refusal_of_our_key_opens_a_breaker(status: int, message: str, opens: bool) -> None:
    error = error_of(status, json.dumps({"error": {"message": message}}).encode())
    assert isinstance(error, UpstreamAuthFailed) and error.opens_breaker == opens


@pytest.mark.row("RF-08")
def test_one_request_above_a_rate_limit_is_not_repeated() -> None:
    body = b'{"error":{"message":"Request too large for m on tokens per min (TPM): Limit 30000, Requested 45000"}}'
    error = error_of(429, body, {"retry-after": "60"})
    assert (error.status, error.retryable, error.may_fail_over) == (429, False, True)


IN_STREAM = [
    ({"code": 400}, 400, UpstreamRefused),
    ({"type": "invalid_request_error"}, 400, UpstreamRefused),
    ({"code": "rate_limit_exceeded"}, 429, UpstreamRefused),
    ({"code": 401}, 502, UpstreamAuthFailed),
    ({"code": 402}, 502, UpstreamError),
    ({"code": 503}, 503, UpstreamError),
    ({"code": "oom"}, 502, UpstreamError),
    ({}, 502, UpstreamError),
]


@pytest.mark.row("RA-02")
@pytest.mark.parametrize(("fields", "status", "kind"), IN_STREAM)
def test_an_error_inside_an_answer_counts_by_its_status(
    fields: dict[str, Any], status: int, kind: type[UpstreamError]
) -> None:
    words = read_error(json.dumps({"error": {"message": f"no, {KEY}", **fields}}).encode())
    reported = UpstreamError("reported", words=words)
    error = error_for_report(reported, REDACTOR, own_key=True, begun=False)
    assert (type(error), error.status, error.reason) == (kind, status, "no, ***")
    behind = error_for_report(reported, REDACTOR, own_key=True, begun=True)
    assert (type(behind), behind.status, behind.message, behind.reason) == (UpstreamError, 502, "reported", "no, ***")
