"""The error for an upstream's HTTP status.

A refusal of the caller's own request (400, 404, 413, 422, 429) is passed on, with secrets masked. Every other status is
a failure of the upstream, and the caller learns no more than that.
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
"""Statuses whose error object the caller sees."""
PASSED_HEADERS = re.compile(r"retry-after(-ms)?|x-ratelimit-[a-z-]+")
"""Headers of an error that the caller sees: they say when to come back."""
MAX_TEXT_CHARACTERS = 2000
"""Limit of each text of an error object that is passed on."""
# A header is written as it came, so it must hold no line break.
_SAFE_VALUE = re.compile(r"[\x20-\x7e]{1,200}")


def error_for_status(
    status: int, headers: Mapping[str, str], body: bytes, *, redactor: Redactor, own_key: bool
) -> ParleyError:
    """Return the error for a response whose status is no success.

    `redactor` masks secrets in all that is passed on. `own_key` is true if the request bore the server's own key.
    """
    if 300 <= status < 400:
        return UpstreamRedirect("the upstream redirects elsewhere; set LLM_BASE_URL to its final address")
    if status in (401, 403) and own_key:
        return UpstreamAuthFailed("the upstream refused the server's own key")
    passed = {
        name: redactor.redact(value)
        for name, value in headers.items()
        if PASSED_HEADERS.fullmatch(name.lower()) and _SAFE_VALUE.fullmatch(value)
    }
    # With the caller's own key, 401 and 403 are for the caller to mend.
    if status in PASSED_ON or status in (401, 403):
        return UpstreamRefused(status, _error_object(status, body, redactor), headers=passed)
    return UpstreamError(
        f"the upstream answered with status {status}",
        # 503 tells the caller to come back, with the upstream's Retry-After; anything else is a bad gateway (502).
        status=503 if status == 503 else None,
        headers=passed,
        # 408 and 409 (a lock) pass; any other 4xx comes again for the same request.
        retryable=status >= 500 or status in (408, 409),
    )


def _error_object(status: int, body: bytes, redactor: Redactor) -> dict[str, Any]:
    """Return the upstream's `error` object with secrets masked, or one that names the status if there is none."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    # OpenAI: {"error": {...}}; Ollama: {"error": "text"}; vLLM: {"object": "error", "message": ...}.
    error = answer.get("error", answer) if isinstance(answer, dict) else None
    if isinstance(error, str):
        error = {"message": error}
    if not isinstance(error, dict) or not isinstance(error.get("message"), str):
        error = {"message": f"the upstream refused the request with status {status}"}
    fields = {name: error[name] for name in ("message", "type", "param", "code") if name in error}
    # Mask before the cut, which might leave half of a key.
    return {
        name: None if value is None else redactor.redact(str(value))[:MAX_TEXT_CHARACTERS]
        for name, value in fields.items()
    }
