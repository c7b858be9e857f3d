"""The form of log lines: text or JSON, without secrets and control characters, repeated warnings held back.

Each module decides what it logs; here a line loses what must not leave the process and becomes text. The lines of
gunicorn and of libraries go the same way. Nothing here knows about requests; the writing is in `log_output.py`.

    log.warning(...)        --> RepeatLimit --> clean --> ConsoleRenderer or JSON --> LogOutput(stdout)
    logging.getLogger(...)  --> RepeatLimit --> LibraryFormatter: clean, JSON     --> LogOutput(stderr)
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
REPEAT_SECONDS = 60.0
"""Seconds for which a warning is held back after it was written."""
MAX_REMEMBERED_WARNINGS = 1000
"""Different warnings that are remembered; one more, and all are forgotten."""
MAX_CACHED_VALUES = 1024
"""Cleaned field values that are kept: most fields of most lines were in the line before."""
MAX_CACHED_CHARACTERS = 128
"""Length above which a field's value is not kept."""
_MALFORMED = re.compile(r"Invalid request from ip=\S+: [A-Za-z -]*")

log = structlog.get_logger("parley")
_output = LogOutput(sys.stdout)
_errors = LogOutput(sys.stderr)
Fields = MutableMapping[str, Any]
_configured: tuple[str, str | None, tuple[str, ...]] = ("info", None, ())
"""The arguments of the latest `configure`."""


def is_text(form: str | None) -> bool:
    """Return whether lines are text for a person: by LOG_FORMAT or, if it is unset, because stdout is a terminal."""
    return form == "text" or (form is None and _output.stream.isatty())


def configure(level: str, form: str | None, secrets: Iterable[str] = ()) -> None:
    """Write log lines of at least this level to standard output, as text or as JSON, without these secrets."""
    global _configured
    _configured = (level, form, tuple(secrets))
    redactor = Redactor(_configured[2])
    clean = FieldCleaner(redactor)
    as_text = structlog.dev.ConsoleRenderer(colors=_output.stream.isatty(), sort_keys=False)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            # Early, so that a warning that is held back costs no formatting.
            RepeatLimit().drop_repeated,
            structlog.processors.format_exc_info,
            clean,
            structlog.processors.TimeStamper(fmt="iso"),
            as_text if is_text(form) else to_json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: structlog.WriteLogger(cast(TextIO, _output)),
        cache_logger_on_first_use=True,  # perf: saves a third of a log line's cost
    )
    # Drop the logger that structlog cached under an earlier configuration.
    vars(log).pop("bind", None)
    _errors.clean = redactor.redact
    take_over_library_loggers(None if is_text(form) else clean)


def hide(secrets: Iterable[str]) -> None:
    """Leave further secrets out of the lines, which stay as they are otherwise."""
    level, form, known = _configured
    if further := set(secrets).difference(known):
        configure(level, form, [*known, *further])


def take_over_library_loggers(clean: "FieldCleaner | None") -> None:
    """Format the lines of gunicorn and of libraries as this module's own: as JSON with `clean`, or as text."""
    # Without a handler logging falls back to one of its own, which would write warnings without redaction.
    if not logging.getLogger().handlers:
        logging.getLogger().addHandler(logging.StreamHandler(_errors.stream))
    # Each handler keeps its stream: if gunicorn was told to log to a file, its lines go there.
    for handler in library_handlers():
        inner = handler.formatter
        handler.setFormatter(LibraryFormatter(inner.inner if isinstance(inner, LibraryFormatter) else inner, clean))
    logging.getLogger("gunicorn.error").filters = [prepare_gunicorn_record, RepeatLimit()]


def write_in_thread() -> None:
    """Write lines through threads from now on, so that a reader who stalls delays no stream. Call this in a worker.

    Standard error is included: gunicorn logs there, and gevent prints exceptions that nobody caught.
    """
    for output in (_output, _errors):
        output.start()
        for handler in library_handlers():
            if isinstance(handler, logging.StreamHandler) and handler.stream is output.stream:
                # Not by setStream, which flushes the old one: that fails where its reader has gone.
                handler.stream = cast(TextIO, output)
    sys.stderr = cast(TextIO, _errors)


def announce(text: str) -> None:
    """Write lines for a person to standard output, where that is possible."""
    _output.write(text)


class FieldCleaner:
    """A step of structlog's that takes secrets and control characters out of a line's fields.

    It runs before the line is made of them: a cut in a finished line could break its JSON.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._cached = functools.lru_cache(MAX_CACHED_VALUES)(self._clean)

    def __call__(self, _logger: Any, _method: str, fields: Fields) -> Fields:
        """Clean the fields in place, and return them; the text of an exception keeps its lines."""
        for name, value in fields.items():
            if not isinstance(value, str):
                continue
            if name == "exception" or len(value) > MAX_CACHED_CHARACTERS:
                fields[name] = self._clean(value, keep_lines=name == "exception")
            else:
                fields[name] = self._cached(value)
        return fields

    def _clean(self, value: str, *, keep_lines: bool = False) -> str:
        return printable(self._redactor.redact(value), keep_lines=keep_lines)


class RepeatLimit:
    """Passes a warning once in REPEAT_SECONDS, with the number of its repeats, and every line of another level.

    `clock` returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}
        self._repeated: dict[str, int] = {}

    def drop_repeated(self, _logger: Any, method: str, fields: Fields) -> Fields:
        """Process a line of structlog's. Raises DropEvent for a repeated warning."""
        if method == "warning":
            repeated = self._count(" ".join(str(fields.get(name, "")) for name in ("event", "fault", "reason")))
            if repeated is None:
                raise structlog.DropEvent
            if repeated:
                fields["repeated"] = repeated
        return fields

    def filter(self, record: logging.LogRecord) -> bool:
        """Filter a record of the standard library's. Its text up to the first value identifies the warning."""
        if record.levelno != logging.WARNING:
            return True
        repeated = self._count(re.split("[=:]", record.getMessage(), maxsplit=1)[0])
        if repeated:
            record.msg, record.args = f"{record.getMessage()} (and {repeated} times before)", None
        return repeated is not None

    def _count(self, warning: str) -> int | None:
        """Return how often a warning was held back since it last passed, or None if it is held back now."""
        now = self._clock()
        # Not 0 for a warning that is new: the monotonic clock may have begun with the machine, seconds ago.
        if now - self._last.get(warning, -REPEAT_SECONDS) < REPEAT_SECONDS:
            self._repeated[warning] = self._repeated.get(warning, 0) + 1
            return None
        if len(self._last) >= MAX_REMEMBERED_WARNINGS:
            self._last.clear()
            self._repeated.clear()
        self._last[warning] = now
        return self._repeated.pop(warning, 0)


class LibraryFormatter(logging.Formatter):
    """Formats a record of gunicorn's or of a library's: as JSON with `clean`, else with `inner`, cleaned as a whole."""

    def __init__(self, inner: logging.Formatter | None, clean: FieldCleaner | None) -> None:
        super().__init__()
        self.inner = inner or logging.Formatter()
        self._clean = clean

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line; the text of an exception keeps its lines."""
        if self._clean is None:
            return printable(_errors.clean(self.inner.format(record)), keep_lines=bool(record.exc_info))
        fields: Fields = {"event": record.getMessage(), "logger": record.name, "level": record.levelname.lower()}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        structlog.processors.TimeStamper(fmt="iso")(None, "", fields)
        return to_json(None, "", self._clean(None, "", fields))


def library_handlers() -> list[logging.Handler]:
    """Return the handlers of the root logger and of gunicorn's loggers."""
    names = (None, "gunicorn.error", "gunicorn.access")
    return [handler for name in names for handler in logging.getLogger(name).handlers]


def prepare_gunicorn_record(record: logging.LogRecord) -> bool:
    """Shorten a complaint of gunicorn's about a malformed request; return False for a record that is not written."""
    # A client that stopped reading makes gunicorn log a traceback; the request's own line tells of it already.
    if record.exc_info and isinstance(record.exc_info[1], TimeoutError):
        return False
    # gunicorn quotes bytes that it could not parse; in a badly framed body these may be a caller's words.
    if malformed := _MALFORMED.match(record.getMessage()):
        record.msg, record.args = malformed[0], None
    return True


def to_json(_logger: Any, _method: str, fields: Fields) -> str:
    """Return a line's fields as JSON; a value that JSON lacks appears as its repr."""
    return msgspec.json.encode(fields, enc_hook=repr).decode()


def printable(text: str, *, keep_lines: bool = False) -> str:
    """Return the text with control characters escaped, so that no value can forge a log line.

    `keep_lines` keeps line breaks.
    """
    if text.isprintable():
        return text
    return "".join(
        mark if mark.isprintable() or (keep_lines and mark == "\n") else f"\\u{ord(mark):04x}" for mark in text
    )
