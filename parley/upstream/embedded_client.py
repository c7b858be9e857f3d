"""A worker's view of the embedded model: an ordinary HTTP upstream that has to warm up first."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from parley.errors import ParleyError, UpstreamError, WarmingUp
from parley.upstream.connections import Connections
from parley.upstream.embedded import MODEL, Running
from parley.upstream.upstream import Budgets, HttpUpstream, PromptForm
from parley.wire.request import Asked

POLL_SECONDS = 0.05


class EmbeddedUpstream:
    """The embedded model's server: what is asked before it is ready waits for it, within its budget."""

    model = MODEL
    prompt_form: PromptForm = "extractive"

    def __init__(self, server: Running, budgets: Budgets, *, pool_size: int) -> None:
        self._http = HttpUpstream(server.base_url, server.key, MODEL, budgets, pool_size=pool_size)
        self._health = Connections(server.base_url.removesuffix("/v1"), pool_size=1, connect_timeout=budgets.connect)
        self._patience = budgets.first_content
        self._ready = False

    def stream(self, asked: Asked) -> Iterator[list[bytes]]:
        """As `HttpUpstream.stream`; raises WarmingUp where it is not ready within the budget."""
        self._await()
        yield from self._http.stream(asked)

    def complete(self, asked: Asked) -> bytes:
        """As `HttpUpstream.complete`; raises WarmingUp where it is not ready within the budget."""
        self._await()
        return self._http.complete(asked)

    def models(self) -> list[dict[str, Any]]:
        """One model, labelled as what it is."""
        return [{"id": MODEL, "object": "model", "created": 0, "owned_by": "parley (demonstration model)"}]

    def obstacle(self) -> ParleyError | None:
        """WarmingUp until its server answered once that it is well."""
        if not self._ready:
            self._ready = self._is_well()
        return None if self._ready else WarmingUp("warming up: the embedded model is still loading")

    def _await(self) -> None:
        until = time.monotonic() + self._patience
        while obstacle := self.obstacle():
            if time.monotonic() > until:
                raise obstacle
            time.sleep(POLL_SECONDS)

    def _is_well(self) -> bool:
        try:
            answer = self._health.request("GET", "/health", headers={}, read_timeout=1.0)
        except UpstreamError:
            return False
        with contextlib.closing(answer):
            answer.read()
            return answer.status == 200
