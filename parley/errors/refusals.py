"""Errors of the request, and of this server: nothing upstream has failed."""

from typing import Any, Self

from parley.errors.base import ParleyError


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


class UnknownAgent(NotFound):
    """The request names an agent that `AGENTS_DIR` does not have."""

    code = "unknown_agent"


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


class LimitsUnavailable(ParleyError):
    """The store of the shared limits is away, and the operator wants no turn without them."""

    status = 503
    code = "limits_unavailable"
    is_refusal = True

    @classmethod
    def in_a_second(cls) -> Self:
        """Return the error of a call that may be repeated in a second."""
        return cls("the limits of this server can't be checked now", headers={"retry-after": "1"})


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
    """The embedded model is still loading, or a knowledge base for an operator's page."""

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
