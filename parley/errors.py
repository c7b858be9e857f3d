"""Everything that can go wrong with a request, as one tree of exceptions.

Each error carries its HTTP status, its `type` and `code` (the closed list that callers, logs and metrics share) and
whether another attempt may help. How it is written for a caller is `parley/wire/chunks.py`'s to say.

    ParleyError
    ├── InvalidRequest              400   the caller's mistake; `param` names the field
    │   ├── NotFound                404
    │   ├── MethodNotAllowed        405
    │   ├── RequestTimeout          408
    │   ├── RequestTooLarge         413
    │   └── UnsupportedEncoding     415
    ├── InvalidApiKey               401
    ├── ForbiddenOrigin             403   a browser's page that may not ask
    ├── RateLimited                 429   too many, or too often, for this key
    ├── ServerOverloaded            503   full: come back in a second
    ├── ServerShuttingDown          503
    ├── NotConfigured               503   no upstream is set
    ├── WarmingUp                   503   the embedded model is still loading
    ├── InternalError               500   a fault of ours
    └── UpstreamError               502   the model behind us failed
        ├── UpstreamUnreachable     502   refused, unknown host, reset before an answer
        ├── UpstreamTimeout         504   nothing to hear in time
        ├── UpstreamTlsError        502   never retried
        ├── UpstreamAuthFailed      502   our own key was refused
        ├── UpstreamRedirect        502   never followed
        ├── UpstreamBadResponse     502   not what was asked for (HTML, broken JSON, an event over the cap)
        ├── UpstreamEmptyResponse   502   a success without a word
        ├── UpstreamDisconnected    502   the connection broke inside the answer
        ├── UpstreamIncomplete      502   the answer ended without an ending
        ├── UpstreamStalled         504   silence inside the answer
        └── UpstreamRefused         4xx   the upstream's own verdict on the caller's request, passed on
    AnswerCapped                          –     an answer grew to its cap: an ending, not an error
    ClientGone                      –     nobody listens any more; not an error, so not an `Exception`
"""

from collections.abc import Mapping
from typing import Any


class ParleyError(Exception):
    """An answer other than success. `message` is for the caller: short, true, free of secrets."""

    status = 500
    type = "server_error"
    code = "internal_error"
    retryable = False
    """Whether the same upstream may do better in a moment."""
    may_fail_over = False
    """Whether another upstream may do better."""
    most_attempts = 3
    """How many attempts at the same upstream make sense."""
    is_refusal = False
    """Whether the server turned the request away, rather than failed to answer it."""
    speakable = False
    """Whether `FALLBACK_TEXT` may be spoken in its place: only where neither caller nor operator must act."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.headers = dict(headers or {})
        if code is not None:
            self.code = code

    @property
    def public_code(self) -> str:
        """The code that the caller sees; logs and metrics keep to `code`, whose list is closed."""
        return self.code


class InvalidRequest(ParleyError):
    """The request can't be served as it is; `param` names the field at fault."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_value"
    is_refusal = True


class NotFound(InvalidRequest):
    """No such route."""

    status = 404
    code = "not_found"


class MethodNotAllowed(InvalidRequest):
    """The route exists, but not for this method."""

    status = 405
    code = "method_not_allowed"


class RequestTimeout(InvalidRequest):
    """The body did not arrive in time."""

    status = 408
    code = "request_timeout"


class RequestTooLarge(InvalidRequest):
    """The body is larger than `MAX_BODY`."""

    status = 413
    code = "request_too_large"


class UnsupportedEncoding(InvalidRequest):
    """The body is compressed."""

    status = 415
    code = "unsupported_encoding"


class InvalidApiKey(ParleyError):
    """No key, or not one of ours."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"
    is_refusal = True


class ForbiddenOrigin(ParleyError):
    """A page of another origin had a browser send a request that nobody asked its leave for."""

    status = 403
    type = "permission_error"
    code = "forbidden_origin"
    is_refusal = True


class RateLimited(ParleyError):
    """The key's limit of conversations at a time, or in a stretch of time."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limited"
    is_refusal = True


class ServerOverloaded(ParleyError):
    """`MAX_STREAMS` turns are running."""

    status = 503
    code = "server_overloaded"
    is_refusal = True


class ServerShuttingDown(ParleyError):
    """The server drains and the turn outlived the grace."""

    status = 503
    code = "server_shutting_down"
    speakable = True


class NotConfigured(ParleyError):
    """There is no upstream to ask; the message says what to set."""

    status = 503
    code = "not_configured"


class WarmingUp(ParleyError):
    """The embedded model is still loading."""

    status = 503
    code = "warming_up"


class InternalError(ParleyError):
    """A fault of ours; the details are in the log, under the request's id."""

    speakable = True


class UpstreamError(ParleyError):
    """The upstream answered with a server error, or sent one inside the stream."""

    status = 502
    code = "upstream_error"
    retryable = may_fail_over = True
    speakable = True

    def __init__(self, message: str, *, upstream_code: str | None = None, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.upstream_code = upstream_code

    @property
    def public_code(self) -> str:
        """The upstream's own code where it gave one."""
        return self.upstream_code or self.code


class UpstreamUnreachable(UpstreamError):
    """No connection, or it closed before an answer began."""

    code = "upstream_unreachable"
    most_attempts = 2


class UpstreamTimeout(UpstreamError):
    """No connection, or no content, within its budget."""

    status = 504
    code = "upstream_timeout"


class UpstreamTlsError(UpstreamError):
    """The upstream's certificate or TLS handshake is at fault."""

    code = "upstream_tls_error"
    retryable = may_fail_over = False


class UpstreamAuthFailed(UpstreamError):
    """The upstream refused our own key: the operator's business, not the caller's."""

    code = "upstream_auth_failed"
    retryable = False


class UpstreamRedirect(UpstreamError):
    """The upstream pointed elsewhere; a key is never carried there."""

    code = "upstream_redirect"
    retryable = may_fail_over = False


class UpstreamBadResponse(UpstreamError):
    """The upstream answered with something that is not a chat completion."""

    code = "upstream_bad_response"


class UpstreamEmptyResponse(UpstreamError):
    """The upstream answered with success and nothing in it."""

    code = "upstream_empty_response"
    most_attempts = 2


class UpstreamDisconnected(UpstreamError):
    """The connection broke inside the answer."""

    code = "upstream_disconnected"


class UpstreamIncomplete(UpstreamError):
    """The answer ended in good order, but without `[DONE]` and without a finish_reason."""

    code = "upstream_incomplete"


class UpstreamStalled(UpstreamError):
    """Silence inside the answer for longer than `IDLE_TIMEOUT`."""

    status = 504
    code = "upstream_stalled"


_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class UpstreamRefused(UpstreamError):
    """The upstream's own 4xx: its status and its error object are the caller's to see.

    `body` is the upstream's `error` object, cleaned of keys and of our addresses.
    """

    retryable = False
    speakable = False

    def __init__(self, status: int, body: Mapping[str, Any], *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(body.get("message") or "the upstream refused the request"), headers=headers)
        self.status = status
        self.retryable = self.may_fail_over = status == 429
        self.body = dict(body)
        self.type = _TYPES.get(status, "invalid_request_error")
        self.code = "rate_limited" if status == 429 else "upstream_error"


class AnswerCapped(Exception):
    """An answer reached its cap of seconds or bytes: it ends in good order, with finish_reason `length`."""


class ClientGone(BaseException):
    """Thrown into a turn whose client has left.

    Not an `Exception`, like `GeneratorExit`: no handler on the way may take it for a failure of its own.
    """
