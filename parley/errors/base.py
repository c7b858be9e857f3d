"""The root of the tree, and the endings that are no errors."""

from collections.abc import Mapping
from typing import Any, Self


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


class AnswerCapped(Exception):
    """An answer reached its cap of seconds or bytes; it ends normally, with finish_reason `length`."""


class ClientGone(BaseException):
    """The turn's client has left. Thrown into the turn's greenlet.

    Like `GeneratorExit` no `Exception`, so that no handler on the way mistakes it for a failure of its own.
    """
