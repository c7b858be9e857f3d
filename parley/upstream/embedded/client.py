"""A worker's client of the embedded model: an ordinary HTTP upstream that has to warm up first."""

import contextlib
import time
from collections.abc import Mapping
from typing import Any

from parley.errors import ParleyError, UpstreamError, WarmingUp
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
LOADING = "warming up: the embedded model is still loading"


class EmbeddedUpstream(ChatApi):
    """The embedded model's server. A request that comes before it is ready waits, as long as for a first content."""

    prompt_form: PromptForm = "extractive"

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

    def open(self, chat: ChatRequest, envelope: Envelope, *, seconds: float, tick: float) -> OpenStream:
        """Ask for a stream, see `ChatApi.open`. Raises WarmingUp if the model does not load in time."""
        self._wait_until_ready()
        return super().open(chat, envelope, seconds=seconds, tick=tick)

    def complete(self, chat: ChatRequest, *, seconds: float) -> Completion:
        """Return the whole answer, see `ChatApi.complete`. Raises WarmingUp if the model does not load in time."""
        self._wait_until_ready()
        return super().complete(chat, seconds=seconds)

    def models(self) -> list[dict[str, Any]]:
        """Return the one model, labelled as a demonstration."""
        return [{"id": MODEL, "object": "model", "created": 0, "owned_by": "parley (demonstration model)"}]

    def unavailable_reason(self) -> ParleyError | None:
        """Return WarmingUp until the server has reported once that it is healthy."""
        if self._ready:
            return None
        with contextlib.suppress(UpstreamError):
            response = self._health.request("GET", "/health", headers={}, timeout=HEALTH_SECONDS)
            with contextlib.closing(response):
                response.read(HEALTH_SECONDS)
                # 503 while it loads.
                self._ready = response.status == 200
        return None if self._ready else WarmingUp(LOADING)

    def _wait_until_ready(self) -> None:
        due = time.monotonic() + self._load_seconds
        while self.unavailable_reason():
            if time.monotonic() > due:
                raise WarmingUp(LOADING)
            time.sleep(POLL_SECONDS)
