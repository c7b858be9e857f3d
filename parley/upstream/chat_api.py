"""One OpenAI-compatible upstream over HTTP: a single attempt at a stream or at a whole answer.

What an attempt becomes is decided elsewhere: retries in `attempts.py`, completeness in `stream_reader.py`, the meaning
of a status in `status_errors.py`.
"""

import contextlib
import dataclasses
import json
import re
from collections.abc import Collection, Iterator
from typing import Any, Literal
from urllib.parse import urlsplit

import gevent
import msgspec

from parley.concurrency import SILENCE, run_for_size
from parley.errors import AnswerCapped, ParleyError, UpstreamBadResponse, UpstreamTimeout
from parley.http_client.pool import ConnectionPool
from parley.http_client.response import HttpResponse
from parley.telemetry.logs import log
from parley.telemetry.redaction import Redactor
from parley.upstream.status_errors import error_for_status
from parley.upstream.stream_reader import MAX_ANSWER_BYTES, MAX_AUDIO_ANSWER_BYTES, Receive, StreamReader
from parley.upstream.timeouts import Timeouts
from parley.wire import chunks, sse
from parley.wire.chunks import Envelope
from parley.wire.request import OUR_FIELDS, PRIVATE_FIELDS, ChatRequest
from parley.wire.sse import Batch

MODELS_TIMEOUT = 2.0
"""Seconds for which the list of models is waited for."""
MAX_ERROR_BYTES = 1 << 16
"""Bytes of an error's body that are read; a longer one counts as none."""
MAX_LOGGED_FIELDS = 100
"""Most names of fields that are logged as held back, in a worker's life: callers choose the names."""
_CLEAN_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")

PromptForm = Literal["reference", "extractive"]
"""The form in which a model is best given passages; `parley/knowledge/prompt.py` has the forms."""


@dataclasses.dataclass(frozen=True)
class Completion:
    """A whole answer: a `chat.completion` object as the upstream wrote it. `request_id` as for `OpenStream`."""

    body: bytes
    request_id: str | None
    is_wordless: bool = False


class OpenStream:
    """A stream that has reached its commit point or its end; `held` are the payloads to be sent next.

        opened       `held` is everything up to the first content
        thoughts     `sent_unheard` yields them as they come, or `hold_until_heard` adds them to `held`
        heard        `held` is the batch with the first word; `rest` follows
        wordless     the stream has ended, or reached a cap, before anything was heard; `held` is its end

    Must be closed. `request_id` is the upstream's id of the request, or None if it gave none that can be logged.
    """

    def __init__(
        self, response: HttpResponse, reader: StreamReader, batches: Iterator[Batch], redactor: Redactor
    ) -> None:
        self._response = response
        self._reader = reader
        self._batches = batches
        self._is_over = self._is_closed = False
        self.request_id = _request_id(response, redactor)
        self.held: list[bytes] = []
        while not (reader.committed or self._is_over):
            self._hold()

    @property
    def is_heard(self) -> bool:
        """True if something has come that a caller hears or acts on."""
        return self._reader.is_heard

    @property
    def is_wordless(self) -> bool:
        """True if the whole answer has come, and a caller hears nothing of it."""
        return self._is_over and not (self._reader.is_heard or self._reader.is_withheld)

    def hold_until_heard(self) -> None:
        """Hold back thoughts, too. Closes the stream if that fails; raises UpstreamError."""
        try:
            while not (self.is_heard or self._is_over):
                self._hold()
        except BaseException:
            self.close()
            raise

    def sent_unheard(self, wake_at: float) -> Iterator[Batch]:
        """Yield what comes before the first batch that is heard, with SILENCE at the moment `wake_at`, too.

        A chunk that ends the answer, and all behind it, is kept in `held`: another attempt may speak in its place.
        Raises UpstreamError.
        """
        self._reader.wake_at = wake_at
        while not (self.is_heard or self._is_over):
            if self.held and not self._reader.any_finished:
                yield self.held
                self.held = []
            if self._hold() is SILENCE:
                yield SILENCE

    def _hold(self) -> Batch | None:
        """Wait for the next batch, and hold it; return it, or None at the end or at a cap before anything is heard."""
        try:
            batch = next(self._batches, None)
        except AnswerCapped:
            if self.is_heard:
                raise
            self._is_over = True
            self.held = sse.LastBatch([*self.held, self._reader.envelope.finish("length")])
            return None
        if batch is None:
            self._is_over = True
        elif batch is not SILENCE:
            self.held += batch
            if isinstance(batch, sse.LastBatch):
                self._is_over = True
                self.held = sse.LastBatch(self.held)
        return batch

    def join(self, envelope: Envelope) -> None:
        """Go on under the answer's envelope."""
        envelope.follow(self._reader.envelope)
        self._reader.envelope = envelope

    def rest(self, envelope: Envelope) -> Iterator[Batch]:
        """Return the batches behind `held`, under the answer's envelope. They raise UpstreamError and AnswerCapped."""
        self.join(envelope)
        return self._batches

    def close(self) -> None:
        """Keep the connection if the answer was read to its end, else close it."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._reader.done:
            self._response.drain_and_close()
        else:
            self._response.close()


class ChatApi:
    """An upstream under its base URL.

    - `name` in logs and metrics
    - `key` sent with each request, if any; with `forward_token` the caller's own token is sent instead
    - `model` for requests that name none; `fixed_model` for all requests
    - `forward_fields`: further fields of a request that are passed on
    - `secrets` masked in everything that the upstream says, beside its key and its address
    - `spare` connections opened ahead, `max_idle` kept at most
    """

    prompt_form: PromptForm = "reference"

    def __init__(
        self,
        name: str,
        base_url: str,
        key: str | None,
        model: str,
        timeouts: Timeouts,
        *,
        max_idle: int,
        forward_fields: frozenset[str] = frozenset(),
        forward_token: bool = False,
        fixed_model: str | None = None,
        secrets: Collection[str] = (),
        spare: int = 1,
    ) -> None:
        self.name = name
        self.model = model
        self._fixed_model = fixed_model
        self._logged_fields: set[str] = set()
        self._spare = spare
        self._base_url = base_url
        self._key = key
        self._timeouts = timeouts
        self._forward_fields = forward_fields
        self._forward_token = forward_token
        self._secrets = [base_url, urlsplit(base_url).netloc, *([key] if key else []), *secrets]
        # Built once, not for each request: it compiles its patterns.
        self._own_redactor = Redactor(self._secrets)
        self._pool = ConnectionPool(base_url, max_idle=max_idle, connect_timeout=timeouts.connect)

    def open(self, chat: ChatRequest, envelope: Envelope, *, seconds: float, tick: float) -> OpenStream:
        """Ask for a stream and read it up to its commit point, within `seconds` and the limit for the first content.

        `envelope` is the answer's; it is left unchanged, because another attempt may win. After the commit point a
        silent stream yields SILENCE every `tick` seconds.
        Raises UpstreamError, which is UpstreamRefused for the upstream's own 4xx.
        """
        timeouts, max_bytes = self._timeouts, MAX_ANSWER_BYTES
        if chat.wants_audio:
            timeouts, max_bytes = timeouts.for_audio(), MAX_AUDIO_ANSWER_BYTES
        reader = StreamReader(dataclasses.replace(envelope, used=False), timeouts, tick=tick, max_bytes=max_bytes)
        limit = "first_content" if timeouts.first_content <= seconds else "precommit"
        seconds = min(seconds, timeouts.first_content)
        late = UpstreamTimeout("the upstream said nothing in time", reason=timeouts.reason(limit))
        with gevent.Timeout(seconds, late):
            response = self._ask(chat, timeout=seconds + 1)
            # Of BaseException: neither gevent's Timeout nor GreenletExit, which ends a losing attempt, is an Exception.
            try:
                return OpenStream(
                    response, reader, reader.batches(_event_stream(response, timeouts.idle)), self._redactor(chat)
                )
            except BaseException:
                response.close()
                raise

    def complete(self, chat: ChatRequest, *, seconds: float) -> Completion:
        """Return the whole answer, within `seconds` and the total limit.

        Its first byte comes when it is finished, so that the limits for the first content and for silence do not apply.
        Raises UpstreamError, which is UpstreamRefused for the upstream's own 4xx.
        """
        seconds = min(seconds, self._timeouts.total)
        late = UpstreamTimeout("the upstream did not finish in time", reason=self._timeouts.reason("total"))
        # A timer beside the limit of `read`, which begins anew with each receive: an upstream may send drop by drop.
        with (
            gevent.Timeout(seconds, late),
            contextlib.closing(self._ask(chat, timeout=seconds + 1)) as response,
        ):
            body = response.read(seconds + 1)
        chunks.check_completion(body)
        return Completion(body, _request_id(response, self._redactor(chat)), chunks.is_wordless(body))

    def unavailable_reason(self) -> ParleyError | None:
        """Return None: an API counts as able to answer until an attempt fails."""
        return None

    def models(self) -> list[dict[str, Any]]:
        """Return the upstream's list of models; empty if it cannot be had in time.

        Empty also with `forward_token`: the list that one caller's token gives must not be shown to another.
        """
        if self._forward_token:
            return []
        headers = self._authorization(None)
        try:
            with (
                gevent.Timeout(MODELS_TIMEOUT, UpstreamTimeout("the upstream did not list its models in time")),
                contextlib.closing(
                    self._pool.request("GET", "/models", headers=headers, timeout=MODELS_TIMEOUT)
                ) as response,
            ):
                listed = json.loads(response.read(MODELS_TIMEOUT))["data"] if response.status == 200 else []
                return [model for model in listed if isinstance(model, dict) and isinstance(model.get("id"), str)]
        # RecursionError: JSON that is nested too deeply for the decoder.
        except (ParleyError, ValueError, KeyError, TypeError, RecursionError):
            return []

    def warm(self) -> None:
        """Open connections ahead of the next requests, as many as are missing. Failures are left to those requests."""
        missing = self._pool.missing(self._spare)
        # All at once: behind a round trip of 40 ms each takes two more for TCP and TLS (docs/performance.md).
        gevent.joinall([gevent.spawn(self._open_ahead) for _ in range(missing)])

    def _open_ahead(self) -> None:
        # Not UpstreamError alone: without a file descriptor it is ServerOverloaded.
        with contextlib.suppress(ParleyError):
            self._pool.open_ahead()

    def _ask(self, chat: ChatRequest, *, timeout: float) -> HttpResponse:
        """Send the request; return the response if its status is a success. Raises the error for its status.

        `timeout` limits each silence, in seconds: a little more than the caller's own limit, whose error names it.
        """
        # Once for each field: the operator may wonder why it has no effect.
        for name in chat.held_back(self._forward_fields) - self._logged_fields - PRIVATE_FIELDS - OUR_FIELDS:
            if len(self._logged_fields) < MAX_LOGGED_FIELDS:
                self._logged_fields.add(name)
                log.info("field_held_back", field=name[:64], hint="LLM_FORWARD_FIELDS names those that may go upstream")
        headers = {
            "content-type": "application/json",
            "accept": "text/event-stream" if chat.stream else "application/json",
            "x-request-id": chat.origin.request_id,
            **({"traceparent": chat.origin.traceparent} if chat.origin.traceparent else {}),
            **self._authorization(chat.origin.token),
        }
        response = self._pool.request(
            "POST",
            "/chat/completions",
            headers=headers,
            body=run_for_size(chat.size, self._request_body, chat),
            timeout=timeout,
        )
        if 200 <= response.status < 300:
            return response
        with contextlib.closing(response):
            raise error_for_status(
                response.status,
                response.headers,
                response.read_start(timeout, MAX_ERROR_BYTES),
                redactor=self._redactor(chat),
                own_key=not self._forward_token,
            )

    def _request_body(self, chat: ChatRequest) -> bytes:
        """Return the body for the upstream. Runs in a thread if the request is large."""
        fields = chat.for_upstream(self.model, self._forward_fields)
        if self._fixed_model:
            fields["model"] = self._fixed_model
        return msgspec.json.encode(fields)

    def _redactor(self, chat: ChatRequest) -> Redactor:
        """Return the redactor for the upstream's words, which masks the key that it was sent and its address."""
        if not self._forward_token or not chat.origin.token:
            return self._own_redactor
        return Redactor([*self._secrets, chat.origin.token])

    def _authorization(self, token: str | None) -> dict[str, str]:
        """Return the Authorization header: the server's key or the caller's token, never one for lack of the other."""
        key = token if self._forward_token else self._key
        return {"authorization": f"Bearer {key}"} if key else {}


def _event_stream(response: HttpResponse, timeout: float) -> Receive:
    """Return the function that receives the response's events.

    An upstream that answers with one JSON object, because it cannot stream, is read within `timeout` seconds and
    converted. Raises UpstreamBadResponse for any other media type.
    """
    # No media type is taken for a stream: if it is none, the reader finds no event in it and says so.
    if response.media_type in ("text/event-stream", ""):
        return response.receive
    if response.media_type != "application/json":
        raise UpstreamBadResponse("the upstream answered with something other than an event stream")
    converted = iter([chunks.completion_as_stream(response.read(timeout))])
    return lambda _timeout: next(converted, b"")


def _request_id(response: HttpResponse, redactor: Redactor) -> str | None:
    # Redacted, because it goes into the log and into a header for the caller.
    request_id = redactor.redact(response.headers.get("x-request-id", ""))
    return request_id if _CLEAN_ID.fullmatch(request_id) else None
