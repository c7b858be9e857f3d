"""How log lines are written: their form, without secrets, and never at the expense of a stream.

What is logged is decided where it happens; here a line becomes text, loses what must not leave the process, and
goes to standard output. Nothing here knows requests.
"""

import atexit
import json
import logging
import re
import sys
from collections.abc import Iterable, MutableMapping
from typing import Any, TextIO, cast

import msgspec
import structlog
from gevent import monkey

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
MOST_WAITING_LINES = 10_000
FLUSH_SECONDS = 1.0
GATHER_SECONDS = 0.02
LEAST_SECRET_CHARACTERS = 6
"""A shorter key is no secret, and taking it out would take half of the log along."""
_KEY_LIKE = re.compile(r"\b(sk|pk|gsk|xai)-[A-Za-z0-9_*.-]{8,}|(?<=[Bb]earer )[^\s\"']{4,}")
_MAY_BE_KEY_LIKE = ("k-", "xai-", "earer ")
"""One of these is in whatever the pattern finds; to look for them costs a tenth of it."""

log = structlog.get_logger("parley")


def is_text(form: str | None) -> bool:
    """Whether a person reads along: asked for, or standard output is a terminal."""
    return form == "text" or (form is None and sys.stdout.isatty())


def configure(level: str, form: str | None, secrets: Iterable[str] = ()) -> None:
    """Write log lines to standard output, as text or as one JSON object a line, without these secrets."""
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), sort_keys=False) if is_text(form) else _as_json
    )
    redactor = Redactor(secrets)

    def written(logger: Any, method: str, fields: MutableMapping[str, Any]) -> str:
        return redactor.redact(renderer(logger, method, fields))

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            _printable,
            written,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: structlog.WriteLogger(cast(TextIO, _output)),
        cache_logger_on_first_use=True,  # a third of a log line's cost
    )
    vars(log).pop("bind", None)  # what was cached under an earlier configuration
    for name in ("", "gunicorn.error", "gunicorn.access"):
        for handler in logging.getLogger(name).handlers:
            handler.setFormatter(_RedactingFormatter(handler.formatter, redactor))
    logging.getLogger("gunicorn.error").addFilter(_is_no_send_timeout)


def write_aside() -> None:
    """From now on lines are written by a thread: a reader of standard output that stalls delays no stream.

    To be called in a worker, because threads don't survive a fork.
    """
    _output.start()


class Redactor:
    """Takes secrets out of text: the known ones, and whatever looks like a key."""

    def __init__(self, secrets: Iterable[str]) -> None:
        long_enough = [secret for secret in secrets if len(secret) >= LEAST_SECRET_CHARACTERS]
        forms = {form for secret in long_enough for form in (secret, json.dumps(secret)[1:-1])}
        self._known = sorted(forms, key=len, reverse=True)

    def redact(self, text: str) -> str:
        """The text with `***` in the secrets' place."""
        for secret in self._known:
            text = text.replace(secret, "***")
        return _KEY_LIKE.sub("***", text) if any(mark in text for mark in _MAY_BE_KEY_LIKE) else text


class _RedactingFormatter(logging.Formatter):
    """Redacts what another formatter has made, tracebacks included."""

    def __init__(self, inner: logging.Formatter | None, redactor: Redactor) -> None:
        super().__init__()
        self._inner = inner or logging.Formatter()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        return self._redactor.redact(self._inner.format(record))


def _is_no_send_timeout(record: logging.LogRecord) -> bool:
    """gunicorn writes a traceback where a client stopped reading; the request's own line tells of it."""
    return not (record.exc_info and isinstance(record.exc_info[1], TimeoutError))


def _as_json(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> str:
    return msgspec.json.encode(fields, enc_hook=repr).decode()


def _printable(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """No field may bring a line break or a control character into the text form; tracebacks keep theirs."""
    for name, value in fields.items():
        if isinstance(value, str) and name != "exception" and not value.isprintable():
            fields[name] = "".join(mark if mark.isprintable() else f"\\u{ord(mark):04x}" for mark in value)
    return fields


class _Output:
    """Standard output as structlog writes to it: directly, or through a thread of the operating system's."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._queue: Any = None
        self._taken = self._written = 0
        self._dropped = 0

    def start(self) -> None:
        """Hand lines to a thread from now on."""
        # gevent's own kinds of these would run in the event loop, which is what must not wait.
        self._queue = monkey.get_original("queue", "SimpleQueue")()
        monkey.get_original("_thread", "start_new_thread")(self._run, ())
        atexit.register(self._drain)

    def write(self, text: str) -> None:
        """Take a line; where very many are waiting already, it is dropped and counted."""
        if self._queue is None:
            self._stream.write(text)
        elif self._queue.qsize() < MOST_WAITING_LINES:
            if self._dropped:
                text = json.dumps({"event": "log_lines_dropped", "count": self._dropped}) + "\n" + text
                self._dropped = 0
            self._taken += 1
            self._queue.put(text)
        else:
            self._dropped += 1

    def flush(self) -> None:
        """Nothing is held back where lines are written directly; the thread flushes for itself."""
        if self._queue is None:
            self._stream.flush()

    def _run(self) -> None:
        sleep = monkey.get_original("time", "sleep")
        while True:
            lines = [self._queue.get()]
            # To wake a thread for each line costs more than the line itself; what comes meanwhile is written along.
            sleep(GATHER_SECONDS)
            lines += [self._queue.get() for _ in range(self._queue.qsize())]
            self._stream.write("".join(lines))
            self._stream.flush()
            self._written += len(lines)

    def _drain(self) -> None:
        sleep = monkey.get_original("time", "sleep")
        for _ in range(int(FLUSH_SECONDS / 0.01)):
            if self._written == self._taken:
                break
            sleep(0.01)


_output = _Output(sys.stdout)
