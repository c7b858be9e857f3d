"""The voice of an OpenAI-compatible API: `POST /audio/speech` for each clause, its sound passed on as it comes.

    request     within the time for the first sound; a refused format gives way to the next one, which is remembered
    begun       sound has come: no second attempt, which would repeat it; silence counts as a stall
    complete    the words follow, timed by estimate

Forms of answers are in `api_sound.py`. Source: https://platform.openai.com/docs/api-reference/audio/createSpeech
"""

import contextlib
import json
import math
import re
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import gevent

from parley.errors import (
    ParleyError,
    UpstreamBadResponse,
    UpstreamEmptyResponse,
    UpstreamError,
    UpstreamStalled,
    UpstreamTimeout,
)
from parley.http_client.pool import ConnectionPool
from parley.http_client.response import HttpResponse
from parley.speech import api_sound, pacing, word_estimation
from parley.speech.api_sound import Format
from parley.speech.speech_text import Clause
from parley.speech.utterance import AudioPiece
from parley.telemetry.logs import log
from parley.wire import error_forms

FORMATS = ("pcm", "wav", "mp3")
"""Values of `response_format`, the best one first; an API that refuses one is asked for the next."""
SUBJECT, SETTINGS = "the speech synthesis", "TTS"
"""Name in messages, and the beginning of the names of its settings."""
LATE = "the speech synthesis did not begin in time"
ENDLESS = "the speech synthesis did not finish in time"
SILENT = "the speech synthesis fell silent"
MAX_REASON_CHARACTERS = 200
"""Limit on the reason in the log."""
MAX_ATTEMPTS = 2
"""Limit on the attempts at one clause."""
PAUSE_SECONDS = 0.05
"""Seconds before the second attempt, if the API names no time."""
MIN_MS = 20
"""Least sound that is passed on, and that counts as a sign of life, in milliseconds."""
FORMAT_HEADERS = ("content-type", "x-sample-rate", "x-audio-sample-rate", "sample-rate")
"""Headers that may tell the form of raw samples."""
FORMAT_STATUSES = (406, 415)
"""Statuses that are about the format by themselves: Not Acceptable, Unsupported Media Type."""
OTHER_STATUSES = (401, 402, 403, 408, 429)
"""Statuses that have another reason, whatever the words."""
ECHOES = ("input", "response_format", "body", "request")
"""Fields of a refusal in which an API repeats the request."""
_NAMES_FORMAT = re.compile(
    r"response.?format|\bpcm|\b(audio|output|sound).?(format|encoding|type)|codec"
    r"|(invalid|unknown|unsupported|support|accept|allow)\W+(\w+\W+){0,2}formats?\b"
    r"|(?<!request )(?<!input )(?<!json )\bformats?\b.{0,60}(support|invalid|accept|allow|must|one of|unknown)",
    re.IGNORECASE | re.DOTALL,
)

ErrorForStatus = Callable[[int, Mapping[str, str], bytes], ParleyError]
"""Returns the error for a response by its status, headers and body."""


@dataclass(frozen=True)
class Api:
    """The voice of an API, and the limits in seconds on one clause.

    - `connect`: name, connection and TLS handshake of one connection
    - `first_sound`: one attempt, from its start to the first sound
    - `precommit`: all attempts together, up to the first sound
    - `silence`: without sound inside a clause
    - `total`: one clause from its request to its end

    `error_for_status` gives the meaning of a refusal, `retry_after` the seconds that its headers ask to wait.
    """

    base_url: str
    key: str | None = field(repr=False)
    model: str
    voice: str
    language: str
    connect: float
    first_sound: float
    precommit: float
    silence: float
    total: float
    max_idle: int
    error_for_status: ErrorForStatus = field(repr=False)
    retry_after: Callable[[Mapping[str, str]], float | None] = field(repr=False)


class _FormatRefused(Exception):
    """The API has no sound in the format that was asked for; `error` is its refusal."""

    def __init__(self, error: ParleyError) -> None:
        super().__init__(error.message)
        self.error = error


class ApiVoice:
    """A synthesiser whose clauses are spoken by an API; `rate` is that of the PCM it yields."""

    name = "api"

    def __init__(self, api: Api, rate: int) -> None:
        self._api = api
        self._pool = ConnectionPool(api.base_url, max_idle=api.max_idle, connect_timeout=api.connect)
        self._headers = {
            "content-type": "application/json",
            "accept": "*/*",
            **({"authorization": f"Bearer {api.key}"} if api.key else {}),
        }
        self._format = FORMATS[0]
        self._least_bytes = pacing.chunk_bytes(rate, MIN_MS)
        self.rate = rate
        self.english = api.language == "en"
        self.description = f"{api.voice} of {api.model} at {api.base_url}"

    def say(self, clause: Clause, *, urgent: bool = True) -> Iterator[AudioPiece]:
        """Yield the clause as it arrives, and its words behind its sound: only then is its length known.

        Raises a ParleyError, and logs it: a turn has two upstreams, and its own record names one error.
        """
        pcm = bytearray()
        for piece in self._attempts(clause.spoken):
            yield AudioPiece(piece, "" if pcm else clause.text)
            pcm += piece
        yield AudioPiece(words=word_estimation.estimate(clause.text, bytes(pcm), self.rate))

    def warm(self) -> None:
        """Do nothing: the first phrase that is rehearsed opens a connection."""

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.close()

    def _attempts(self, text: str) -> Iterator[bytes]:
        """Yield the sound of a text; an attempt that fails before its sound is repeated where that may help."""
        deadline = time.monotonic() + self._api.precommit
        for attempts_left in reversed(range(MAX_ATTEMPTS)):
            begun = False
            try:
                with contextlib.closing(self._attempt(text, deadline)) as pieces:
                    for piece in pieces:
                        begun = True
                        yield piece
                return
            except ParleyError as error:
                pause = self._api.retry_after(error.headers) or PAUSE_SECONDS
                # After a timeout the listener has waited long enough.
                may_help = error.retryable and not isinstance(error, UpstreamTimeout)
                if begun or not attempts_left or not may_help or time.monotonic() + pause >= deadline:
                    log.warning("voice_failed", voice=self.name, code=error.code, reason=reason_of(error))
                    raise
            gevent.sleep(pause)

    def _attempt(self, text: str, deadline: float) -> Generator[bytes, None, None]:
        """Yield the sound of one attempt, in the first format that the API has."""
        refusal: ParleyError | None = None
        for form in FORMATS[FORMATS.index(self._format) :]:
            seconds = max(0.001, min(self._api.first_sound, deadline - time.monotonic()))
            try:
                with contextlib.closing(self._asked(text, form, seconds)) as pieces:
                    yield from pieces
            except _FormatRefused as refused:
                refusal = refusal or refused.error.said_of(SUBJECT, SETTINGS)
                continue
            return
        try:
            raise refusal or UpstreamBadResponse("the speech synthesis has no format that can be played")
        finally:
            del refusal  # Break the cycle exception -> traceback -> this frame -> exception.

    def _asked(self, text: str, form: str, seconds: float) -> Generator[bytes, None, None]:
        """Yield the sound of one request, whose first must come within `seconds`.

        Raises _FormatRefused, ParleyError.
        """
        with contextlib.ExitStack() as held:
            held.enter_context(_of_speech())
            # A timer beside the limits of `receive`: heads and interim responses come drop by drop, too.
            with gevent.Timeout(seconds, UpstreamTimeout(LATE, reason=f"{LATE}: TTFT_TIMEOUT, PRECOMMIT_TIMEOUT")):
                answer = _Answer(self._request(text, form, seconds), self._api)
                held.callback(answer.close)
                pieces = answer.sound(self.rate, self._least_bytes)
                first = next(pieces, None)
            if first is None:
                raise UpstreamEmptyResponse("the speech synthesis gave no sound")
            self._format = form
            yield first
            yield from pieces

    def _request(self, text: str, form: str, seconds: float) -> HttpResponse:
        """Send the request for a text; return the response if it is a success. Raises _FormatRefused, ParleyError."""
        wanted = {"input": text, "model": self._api.model, "voice": self._api.voice, "response_format": form}
        response = self._pool.request(
            "POST", "/audio/speech", headers=self._headers, body=json.dumps(wanted).encode(), timeout=seconds
        )
        if 200 <= response.status < 300:
            return response
        with contextlib.closing(response):
            body = response.read_start(seconds, error_forms.MAX_READ_BYTES)
        error = self._api.error_for_status(response.status, response.headers, body)
        if refuses_format(response.status, body):
            raise _FormatRefused(error)
        raise error


class _Answer:
    """One successful response while it is received, within the limits of its API. Must be closed."""

    def __init__(self, response: HttpResponse, api: Api) -> None:
        self._response = response
        self._api = api
        self._ends_at = time.monotonic() + api.total
        # Until the first sound a limit of its own holds, which the request watches.
        self._stalls_at = math.inf

    def sound(self, rate: int, least_bytes: int) -> Iterator[bytes]:
        """Yield the sound at `rate` Hz in pieces of at least so many bytes, except the last. Raises ParleyError."""
        named = self._response.headers
        labels = " ".join(f"{name}={named[name]}" for name in FORMAT_HEADERS if name in named)
        ready, room = bytearray(), pacing.chunk_bytes(rate, 1000 * api_sound.MAX_SECONDS)
        for pcm in api_sound.decoded(self._received(), Format.labelled(labels), rate, self._error_in):
            ready += pcm
            room -= len(pcm)
            if room < 0:
                raise UpstreamBadResponse("the speech synthesis does not end", retryable=False)
            # A few samples now and then are no sound that anybody hears.
            if len(ready) >= least_bytes:
                yield bytes(ready)
                ready.clear()
                self._stalls_at = time.monotonic() + self._api.silence
        if ready:
            yield bytes(ready)

    def close(self) -> None:
        """Keep the connection if the answer was read to its end, else close it."""
        self._response.close()

    def _received(self) -> Iterator[bytes]:
        """Yield the body as it comes. Raises UpstreamStalled, UpstreamTimeout, and what the connection raises."""
        while True:
            due = min(self._stalls_at, self._ends_at)
            piece = self._response.receive(max(0.0, due - time.monotonic()))
            if piece == b"":
                return
            now = time.monotonic()
            if now >= self._ends_at:
                raise UpstreamTimeout(ENDLESS, reason=f"{ENDLESS}: STREAM_TIMEOUT")
            if piece is None or now >= self._stalls_at:
                raise UpstreamStalled(SILENT, reason=f"{SILENT}: IDLE_TIMEOUT")
            yield piece

    def _error_in(self, body: bytes) -> ParleyError:
        """Return the error for a text in place of sound. Raises _FormatRefused."""
        answer = api_sound.parsed(body)
        status = status_in(answer)
        # As of a refusal: its words, cleaned.
        words = self._api.error_for_status(400, {}, body).message
        if answer is None:
            return UpstreamBadResponse("the speech synthesis sent a text where sound was asked for", reason=words)
        if refuses_format(400, body):
            raise _FormatRefused(UpstreamBadResponse("the speech synthesis refused the format", reason=words))
        if status:
            return self._api.error_for_status(status, self._response.headers, body)
        return UpstreamBadResponse("the speech synthesis reported an error in place of sound", reason=words)


def status_in(answer: Any) -> int | None:
    """Return the HTTP status that an error object names, 400 for an error of an invalid request, else None."""
    for name, value in api_sound.fields_of(answer):
        if (
            name in ("code", "status", "status_code", "statusCode")
            and str(value).isdecimal()
            and 400 <= int(value) < 600
        ):
            return int(value)
        if name in ("type", "code") and str(value).startswith("invalid"):
            return 400
    return None


def refuses_format(status: int, body: bytes) -> bool:
    """Return True if a refusal with this status and body is about the format that was asked for."""
    if status in FORMAT_STATUSES or status in OTHER_STATUSES:
        return status in FORMAT_STATUSES
    answer = api_sound.parsed(body)
    if answer is None:
        return bool(_NAMES_FORMAT.search(body.decode("utf-8", "replace")))
    told = (str(value) for name, value in api_sound.fields_of(answer) if name not in ECHOES)
    return bool(_NAMES_FORMAT.search("\n".join(told)))


@contextlib.contextmanager
def _of_speech() -> Iterator[None]:
    """Translate errors that speak of the upstream: a turn has two, and this one has settings of its own."""
    try:
        yield
    except ParleyError as error:
        raise error.said_of(SUBJECT, SETTINGS) from error.__cause__


def reason_of(error: ParleyError) -> str:
    """Return what the log says of a failure: the API's words where there are any, in one line."""
    reason = error.reason if isinstance(error, UpstreamError) else error.message
    return " ".join(reason.split())[:MAX_REASON_CHARACTERS]
