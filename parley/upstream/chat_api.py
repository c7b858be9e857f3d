"""One OpenAI-compatible upstream over HTTP: a single attempt at a stream or at a whole answer.

What an attempt becomes is decided elsewhere: retries in `attempts.py`, completeness in `stream_reader.py`, the meaning
of a status in `status_errors.py`.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlsplit

import gevent
import msgspec

from parley.concurrency import SILENCE, run_for_size
from parley.errors import (
    AnswerCapped,
    ParleyError,
    UpstreamBadResponse,
    UpstreamEmptyResponse,
    UpstreamError,
    UpstreamTimeout,
)
from parley.http_client.pool import ConnectionPool
from parley.http_client.response import MAX_WHOLE_BYTES, HttpResponse
from parley.http_client.spares import SpareConnections, number_for
from parley.telemetry.logs import log
from parley.telemetry.redaction import Redactor
from parley.upstream.open_stream import Completion, OpenStream, clean_request_id
from parley.upstream.status_errors import error_for_report, error_for_status
from parley.upstream.stream_reader import MAX_ANSWER_BYTES, MAX_AUDIO_ANSWER_BYTES, StreamReader
from parley.upstream.timeouts import Timeouts
from parley.wire import body_form, chunks, error_forms, heard, repairs
from parley.wire.assembly import CompletionBuilder
from parley.wire.body_form import Form
from parley.wire.chunks import Envelope
from parley.wire.content import text_of
from parley.wire.interruptions import is_interrupted
from parley.wire.params import filled
from parley.wire.platforms import PRIVATE_FIELDS
from parley.wire.request import OUR_FIELDS, ChatRequest, Origin

MODELS_TIMEOUT = 2.0
"""Seconds for which the list of models is waited for."""
SUSPECT_SECONDS = 1.0
"""Least seconds without a byte after which a kept connection is suspected to be dead."""
SUSPECT_SHARE = 0.25
"""Share of the limit for the first content after which the connection of a stream is suspected."""
STREAM_LABELS = ("text/event-stream", "")
"""Media types under which a body that shows no form by its first bytes counts as an event stream."""
ERROR_SECONDS = 1.0
"""Seconds of silence after which the body of an error is given up; its status counts all the same."""
MAX_LOGGED_FIELDS = 100
"""Most names of fields that are logged as held back, in a worker's life: callers choose the names."""
QUOTED_MESSAGES = 4
"""Messages at the end of a conversation whose words are taken out of the log."""
PromptForm = Literal["reference", "extractive", "none"]
"""The use of passages: as reference data of a prompt, or quoted in place of a model that is too small, or of none."""


class ChatApi:
    """An upstream under its base URL.

    - `name` in logs and metrics
    - `key` sent with each request, if any; with `forward_token` the caller's own token is sent instead
    - `model` for requests that name none; `fixed_model` for all requests
    - `headers` sent with each request, in small letters; one of them may replace that of the key
    - `params`: fields of a request where it leaves them out
    - `forward_fields`: further fields of a request that are passed on
    - `secrets` masked in everything that the upstream says, beside its key and its address
    - `spare` connections opened ahead (None: by the scheme, see `spares.number_for`), `max_idle` kept at most
    """

    prompt_form: PromptForm = "reference"
    one_envelope = False
    """True if the chunks of one stream differ in id, time or model, and shall not."""
    suspects_silence = True
    """True if a kept connection that is silent may be dead: there is a network between."""
    of_this_machine = False
    """True if no other machine knows this upstream."""

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
        spare: int | None = None,
    ) -> None:
        self.name = name
        self.model = model
        self._fixed_model = fixed_model
        self._logged_fields: set[str] = set()
        self._base_url = base_url
        self._key = key
        self._headers = headers
        self._params = params
        self._timeouts = timeouts
        self._forward_fields = forward_fields
        self._forward_token = forward_token
        self._secrets = [base_url.partition("?")[0], urlsplit(base_url).netloc, *([key] if key else []), *secrets]
        # Built once, not for each request: it compiles its patterns.
        self._hosts = [urlsplit(base_url).hostname or ""]
        self._own_redactor = Redactor(self._secrets, hosts=self._hosts)
        spares = number_for(base_url, spare)
        self._pool = ConnectionPool(
            base_url, max_idle=max_idle, connect_timeout=timeouts.connect, keeps_spares=spares > 0
        )
        self._pool.on_suspicion = self.report_suspicion
        self._spares = SpareConnections(self._pool, spares, self.report_fault) if spares else None

    def open(self, chat: ChatRequest, envelope: Envelope, *, seconds: float, tick: float) -> OpenStream:
        """Ask for a stream and read it up to its commit point, within `seconds` and the limit for the first content.

        `envelope` is the answer's; it is left unchanged, because another attempt may win. After the commit point a
        silent stream yields SILENCE every `tick` seconds.
        Raises UpstreamError, which is UpstreamRefused for the upstream's own 4xx.
        """
        timeouts, max_bytes = self._timeouts, MAX_ANSWER_BYTES
        if chat.wants_audio:
            timeouts, max_bytes = timeouts.for_audio(), MAX_AUDIO_ANSWER_BYTES
        limit = "first_content" if timeouts.first_content <= seconds else "precommit"
        seconds = min(seconds, timeouts.first_content)
        # The error is in no variable: it would form a cycle with its traceback, which holds this frame and the request.
        with gevent.Timeout(
            seconds, UpstreamTimeout("the upstream said nothing in time", reason=timeouts.reason(limit))
        ):
            response = self._ask(chat, timeout=seconds + 1)
            # Of BaseException: neither gevent's Timeout nor GreenletExit, which ends a losing attempt, is an Exception.
            try:
                reader = StreamReader(
                    dataclasses.replace(envelope, used=False),
                    timeouts,
                    tick=tick,
                    max_bytes=max_bytes,
                    bare=form_of(response, seconds, STREAM_LABELS) is Form.OBJECTS,
                    one_envelope=self.one_envelope,
                    usage=chat.wants_usage,
                    expects_tool_finish=chat.expects_tool_finish,
                )
                return OpenStream(
                    response, reader, reader.batches(response.receive), self._redactor(chat), last_words(chat)
                )
            except UpstreamError as error:
                response.close()
                # Its status and words are known only now: the response itself was a success.
                raise self._explained(error, chat) from None
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
            try:
                envelope = Envelope.new(self._fixed_model or chat.model or self.model)
                body = self._whole_body(response, envelope, seconds + 1)
            except UpstreamError as error:
                raise self._explained(error, chat) from None
        if chat.expects_tool_finish:
            body = run_for_size(len(body), repairs.with_tool_finish, body)
        is_wordless = run_for_size(len(body), heard.is_wordless, body)
        return Completion(body, clean_request_id(response, self._redactor(chat)), is_wordless)

    def load_model(self) -> None:
        """Ask for an answer of one token, so that a server that loads its models on demand has loaded this one.

        Raises ParleyError.
        """
        body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
        # For as long as a whole answer may take: a server may give up loading as soon as its client leaves.
        self.complete(ChatRequest(body, stream=False, origin=Origin("load-model", v1=True)), seconds=math.inf)

    def _whole_body(self, response: HttpResponse, envelope: Envelope, seconds: float) -> bytes:
        """Return the body of a whole answer; a stream in its place is put together. Raises UpstreamError."""
        form = form_of(response, seconds, STREAM_LABELS[:1])
        if form is Form.OBJECTS:
            body = response.read(seconds)
            with contextlib.suppress(UpstreamBadResponse):
                if not run_for_size(len(body), chunks.check_completion, body).delta:
                    return body
            # Chunks, each on a line of its own, or an answer with the mark of the end behind it.
            response.unread(body)
        reader = StreamReader(
            envelope,
            self._timeouts,
            tick=seconds,
            max_bytes=MAX_WHOLE_BYTES,
            bare=form is Form.OBJECTS,
        )
        builder = CompletionBuilder(envelope)
        try:
            for batch in reader.batches(response.receive):
                for payload in () if batch is SILENCE else batch:
                    builder.feed(payload)
        except AnswerCapped as exc:
            raise UpstreamBadResponse("the upstream's answer is too large") from exc
        except UpstreamEmptyResponse as exc:
            raise exc if form is Form.EVENTS else UpstreamBadResponse("the upstream's answer has no choices") from exc
        return reader.completion or builder.body()

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
                    self._pool.request(
                        "GET", "/models", headers=headers, timeout=MODELS_TIMEOUT, suspect_after=MODELS_TIMEOUT / 2
                    )
                ) as response,
            ):
                listed = json.loads(response.read(MODELS_TIMEOUT))["data"] if response.status == 200 else []
                return [model for model in listed if isinstance(model, dict) and isinstance(model.get("id"), str)]
        # RecursionError: JSON that is nested too deeply for the decoder.
        except (ParleyError, ValueError, KeyError, TypeError, RecursionError):
            return []

    @property
    def connection_fault(self) -> str:
        """The reason why no connection can be opened ahead; empty if none is known."""
        return self._spares.fault if self._spares else ""

    @property
    def account(self) -> str:
        """A digest of the address and the key: the name of this account for the workers of all machines.

        Empty if no other machine knows this upstream.
        """
        if self.of_this_machine:
            return ""
        # Headers of the operator's may bear the key.
        headers = [f"{name}:{value}" for name, value in sorted(self._headers.items())]
        return hashlib.sha256("\0".join([self._base_url, self._key or "", *headers]).encode()).hexdigest()[:16]

    @property
    def limits_are_callers(self) -> bool:
        """True if the callers' own tokens are sent, so that a limit that is reached is one caller's."""
        return self._forward_token

    def warm(self, paused: Callable[[], bool]) -> None:
        """Keep connections open ahead of requests, from now on and in the background, while `paused` returns False."""
        if self._spares:
            gevent.spawn(self._spares.keep, paused)

    def repeat_within(self, spend: Callable[[], bool]) -> None:
        """Take from the retry budget, by `spend`, what is sent a second time because a connection may be dead."""
        self._pool.may_repeat = spend

    def report_fault(self, reason: str) -> None:
        """Log why spare connections can't be opened."""
        # Masked as all that comes from outside: a proxy's name may be part of it.
        log.warning("spare_connections_failed", upstream=self.name, reason=self._own_redactor.redact(reason))

    def report_suspicion(self) -> None:
        """Log that a kept connection gave nothing."""
        hint = "a firewall or proxy on the way may forget idle connections; new ones are used"
        log.warning("kept_connection_silent", upstream=self.name, hint=hint)

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
            suspect_after=self.suspect_after(chat),
        )
        if 200 <= response.status < 300:
            return response
        with contextlib.closing(response):
            raise error_for_status(
                response.status,
                response.headers,
                response.read_start(min(timeout / 4, ERROR_SECONDS), error_forms.MAX_READ_BYTES),
                redactor=self._redactor(chat),
                own_key=not self._forward_token,
                said=last_words(chat),
            )

    def _explained(self, error: UpstreamError, chat: ChatRequest) -> UpstreamError:
        """Return the error for one that came with a status of success; see `error_for_report`."""
        return error_for_report(
            error, self._redactor(chat), own_key=not self._forward_token, begun=False, said=last_words(chat)
        )

    def suspect_after(self, chat: ChatRequest) -> float:
        """Return the seconds of silence on a kept connection after which the request is sent on another as well."""
        # On this machine no connection dies without a sign, and a small model may be slow.
        if not self.suspects_silence:
            return math.inf
        # The head of a whole answer comes with its end.
        share = SUSPECT_SHARE if chat.stream else 1.0
        return max(SUSPECT_SECONDS, share * self._timeouts.first_content)

    def _request_body(self, chat: ChatRequest) -> bytes:
        """Return the body for the upstream. Runs in a thread if the request is large."""
        fields = chat.for_upstream(self.model, self._forward_fields)
        if self._fixed_model:
            fields["model"] = self._fixed_model
        fields = filled(fields, self._params)
        if not chat.stream:
            # OpenAI refuses it without a stream.
            fields.pop("stream_options", None)
        return msgspec.json.encode(fields)

    def _redactor(self, chat: ChatRequest) -> Redactor:
        """Return the redactor for the upstream's words, which masks the key that it was sent and its address."""
        if not self._forward_token or not chat.origin.token:
            return self._own_redactor
        return Redactor([*self._secrets, chat.origin.token], hosts=self._hosts)

    def _authorization(self, token: str | None) -> dict[str, str]:
        """Return the headers that name the sender: the server's key or the caller's token, never one for lack of the
        other, and what the operator adds to them.
        """
        key = token if self._forward_token else self._key
        return {**({"authorization": f"Bearer {key}"} if key else {}), **self._headers}


def last_words(chat: ChatRequest) -> list[str]:
    """Return the texts that an error of this request may quote: those of its last messages, the unheard included."""
    last = chat.messages[-QUOTED_MESSAGES:]
    originals = [message["metadata"].get("original") for message in last if is_interrupted(message)]
    texts = [text_of(message.get("content")) for message in last]
    return [*texts, *(original for original in originals if isinstance(original, str))]


def form_of(response: HttpResponse, seconds: float, stream_labels: Collection[str] = ()) -> Form:
    """Return the form of a response's body by its first bytes, which are not taken.

    Where these tell nothing, an answer with one of `stream_labels` as its media type counts as events. Raises
    UpstreamBadResponse for anything that is no answer of a model, and UpstreamTimeout after `seconds` of silence.
    """
    start = b""
    while (form := body_form.form_of(start)) is None:
        received = response.receive(seconds)
        if received is None:
            raise UpstreamTimeout("the upstream said nothing in time")
        if not received:
            break
        start += received
    response.unread(body_form.without_leading(start))
    # If such a stream is none, the reader finds no event in it and says so.
    is_plain = "content-encoding" not in response.headers
    if form in (None, Form.UNKNOWN) and is_plain and response.media_type in stream_labels:
        return Form.EVENTS
    if form in (Form.EVENTS, Form.OBJECTS):
        return form
    raise UpstreamBadResponse("the upstream answered with something other than a completion or a stream of chunks")
