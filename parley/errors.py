"""Errors that a request can end with, as one tree of exceptions.

Each error carries its HTTP status, its `type` and `code` (closed lists, shared by callers, logs and metrics) and flags
that tell whether another attempt may help. An error is complete when it is raised: a differing status or header is an
argument of the constructor or a copy (`with_headers`), never a later assignment. The JSON form that a caller reads is
written in `parley/wire/chunks.py`.

    ParleyError
    ├── InvalidRequest              400   the caller's mistake; `param` names the field
    │   ├── NotFound                404
    │   ├── MethodNotAllowed        405
    │   ├── RequestTimeout          408
    │   ├── RequestTooLarge         413
    │   └── UnsupportedEncoding     415
    ├── InvalidApiKey               401
    ├── ForbiddenOrigin             403   a web page that is not allowed to call
    ├── RateLimited                 429   this key has too many turns, or begins them too often
    ├── ServerOverloaded            503   all slots are taken: retry in a second
    ├── ServerShuttingDown          503
    ├── NotConfigured               503   no upstream is set
    ├── WarmingUp                   503   the embedded model is still loading
    ├── InternalError               500   a defect of this server
    ├── LanguageNotSpoken           501   the answer is in a language that the voice can't say
    └── UpstreamError               502   the upstream failed
        ├── UpstreamUnreachable     502   refused, unknown host, or reset before an answer
        ├── UpstreamTimeout         504   no connection or no content in time
        ├── UpstreamTlsError        502   never retried
        ├── UpstreamAuthFailed      502   the server's own key was refused
        ├── UpstreamRedirect        502   never followed
        ├── UpstreamBadResponse     502   not a chat completion (HTML, broken JSON, an event above its cap)
        ├── UpstreamEmptyResponse   502   a success without content
        │   └── UpstreamWordless    502   a whole answer of which a caller hears nothing
        ├── UpstreamDisconnected    502   the connection broke inside the answer
        ├── UpstreamIncomplete      502   the answer ended without `[DONE]` and without a finish_reason
        ├── UpstreamStalled         504   silence inside the answer
        └── UpstreamRefused         4xx   the upstream's own refusal of the caller's request, passed on

    AnswerCapped                    –     an answer reached its cap: an ending, not an error
    ClientGone                      –     the client has left: not an error, and no `Exception`
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, Self

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


class ParleyError(Exception):
    """A request that is not answered with success. `message` is shown to the caller and holds no secrets."""

    status = 500
    type = "server_error"
    code = "internal_error"
    retryable = False
    """True if another attempt at the same upstream may succeed."""
    may_fail_over = False
    """True if another upstream may succeed."""
    most_attempts = 3
    """Highest number of attempts at one upstream, the first included."""
    is_refusal = False
    """True if the server turned the request away, false if it failed to answer it."""
    speakable = False
    """True if `FALLBACK_TEXT` may be spoken instead: only where neither the caller nor the operator must act."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.headers = dict(headers or {})
        if status is not None:
            self.status = status
        if code is not None:
            self.code = code

    @property
    def public_code(self) -> str:
        """The code that the caller sees; logs and metrics use `code`, whose list is closed."""
        return self.code

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """Return a copy of the error whose HTTP answer also bears `headers`; they replace those of the same name."""
        return self._copy(headers={**self.headers, **headers})

    def said_of(self, subject: str, prefix: str) -> Self:
        """Return a copy that speaks of `subject`, whose settings begin with `prefix`, in place of the upstream."""
        told = {name: getattr(self, name) for name in ("message", "reason") if hasattr(self, name)}
        return self._copy(
            **{
                name: text.replace("the upstream", subject).replace("LLM_BASE_URL", f"{prefix}_BASE_URL")
                for name, text in told.items()
            }
        )

    def _copy(self, **changes: Any) -> Self:
        # Not copy.copy(): that calls the constructor with `args`, and subclasses need more than the message.
        copied = type(self).__new__(type(self), *self.args)
        copied.__dict__.update(self.__dict__, **changes)
        # Assigning the cause also sets `__suppress_context__`, which a plain `raise` leaves false.
        copied.__cause__, copied.__context__ = self.__cause__, self.__context__
        copied.__suppress_context__ = self.__suppress_context__
        return copied.with_traceback(self.__traceback__)


class InvalidRequest(ParleyError):
    """The request is malformed or asks for something impossible; `param` names the field at fault."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_value"
    is_refusal = True


class NotFound(InvalidRequest):
    """The route, or the knowledge base or recording that the request names, does not exist."""

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
    """The request carries no key, or one that is not in `API_KEYS`."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"
    is_refusal = True


class ForbiddenOrigin(ParleyError):
    """A web page of an origin that is not allowed made a browser send the request."""

    status = 403
    type = "permission_error"
    code = "forbidden_origin"
    is_refusal = True


class RateLimited(ParleyError):
    """The key has reached `MAX_STREAMS_PER_KEY` or `RATE_LIMIT`."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limited"
    is_refusal = True


class ServerOverloaded(ParleyError):
    """`MAX_STREAMS` turns are running in this worker."""

    status = 503
    code = "server_overloaded"
    is_refusal = True


class ServerShuttingDown(ParleyError):
    """The server is stopping, and the turn ran longer than `GRACEFUL_TIMEOUT` allows."""

    status = 503
    code = "server_shutting_down"
    speakable = True


class NotConfigured(ParleyError):
    """No upstream is configured; the message names the settings."""

    status = 503
    code = "not_configured"


class WarmingUp(ParleyError):
    """The embedded model is still loading."""

    status = 503
    code = "warming_up"


class InternalError(ParleyError):
    """A defect of this server; the log has the details under the request's id."""

    speakable = True


class LanguageNotSpoken(ParleyError):
    """The voice can't say a text because of its `language`, an ISO 639-1 code or the words "another script"."""

    status = 501
    code = "language_not_spoken"
    # The operator must act, but a caller who hears nothing would hang up.
    speakable = True

    def __init__(self, language: str, **others: Any) -> None:
        super().__init__("the embedded voice speaks English only; set TTS_BASE_URL", **others)
        self.language = language


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


class AnswerCapped(Exception):
    """An answer reached its cap of seconds or bytes; it ends normally, with finish_reason `length`."""


class ClientGone(BaseException):
    """The turn's client has left. Thrown into the turn's greenlet.

    Like `GeneratorExit` no `Exception`, so that no handler on the way mistakes it for a failure of its own.
    """
