"""The servers that tests share: one for each choice of settings, started when a test first asks for it, then kept.

servers = Servers({"LLM_BASE_URL": upstream.base_url})
server = servers(MAX_STREAMS="1")
"""

import contextlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from running_server import RunningServer, running_server

Key = tuple[str, frozenset[tuple[str, str]]]


class Servers:
    """`servers(TTFT_TIMEOUT="1")` is the running server with these settings; those not given are the usual ones.

    One that is `alone` is nobody else's. No server may print a traceback, whatever its upstream did.
    """

    def __init__(self, usual: Mapping[str, str]) -> None:
        self._usual = usual
        # The one that was asked for last is the last.
        self._running: dict[Key, tuple[RunningServer, contextlib.ExitStack]] = {}

    def __call__(self, *, alone: str = "", **settings: str) -> RunningServer:
        env = {**self._usual, **settings}
        key = (alone, frozenset(env.items()))
        running = self._running.pop(key, None)
        if running is None:
            stack = contextlib.ExitStack()
            running = stack.enter_context(running_server(env)), stack
        self._running[key] = running
        return running[0]

    def with_defaults(self, settings: Mapping[str, str]) -> Self:
        """Return the same pool of servers with other usual settings."""
        servers = type(self)({**self._usual, **settings})
        servers._running = self._running
        return servers

    def stop(self, *, keep: int = 0) -> None:
        """Stop all servers at once but the `keep` that were asked for last.

        What they print meanwhile is not checked, for they are not asked to end well.
        """
        ended = [self._running.pop(key) for key in list(self._running)[: max(len(self._running) - keep, 0)]]
        printed = [server.output() for server, _ in ended]
        if ended:
            with ThreadPoolExecutor(len(ended)) as pool:
                list(pool.map(lambda running: running[1].close(), ended))
        assert not [output for output in printed if "Traceback" in output]


@contextlib.contextmanager
def shared_servers(usual: Mapping[str, str]) -> Iterator[Servers]:
    """Yield the servers, for the length of a `with` block."""
    servers = Servers(usual)
    try:
        yield servers
    finally:
        servers.stop()
