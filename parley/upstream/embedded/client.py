"""A worker's client of the embedded model: an ordinary HTTP upstream that has to load, at its start and when its
process has been replaced.

    loading ──health is good──► ready ──refused, or closed without an answer──► loading

Requests wait while it loads, as long as for a first content. One that found the process gone waits and is sent again.
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from parley.errors import (
    ParleyError,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
    WarmingUp,
)
from parley.http_client.pool import ConnectionPool
from parley.upstream.chat_api import ChatApi, PromptForm
from parley.upstream.embedded.model_process import MODEL, ModelProcess
from parley.upstream.open_stream import Completion, OpenStream
from parley.upstream.timeouts import Timeouts
from parley.wire.chunks import Envelope
from parley.wire.request import ChatRequest

POLL_SECONDS = 0.05
"""Seconds between two looks at a model that is loading."""
HEALTH_SECONDS = 1.0
"""Seconds for which the server's health is waited for."""
KEPT_SECONDS = 0.25
"""Seconds for which a good report is believed."""
LOADING = "warming up: the embedded model is still loading"

Answer = TypeVar("Answer")


class EmbeddedUpstream(ChatApi):
    """The embedded model's server. A request that comes before it is ready waits, as long as for a first content."""

    prompt_form: PromptForm = "extractive"
    # llama.cpp writes the time of each chunk into it.
    one_envelope = True
    suspects_silence = False
    of_this_machine = True

    def __init__(
        self, server: ModelProcess, timeouts: Timeouts, *, max_idle: int, params: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(
            "embedded", server.base_url, server.key, MODEL, timeouts, max_idle=max_idle, params=params or {}
        )
        # llama.cpp has its health check beside /v1, not below it.
        root = server.base_url.removesuffix("/v1")
        self._health = ConnectionPool(root, max_idle=1, connect_timeout=timeouts.connect)
        self._load_seconds = timeouts.first_content
        self._ready = False
        self._asked_at = 0.0

    def open(self, chat: ChatRequest, envelope: Envelope, *, seconds: float, tick: float) -> OpenStream:
        """Ask for a stream, see `ChatApi.open`. Raises WarmingUp if the model does not load in time."""
        return self.when_ready(
            lambda left: super(EmbeddedUpstream, self).open(chat, envelope, seconds=left, tick=tick), seconds
        )

    def complete(self, chat: ChatRequest, *, seconds: float) -> Completion:
        """Return the whole answer, see `ChatApi.complete`. Raises WarmingUp if the model does not load in time."""
        return self.when_ready(lambda left: super(EmbeddedUpstream, self).complete(chat, seconds=left), seconds)

    def models(self) -> list[dict[str, Any]]:
        """Return the one model, labelled as a demonstration."""
        return [{"id": MODEL, "object": "model", "created": 0, "owned_by": "parley (demonstration model)"}]

    def unavailable_reason(self) -> ParleyError | None:
        """Return WarmingUp unless the server reports now, or did a moment ago, that it is healthy."""
        # Everybody may ask for /ready, and as often as they like.
        if not self._ready or time.monotonic() - self._asked_at >= KEPT_SECONDS:
            self.ask_for_health()
        return None if self._ready else WarmingUp(LOADING)

    def ask_for_health(self) -> None:
        """Note whether the server is healthy; one that does not answer in time is as before."""
        self._asked_at = time.monotonic()
        try:
            response = self._health.request("GET", "/health", headers={}, timeout=HEALTH_SECONDS)
            with contextlib.closing(response):
                response.read(HEALTH_SECONDS)
                # 503 while it loads.
                self._ready = response.status == 200
        except UpstreamTimeout:
            # Busy, if it has been healthy before.
            pass
        except UpstreamError:
            self._ready = False

    def when_ready(self, ask: Callable[[float], Answer], seconds: float) -> Answer:
        """Return what `ask` returns, which gets the seconds that are left; ask again if the process was gone.

        Raises WarmingUp if the server does not become ready in time.
        """
        due = time.monotonic() + min(seconds, self._load_seconds)
        ends = time.monotonic() + seconds
        while True:
            self._wait_until_ready(due)
            try:
                return ask(ends - time.monotonic())
            except (UpstreamUnreachable, UpstreamDisconnected):
                # No word has been said. The health tells whether the process is gone, or only this answer failed.
                self.ask_for_health()
                if self._ready:
                    raise

    def _wait_until_ready(self, due: float) -> None:
        while not self._ready:
            self.ask_for_health()
            if self._ready:
                return
            if time.monotonic() > due:
                raise WarmingUp(LOADING)
            time.sleep(POLL_SECONDS)
