"""What an upstream's status means for the caller.

The upstream's own verdict on the caller's request (400, 404, 413, 422, 429) is passed on, cleaned; everything
else is our failure to answer and says no more than that.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from parley.errors import (
    ParleyError,
    UpstreamAuthFailed,
    UpstreamError,
    UpstreamRedirect,
    UpstreamRefused,
)
from parley.telemetry.redaction import Redactor

PASSED_ON = frozenset({400, 404, 413, 422, 429})
PASSED_HEADERS = re.compile(r"retry-after(-ms)?|x-ratelimit-[a-z-]+")
_HEADER_SAFE = re.compile(r"[\x20-\x7e]{1,200}")


def error_for_status(
    status: int, headers: Mapping[str, str], body: bytes, *, redactor: Redactor, own_key: bool
) -> ParleyError:
    """The error that stands for an answer with a status other than 200.

    What is passed on goes through `redactor`; `own_key` says whether the refused key was ours.
    """
    if 300 <= status < 400:
        return UpstreamRedirect("the upstream redirects elsewhere; set LLM_BASE_URL to its final address")
    if status in (401, 403) and own_key:
        return UpstreamAuthFailed("the upstream refused the server's own key")
    passed = {name: redactor.redact(value) for name, value in headers.items() if _may_pass(name.lower(), value)}
    if status in PASSED_ON or status in (401, 403):
        return UpstreamRefused(status, _error_object(status, body, redactor), headers=passed)
    error = UpstreamError(f"the upstream answered with status {status}", headers=passed)
    error.retryable = error.may_fail_over = status >= 500 or status in (408, 409)
    if status == 503:
        error.status = 503
    return error


def _may_pass(name: str, value: str) -> bool:
    return bool(PASSED_HEADERS.fullmatch(name) and _HEADER_SAFE.fullmatch(value))


def _error_object(status: int, body: bytes, redactor: Redactor) -> dict[str, Any]:
    """The upstream's `error` object with secrets masked, or one of ours where it sent something else."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    found = answer.get("error", answer) if isinstance(answer, dict) else None
    if isinstance(found, str):
        found = {"message": found}
    if not isinstance(found, dict) or not isinstance(found.get("message"), str):
        found = {"message": f"the upstream refused the request with status {status}"}
    named = {name: found.get(name) for name in ("message", "type", "param", "code") if name in found}
    return {name: None if value is None else redactor.redact(str(value))[:2000] for name, value in named.items()}
