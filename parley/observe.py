"""What the operator sees: the log. One line a request, constant event names, never a caller's words."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

log = structlog.get_logger("parley")

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def is_text(form: str | None) -> bool:
    """Whether a person reads along: asked for, or standard output is a terminal."""
    return form == "text" or (form is None and sys.stdout.isatty())


def configure(level: str, form: str | None) -> None:
    """Write log lines to standard output, as text or as one JSON object a line."""
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), sort_keys=False)
        if is_text(form)
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            _one_line,
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=False,
    )


def quiet_gunicorn() -> None:
    """Keep gunicorn from writing a traceback where a client stopped reading: the turn's own line tells of it."""
    logging.getLogger("gunicorn.error").addFilter(_is_no_send_timeout)


def _is_no_send_timeout(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], TimeoutError))


def _one_line(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """No field may bring a line break or a control character into the text form."""
    for name, value in fields.items():
        if isinstance(value, str) and not value.isprintable():
            fields[name] = "".join(mark if mark.isprintable() else f"\\\\u{ord(mark):04x}" for mark in value)
    return fields
