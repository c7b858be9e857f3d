"""Strange requests: bodies and heads that hypothesis makes up, sent to the real server, and what its answers are worth.

    statuses = bombard(server, bodies=2000, heads=200)

Whatever comes, the answer is 200 or of the 400s, in JSON (or a stream); below the application gunicorn answers with a
page of its own. Anything else raises AssertionError, with the shortest request that shows it.
"""

import contextlib
import http.client
import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from exchange import ROUTES
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from running_server import RunningServer

ROUND = 2000
OWN_OF_HTTP = {501, 505}
"""An unknown transfer coding and an unknown version of HTTP: gunicorn's own, and no fault of a server."""
STATUS = re.compile(rb"^HTTP/1\.[01] (\d{3}) ", re.MULTILINE)

ODD_TEXT = st.sampled_from(
    [
        "",
        "\0",
        "\ud7ff",
        "\u2028",
        "\U0010ffff",
        "{{7*7}}",
        "../..",
        "%s%n",
        "a\r\nb: c",
        "data: [DONE]\n\n",
        "x" * 5000,
    ]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | ODD_TEXT
)
NAMES = st.text(max_size=8) | st.sampled_from(["role", "content", "type", "text", "metadata", "function", "id"])
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=8
)
ROLES = st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"])
PARTS = st.lists(st.fixed_dictionaries({"type": st.sampled_from(["text", "image", "image_url"])}) | VALUES, max_size=3)
GOOD_MESSAGE = st.fixed_dictionaries({"role": ROLES, "content": st.text(max_size=40)})
MESSAGE = GOOD_MESSAGE | st.fixed_dictionaries(
    {},
    optional={"role": ROLES | VALUES, "content": st.text() | PARTS | VALUES, "tool_calls": VALUES, "audio": VALUES},
)
MESSAGES = st.lists(GOOD_MESSAGE, min_size=1, max_size=3) | st.lists(MESSAGE, max_size=3) | VALUES
FIELDS = {
    "model": st.sampled_from(["gpt-4o-mini", "x" * 257]) | ODD_TEXT | VALUES,
    "stream": st.booleans() | VALUES,
    "stream_options": st.just({"include_usage": True}) | VALUES,
    "modalities": st.just(["text", "audio"]) | VALUES,
    "audio": st.just({"voice": "alloy", "format": "pcm16"}) | VALUES,
    "asset": st.sampled_from(["welcome", "../../etc/passwd", "x", "%2e%2e", "CON", "a/b"]) | ODD_TEXT | VALUES,
    "waiting": st.sampled_from(["always", "off", 0, 60_000, 60_001, True]) | VALUES,
    "tools": VALUES,
    "turn_id": st.integers() | VALUES,
    "temperature": VALUES,
    "context": VALUES,
    "metadata": VALUES,
}
REQUESTS = st.fixed_dictionaries({"messages": MESSAGES}, optional=FIELDS)
WRITTEN = st.one_of(REQUESTS, REQUESTS, VALUES).map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass"))
SNIPPETS = st.binary(max_size=4) | st.sampled_from(
    [
        b"NaN",
        b"1e999",
        b'"',
        b"\\",
        b"\\ud800",
        b"\xff",
        b"\0",
        b"[" * 100,
        b"9" * 5000,
        b',"a":1,"a":1',
        b"]",
        b"}",
        b":",
    ]
)


def _cut(body: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """The body with bytes replaced here and there."""
    for place, length, new in changes:
        at = place % (len(body) + 1)
        body = body[:at] + new + body[at + length :]
    return body


CHANGES = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 8), SNIPPETS), min_size=1, max_size=3)
BODIES = st.one_of(WRITTEN, WRITTEN, st.builds(_cut, WRITTEN, CHANGES), st.binary(max_size=50))

ODD_VALUES = st.binary(max_size=12) | st.sampled_from(
    [
        b"",
        b"a" * 9000,
        b"\xff\xfe",
        b"a, b",
        b'"',
        b"\0",
        b"a\tb",
        b"' OR 1=1--",
        b"*/*",
        b"0",
        b"-1",
        b"1e3",
        b"\r",
        b"\n",
    ]
)
HEADER_LINES = st.one_of(
    st.tuples(st.just(b"authorization"), ODD_VALUES | ODD_VALUES.map(lambda value: b"Bearer " + value)),
    st.tuples(st.just(b"content-type"), st.sampled_from([b"application/json", b"text/plain;charset=x"]) | ODD_VALUES),
    st.tuples(st.just(b"content-length"), st.sampled_from([b"0", b"2", b"7", b"+7", b"99999999"]) | ODD_VALUES),
    st.tuples(st.just(b"transfer-encoding"), st.sampled_from([b"chunked", b"Chunked", b"gzip, chunked"]) | ODD_VALUES),
    st.tuples(st.just(b"content-encoding"), st.sampled_from([b"gzip", b"identity", b"br"]) | ODD_VALUES),
    st.tuples(st.just(b"expect"), st.sampled_from([b"100-continue", b"100-Continue", b"200"]) | ODD_VALUES),
    st.tuples(st.just(b"connection"), st.sampled_from([b"close", b"keep-alive", b"upgrade"]) | ODD_VALUES),
    st.tuples(
        st.sampled_from(
            [
                b"x-request-id",
                b"x-api-key",
                b"traceparent",
                b"origin",
                b"host",
                b"cookie",
                b"accept",
                b"x-forwarded-for",
            ]
        ),
        ODD_VALUES,
    ),
    st.tuples(st.binary(max_size=6), ODD_VALUES),
)
METHODS = st.sampled_from([b"POST", b"POST", b"POST", b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"post", b"P\xc3ST"])
PATHS = st.sampled_from(ROUTES).map(str.encode) | st.binary(max_size=12).map(lambda path: b"/" + path)
VERSIONS = st.sampled_from(
    [b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9.9", b"http/1.1", b""]
)
RAW_BODIES = BODIES | st.builds(lambda body: b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), BODIES)


def _request(method: bytes, path: bytes, version: bytes, lines: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    head = b"".join(name + b": " + value + b"\r\n" for name, value in lines)
    return b"%b %b %b\r\nhost: parley\r\n%b\r\n%b" % (method, path, version, head, body)


HEADS = st.builds(_request, METHODS, PATHS, VERSIONS, st.lists(HEADER_LINES, max_size=4), RAW_BODIES)


class Bombardment:
    """A client who sends one strange request after the other, on one connection as long as it stands."""

    def __init__(self, server: RunningServer) -> None:
        self.statuses: Counter[int] = Counter()
        self._server = server
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def send_body(self, route: str, body: bytes) -> None:
        """A body in a good request. Raises AssertionError for an answer that may not be."""
        self._connection.request("POST", route, body)
        response = self._connection.getresponse()
        self.statuses[response.status] += 1
        kind = response.headers["content-type"]
        if kind == "text/event-stream":
            assert response.status == 200
            if route.startswith("/audio"):
                self._connection.close()  # lasts as long as speech
            else:
                assert response.read().endswith(b"\n\n")
            return
        answer = json.loads(response.read())
        assert kind == "application/json" and (response.status == 200 or 400 <= response.status < 500), response.status
        assert response.status == 200 or _is_error(answer), answer

    def send_head(self, request: bytes) -> None:
        """A request as it stands. Raises AssertionError for an answer that may not be."""
        received = b""
        with self._server.connect() as connection, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request)
            with contextlib.suppress(OSError):  # closed already
                connection.shutdown(1)
            while more := connection.recv(65536):
                received += more
        statuses = [int(status) for status in STATUS.findall(received)]
        self.statuses[statuses[0] if statuses else 0] += 1
        assert received == b"" or STATUS.match(received), received
        assert all(status < 500 or status in OWN_OF_HTTP for status in statuses), received


def _is_error(answer: Any) -> bool:
    return answer.keys() == {"error", "detail"} and answer["error"].keys() == {"message", "type", "param", "code"}


def bombard(server: RunningServer, *, bodies: int, heads: int) -> Counter[int]:
    """So many strange bodies and heads, always the same; gives how often each status was the answer, 0 for none."""
    with contextlib.closing(Bombardment(server)) as client:
        _make_up(bodies, st.tuples(st.sampled_from(ROUTES), BODIES), lambda made_up: client.send_body(*made_up))
        _make_up(heads, HEADS, client.send_head)
    return client.statuses


def _make_up(count: int, strategy: st.SearchStrategy[Any], send: Callable[[Any], None]) -> None:
    """In rounds: hypothesis remembers all that it made up, which takes memory and time."""
    for number, begin in enumerate(range(0, count, ROUND)):

        @seed(number)
        @settings(
            max_examples=min(ROUND, count - begin),
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def send_each(made_up: Any) -> None:
            send(made_up)

        send_each()
