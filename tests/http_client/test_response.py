"""One HTTP response on a real socket: its framing, its bounds, its end, and the reuse of its connection."""

import contextlib
import gc
import gzip
import itertools
import socket
import struct
import threading
import weakref
from collections.abc import Callable, Iterator

import gevent
import pytest
from gevent import socket as green
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st

from parley.errors import UpstreamBadResponse, UpstreamDisconnected, UpstreamTimeout, UpstreamUnreachable
from parley.http_client.response import MAX_HEAD_BYTES, HttpResponse, NoResponse

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
TIMEOUT = 10.0


class Wire:
    """A response, and the upstream's end of its connection. Each piece that is sent is one receive."""

    def __init__(self, *pieces: bytes, cut: bool = False) -> None:
        ours, self.upstream = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.kept: list[socket.socket] = []
        self.response = HttpResponse(ours, self.kept.append)
        self._ours = ours
        self.send(*pieces)
        if cut:
            self.upstream.close()

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.upstream.sendall(piece)

    def read(self) -> bytes:
        """Return the body, read to its end; close the response."""
        self.response.read_head(TIMEOUT)
        body = self.response.read(TIMEOUT)
        self.response.close()
        return body

    @property
    def serves_again(self) -> bool:
        """True if the closed response handed its connection back; else the connection is closed."""
        assert (self._ours.fileno() == -1) is not bool(self.kept)
        return self.kept == [self._ours]

    def close(self) -> None:
        self._ours.close()
        self.upstream.close()


@pytest.fixture
def wire() -> Iterator[Callable[..., Wire]]:
    """Yield a factory of wires, which are closed after the test."""
    made: list[Wire] = []

    def make(*pieces: bytes, cut: bool = False) -> Wire:
        made.append(Wire(*pieces, cut=cut))
        return made[-1]

    yield make
    for one in made:
        one.close()


NewWire = Callable[..., Wire]


# --- complete responses ---

WHOLE = {
    "a length": OK + b"Content-Length: 5\r\n\r\nhello",
    "a length of zero": OK + b"Content-Length: 0\r\n\r\n",
    "chunks": CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    "extensions": CHUNKED + b'2;a=b;c="d;e"\r\nhe\r\n00003;x\r\nllo\r\n0;last\r\n\r\n',
    "trailers": CHUNKED + b"5\r\nhello\r\n0\r\nServer-Timing: a;dur=1\r\nX: y\r\n\r\n",
    "upper and lower hex": CHUNKED + b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
    "100 before": b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 5\r\n\r\nhello",
    "103 before": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 9\r\n\r\n"
    + CHUNKED
    + b"5\r\nhello\r\n0\r\n\r\n",
    "two before": b"HTTP/1.1 102 Processing\r\n\r\n" * 2 + OK + b"Content-Length: 5\r\n\r\nhello",
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.0 that is kept": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
}
BODIES = {"a length of zero": b"", "upper and lower hex": b"0123456789" * 2, "204": b""}


@pytest.mark.parametrize("form", WHOLE)
def test_a_complete_response_frees_its_connection(wire: NewWire, form: str) -> None:
    one = wire(WHOLE[form])
    assert one.read() == BODIES.get(form, b"hello") and one.serves_again
    assert one.response.status == (204 if form == "204" else 200) and "link" not in one.response.headers


@pytest.mark.parametrize("form", WHOLE)
def test_a_response_may_arrive_byte_by_byte(wire: NewWire, form: str) -> None:
    one = wire(*(WHOLE[form][place : place + 1] for place in range(len(WHOLE[form]))))
    assert one.read() == BODIES.get(form, b"hello") and one.serves_again


def sliced(stream: bytes, offsets: list[int]) -> list[bytes]:
    borders = [0, *sorted({offset % len(stream) for offset in offsets} - {0}), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(borders)]


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=8),
    extension=st.sampled_from([b"", b";a=b", b';a="b"']),
    trailer=st.sampled_from([b"", b"X: y\r\n"]),
    places=st.lists(st.integers(0, 2000), max_size=40),
)
def test_chunks_and_receives_do_not_change_the_body(
    chunks: list[bytes], extension: bytes, trailer: bytes, places: list[int]
) -> None:
    framed = b"".join(b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    with contextlib.closing(Wire(*sliced(CHUNKED + framed + b"0\r\n" + trailer + b"\r\n", places))) as one:
        assert one.read() == b"".join(chunks) and one.serves_again


@given(body=st.binary(max_size=100), places=st.lists(st.integers(0, 200), max_size=20))
def test_receives_do_not_change_a_body_of_known_length(body: bytes, places: list[int]) -> None:
    with contextlib.closing(Wire(*sliced(OK + b"content-length: %d\r\n\r\n" % len(body) + body, places))) as one:
        assert one.read() == body and one.serves_again


def test_the_bytes_of_one_receive_leave_together(wire: NewWire) -> None:
    one = wire(CHUNKED, b"1\r\na\r\n1\r\nb\r\n", b"1\r\nc\r\n", b"0\r\n\r\n")
    one.response.read_head(TIMEOUT)
    assert [one.response.receive(TIMEOUT) for _ in range(4)] == [b"ab", b"c", b"", b""]


def test_headers_are_in_lower_case_and_trailers_are_dropped(wire: NewWire) -> None:
    one = wire(OK + b"Content-TYPE: Text/HTML; charset=x\r\nX-Empty:\r\nTransfer-Encoding: chunked\r\n\r\n")
    one.response.read_head(TIMEOUT)
    one.send(b"0\r\nContent-Type: text/event-stream\r\n\r\n")
    assert one.response.read(TIMEOUT) == b"" and one.response.media_type == "text/html"
    assert one.response.headers["x-empty"] == "" and one.response.headers["content-type"] == "Text/HTML; charset=x"


def test_without_a_content_type_there_is_no_media_type(wire: NewWire) -> None:
    one = wire(WHOLE["a length"])
    one.response.read_head(TIMEOUT)
    assert one.response.media_type == ""


UNTIL_CLOSE = {
    "no framing": OK + b"\r\nhello",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "Connection: close": OK + b"Connection: close\r\n\r\nhello",
    "an empty body": OK + b"\r\n",
}


@pytest.mark.parametrize("form", UNTIL_CLOSE)
def test_a_body_without_framing_ends_with_the_connection(wire: NewWire, form: str) -> None:
    one = wire(UNTIL_CLOSE[form], cut=True)
    assert one.read() == (b"" if form == "an empty body" else b"hello") and not one.serves_again


CLOSING = {
    "Connection: close": OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "chunks and close": OK + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("form", CLOSING)
def test_a_response_that_announces_a_close_is_not_reused(wire: NewWire, form: str) -> None:
    one = wire(CLOSING[form])
    assert one.read() == b"hello" and not one.serves_again


# --- responses that break ---


@pytest.mark.parametrize(
    "framing", [CHUNKED + b"5\r\nhe", CHUNKED + b"2\r\nhe\r\n", OK + b"Content-Length: 5\r\n\r\nhe"]
)
def test_a_truncated_body_is_an_error(wire: NewWire, framing: bytes) -> None:
    one = wire(framing, cut=True)
    one.response.read_head(TIMEOUT)
    assert one.response.receive(TIMEOUT) == b"he"
    with pytest.raises(UpstreamDisconnected):
        one.response.receive(TIMEOUT)
    one.response.close()
    assert not one.serves_again


@pytest.mark.parametrize("form", ["a length", "chunks", "extensions", "trailers", "103 before"])
def test_a_response_truncated_at_any_byte_is_an_error(form: str) -> None:
    for place in range(1, len(WHOLE[form])):
        with contextlib.closing(Wire(WHOLE[form][:place], cut=True)) as one:
            with pytest.raises((UpstreamDisconnected, NoResponse)):
                one.read()
            one.response.close()
            assert not one.serves_again


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def loopback() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        return ours, listener.accept()[0]


@pytest.mark.parametrize(
    ("head", "body", "error"),
    [
        (b"", None, NoResponse),
        (OK, None, UpstreamDisconnected),
        (CHUNKED, b"", UpstreamDisconnected),
        (CHUNKED, b"5\r\nhe", UpstreamDisconnected),
        (OK + b"\r\n", b"until the close", UpstreamDisconnected),
    ],
)
def test_a_reset_anywhere_is_an_error(head: bytes, body: bytes | None, error: type[Exception]) -> None:
    ours, upstream = loopback()
    answer = HttpResponse(ours, lambda _connection: pytest.fail("kept"))
    upstream.sendall(head)
    if body is not None:
        answer.read_head(TIMEOUT)
        upstream.sendall(body)
    reset(upstream)
    with pytest.raises(error):
        answer.read_head(TIMEOUT) if body is None else answer.read(TIMEOUT)
    answer.close()


def test_a_closed_response_is_in_no_cycle() -> None:
    gc.disable()
    try:
        one = Wire(CHUNKED, b"5\r\nhello\r\n0\r\n\r\n")
        assert one.read() == b"hello"
        one.close()
        answer = weakref.ref(one.response)
        del one
        assert answer() is None
    finally:
        gc.enable()


def test_a_close_without_a_byte_is_no_response(wire: NewWire) -> None:
    with pytest.raises(NoResponse):
        wire(cut=True).response.read_head(TIMEOUT)
    assert issubclass(NoResponse, UpstreamUnreachable)


@pytest.mark.parametrize("begun", [b"H", OK, OK + b"Content-Length: 5\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_a_close_inside_the_head_is_a_broken_response(wire: NewWire, begun: bytes) -> None:
    with pytest.raises(UpstreamDisconnected):
        wire(begun, cut=True).response.read_head(TIMEOUT)


NOT_HTTP = {
    "another protocol": b"SSH-2.0-OpenSSH_9.9\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a request": b"GET / HTTP/1.1\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "no colon": OK + b"header\r\n\r\n",
    "a space before the colon": OK + b"Content-Length : 5\r\n\r\nhello",
    "a control character in a value": OK + b"X: a\x00b\r\n\r\n",
    "both framings": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "both framings, turned round": OK
    + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "two lengths": OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "a negative length": OK + b"Content-Length: -5\r\n\r\nhello",
    "a signed length": OK + b"Content-Length: +5\r\n\r\nhello",
    "a length in words": OK + b"Content-Length: five\r\n\r\nhello",
    "a length beyond all bounds": OK + b"Content-Length: 99999999999999999999999\r\n\r\nhello",
    "a chunk's size in words": CHUNKED + b"Z\r\nhello\r\n0\r\n\r\n",
    "a chunk's size with 0x": CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
    "a negative chunk": CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
    "a chunk that is longer": CHUNKED + b"4\r\nhello\r\n0\r\n\r\n",
    "a chunk beyond all bounds": CHUNKED + b"fffffffffffffffff\r\nhello",
    "another protocol asked for": b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nhello",
}


@pytest.mark.parametrize("form", NOT_HTTP)
def test_anything_but_http_is_refused(wire: NewWire, form: str) -> None:
    one = wire(NOT_HTTP[form])
    with pytest.raises(UpstreamBadResponse):
        one.read()
    one.response.close()
    assert not one.serves_again


@given(garbage=st.binary(min_size=1, max_size=200), places=st.lists(st.integers(0, 200), max_size=5))
def test_garbage_raises_an_upstream_error_and_no_other(garbage: bytes, places: list[int]) -> None:
    refusals = (UpstreamBadResponse, UpstreamDisconnected, NoResponse)
    with contextlib.closing(Wire(*sliced(garbage, places), cut=True)) as one, pytest.raises(refusals):
        one.read()


@given(st.binary(max_size=60), st.lists(st.integers(0, 200), max_size=5))
def test_garbage_behind_a_head_is_an_error_or_a_body(garbage: bytes, places: list[int]) -> None:
    with contextlib.closing(Wire(*sliced(CHUNKED + garbage, places), cut=True)) as one:
        try:
            body = one.read()
        except (UpstreamBadResponse, UpstreamDisconnected):
            body = b""
        assert len(body) <= len(garbage)


def test_an_endless_head_is_refused(wire: NewWire) -> None:
    one = wire(OK)
    for _ in range(20):
        one.send(b"".join(b"x-%d: %b\r\n" % (number, b"y" * 80) for number in range(40)))
    with pytest.raises(UpstreamBadResponse, match="too large"):
        one.response.read_head(TIMEOUT)


@pytest.mark.parametrize("begun", [b"HTTP/1.1 200 ", OK + b"x: ", OK])
def test_an_endless_line_of_the_head_is_refused(wire: NewWire, begun: bytes) -> None:
    one = wire(begun, *[b"y" * 16384] * (1 + MAX_HEAD_BYTES // 16384))
    with pytest.raises(UpstreamBadResponse):
        one.response.read_head(TIMEOUT)


def test_endless_interim_responses_are_refused(wire: NewWire) -> None:
    one = wire(*[b"HTTP/1.1 100 Continue\r\n\r\n" * 600] * 5)
    with pytest.raises(UpstreamBadResponse, match="too large"):
        one.response.read_head(TIMEOUT)


@pytest.mark.parametrize(
    ("begun", "flood"),
    [(b"0\r\n", b"a: b\r\n" * 5000), (b"1;", b"a=b;" * 5000)],
    ids=["trailers", "an extension"],
)
def test_bytes_that_are_no_body_count_as_silence(wire: NewWire, begun: bytes, flood: bytes) -> None:
    one = wire(CHUNKED + begun)
    one.response.read_head(TIMEOUT)

    def send_on() -> None:
        while True:
            one.upstream.sendall(flood)

    one.upstream.settimeout(TIMEOUT)
    with contextlib.closing(green.socket(fileno=one.upstream.detach())) as upstream:
        one.upstream = upstream
        sending = gevent.spawn(send_on)
        with gevent.Timeout(10 * TIMEOUT):
            assert one.response.receive(0.05) is None
        sending.kill()
    one.response.close()


def test_the_start_of_a_body_may_be_read_alone(wire: NewWire) -> None:
    one = wire(CHUNKED, *[b"2710\r\n%b\r\n" % (b"x" * 10_000)] * 4)
    one.response.read_head(TIMEOUT)
    assert one.response.read_start(TIMEOUT, 15_000) == b"x" * 20_000
    one.response.close()
    assert not one.serves_again


def test_only_a_large_receive_passes_a_checkpoint(wire: NewWire, monkeypatch: pytest.MonkeyPatch) -> None:
    passed: list[None] = []
    monkeypatch.setattr("parley.http_client.response.checkpoint", lambda: passed.append(None))
    one = wire(CHUNKED, *[b"1\r\nx\r\n"] * 50, b"1\r\nx\r\n" * 5000, b"0\r\n\r\n")
    assert len(one.read()) == 5050
    assert len(passed) == 1


@pytest.mark.parametrize("coding", ["identity", "Identity ", "none", "", "utf-8", "gzip", "br", "x-own"])
def test_the_label_of_a_coding_changes_nothing(wire: NewWire, coding: str) -> None:
    one = wire(OK + b"Content-Encoding: %b\r\nContent-Length: 5\r\n\r\nhello" % coding.encode())
    assert one.read() == b"hello"


def test_a_compressed_body_is_returned_as_it_came(wire: NewWire) -> None:
    body = gzip.compress(b"hello")
    one = wire(OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert one.read() == body


def test_bytes_that_are_given_back_come_again(wire: NewWire) -> None:
    one = wire(CHUNKED + b"2\r\nhe\r\n")
    one.response.read_head(TIMEOUT)
    one.response.unread(one.response.receive(TIMEOUT) or b"")
    one.response.unread(b"")
    one.send(b"3\r\nllo\r\n0\r\n\r\n")
    assert one.response.receive(TIMEOUT) == b"he" and one.response.read(TIMEOUT) == b"llo"


# --- silence and bounds ---


def test_silence_is_none_and_the_body_goes_on(wire: NewWire) -> None:
    one = wire(CHUNKED + b"2\r\nhe\r\n")
    one.response.read_head(TIMEOUT)
    assert [one.response.receive(0.002) for _ in range(3)] == [b"he", None, None]
    one.send(b"3\r\nll")
    assert [one.response.receive(0.002) for _ in range(2)] == [b"ll", None]
    one.send(b"o\r\n0\r\n\r\n")
    assert [one.response.receive(0.002) for _ in range(2)] == [b"o", b""]
    one.response.close()
    assert one.serves_again


def test_silence_before_the_head_is_a_timeout(wire: NewWire) -> None:
    with pytest.raises(UpstreamTimeout):
        wire(OK).response.read_head(0.002)


def test_silence_inside_a_whole_body_is_a_timeout(wire: NewWire) -> None:
    one = wire(CHUNKED + b"2\r\nhe\r\n")
    one.response.read_head(TIMEOUT)
    with pytest.raises(UpstreamTimeout):
        one.response.read(0.002)


def test_a_whole_body_has_a_bound(wire: NewWire) -> None:
    one = wire(CHUNKED)
    one.response.read_head(TIMEOUT)
    piece = b"8000\r\n" + b"x" * 32768 + b"\r\n"

    def flood() -> None:
        with pytest.raises(OSError):
            while True:
                one.send(piece)

    flooding = threading.Thread(target=flood)
    flooding.start()
    with pytest.raises(UpstreamBadResponse, match="too large"):
        one.response.read(TIMEOUT)
    one.response.close()
    flooding.join()


# --- reuse of the connection ---


def test_a_response_closed_early_closes_the_connection_once(wire: NewWire) -> None:
    one = wire(CHUNKED + b"2\r\nhe\r\n")
    one.response.read_head(TIMEOUT)
    one.response.close()
    one.response.close()
    assert not one.serves_again and one.upstream.recv(1) == b""


def test_a_connection_is_handed_back_once(wire: NewWire) -> None:
    one = wire(WHOLE["a length"])
    one.read()
    one.response.close()
    assert len(one.kept) == 1


BEHIND = {
    "garbage": b"garbage",
    "one byte": b"x",
    "the begin of an answer": b"HTTP/1.1 ",
    "another answer": OK.replace(b"200", b"500") + b"Content-Length: 3\r\n\r\nbad",
    "another interim answer": b"HTTP/1.1 100 Continue\r\n\r\n",
}


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("form", ["a length", "chunks"])
def test_bytes_behind_the_body_only_cost_the_connection(wire: NewWire, form: str, behind: str) -> None:
    one = wire(WHOLE[form] + BEHIND[behind])
    assert one.read() == b"hello" and one.response.status == 200 and not one.serves_again


class Green(Wire):
    """A wire of gevent's sockets, which the server uses."""

    def __init__(self, *pieces: bytes) -> None:
        ours, self.upstream = green.socketpair()
        self.kept, self.was_kept = [], Event()
        self.response = HttpResponse(ours, self._keep)
        self._ours = ours
        self.send(*pieces)

    def _keep(self, connection: socket.socket) -> None:
        self.kept.append(connection)
        self.was_kept.set()


@pytest.fixture
def draining() -> Iterator[Green]:
    """Yield a wire whose response drains: its end has not come yet."""
    one = Green(CHUNKED + b"2\r\nhe\r\n")
    one.response.read_head(TIMEOUT)
    assert one.response.receive(TIMEOUT) == b"he"
    one.response.drain_and_close()
    assert one.kept == []
    yield one
    one.close()


def test_a_drained_response_frees_its_connection(draining: Green) -> None:
    draining.send(b"3\r\nllo\r\n")
    gevent.sleep(0.001)
    draining.send(b"0\r\n\r\n")
    assert draining.was_kept.wait(TIMEOUT) and draining.serves_again


def test_an_end_that_does_not_come_costs_the_connection(draining: Green) -> None:
    draining.upstream.settimeout(TIMEOUT)
    assert draining.upstream.recv(1) == b"" and not draining.serves_again


def test_a_long_rest_costs_the_connection(draining: Green) -> None:
    with contextlib.suppress(OSError):  # closed meanwhile
        draining.send(*[b"8000\r\n" + b"x" * 32768 + b"\r\n"] * 8, b"0\r\n\r\n")
    draining.upstream.settimeout(TIMEOUT)
    with contextlib.suppress(ConnectionResetError):
        assert draining.upstream.recv(1) == b""
    assert not draining.serves_again


def test_a_broken_rest_costs_the_connection(draining: Green) -> None:
    draining.send(b"Z\r\n")
    draining.upstream.settimeout(TIMEOUT)
    assert draining.upstream.recv(1) == b"" and not draining.serves_again


def test_a_complete_response_needs_no_draining(wire: NewWire) -> None:
    one = wire(WHOLE["a length"])
    one.response.read_head(TIMEOUT)
    one.response.read(TIMEOUT)
    one.response.drain_and_close()
    assert one.serves_again
