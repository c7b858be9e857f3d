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
        self._running: dict[Key, RunningServer] = {}
        self._stacks: list[contextlib.ExitStack] = []

    def __call__(self, *, alone: str = "", **settings: str) -> RunningServer:
        env = {**self._usual, **settings}
        key = (alone, frozenset(env.items()))
        if key not in self._running:
            stack = contextlib.ExitStack()
            self._running[key] = stack.enter_context(running_server(env))
            self._stacks.append(stack)
        return self._running[key]

    def with_defaults(self, settings: Mapping[str, str]) -> Self:
        """Return the same pool of servers with other usual settings."""
        servers = type(self)({**self._usual, **settings})
        servers._running, servers._stacks = self._running, self._stacks
        return servers

    def stop(self) -> None:
        """Stop all servers at once. What they print meanwhile is not checked, for they are not asked to end well."""
        printed = [server.output() for server in self._running.values()]
        if self._stacks:
            with ThreadPoolExecutor(len(self._stacks)) as pool:
                list(pool.map(lambda stack: stack.close(), self._stacks))
        assert not [output for output in printed if "Traceback" in output]


@contextlib.contextmanager
def shared_servers(usual: Mapping[str, str]) -> Iterator[Servers]:
    """Yield the servers, for the length of a `with` block."""
    servers = Servers(usual)
    try:
        yield servers
    finally:
        servers.stop()
