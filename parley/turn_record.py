"""What became of a request on its way: gathered by whoever knows, written once, by `parley/telemetry/metrics.py`."""

import time
from dataclasses import dataclass
from typing import Any


@dataclass
class TurnRecord:
    """The fields of a request's log line. Times are milliseconds since it arrived.

    `client` is the caller's address, as its own end of the connection or else a trusted proxy gives it (`client_by`).
    `first_ms` is the first byte's, a waiting message included; `ttft_ms` that of the upstream's first content.
    `passages` were given to the model, found in `lookup_ms`.
    """

    endpoint: str
    id: str
    model: str | None = None
    turn_id: int | None = None
    client: str | None = None
    client_by: str = "peer"
    outcome: str | None = None
    code: str | None = None
    upstream: str | None = None
    upstream_request_id: str | None = None
    attempts: int = 0
    passages: int | None = None
    lookup_ms: float | None = None
    first_ms: float | None = None
    ttft_ms: float | None = None
    chunks: int = 0
    ms: float = 0.0

    def fields(self) -> dict[str, Any]:
        """All of them by name, in this order."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __post_init__(self) -> None:
        self._started = time.monotonic()

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since the request arrived."""
        return round((time.monotonic() - self._started) * 1000, 1)
