"""Settings of the operation: callers, timeouts, limits and the log."""

import dataclasses
from typing import Any

from parley import setting_types as types
from parley.setting_rows import shared_servers
from parley.setting_rows.row import row


@dataclasses.dataclass(frozen=True, kw_only=True)
class CallerRows:
    """Settings of callers: who may send requests, and from where."""

    api_keys: tuple[str, ...] | None = row(
        types.KEYS,
        None,
        "Keys that callers may use (`Authorization: Bearer` or `x-api-key`), separated by commas. "
        "If unset, the server is open to everybody.",
        secret=True,
    )
    cors_origins: tuple[str, ...] | None = row(
        types.ORIGINS, None, "Origins of web pages and apps that may call, separated by commas; `*` allows any."
    )
    trusted_hosts: frozenset[str] = row(
        types.HOSTS,
        "",
        "Names of this server (`name` or `name:port`, separated by commas) whose own web pages may call from a browser "
        "if `API_KEYS` is unset. Its IP addresses and `localhost` need not be listed.",
    )
    trusted_proxies: int = row(
        types.integer(0, 10),
        "0",
        "Number of proxies in front of the server whose `X-Forwarded-For` and `X-Forwarded-Proto` are trusted.",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TimeoutRows:
    """Limits in seconds on waiting."""

    connect_timeout: float = row(types.seconds(60), "2", "Maximum seconds to connect to the upstream.")
    ttft_timeout: float = row(
        types.seconds(300), "6", "Maximum seconds until the first content of one attempt, a thought included."
    )
    precommit_timeout: float = row(
        types.seconds(300), "9", "Maximum seconds until the first content, all attempts together."
    )
    idle_timeout: float = row(types.seconds(600), "15", "Maximum seconds of silence inside an upstream's answer.")
    stream_timeout: float = row(
        types.seconds(3600), "300", "Maximum seconds that an upstream's answer may take in all."
    )
    heartbeat: float = row(
        types.seconds(60, or_none=True),
        "5",
        "Seconds of silence after which a stream that has begun gets a comment, so that routers keep it open; "
        "0 turns comments off.",
    )
    graceful_timeout: int = row(
        types.integer(3, 3600),
        "25",
        "Seconds that open streams may run on after SIGTERM; Parley ends the remaining ones 2 seconds earlier.",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LimitRows:
    """Limits that protect a worker and a budget."""

    spare_connections: int | None = row(
        types.integer(0, 1000),
        None,
        "Idle connections kept open to each upstream, so that this many calls at once need no TLS handshake. By "
        "default there are none to an `http://` upstream: they would save next to nothing, and each may hold one of "
        "the few threads of a small server.",
        shown="8 for `https://`, none for `http://`",
    )
    max_streams: int = row(
        types.integer(1, 100_000), "1000", "Maximum number of turns at once in a worker; further ones get status 503."
    )
    max_streams_per_key: int | None = row(
        types.integer(1, 100_000),
        None,
        "Maximum number of turns at once for each key in a worker, with `REDIS_URL` in all of them; "
        "further ones get status 429.",
    )
    rate_limit: str | None = row(
        types.RATE,
        None,
        "Maximum rate at which each key may begin turns in a worker, with `REDIS_URL` in all of them, such as "
        "`60/minute`; further ones get status 429.",
    )
    redis_url: Any = row(
        shared_servers.REDIS_URL,
        None,
        "URL of a Redis or Valkey through which all workers of all machines count `RATE_LIMIT` and "
        "`MAX_STREAMS_PER_KEY` together: `redis://`, `rediss://`, `unix://`, `redis+sentinel://`, `redis+cluster://`.",
        secret=True,
    )
    redis_prefix: str = row(
        types.matching(r"[A-Za-z0-9._-]{1,32}", "up to 32 letters, digits, dots, hyphens and underscores"),
        "parley",
        "Start of the name of each key in Redis, so that several deployments can use one.",
    )
    redis_timeout: int = row(
        types.integer(5, 1000), "50", "Most milliseconds that a turn waits for Redis before its first word, in all."
    )
    limits_without_redis: str = row(
        types.choice("share", "open", "refuse"),
        "share",
        "While Redis is away, each worker keeps to its `share` of the limits, keeps none (`open`), or answers with "
        "status 503 (`refuse`).",
    )
    max_body: int = row(
        types.integer(1024, 1 << 30), str(2 << 20), "Maximum bytes in a request's body; a larger one gets status 413."
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class OperationRows:
    """Settings of the playground and of the log."""

    playground: str = row(
        types.choice("auto", "on", "off"),
        "auto",
        "Who is served the page at `/playground`: nobody (`off`), everybody (`on`), or browsers of the machine itself "
        "that come through no proxy (`auto`; where `PORT` is set, nobody). Its data need a key if `API_KEYS` is set.",
    )
    capture: int = row(
        types.integer(0, 200),
        "0",
        "Number of requests that each worker keeps with their answers, word for word, in its memory, to be seen on the "
        "playground: for debugging. 0 keeps none.",
    )

    log_level: str = row(
        types.choice("debug", "info", "warning", "error"), "info", "Lowest level of log lines that are written."
    )
    log_format: str | None = row(
        types.choice("text", "json"),
        None,
        "Form of log lines: `text` or `json`.",
        shown="text on a terminal, JSON otherwise",
    )
