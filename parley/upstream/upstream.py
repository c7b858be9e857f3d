"""An OpenAI-compatible upstream: streams and whole answers, each in bounded time."""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import gevent

from parley.errors import (
    NotConfigured,
    ParleyError,
    UpstreamBadResponse,
    UpstreamError,
    UpstreamTimeout,
)
from parley.upstream.connections import Answer, Connections
from parley.upstream.reader import Reader
from parley.upstream.verdicts import verdict
from parley.wire import chunks
from parley.wire.request import Asked

MODELS_TIMEOUT = 2.0
MODELS_KEPT_SECONDS = 60.0

PromptForm = Literal["reference", "extractive"]
"""How a model is best told of passages; the forms themselves live with the knowledge."""


class Upstream(Protocol):
    """What answers need from the model behind us."""

    model: str
    prompt_form: PromptForm

    def stream(self, asked: Asked) -> Iterator[list[bytes]]:
        """The answer's payloads in batches; the first holds everything up to the commit point."""

    def complete(self, asked: Asked) -> bytes:
        """The whole answer, a `chat.completion` object as the upstream wrote it."""

    def models(self) -> list[dict[str, Any]]:
        """The upstream's own list of models, as far as it can be had in time; never raises."""

    def obstacle(self) -> ParleyError | None:
        """What keeps it from answering right now, if anything is known to."""


@dataclass(frozen=True)
class Budgets:
    """Seconds that an answer may take: to connect, to the first content, in silence, and in all."""

    connect: float
    first_content: float
    idle: float
    total: float


class NoUpstream:
    """Stands where none is configured: every question is answered with what to set."""

    model = ""
    prompt_form: PromptForm = "reference"

    def stream(self, asked: Asked) -> Iterator[list[bytes]]:
        """Raises NotConfigured."""
        raise self.obstacle()

    def complete(self, asked: Asked) -> bytes:
        """Raises NotConfigured."""
        raise self.obstacle()

    def models(self) -> list[dict[str, Any]]:
        """No models."""
        return []

    def obstacle(self) -> ParleyError:
        """Always the same one."""
        return NotConfigured(
            "no model is configured: set LLM_API_KEY (and LLM_BASE_URL for any API other than OpenAI's), "
            "or install the embedded demonstration model (see README.md)"
        )


class HttpUpstream:
    """One upstream behind HTTP. `key` goes to it, or none; with `forward_token` the caller's own does."""

    def __init__(
        self,
        base_url: str,
        key: str | None,
        model: str,
        budgets: Budgets,
        *,
        pool_size: int,
        forward_fields: frozenset[str] = frozenset(),
        forward_token: bool = False,
        prompt_form: PromptForm = "reference",
    ) -> None:
        self.model = model
        self.prompt_form = prompt_form
        self._base_url = base_url
        self._key = key
        self._budgets = budgets
        self._forward_fields = forward_fields
        self._forward_token = forward_token
        self._connections = Connections(base_url, pool_size=pool_size, connect_timeout=budgets.connect)
        self._models: tuple[float, list[dict[str, Any]]] | None = None

    def stream(self, asked: Asked) -> Iterator[list[bytes]]:
        """The answer's payloads in batches; the first holds everything up to the commit point.

        Raises an UpstreamError, UpstreamRefused for the upstream's own 4xx, Capped at the end of the caps.
        """
        late = UpstreamTimeout("the upstream said nothing in time")
        budget = gevent.Timeout.start_new(self._budgets.first_content, late)
        reader = Reader(asked.envelope, self._budgets.total)
        try:
            answer = self._ask(asked, read_timeout=self._budgets.idle)
            try:
                batches = reader.batches(_event_stream(answer))
                held: list[bytes] = []
                while not reader.committed and (batch := next(batches, None)):
                    held += batch
                budget.close()
                yield held
                yield from batches
            finally:
                answer.settle() if reader.done else answer.close()
        finally:
            budget.close()

    def complete(self, asked: Asked) -> bytes:
        """The whole answer, a `chat.completion` object as the upstream wrote it.

        Its first byte comes when it has finished: only the budgets for connecting and for all apply.
        Raises an UpstreamError, or UpstreamRefused for the upstream's own 4xx.
        """
        late = UpstreamTimeout("the upstream did not finish in time")
        with (
            gevent.Timeout(self._budgets.total, late),
            contextlib.closing(self._ask(asked, read_timeout=self._budgets.total)) as answer,
        ):
            body = answer.read()
        chunks.check_completion(body)
        return body

    def models(self) -> list[dict[str, Any]]:
        """The upstream's own list, asked for with a deadline and kept for a minute; empty where it fails.

        Never asked with a caller's token: one caller's list is not another's business.
        """
        if self._forward_token:
            return []
        if self._models is None or time.monotonic() - self._models[0] > MODELS_KEPT_SECONDS:
            self._models = (time.monotonic(), self._listed())
        return self._models[1]

    def obstacle(self) -> ParleyError | None:
        """None: whether it answers shows when it is asked."""
        return None

    def _listed(self) -> list[dict[str, Any]]:
        late = UpstreamTimeout("the upstream did not list its models in time")
        try:
            with (
                gevent.Timeout(MODELS_TIMEOUT, late),
                contextlib.closing(
                    self._connections.request(
                        "GET", "/models", headers=self._authorization(None), read_timeout=MODELS_TIMEOUT
                    )
                ) as answer,
            ):
                listed = json.loads(answer.read())["data"] if answer.status == 200 else []
        except (UpstreamError, ValueError, KeyError, TypeError, RecursionError):
            return []
        return [model for model in listed if isinstance(model, dict) and isinstance(model.get("id"), str)]

    def _ask(self, asked: Asked, *, read_timeout: float) -> Answer:
        """Send the question; return the answer if its status is a success."""
        body = json.dumps(
            asked.for_upstream(self.model, self._forward_fields), ensure_ascii=False, separators=(",", ":")
        )
        headers = {
            "content-type": "application/json",
            "accept": "text/event-stream" if asked.stream else "application/json",
            "x-request-id": asked.origin.request_id,
            **self._authorization(asked.origin.token),
        }
        answer = self._connections.request(
            "POST", "/chat/completions", headers=headers, body=body.encode(), read_timeout=read_timeout
        )
        if 200 <= answer.status < 300:
            return answer
        with contextlib.closing(answer):
            raise verdict(
                answer.status,
                answer.headers,
                answer.read(),
                secrets=[text for text in (self._key, self._base_url) if text],
                own_key=not self._forward_token,
            )

    def _authorization(self, token: str | None) -> dict[str, str]:
        key = token if self._forward_token else self._key
        return {"authorization": f"Bearer {key}"} if key else {}


def _event_stream(answer: Answer) -> Iterator[bytes]:
    """The answer as an event stream, also where the upstream sent one JSON object instead."""
    if answer.media_type in ("text/event-stream", ""):
        yield from answer.received()
    elif answer.media_type == "application/json":
        yield chunks.completion_as_stream(answer.read())
    else:
        raise UpstreamBadResponse("the upstream answered with something other than an event stream")
