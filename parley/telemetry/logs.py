"""How log lines are written: their form, without secrets, and no complaint too often.

What is logged is decided where it happens; here a line loses what must not leave the process and becomes text.
gunicorn's own lines and those of libraries take the same way. Nothing here knows requests.
"""

import functools
import logging
import re
import sys
import time
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, TextIO, cast

import msgspec
import structlog

from parley.telemetry.log_output import LogOutput
from parley.telemetry.redaction import Redactor

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
SELDOM_SECONDS = 60.0
MOST_COMPLAINTS = 1000
MOST_REMEMBERED = 1024
_MALFORMED = re.compile(r"Invalid request from ip=\S+: [A-Za-z -]*")

log = structlog.get_logger("parley")
_output = LogOutput(sys.stdout)
_errors = LogOutput(sys.stderr)
Fields = MutableMapping[str, Any]


def is_text(form: str | None) -> bool:
    """Whether a person reads along: asked for, or standard output is a terminal."""
    return form == "text" or (form is None and sys.stdout.isatty())


def configure(level: str, form: str | None, secrets: Iterable[str] = ()) -> None:
    """Write log lines to standard output, as text or as one JSON object a line, without these secrets."""
    redactor = Redactor(secrets)

    @functools.lru_cache(MOST_REMEMBERED)  # most fields of most lines were in the line before
    def clean(value: str) -> str:
        return _printable(redactor.redact(value))

    def cleaned(_logger: Any, _method: str, fields: Fields) -> Fields:
        # Before the line is made of them: what is cut out of a finished line could break its form.
        for name, value in fields.items():
            if isinstance(value, str):
                is_long = name == "exception" or len(value) > 128
                fields[name] = (
                    _printable(redactor.redact(value), keep_lines=name == "exception") if is_long else clean(value)
                )
        return fields

    as_text = structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), sort_keys=False)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _Seldom().held_back,
            structlog.processors.format_exc_info,
            cleaned,
            structlog.processors.TimeStamper(fmt="iso"),
            as_text if is_text(form) else _as_json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: structlog.WriteLogger(cast(TextIO, _output)),
        cache_logger_on_first_use=True,  # a third of a log line's cost
    )
    vars(log).pop("bind", None)  # what was cached under an earlier configuration
    _errors.clean = redactor.redact
    _take_over_other_loggers(None if is_text(form) else lambda fields: _as_json(None, "", cleaned(None, "", fields)))


def write_aside() -> None:
    """From now on lines are written by a thread: a reader who stalls delays no stream.

    To be called in a worker. Standard error, too: gunicorn complains there, and gevent of whatever nobody caught.
    """
    for output in (_output, _errors):
        output.start()
        for handler in _other_handlers():
            if isinstance(handler, logging.StreamHandler) and handler.stream is output.stream:
                handler.setStream(cast(TextIO, output))
    sys.stderr = cast(TextIO, _errors)


class _Seldom:
    """Lets a warning through once a minute, and then tells how often it was repeated; errors are always let through."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}
        self._repeated: dict[str, int] = {}

    def held_back(self, _logger: Any, method: str, fields: Fields) -> Fields:
        """A step of structlog's: raises DropEvent for a warning that was given within the minute."""
        if method == "warning":
            complaint = " ".join(str(fields.get(name, "")) for name in ("event", "fault", "reason"))
            repeated = self._count(complaint)
            if repeated is None:
                raise structlog.DropEvent
            if repeated:
                fields["repeated"] = repeated
        return fields

    def filter(self, record: logging.LogRecord) -> bool:
        """The same for a record of the standard library's; its words up to the first value tell what it is about."""
        if record.levelno != logging.WARNING:
            return True
        repeated = self._count(re.split("[=:]", record.getMessage(), maxsplit=1)[0])
        if repeated:
            record.msg, record.args = f"{record.getMessage()} (and {repeated} times before)", None
        return repeated is not None

    def _count(self, complaint: str) -> int | None:
        """How often it was held back since it was last let through; None where it is to be held back now."""
        now = self._clock()
        if now - self._last.get(complaint, -SELDOM_SECONDS) < SELDOM_SECONDS:
            self._repeated[complaint] = self._repeated.get(complaint, 0) + 1
            return None
        if len(self._last) >= MOST_COMPLAINTS:
            self._last.clear()
            self._repeated.clear()
        self._last[complaint] = now
        return self._repeated.pop(complaint, 0)


class _Formatter(logging.Formatter):
    """Makes one of our lines of a record: a JSON object, or what another formatter has made of it, cleaned."""

    def __init__(self, inner: logging.Formatter | None, as_json: Callable[[Fields], str] | None) -> None:
        super().__init__()
        self.inner = inner or logging.Formatter()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        if self._as_json is None:
            return _printable(_errors.clean(self.inner.format(record)), keep_lines=bool(record.exc_info))
        fields = {"event": record.getMessage(), "logger": record.name, "level": record.levelname.lower()}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        structlog.processors.TimeStamper(fmt="iso")(None, "", fields)
        return self._as_json(fields)


def _take_over_other_loggers(as_json: Callable[[Fields], str] | None) -> None:
    """gunicorn's lines and those of libraries are written as ours are; where a file was named for them, there."""
    if not logging.getLogger().handlers:
        logging.getLogger().addHandler(logging.StreamHandler(_errors.stream))
    for handler in _other_handlers():
        inner = handler.formatter
        handler.setFormatter(_Formatter(inner.inner if isinstance(inner, _Formatter) else inner, as_json))
    complaints = logging.getLogger("gunicorn.error")
    complaints.filters = [_is_no_send_timeout, _without_what_came, _Seldom()]


def _other_handlers() -> list[logging.Handler]:
    names = (None, "gunicorn.error", "gunicorn.access")
    return [handler for name in names for handler in logging.getLogger(name).handlers]


def _without_what_came(record: logging.LogRecord) -> bool:
    """gunicorn quotes what it could not read as a request, which may be a badly framed body with a caller's words."""
    if found := _MALFORMED.match(record.getMessage()):
        record.msg, record.args = found[0], None
    return True


def _is_no_send_timeout(record: logging.LogRecord) -> bool:
    """gunicorn writes a traceback where a client stopped reading; the request's own line tells of it."""
    return not (record.exc_info and isinstance(record.exc_info[1], TimeoutError))


def _as_json(_logger: Any, _method: str, fields: Fields) -> str:
    return msgspec.json.encode(fields, enc_hook=repr).decode()


def _printable(text: str, *, keep_lines: bool = False) -> str:
    """Nothing may bring a line break or a control character into the text form; tracebacks keep their lines."""
    if text.isprintable():
        return text
    return "".join(
        mark if mark.isprintable() or (keep_lines and mark == "\n") else f"\\u{ord(mark):04x}" for mark in text
    )
