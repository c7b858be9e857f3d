"""Errors of an upstream."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, Self

from parley.errors.base import ParleyError

Fault = Literal["key", "credit", "model"]
"""The operator's settings at an upstream that may be at fault: its key, its account's credit, the model's name."""


@dataclasses.dataclass(frozen=True)
class ErrorWords:
    """An upstream's error in its own words; None where it says nothing. `status` is the HTTP status that it names."""

    message: str | None = None
    type: str | None = None
    param: str | None = None
    code: str | None = None
    status: int | None = None


class UpstreamError(ParleyError):
    """The upstream answered with a server error, or sent one inside the stream.

    - `upstream_code`: the code that the upstream gave
    - `retryable`, `may_fail_over` decide for this error in place of its class, as do the last two
    - `words`: what the upstream said, as it came; neither shown nor logged before `status_errors.py` has cleaned it
    - `reason`: what it said, cleaned, for the log alone
    - `fault`: the setting of the operator's that is at fault, if one is
    - `opens_breaker` is true if it shows by itself that the upstream can answer nobody
    """

    status = 502
    code = "upstream_error"
    retryable = may_fail_over = True
    speakable = True
    opens_breaker = False
    fault: Fault | None = None

    def __init__(
        self,
        message: str,
        *,
        upstream_code: str | None = None,
        retryable: bool | None = None,
        may_fail_over: bool | None = None,
        words: ErrorWords | None = None,
        reason: str | None = None,
        fault: Fault | None = None,
        opens_breaker: bool | None = None,
        **others: Any,
    ) -> None:
        super().__init__(message, **others)
        self.upstream_code, self.words = upstream_code, words
        self.reason = reason or message
        own = {"retryable": retryable, "may_fail_over": may_fail_over, "opens_breaker": opens_breaker, "fault": fault}
        vars(self).update({name: value for name, value in own.items() if value is not None})

    def with_reason(self, reason: str | None, *, status: int | None = None) -> Self:
        """Return a copy with another reason for the log, and another status if one is given."""
        return self._copy(words=None, reason=reason or self.reason, status=status or self.status)

    @property
    def public_code(self) -> str:
        """The upstream's own code, or `code` if it gave none."""
        return self.upstream_code or self.code


class UpstreamUnreachable(UpstreamError):
    """The connection failed, or closed before an answer began."""

    code = "upstream_unreachable"
    most_attempts = 2


class UpstreamTimeout(UpstreamError):
    """The upstream gave no connection, or no content, within its time limit."""

    status = 504
    code = "upstream_timeout"


class UpstreamTlsError(UpstreamError):
    """The upstream's certificate or the TLS handshake is at fault."""

    code = "upstream_tls_error"
    retryable = may_fail_over = False


class UpstreamAuthFailed(UpstreamError):
    """The upstream refused the server's own key, which the operator must correct, not the caller."""

    code = "upstream_auth_failed"
    retryable = False
    opens_breaker = True
    fault = "key"


class UpstreamRedirect(UpstreamError):
    """The upstream redirects; the redirect is not followed, because the key would go to another server."""

    code = "upstream_redirect"
    retryable = may_fail_over = False


class UpstreamBadResponse(UpstreamError):
    """The upstream answered with something that is not a chat completion."""

    code = "upstream_bad_response"


class UpstreamEmptyResponse(UpstreamError):
    """The upstream answered with success but without content."""

    code = "upstream_empty_response"
    most_attempts = 2


class UpstreamWordless(UpstreamEmptyResponse):
    """The upstream's answer is whole, but holds no word, no sound and no tool call: thoughts at most."""


class UpstreamDisconnected(UpstreamError):
    """The connection broke inside the answer."""

    code = "upstream_disconnected"


class UpstreamIncomplete(UpstreamError):
    """The connection closed normally, but the answer has neither `[DONE]` nor a finish_reason."""

    code = "upstream_incomplete"


class UpstreamStalled(UpstreamError):
    """The upstream sent nothing for longer than `IDLE_TIMEOUT` inside an answer."""

    status = 504
    code = "upstream_stalled"


_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class UpstreamRefused(UpstreamError):
    """The upstream refused the caller's request with a 4xx status, which the caller sees with the error object.

    `body` is the upstream's `error` object, with keys and this server's addresses removed.
    """

    retryable = may_fail_over = False
    speakable = False

    def __init__(self, status: int, body: Mapping[str, Any], **others: Any) -> None:
        # Another upstream would refuse the same request, but has a rate limit and models of its own.
        decided = {"retryable": status == 429, "may_fail_over": status in (404, 429), **others}
        super().__init__(
            str(body.get("message") or "the upstream refused the request"),
            status=status,
            code="rate_limited" if status == 429 else "upstream_error",
            **decided,
        )
        self.body = dict(body)
        self.type = _TYPES.get(status, "invalid_request_error")
