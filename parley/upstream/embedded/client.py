"""A worker's view of the embedded model: an ordinary HTTP upstream that has to warm up first."""

import contextlib
import time
from typing import Any

from parley.errors import ParleyError, UpstreamError, WarmingUp
from parley.http_client.pool import ConnectionPool
from parley.upstream.chat_api import Budgets, ChatApi, Completion, OpenStream, PromptForm
from parley.upstream.embedded.model_process import MODEL, Running
from parley.wire.chunks import Envelope
from parley.wire.request import ChatRequest

POLL_SECONDS = 0.05
HEALTH_SECONDS = 1.0
LOADING = "warming up: the embedded model is still loading"


class EmbeddedUpstream(ChatApi):
    """The embedded model's server: what is asked before it is ready waits for it, within its budget."""

    prompt_form: PromptForm = "extractive"

    def __init__(self, server: Running, budgets: Budgets, *, max_idle: int) -> None:
        super().__init__("embedded", server.base_url, server.key, MODEL, budgets, max_idle=max_idle)
        root = server.base_url.removesuffix("/v1")
        self._health = ConnectionPool(root, max_idle=1, connect_timeout=budgets.connect)
        self._patience = budgets.first_content
        self._ready = False

    def open(self, chat: ChatRequest, envelope: Envelope, seconds: float) -> OpenStream:
        """As `ChatApi.open`; raises WarmingUp where it is not ready within the budget."""
        self._await()
        return super().open(chat, envelope, seconds)

    def complete(self, chat: ChatRequest, seconds: float) -> Completion:
        """As `ChatApi.whole`; raises WarmingUp where it is not ready within the budget."""
        self._await()
        return super().complete(chat, seconds)

    def models(self) -> list[dict[str, Any]]:
        """One model, labelled as what it is."""
        return [{"id": MODEL, "object": "model", "created": 0, "owned_by": "parley (demonstration model)"}]

    def unavailable_reason(self) -> ParleyError | None:
        """WarmingUp until its server answered once that it is well."""
        if not self._ready:
            self._ready = self._is_well()
        return None if self._ready else WarmingUp(LOADING)

    def _await(self) -> None:
        until = time.monotonic() + self._patience
        while self.unavailable_reason():
            if time.monotonic() > until:
                raise WarmingUp(LOADING)
            time.sleep(POLL_SECONDS)

    def _is_well(self) -> bool:
        try:
            with contextlib.closing(
                self._health.request("GET", "/health", headers={}, timeout=HEALTH_SECONDS)
            ) as response:
                response.read(HEALTH_SECONDS)
                return response.status == 200
        except UpstreamError:
            return False
