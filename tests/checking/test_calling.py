"""Requests and the moments of their answers, at a server that does what a script says."""

import gzip
import subprocess
import sys

import pytest
from fake_upstream import DONE, END, FakeUpstream, answer, chunks, event, events, head, http_chunk, reset, whole
from running_server import ROOT, free_port

from parley.checking.calling import Caller, CallFailed, shortened

SSE = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}


def test_each_event_has_its_moment(upstream: FakeUpstream) -> None:
    upstream.script = answer("one two", interval=0.1)
    got = Caller().send("POST", f"{upstream.base_url}/chat/completions", {})

    moments = [one.ms for one in got.events]
    assert got.status == 200 and got.is_done and got.broke_off == ""
    assert moments == sorted(moments) and moments[-1] - moments[0] > 250 and got.head_ms <= moments[0]


def test_a_body_of_known_length_is_read_as_it_comes(upstream: FakeUpstream) -> None:
    payload = b"data: {}\n\n"
    framing = {"content-type": "text/event-stream", "content-length": str(2 * len(payload))}
    upstream.script = [head(200, framing), payload, 0.2, payload]
    got = Caller().send("POST", upstream.base_url, {})
    assert len(got.events) == 2 and got.events[1].ms - got.events[0].ms > 150


def test_a_body_that_ends_with_its_connection_is_read(upstream: FakeUpstream) -> None:
    upstream.script = [
        head(200, {"content-type": "text/event-stream"}),
        b"data: 1\n\n",
        0.2,
        b"data: [DONE]\n\n",
        lambda c: c.socket.shutdown(2),
    ]
    got = Caller().send("POST", upstream.base_url, {})
    assert got.is_done and got.events[1].ms - got.events[0].ms > 150


def test_compressed_events_are_read(upstream: FakeUpstream) -> None:
    packed = gzip.compress(b"data: {}\n\ndata: [DONE]\n\n")
    upstream.script = [
        head(200, {**SSE, "content-encoding": "gzip"}),
        http_chunk(packed[:12]),
        http_chunk(packed[12:]),
        END,
    ]
    got = Caller({"accept-encoding": "gzip"}).send("POST", upstream.base_url, {})
    assert got.is_done and got.headers["content-encoding"] == "gzip"


def test_comments_are_counted_and_wrong_labels_read(upstream: FakeUpstream) -> None:
    framing = {"content-type": "text/plain", "transfer-encoding": "chunked"}
    upstream.script = [head(200, framing), http_chunk(b": keep-alive\n\n"), event(chunks("one")[1]), event(DONE), END]
    got = Caller().send("POST", upstream.base_url, {})
    assert (got.comments, len(got.events), got.is_done) == (1, 2, True)


def test_a_stream_that_breaks_off_says_when(upstream: FakeUpstream) -> None:
    upstream.script = [*events(chunks("one two")[:2]), 0.2, reset]
    got = Caller().send("POST", upstream.base_url, {})
    assert len(got.events) == 2 and got.broke_off and got.end_ms > got.reads[-1][0] + 150


def test_enough_is_enough(upstream: FakeUpstream) -> None:
    upstream.script = answer("one two three", interval=0.05)
    got = Caller().send("POST", upstream.base_url, {}, until=lambda one: b"two" in one.payload)
    upstream.wait_until(upstream.calls[-1].finished.is_set)
    assert not got.is_done and upstream.calls[-1].outcome == "peer_left"


@pytest.mark.parametrize("url", ["http://127.0.0.1:{}/", "http://nowhere.invalid/", "http://a..b/"])
def test_no_answer_is_told_without_the_url(url: str) -> None:
    with pytest.raises(CallFailed) as failed:
        Caller().send("GET", url.format(free_port()) + "?code=canary")
    assert "canary" not in str(failed.value) and str(failed.value)


def test_no_password_is_taken_from_a_file(
    upstream: FakeUpstream, tmp_path: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "netrc"  # type: ignore[operator]
    file.write_text("machine 127.0.0.1 login me password canary\n")
    monkeypatch.setenv("NETRC", str(file))
    Caller().send("GET", f"{upstream.base_url}/models")
    assert "authorization" not in upstream.calls[-1].headers


def test_an_error_is_told_by_its_words_or_its_title(upstream: FakeUpstream) -> None:
    upstream.script = whole(b"<html><title>413 Too\n Large</title></html>", 413, {"content-type": "text/html"})
    assert Caller().send("POST", upstream.base_url, {}).error() == 'a web page, "413 Too Large"'
    upstream.script = whole(b'{"error": {"message": "No."}, "detail": "No."}', 400)
    got = Caller().send("POST", upstream.base_url, {})
    assert got.error() == "No." and got.is_ours


def test_a_long_text_is_shortened() -> None:
    assert shortened("a\n b") == "a b" and len(shortened("x" * 1000)) < 310


@pytest.mark.slow
def test_no_server_loads_the_client() -> None:
    code = (
        "import app, sys; assert not {'requests', 'urllib3', 'parley.checking.catalogue'} & set(sys.modules), 'loaded'"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
