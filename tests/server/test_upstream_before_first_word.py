"""Upstream failures before the first content: statuses, silence, pages, empty answers, breakers."""

import email.utils
import json
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fake_upstream import (
    DONE,
    END,
    EVENT_STREAM,
    HANG,
    Call,
    FakeUpstream,
    Step,
    answer,
    chunks,
    close,
    completion,
    encode,
    event,
    events,
    head,
    http_chunk,
    refusal,
    whole,
)
from heard import DIFFERENT, FULL, STREAMS, WAYS, ask, ask_all, each, fallback_to, in_turn, noting, rested, says
from running_server import RunningServer

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]
every_way = pytest.mark.parametrize("way", DIFFERENT)
every_stream = pytest.mark.parametrize("way", STREAMS)

ROLE, *WORDS, FINISH = chunks("One two")
BOOM = {"message": "boom at 10.0.0.1", "type": "server_error", "param": None, "code": None}
SLOW_DOWN = {"message": "Rate limit reached", "type": "tokens", "param": None, "code": "rate_limit_exceeded"}


def limited(**headers: str) -> list[Step]:
    return refusal(429, SLOW_DOWN, {name.replace("_", "-"): value for name, value in headers.items()})


# --- what a status says ---


@pytest.mark.row("UP-01")
@pytest.mark.parametrize(("wish", "seconds"), [({"retry_after": "1"}, 1.0), ({"retry_after_ms": "300"}, 0.3)])
def test_a_short_retry_after_of_a_429_is_waited_for(
    single: RunningServer, first: FakeUpstream, wish: dict[str, str], seconds: float
) -> None:
    rested(single, first, FULL)
    times: list[tuple[str, float]] = []
    first.script = noting(times, each(lambda: in_turn(limited(**wish), says("Hello there"))))
    for heard in ask_all(single, DIFFERENT):
        heard.answered("Hello there")
        refused, answered = [when for id, when in times if id == heard.id]
        assert seconds <= answered - refused < seconds + 2 and heard.end["attempts"] == 2
        assert heard.headers.get("x-relay-attempts") == (None if heard.way == "waited" else "2")


@pytest.mark.row("UP-02")
def test_a_429_with_a_long_wait_goes_to_the_next_upstream(
    quick_servers: Servers, first: FakeUpstream, second: FakeUpstream
) -> None:
    server = quick_servers(alone="up_02", LLM_FALLBACKS=fallback_to(second))
    first.script, second.script = limited(retry_after="60"), says("From the second")
    heard = ask(server)
    heard.answered("From the second")
    assert heard.end["attempts"] == 2 and heard.end["ms"] < 500 and heard.end["upstream"] == "fallback-1"
    assert heard.headers["x-relay-attempts"] == "2"
    first.script = says("From the first")
    for way in WAYS:
        ask(server, way).answered("From the second")
    assert (len(first.calls), len(second.calls)) == (1, 1 + len(WAYS))


@pytest.mark.row("UP-03")
@every_way
def test_a_429_without_another_upstream_is_passed_on_at_once(
    single: RunningServer, first: FakeUpstream, our_key: str, way: str
) -> None:
    limits = {"retry_after": "60", "retry_after_ms": "60000", "x_ratelimit_remaining_requests": "0"}
    told = {**SLOW_DOWN, "message": f"Rate limit reached for {our_key} at {first.base_url}"}
    first.script = refusal(429, told, {name.replace("_", "-"): value for name, value in limits.items()})
    heard = ask(single, way)
    error = heard.failed(429, "rate_limit_exceeded", logged="rate_limited")
    assert error["message"].startswith("Rate limit reached") and heard.end["ms"] < 1000 and len(first.calls) == 1
    assert our_key not in error["message"] and str(first.port) not in error["message"]
    for name, value in limits.items() if way != "waited" else ():
        assert heard.headers[name.replace("_", "-")] == value


@pytest.mark.row("UP-03")
def test_a_429_without_an_error_object_is_a_rate_limit_error(single: RunningServer, first: FakeUpstream) -> None:
    first.script = whole(b"slow down", 429, {"retry-after": "60", "content-type": "text/plain"})
    assert ask(single).failed(429, "rate_limited")["type"] == "rate_limit_error"


@pytest.mark.row("UP-04")
@pytest.mark.parametrize(("status", "ours"), [(500, 502), (502, 502), (503, 503), (529, 502)])
def test_a_server_error_is_tried_three_times_then_reported(
    single: RunningServer, first: FakeUpstream, status: int, ours: int
) -> None:
    rested(single, first, FULL)
    times: list[tuple[str, float]] = []
    first.script = noting(times, refusal(status, BOOM))
    for heard in ask_all(single, DIFFERENT):
        error = heard.failed(ours, "upstream_error")
        one, two, three = [when for id, when in times if id == heard.id]
        assert (error["type"], error["param"], heard.end["attempts"]) == ("server_error", None, 3)
        assert 0.05 <= two - one < 0.4 and 0.1 <= three - two < 0.8
        assert b"boom" not in heard.body and b"10.0.0.1" not in heard.body


@pytest.mark.row("UP-04")
@pytest.mark.parametrize("wish", [{}, {"retry-after": "9"}])
def test_a_503_is_passed_on_with_a_retry_after(
    single: RunningServer, first: FakeUpstream, wish: dict[str, str]
) -> None:
    first.script = refusal(503, BOOM, wish)
    heard = ask(single)
    heard.failed(503, "upstream_error")
    assert heard.headers.get("retry-after") == wish.get("retry-after", "1")


@pytest.mark.row("UP-04")
@pytest.mark.parametrize("status", [408, 409, 500, 503, 529])
def test_a_temporary_failure_is_not_heard(single: RunningServer, first: FakeUpstream, status: int) -> None:
    rested(single, first, FULL)
    failure = refusal(status, BOOM)
    first.script = each(lambda: in_turn(failure, failure, says("Hello there")))
    for heard in ask_all(single, DIFFERENT):
        heard.answered("Hello there")
        assert len(heard.calls(first)) == heard.end["attempts"] == 3


@pytest.mark.row("UP-05")
@pytest.mark.parametrize("status", [400, 404, 413, 422])
@every_way
def test_the_upstreams_4xx_is_passed_on_without_our_secrets(
    single: RunningServer, first: FakeUpstream, our_key: str, status: int, way: str
) -> None:
    error = {"message": "too long", "type": "invalid_request_error", "param": "messages"}
    told = {**error, "message": f"too long for {our_key} sk-other-0123456789 at {first.base_url}", "inside": 1}
    first.script = refusal(status, {**told, "code": "context_length_exceeded"})
    heard = ask(single, way)
    passed = heard.failed(status, "context_length_exceeded", logged="upstream_error")
    assert passed.items() >= {"type": "invalid_request_error", "param": "messages"}.items()
    assert passed["message"].startswith("too long for ") and len(first.calls) == 1
    for secret in (our_key, "sk-other-0123456789", str(first.port)):
        assert secret not in passed["message"]


@pytest.mark.row("UP-06")
@pytest.mark.parametrize("status", [401, 403])
@every_way
def test_our_refused_key_is_a_502_and_not_tried_again(
    single: RunningServer, first: FakeUpstream, our_key: str, status: int, way: str
) -> None:
    first.script = refusal(status, {**BOOM, "message": f"Incorrect API key provided: {our_key}"})
    heard = ask(single, way)
    heard.failed(502, "upstream_auth_failed")
    assert len(first.calls) == 1 and our_key.encode() not in heard.body


@pytest.mark.row("UP-06")
def test_our_refused_key_is_logged_once_and_opens_the_breaker(
    quick_servers: Servers, first: FakeUpstream, second: FakeUpstream, our_key: str
) -> None:
    server = quick_servers(alone="up_06", LLM_FALLBACKS=fallback_to(second))
    first.script, second.script = refusal(401, BOOM), says("From the second")
    for heard in [ask(server) for _ in range(3)]:
        heard.answered("From the second")
    assert (len(first.calls), len(second.calls)) == (1, 3)
    second.script = refusal(403, BOOM)
    for _ in range(3):
        ask(server).failed(502, "upstream_auth_failed")
    logged = [json.loads(line) for line in server.lines() if '"upstream_auth_failed"' in line]
    complaints = [line for line in logged if line["event"] == "upstream_auth_failed"]
    assert [(line["level"], line["upstream"]) for line in complaints] == [("error", "primary"), ("error", "fallback-1")]
    assert our_key not in server.output()


@pytest.mark.row("UP-06")
@pytest.mark.parametrize("status", [401, 403])
@every_way
def test_the_callers_own_refused_key_is_passed_on(
    quick_servers: Servers, first: FakeUpstream, status: int, way: str
) -> None:
    server = quick_servers(LLM_API_KEY="")
    first.script = refusal(status, {**BOOM, "message": "Incorrect API key", "code": "invalid_api_key"})
    heard = ask(server, way, {"authorization": "Bearer theirs"})
    heard.failed(status, "invalid_api_key", logged="upstream_error")
    assert first.calls[0].headers["authorization"] == "Bearer theirs" and len(first.calls) == 1


# --- no way there ---


# --- TLS ---


# --- answers that are none ---


def endless_comments(_call: Call) -> Iterable[Step]:
    yield head()
    while True:
        yield http_chunk(b": OPENROUTER PROCESSING\n\n")
        yield 0.05


def head_in_drops(_call: Call) -> Iterable[Step]:
    yield b"HTTP/1.1 200 OK\r\n"
    while True:
        yield b"x: y\r\n"
        yield 0.05


SILENCES: dict[str, Any] = {
    "nothing": [HANG],
    "a head": [head(), HANG],
    "a role": [*events([ROLE]), HANG],
    "comments without end": endless_comments,
    "a head without end": head_in_drops,
}


@pytest.mark.row("UP-12")
def test_a_silent_upstream_gives_way_to_the_next(
    quick_servers: Servers, first: FakeUpstream, second: FakeUpstream
) -> None:
    server = quick_servers(alone="up_12", LLM_FALLBACKS=fallback_to(second))
    first.script, second.script = in_turn(*SILENCES.values()), says("From the second")
    for heard in ask_all(server, ("waited", "waited", "chat", "chat", "chat")):
        heard.answered("From the second")
        assert heard.end["attempts"] == 2 and 500 <= heard.end["ms"] < 2000
    assert len(first.calls) == len(SILENCES) == 5
    for call in first.calls:
        assert call.finished.wait(2) and call.outcome == "peer_left"


@pytest.mark.row("UP-12")
def test_silence_on_all_attempts_ends_within_the_timeout(quick_servers: Servers, first: FakeUpstream) -> None:
    server = quick_servers(PRECOMMIT_TIMEOUT="0.9")
    rested(server, first, FULL)
    first.script = in_turn(*2 * tuple(SILENCES.values()), *2 * tuple(SILENCES.values()))
    for heard in ask_all(server, STREAMS * len(SILENCES)):
        heard.failed(504, "upstream_timeout")
        assert heard.end["attempts"] == 2 and 900 <= heard.end["ms"] < 1800
    assert len(first.calls) == 4 * len(SILENCES)
    for call in first.calls:
        assert call.finished.wait(2) and call.outcome == "peer_left"


@pytest.mark.row("UP-12")
def test_timeouts_before_the_first_word_spare_json_answers(single: RunningServer, first: FakeUpstream) -> None:
    first.script = lambda call: (2.2, *says("Hello there")(call))
    ask(single, "json").answered("Hello there")


@pytest.mark.row("UP-13")
@pytest.mark.parametrize("begun", [[], [ROLE], [ROLE, FINISH.replace(b'"stop"', b"null")]])
def test_an_error_before_the_first_word_is_retried_unheard(
    single: RunningServer, first: FakeUpstream, begun: list[bytes]
) -> None:
    rested(single, first, FULL)
    failing = [*events([ROLE, *begun]), event(encode({"error": {**BOOM, "code": "overloaded"}})), END]
    first.script = each(lambda: in_turn(failing, says("Hello there")))
    for heard in ask_all(single, STREAMS):
        heard.answered("Hello there")
        assert len(heard.calls(first)) == heard.end["attempts"] == 2 and heard.body.count(b'"role"') == 1
    first.script = failing
    for heard in ask_all(single, STREAMS):
        heard.failed(502, "overloaded", logged="upstream_error")
        assert len(heard.calls(first)) == 3


@pytest.mark.row("UP-14")
@pytest.mark.parametrize("type_", ["text/html; charset=utf-8", "text/plain", "application/xml"])
def test_a_page_in_place_of_a_stream_is_a_bad_response(single: RunningServer, first: FakeUpstream, type_: str) -> None:
    first.script = whole(b"<html><p>Log in to the hotel's network at 10.0.0.1", 200, {"content-type": type_})
    for heard in ask_all(single, DIFFERENT):
        heard.failed(502, "upstream_bad_response")
        assert b"hotel" not in heard.body


@pytest.mark.row("UP-14")
@pytest.mark.parametrize("headers", [EVENT_STREAM, {"transfer-encoding": "chunked"}])
@every_stream
def test_a_page_labelled_as_a_stream_is_an_empty_response(
    single: RunningServer, first: FakeUpstream, headers: dict[str, str], way: str
) -> None:
    first.script = [head(200, headers), http_chunk(b"<html>\n\n<p>Log in: 10.0.0.1</p>\n"), END]
    heard = ask(single, way)
    heard.failed(502, "upstream_empty_response")
    assert b"Log in" not in heard.body


@pytest.mark.row("UP-14")
@every_stream
def test_an_answer_labelled_as_a_page_is_an_answer(single: RunningServer, first: FakeUpstream, way: str) -> None:
    _, body = completion("Hello there")
    assert isinstance(body, bytes)
    first.script = whole(body, 200, {"content-type": "text/html"})
    ask(single, way).answered("Hello there")


EMPTY = {"no event": [head(), END], "DONE alone": [head(), event(DONE), END], "no byte": [head(headers={}), close]}


@pytest.mark.row("UP-15")
@pytest.mark.parametrize("empty", EMPTY)
def test_an_empty_answer_is_asked_for_once_more(single: RunningServer, first: FakeUpstream, empty: str) -> None:
    rested(single, first, FULL)
    first.script = each(lambda: in_turn(EMPTY[empty], says("Hello there")))
    for heard in ask_all(single, STREAMS):
        heard.answered("Hello there")
        assert len(heard.calls(first)) == 2
    first.script = EMPTY[empty]
    for heard in ask_all(single, STREAMS):
        heard.failed(502, "upstream_empty_response")
        assert len(heard.calls(first)) == heard.end["attempts"] == 2


@pytest.mark.row("UP-15")
@every_stream
def test_fallback_text_is_spoken_for_an_empty_answer(speaking: RunningServer, first: FakeUpstream, way: str) -> None:
    first.script = EMPTY["DONE alone"]
    ask(speaking, way).spoke(" Sorry?" if way == "waited" else "Sorry?", "upstream_empty_response")


@pytest.mark.row("UP-16")
@every_stream
def test_a_json_object_in_place_of_a_stream_becomes_one(single: RunningServer, first: FakeUpstream, way: str) -> None:
    message = {"role": "assistant", "content": "Hello there", "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "length"}
    first.script = whole(
        encode({"id": "x", "object": "chat.completion", "created": 5, "model": "m", "choices": [choice]})
    )
    heard = ask(single, way)
    heard.answered("Hello there", finish_reason="length")
    assert len(heard.payloads) == (4 if way == "waited" else 3)


@pytest.mark.row("UP-17")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@every_way
def test_a_redirect_is_not_followed(
    single: RunningServer, first: FakeUpstream, second: FakeUpstream, status: int, way: str
) -> None:
    first.script = whole(b"", status, {"location": f"{second.base_url}/chat/completions"})
    heard = ask(single, way)
    heard.failed(502, "upstream_redirect")
    assert len(first.calls) == 1 and second.calls == [] and str(second.port).encode() not in heard.body


def http_date(seconds: float) -> str:
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


SENSELESS = ("-1", "inf", "nan", "1e400", "", "soon", "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 99 Foo 99999 99:99 GMT")


@pytest.mark.row("UP-18")
@pytest.mark.parametrize("wish", SENSELESS)
def test_a_senseless_retry_after_counts_as_none(single: RunningServer, first: FakeUpstream, wish: str) -> None:
    rested(single, first)
    first.script = in_turn(limited(retry_after=wish), says("Hello there"))
    heard = ask(single)
    heard.answered("Hello there")
    assert heard.end["attempts"] == 2 and 50 <= heard.end["ms"] < 1000


@pytest.mark.row("UP-18")
def test_retry_after_may_be_a_date(single: RunningServer, first: FakeUpstream) -> None:
    rested(single, first)
    first.script = in_turn(limited(retry_after=http_date(1.9)), says("Hello there"))
    heard = ask(single)
    heard.answered("Hello there")
    assert heard.end["attempts"] == 2 and 500 <= heard.end["ms"] < 2500


@pytest.mark.row("UP-18")
@pytest.mark.parametrize("wish", [http_date(3600), "1e300", "3", "9" * 300], ids=["a date", "1e300", "3", "9s"])
def test_a_retry_after_beyond_the_timeout_is_never_waited_for(
    single: RunningServer, first: FakeUpstream, wish: str
) -> None:
    first.script = limited(retry_after=wish)
    heard = ask(single)
    heard.failed(429, "rate_limit_exceeded", logged="rate_limited")
    assert heard.end["ms"] < 1500


# --- upstreams that stay ill ---


@pytest.mark.row("UP-19")
def test_a_breaker_opens_after_five_failures_until_a_probe_works(
    quick_servers: Servers, first: FakeUpstream, second: FakeUpstream
) -> None:
    server = quick_servers(alone="up_19", LLM_FALLBACKS=fallback_to(second))
    first.script, second.script = refusal(500, BOOM), says("From the second")
    for _ in range(8):
        ask(server).answered("From the second")
    opened = time.monotonic()
    assert len(first.calls) == 5
    probed = threading.Event()
    first.script = lambda call: (probed, *answer("From the first"))
    with ThreadPoolExecutor(1) as pool:
        while not first.calls[5:]:
            asked = pool.submit(ask, server)
            first_or_done(first, asked)
        assert 4 < time.monotonic() - opened < 9.5  # after 5 s; a second failure would make it 10
        for _ in range(5):
            ask(server).answered("From the second")  # beside the probe nobody goes there
        probed.set()
        asked.result().answered("From the first")
    assert len(first.calls) == 6
    ask(server).answered("From the first")


def first_or_done(upstream: FakeUpstream, asked: Any) -> None:
    """Wait until a question is with the upstream, or answered elsewhere."""
    while not asked.done() and len(upstream.calls) < 6:
        time.sleep(0.02)


@pytest.mark.row("UP-19")
def test_the_last_upstream_left_is_never_skipped(single: RunningServer, first: FakeUpstream) -> None:
    first.script = refusal(500, BOOM)
    for heard in ask_all(single, ["chat"] * 8):
        heard.failed(502, "upstream_error")
    calls = len(first.calls)
    assert calls >= 8
    first.script = says("Hello there")
    ask(single).answered("Hello there")
    assert len(first.calls) == calls + 1


@pytest.mark.row("UP-20")
@every_way
def test_with_all_upstreams_down_there_is_one_error(
    pair: RunningServer, first: FakeUpstream, second: FakeUpstream, way: str
) -> None:
    rested(pair, first)
    first.script, second.script = [close], refusal(500, BOOM)
    heard = ask(pair, way)
    heard.failed(502, "upstream_error")
    assert 2 <= heard.end["attempts"] <= 3 and heard.end["ms"] < 2500 and heard.end["upstream"] == "fallback-1"
    assert len(first.calls) == 2


@pytest.mark.row("UP-20")
@every_stream
def test_fallback_text_is_spoken_with_all_upstreams_down(
    quick_servers: Servers, second: FakeUpstream, refusing: str, way: str
) -> None:
    server = quick_servers(LLM_BASE_URL=refusing, LLM_FALLBACKS=fallback_to(second), FALLBACK_TEXT="Sorry?")
    second.script = refusal(500, BOOM)
    ask(server, way).spoke(" Sorry?" if way == "waited" else "Sorry?", "upstream_error")


@pytest.mark.row("UP-21")
@every_stream
def test_two_hundred_questions_do_not_storm_a_sick_upstream(
    quick_servers: Servers, first: FakeUpstream, way: str
) -> None:
    server = rested(quick_servers(TTFT_TIMEOUT="6", PRECOMMIT_TIMEOUT="9"), first, FULL)
    first.script = refusal(500, BOOM)
    for heard in ask_all(server, [way] * 200):
        assert heard.status == (200 if way == "waited" else 502)
    assert 200 <= len(first.calls) <= 1.2 * 200 + 10
