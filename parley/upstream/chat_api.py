"""One OpenAI-compatible upstream behind HTTP: a single attempt at a stream or at a whole answer."""

import contextlib
import dataclasses
import json
import re
from collections.abc import Collection, Iterator, Set
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
from parley.upstream.status_errors import error_for_status
from parley.upstream.stream_reader import Patience, Receive, StreamReader
from parley.wire import chunks
from parley.wire.chunks import Envelope
from parley.wire.request import OUR_FIELDS, PRIVATE_FIELDS, ChatRequest

MODELS_TIMEOUT = 2.0
MOST_FIELDS_TOLD = 100
_CLEAN_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")

PromptForm = Literal["reference", "extractive"]
"""How a model is best told of passages; the forms themselves live with the knowledge."""


@dataclasses.dataclass(frozen=True)
class Budgets:
    """Seconds: to connect, to an attempt's first content, before the commit point in all, in silence, in all.

    `tick` is how often a silent stream gives an empty batch, so that its reader can show that it lives.
    """

    connect: float
    first_content: float
    precommit: float
    idle: float
    total: float
    tick: float


@dataclasses.dataclass(frozen=True)
class Completion:
    """A whole answer, a `chat.completion` object as the upstream wrote it; `request_id` as for `OpenStream`."""

    body: bytes
    request_id: str | None


class OpenStream:
    """A stream that has come to its commit point, or to its end: `held` is everything up to there.

    Must be closed. `request_id` is the upstream's own name for the request, if it gave a clean one.
    """

    def __init__(
        self, response: HttpResponse, reader: StreamReader, batches: Iterator[list[bytes]], redactor: Redactor
    ) -> None:
        self._response = response
        self._reader = reader
        self._batches = batches
        self.request_id = _request_id(response, redactor)
        self.held: list[bytes] = []
        while not reader.committed and (batch := next(batches, None)) is not None:
            self.held = type(batch)([*self.held, *batch])

    def rest(self, envelope: Envelope) -> Iterator[list[bytes]]:
        """The batches behind `held`, under the answer's envelope. Raises an UpstreamError, or AnswerCapped."""
        envelope.follow(self._reader.envelope)
        self._reader.envelope = envelope
        return self._batches

    def close(self) -> None:
        """Keep the connection where the answer was read to its end, else close it."""
        if self._reader.done:
            self._response.drain_and_close()
        else:
            self._response.close()


class ChatApi:
    """An upstream. `key` goes to it, or none; with `forward_token` the caller's own does.

    `name` stands for it in logs and metrics; `model` is asked for where a request names none, `fixed_model`
    whatever the request names. `secrets` are never to be passed on, whoever tells them.
    `spare` connections are held open ahead of the next questions.
    """

    prompt_form: PromptForm = "reference"

    def __init__(
        self,
        name: str,
        base_url: str,
        key: str | None,
        model: str,
        budgets: Budgets,
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
        self._held_back: set[str] = set()
        self._spare = spare
        self._base_url = base_url
        self._key = key
        self._budgets = budgets
        self._forward_fields = forward_fields
        self._forward_token = forward_token
        self._untold = [base_url, urlsplit(base_url).netloc, *([key] if key else []), *secrets]
        self._discreet = Redactor(self._untold)
        self._pool = ConnectionPool(base_url, max_idle=max_idle, connect_timeout=budgets.connect)

    def open(self, chat: ChatRequest, envelope: Envelope, seconds: float) -> OpenStream:
        """Ask for a stream and read it up to the commit point, in so many seconds at most.

        `envelope` is the answer's; it is left as it is, for another attempt may win.
        Raises an UpstreamError, UpstreamRefused for the upstream's own 4xx.
        """
        budgets = self._budgets
        patience = Patience(budgets.tick, budgets.idle, budgets.total)
        if chat.wants_audio:
            patience = patience.for_audio()
        reader = StreamReader(dataclasses.replace(envelope, used=False), patience)
        seconds = min(seconds, budgets.first_content)
        with gevent.Timeout(seconds, UpstreamTimeout("the upstream said nothing in time")):
            response = self._ask(chat, timeout=seconds)
            try:
                return OpenStream(
                    response, reader, reader.batches(_event_stream(response, budgets.idle)), self._redactor(chat)
                )
            except BaseException:
                response.close()
                raise

    def complete(self, chat: ChatRequest, seconds: float) -> Completion:
        """The whole answer, in so many seconds at most.

        Its first byte comes when it has finished: only the budgets for connecting and for all apply.
        Raises an UpstreamError, UpstreamRefused for the upstream's own 4xx.
        """
        seconds = min(seconds, self._budgets.total)
        with (
            gevent.Timeout(seconds, UpstreamTimeout("the upstream did not finish in time")),
            contextlib.closing(self._ask(chat, timeout=seconds)) as response,
        ):
            body = response.read(seconds)
        chunks.check_completion(body)
        return Completion(body, _request_id(response, self._redactor(chat)))

    def unavailable_reason(self) -> ParleyError | None:
        """What keeps it from answering right now, if anything is known to: nothing, until it is asked."""
        return None

    def models(self) -> list[dict[str, Any]]:
        """The upstream's own list of models; empty where it can't be had in time.

        Never asked with a caller's token: one caller's list is not another's business.
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
        except (ParleyError, ValueError, KeyError, TypeError, RecursionError):
            return []

    def warm(self) -> None:
        """Hold connections open ahead of the next questions; where the upstream can't be reached, later."""
        missing = self._pool.missing(self._spare)
        gevent.joinall([gevent.spawn(self._open_ahead) for _ in range(missing)])

    def _open_ahead(self) -> None:
        with contextlib.suppress(ParleyError):  # also ServerOverloaded, where no file is left for a connection
            self._pool.open_ahead()

    def _ask(self, chat: ChatRequest, *, timeout: float) -> HttpResponse:
        """Send the question; return the answer if its status is a success."""
        self._tell_of_held_back(chat.held_back(self._forward_fields))
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
            body=run_for_size(chat.size, self._question, chat),
            timeout=timeout,
        )
        if 200 <= response.status < 300:
            return response
        with contextlib.closing(response):
            raise error_for_status(
                response.status,
                response.headers,
                response.read(timeout),
                redactor=self._redactor(chat),
                own_key=not self._forward_token,
            )

    def _question(self, chat: ChatRequest) -> bytes:
        """Return the body of the request. Runs in a thread where it is large."""
        question = chat.for_upstream(self.model, self._forward_fields)
        if self._fixed_model:
            question["model"] = self._fixed_model
        return msgspec.json.encode(question)

    def _tell_of_held_back(self, names: Set[str]) -> None:
        """Say it once for each field: whoever sent it may wonder why it has no effect."""
        for name in names - self._held_back - PRIVATE_FIELDS - OUR_FIELDS:
            if len(self._held_back) < MOST_FIELDS_TOLD:
                self._held_back.add(name)
                log.info("field_held_back", field=name[:64], hint="LLM_FORWARD_FIELDS names those that may go upstream")

    def _redactor(self, chat: ChatRequest) -> Redactor:
        """Takes out of what the upstream says the key that it was sent, and where it lives."""
        if not self._forward_token or not chat.origin.token:
            return self._discreet
        return Redactor([*self._untold, chat.origin.token])

    def _authorization(self, token: str | None) -> dict[str, str]:
        key = token if self._forward_token else self._key
        return {"authorization": f"Bearer {key}"} if key else {}


def _event_stream(response: HttpResponse, timeout: float) -> Receive:
    """How the answer's event stream is received, also where the upstream sent one JSON object instead."""
    if response.media_type in ("text/event-stream", ""):
        return response.receive
    if response.media_type != "application/json":
        raise UpstreamBadResponse("the upstream answered with something other than an event stream")
    converted = iter([chunks.completion_as_stream(response.read(timeout))])
    return lambda _timeout: next(converted, b"")


def _request_id(response: HttpResponse, redactor: Redactor) -> str | None:
    given = redactor.redact(response.headers.get("x-request-id", ""))
    return given if _CLEAN_ID.fullmatch(given) else None
