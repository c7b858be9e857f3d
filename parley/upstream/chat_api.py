"""One OpenAI-compatible upstream over HTTP: a single attempt at a stream or at a whole answer.

What an attempt becomes is decided elsewhere: retries in `attempts.py`, completeness in `stream_reader.py`, the meaning
of a status in `status_errors.py`.
"""

import contextlib
import dataclasses
import json
import math
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlsplit

import gevent
import msgspec

from parley.concurrency import run_for_size
from parley.errors import ParleyError, UpstreamBadResponse, UpstreamTimeout
from parley.http_client.pool import ConnectionPool
from parley.http_client.response import HttpResponse
from parley.telemetry.logs import log
from parley.telemetry.redaction import Redactor
from parley.upstream.open_stream import Completion, OpenStream, clean_request_id
from parley.upstream.status_errors import error_for_status
from parley.upstream.stream_reader import MAX_ANSWER_BYTES, MAX_AUDIO_ANSWER_BYTES, Receive, StreamReader
from parley.upstream.timeouts import Timeouts
from parley.wire import chunks, heard
from parley.wire.chunks import Envelope
from parley.wire.request import OUR_FIELDS, PRIVATE_FIELDS, ChatRequest, Origin

MODELS_TIMEOUT = 2.0
"""Seconds for which the list of models is waited for."""
MAX_ERROR_BYTES = 1 << 16
"""Bytes of an error's body that are read; a longer one counts as none."""
ONE_OF = (frozenset({"max_tokens", "max_completion_tokens"}),)
"""Fields of a request that exclude each other."""
MAX_LOGGED_FIELDS = 100
"""Most names of fields that are logged as held back, in a worker's life: callers choose the names."""
PromptForm = Literal["reference", "extractive"]
"""The form in which a model is best given passages; `parley/knowledge/prompt.py` has the forms."""


class ChatApi:
    """An upstream under its base URL.

    - `name` in logs and metrics
    - `key` sent with each request, if any; with `forward_token` the caller's own token is sent instead
    - `model` for requests that name none; `fixed_model` for all requests
    - `headers` sent with each request, in small letters; one of them may replace that of the key
    - `params`: fields of a request where it leaves them out
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
        headers: Mapping[str, str] = MappingProxyType({}),
        params: Mapping[str, Any] = MappingProxyType({}),
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
        self._headers = headers
        self._params = params
        self._timeouts = timeouts
        self._forward_fields = forward_fields
        self._forward_token = forward_token
        self._secrets = [base_url.partition("?")[0], urlsplit(base_url).netloc, *([key] if key else []), *secrets]
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
        # The error is in no variable: it would form a cycle with its traceback, which holds this frame and the request.
        with gevent.Timeout(
            seconds, UpstreamTimeout("the upstream said nothing in time", reason=timeouts.reason(limit))
        ):
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
        reason = self._timeouts.reason("total")
        # A timer beside the limit of `read`, which begins anew with each receive: an upstream may send drop by drop.
        with (
            gevent.Timeout(seconds, UpstreamTimeout("the upstream did not finish in time", reason=reason)),
            contextlib.closing(self._ask(chat, timeout=seconds + 1)) as response,
        ):
            body = response.read(seconds + 1)
        chunks.check_completion(body)
        is_wordless = run_for_size(len(body), heard.is_wordless, body)
        return Completion(body, clean_request_id(response, self._redactor(chat)), is_wordless)

    def load_model(self) -> None:
        """Ask for an answer of one token, so that a server that loads its models on demand has loaded this one.

        Raises ParleyError.
        """
        body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
        # For as long as a whole answer may take: a server may give up loading as soon as its client leaves.
        self.complete(ChatRequest(body, stream=False, origin=Origin("load-model", v1=True)), seconds=math.inf)

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
        for name, value in self._params.items():
            # OpenAI refuses both of a pair, and `stream_options` without a stream.
            is_given = name in fields or any(name in pair and pair & fields.keys() for pair in ONE_OF)
            if not is_given and (chat.stream or name != "stream_options"):
                fields[name] = value
        return msgspec.json.encode(fields)

    def _redactor(self, chat: ChatRequest) -> Redactor:
        """Return the redactor for the upstream's words, which masks the key that it was sent and its address."""
        if not self._forward_token or not chat.origin.token:
            return self._own_redactor
        return Redactor([*self._secrets, chat.origin.token])

    def _authorization(self, token: str | None) -> dict[str, str]:
        """Return the headers that name the sender: the server's key or the caller's token, never one for lack of the
        other, and what the operator adds to them.
        """
        key = token if self._forward_token else self._key
        return {**({"authorization": f"Bearer {key}"} if key else {}), **self._headers}


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
