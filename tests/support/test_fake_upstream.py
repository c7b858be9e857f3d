"""The fake keeps its word: what a script says is what the peer gets, and what the peer does is noticed."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from fake_upstream import (
    DONE,
    HANG,
    ID,
    Call,
    Connection,
    FakeUpstream,
    Step,
    answer,
    chunks,
    close,
    completion,
    event,
    events,
    head,
    held,
    refusal,
    reset,
    text_chunk,
)


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture
def client(upstream: FakeUpstream) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=2.0)
    yield connection
    connection.close()


def ask(client: http.client.HTTPConnection, **fields: object) -> http.client.HTTPResponse:
    body = json.dumps({"model": "m", "messages": [], "stream": True, **fields})
    client.request("POST", "/v1/chat/completions", body, {"Authorization": "Bearer k"})
    return client.getresponse()


def test_a_stream_arrives_byte_for_byte(upstream: FakeUpstream, client: http.client.HTTPConnection) -> None:
    upstream.script = answer("Hello there", usage=True)
    response = ask(client)
    payloads = [*chunks("Hello there", usage=True), DONE]
    assert response.getheader("content-type") == "text/event-stream; charset=utf-8"
    assert response.read() == b"".join(b"data: " + payload + b"\n\n" for payload in payloads)
    assert payloads[2] == text_chunk(ID, " there")
    assert json.loads(payloads[-2])["choices"] == []


def test_what_was_asked_is_recorded(upstream: FakeUpstream, client: http.client.HTTPConnection) -> None:
    ask(client, model="wanted").read()
    (call,) = upstream.wait_for_calls(1)
    assert call.finished.wait(5.0)
    assert (call.method, call.path, call.outcome) == ("POST", "/v1/chat/completions", "done")
    assert call.headers["authorization"] == "Bearer k"
    assert call.json["model"] == "wanted"
    assert call.peer_left_at is None


def test_queued_scripts_are_played_before_the_standing_one(
    upstream: FakeUpstream, client: http.client.HTTPConnection
) -> None:
    upstream.enqueue(refusal(429, {"message": "slow down"}, {"retry-after": "1"}), completion("Hi"))
    refused = ask(client)
    assert (refused.status, refused.getheader("retry-after")) == (429, "1")
    assert json.loads(refused.read()) == {"error": {"message": "slow down"}}
    assert json.loads(ask(client).read())["choices"][0]["message"]["content"] == "Hi"
    assert ask(client).read().endswith(b"data: [DONE]\n\n")


def test_complete_answers_share_one_connection(upstream: FakeUpstream, client: http.client.HTTPConnection) -> None:
    for _ in range(3):
        ask(client).read()
    assert [call.connection_number for call in upstream.calls] == [1, 1, 1]
    assert upstream.connections == 1


def test_the_list_of_models_leaves_the_queue_alone(upstream: FakeUpstream, client: http.client.HTTPConnection) -> None:
    upstream.enqueue(completion("Hi"))
    client.request("GET", "/v1/models")
    assert json.loads(client.getresponse().read())["data"][0]["id"] == "fake-model"
    assert json.loads(ask(client).read())["object"] == "chat.completion"


def test_a_close_cuts_the_answer_off(upstream: FakeUpstream, client: http.client.HTTPConnection) -> None:
    upstream.script = [*events(chunks("Hello there")[:2]), close]
    with pytest.raises(http.client.IncompleteRead):
        ask(client).read()


def test_a_reset_is_a_reset(upstream: FakeUpstream, client: http.client.HTTPConnection) -> None:
    upstream.script = [*events(chunks("Hello there")[:2]), 0.05, reset]
    response = ask(client)
    assert response.readline() == b"data: " + chunks("Hello there")[0] + b"\n"
    with pytest.raises(ConnectionResetError):
        response.read()


def test_a_step_waits_for_its_event(upstream: FakeUpstream, client: http.client.HTTPConnection) -> None:
    go_on = threading.Event()
    upstream.script = [head(), event(b"1"), go_on, event(b"2"), reset]
    response = ask(client)
    assert response.readline() == b"data: 1\n"
    assert upstream.open_calls == 1
    go_on.set()
    assert (response.readline(), response.readline()) == (b"\n", b"data: 2\n")


def test_a_held_answer_is_silent_behind_its_words(upstream: FakeUpstream, client: http.client.HTTPConnection) -> None:
    second, rest = threading.Event(), threading.Event()
    upstream.script = held("One two three", {1: second, 2: rest})
    response = ask(client)
    heard = []
    for go_on in (second, rest):
        while b'"content":" ' not in (line := response.readline()) and b'"content":"One' not in line:
            pass
        heard.append(json.loads(line.removeprefix(b"data: "))["choices"][0]["delta"]["content"])
        assert upstream.open_calls == 1
        go_on.set()
    assert heard == ["One", " two"] and response.read().endswith(b"data: [DONE]\n\n")


def test_a_script_may_depend_on_the_call_and_be_endless(
    upstream: FakeUpstream, client: http.client.HTTPConnection
) -> None:
    def parrot(call: Call) -> Iterator[Step]:
        yield head()
        while True:
            yield event(call.json["model"].encode())

    upstream.script = parrot
    response = ask(client, model="again")
    assert [response.readline() for _ in range(1000)] == [b"data: again\n", b"\n"] * 500


@pytest.mark.parametrize("step", [HANG, threading.Event(), lambda peer: peer.listen(9.0)])
def test_a_peer_that_leaves_is_noticed_at_once(upstream: FakeUpstream, step: Step) -> None:
    upstream.script = [*events(chunks("Hello there")[:1]), step]
    with socket.create_connection(("127.0.0.1", upstream.port)) as peer:
        peer.sendall(b"POST /v1/chat/completions HTTP/1.1\r\n\r\n")
        (call,) = upstream.wait_for_calls(1)
        time.sleep(0.02)
        left_at = time.monotonic()
    assert call.finished.wait(5.0)
    assert call.outcome == "peer_left"
    assert call.peer_left_at is not None
    assert 0 <= call.peer_left_at - left_at < 2
    upstream.wait_until(lambda: not upstream.open_connections)
    assert upstream.open_calls == 0


def test_a_request_sent_ahead_is_kept_for_its_turn(upstream: FakeUpstream) -> None:
    upstream.enqueue([0.02, *completion("first")], [*completion("second"), close])
    with socket.create_connection(("127.0.0.1", upstream.port)) as peer:
        peer.sendall(b"POST /a HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}POST /b HTTP/1.1\r\n\r\n")
        received = b"".join(iter(lambda: peer.recv(65536), b""))
    assert received.index(b"first") < received.index(b"second")
    assert [call.path for call in upstream.calls] == ["/a", "/b"]


def test_what_is_not_http_is_told_so(upstream: FakeUpstream) -> None:
    with socket.create_connection(("127.0.0.1", upstream.port)) as peer:
        peer.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert peer.recv(65536).startswith(b"HTTP/1.1 400 ")
    assert upstream.calls == []


def test_stopping_ends_every_call_at_once_and_frees_the_port(upstream: FakeUpstream) -> None:
    upstream.script = [HANG]
    peers = [socket.create_connection(("127.0.0.1", upstream.port)) for _ in range(20)]
    for peer in peers:
        peer.sendall(b"GET / HTTP/1.1\r\n\r\n")
    calls = upstream.wait_for_calls(len(peers))
    began = time.monotonic()
    upstream.stop()
    assert time.monotonic() - began < 5
    assert [peer.recv(1) for peer in peers] == [b""] * len(peers)
    assert {(call.outcome, call.peer_left_at) for call in calls} == {("stopped", None)}
    for peer in peers:
        peer.close()
    with FakeUpstream(port=upstream.port) as again:
        assert again.base_url == upstream.base_url


def test_waiting_in_vain_says_what_there_was(upstream: FakeUpstream) -> None:
    with pytest.raises(AssertionError, match="the calls were"):
        upstream.wait_for_calls(1, timeout=0.01)


def test_a_step_of_ones_own_may_be_made_of_others(upstream: FakeUpstream, client: http.client.HTTPConnection) -> None:
    def stutter(connection: Connection) -> None:
        for byte in event(b"slow"):
            connection.play(bytes([byte]))

    upstream.script = [head(), stutter, close]
    assert ask(client).readline() == b"data: slow\n"
