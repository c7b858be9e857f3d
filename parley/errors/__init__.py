"""Errors that a request can end with, as one tree of exceptions.

Each error carries its HTTP status, its `type` and `code` (closed lists, shared by callers, logs and metrics) and flags
that tell whether another attempt may help. An error is complete when it is raised: a differing status or header is an
argument of the constructor or a copy (`with_headers`), never a later assignment. The JSON form that a caller reads is
written in `parley/wire/chunks.py`.

    ParleyError
    ├── InvalidRequest              400   the caller's mistake; `param` names the field
    │   ├── NotFound                404
    │   │   └── UnknownAgent        404
    │   ├── MethodNotAllowed        405
    │   ├── RequestTimeout          408
    │   ├── RequestTooLarge         413
    │   └── UnsupportedEncoding     415
    ├── InvalidApiKey               401
    ├── ForbiddenOrigin             403   a web page that is not allowed to call
    ├── RateLimited                 429   this key has too many turns, or begins them too often
    ├── ServerOverloaded            503   all slots are taken: retry in a second
    ├── LimitsUnavailable           503   the store of the shared limits is away: retry in a second
    ├── ServerShuttingDown          503
    ├── NotConfigured               503   no upstream is set
    ├── WarmingUp                   503   the embedded model, or a knowledge base for an operator, is still loading
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

from parley.errors.base import (
    AnswerCapped,
    ClientGone,
    ParleyError,
)
from parley.errors.refusals import (
    ForbiddenOrigin,
    InternalError,
    InvalidApiKey,
    InvalidRequest,
    LanguageNotSpoken,
    LimitsUnavailable,
    MethodNotAllowed,
    NotConfigured,
    NotFound,
    RateLimited,
    RequestTimeout,
    RequestTooLarge,
    ServerOverloaded,
    ServerShuttingDown,
    UnknownAgent,
    UnsupportedEncoding,
    WarmingUp,
)
from parley.errors.upstream import (
    ErrorWords,
    Fault,
    UpstreamAuthFailed,
    UpstreamBadResponse,
    UpstreamDisconnected,
    UpstreamEmptyResponse,
    UpstreamError,
    UpstreamIncomplete,
    UpstreamRedirect,
    UpstreamRefused,
    UpstreamStalled,
    UpstreamTimeout,
    UpstreamTlsError,
    UpstreamUnreachable,
    UpstreamWordless,
)

__all__ = [
    "AnswerCapped",
    "ClientGone",
    "ErrorWords",
    "Fault",
    "ForbiddenOrigin",
    "InternalError",
    "InvalidApiKey",
    "InvalidRequest",
    "LanguageNotSpoken",
    "LimitsUnavailable",
    "MethodNotAllowed",
    "NotConfigured",
    "NotFound",
    "ParleyError",
    "RateLimited",
    "RequestTimeout",
    "RequestTooLarge",
    "ServerOverloaded",
    "ServerShuttingDown",
    "UnknownAgent",
    "UnsupportedEncoding",
    "UpstreamAuthFailed",
    "UpstreamBadResponse",
    "UpstreamDisconnected",
    "UpstreamEmptyResponse",
    "UpstreamError",
    "UpstreamIncomplete",
    "UpstreamRedirect",
    "UpstreamRefused",
    "UpstreamStalled",
    "UpstreamTimeout",
    "UpstreamTlsError",
    "UpstreamUnreachable",
    "UpstreamWordless",
    "WarmingUp",
]
