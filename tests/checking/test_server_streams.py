"""What is heard of a server, judged by the moments at which it came."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from parley.checking import server_streams as streams
from parley.checking.calling import Event, Exchange
from parley.checking.probe import Probe
from parley.checking.server import Server
from parley.settings import Settings

HEADERS = {"content-type": "text/event-stream", "x-accel-buffering": "no"}
PCM = base64.b64encode(bytes(1280)).decode()
LENGTH_MS = 4000


def one() -> Server:
    return Server(Probe(Settings(), Path(), address="https://voice.example.com"), health_ms=20.0)


def event(ms: float, delta: dict[str, object] | None = None, finish: str | None = None, **more: object) -> Event:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return Event(ms, json.dumps({"id": "1", "choices": [choice], **more}).encode())


def sound_at(moments: Sequence[float], transcript: str = streams.TWELVE_WORDS) -> Exchange:
    words = [{"text": "This", "start_ts": 0, "end_ts": LENGTH_MS, "duration": LENGTH_MS}]
    first = event(moments[0], {"audio": {"transcript": transcript, "words": words}})
    events = [first, *(event(ms, {"audio": {"data": PCM}}) for ms in moments)]
    got = Exchange(200, HEADERS, moments[0], events=events, is_done=True)
    got.end_ms = moments[-1]
    return got


PACED = [10.0] * 5 + [10.0 + 40 * number for number in range(1, 96)]


@pytest.mark.parametrize(
    ("moments", "status", "said"),
    [
        (PACED, "ok", "100 chunks in 96 bursts, largest gap 40 ms"),
        ([3900.0] * 100, "fail", "buffers"),
        ([ms - ms % 120 for ms in PACED], "warn", "may hear gaps"),
        ([ms - ms % 90 for ms in PACED], "warn", "joins chunks"),
    ],
    ids=["paced", "one-burst", "gaps", "lumps"],
)
def test_sound_is_judged_by_its_pace(moments: list[float], status: str, said: str) -> None:
    found = streams.judge_sound(one(), sound_at(moments), own_ms=0.0)
    assert found.status == status and said in found.detail, found


def test_a_stall_of_this_machine_is_not_the_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    held_up = [ms if ms < 1000 else max(ms, 1150.0) for ms in PACED]
    assert streams.judge_sound(one(), sound_at(held_up), own_ms=0.0).status == "warn"
    assert streams.judge_sound(one(), sound_at(held_up), own_ms=140.0).status == "ok"
    lumps = sound_at([ms - ms % 90 for ms in PACED])
    assert streams.judge_sound(one(), lumps, own_ms=60.0, own_total_ms=60.0).status == "warn"
    assert streams.judge_sound(one(), lumps, own_ms=60.0, own_total_ms=2000.0).status == "ok"


def test_sound_that_is_cut_or_missing_is_told() -> None:
    got = sound_at(PACED[:40])
    got.is_done, got.broke_off, got.end_ms = False, "the connection was reset", 3500.0
    found = streams.judge_sound(one(), got, own_ms=0.0)
    assert found.status == "fail" and "was cut 3.5 s after" in found.detail
    empty = Exchange(200, HEADERS, 1.0, events=[event(1, error={"code": "no_voice", "message": "None."})], is_done=True)
    assert "no_voice" in streams.judge_sound(one(), empty, own_ms=0.0).detail


@pytest.mark.parametrize(
    ("waiting", "answer", "status", "said"),
    [
        (25.0, 900.0, "ok", "waiting message after 25 ms"),
        (1865.0, 1865.1, "fail", "together with the answer"),
        (700.0, 2000.0, "fail", "after 700 ms"),
        (22.0, 22.1, "ok", "words flow"),
        (300.0, 300.1, "fail", "together with the answer"),
    ],
    ids=["good", "buffered", "late", "fast-model", "held-back"],
)
def test_words_are_judged_by_the_waiting_message(waiting: float, answer: float, status: str, said: str) -> None:
    events = [
        event(waiting, {"content": "One moment. "}),
        event(answer, {"content": "Nine."}),
        event(answer, finish="stop"),
    ]
    found = streams.judge_words(one(), Exchange(200, HEADERS, waiting, events=events, is_done=True))
    assert found.status == status and said in found.detail


def test_a_fast_answer_without_our_header_is_doubtful() -> None:
    events = [event(22, {"content": "One moment. "}), event(22.1, {"content": "Nine."}), event(22.1, finish="stop")]
    headers = {"content-type": "text/event-stream"}
    found = streams.judge_words(one(), Exchange(200, headers, 22, events=events, is_done=True))
    assert found.status == "warn" and "X-Accel-Buffering is missing" in found.detail


def test_an_error_and_a_cut_within_words_are_told() -> None:
    words = event(20.0, {"content": "One moment. "})
    failed = Exchange(
        200, HEADERS, 1.0, events=[words, event(30, error={"code": "upstream_timeout", "message": "Late."})]
    )
    assert "upstream_timeout, Late." in streams.judge_words(one(), failed).detail
    cut = Exchange(200, HEADERS, 1.0, events=[words], reads=[(20.0, 9)], broke_off="closed", end_ms=2020.0)
    found = streams.judge_words(one(), cut)
    assert found.status == "fail" and "in a silence of 2.0 s" in found.detail and "HEARTBEAT" in found.fix


def test_a_page_in_place_of_a_stream_is_told() -> None:
    page = Exchange(200, {"content-type": "text/html"}, 1.0, body=b"<title>Just a moment...</title>")
    for found in (streams.judge_words(one(), page), streams.judge_sound(one(), page, own_ms=0.0)):
        assert found.status == "fail" and "Just a moment" in found.detail


def test_the_form_of_a_text_turn() -> None:
    good = [event(1, {"content": "a"}), event(2, finish="stop")]
    bad = [Event(1, b'{"id": "1", "choices": []}'), Event(2, b'{"id": "2"}')]
    assert list(streams.text_faults(Exchange(200, HEADERS, 1.0, events=good, is_done=True))) == []
    assert len(list(streams.text_faults(Exchange(200, HEADERS, 1.0, events=bad, is_done=True)))) == 3


def test_the_form_of_sound() -> None:
    assert list(streams.sound_faults(sound_at(PACED))) == []
    assert "another text" in next(streams.sound_faults(sound_at(PACED, "No recording was found.")))
    odd = sound_at(PACED)
    odd.events.append(event(1, {"audio": {"data": "AAA="}}))
    odd.events.append(event(1, {"audio": {"data": "***"}}))
    assert "not 16-bit PCM" in next(streams.sound_faults(odd))


def test_callers_who_left_are_counted_over_all_series() -> None:
    text = (
        'parley_requests_total{code="",endpoint="audio",outcome="client_closed"} 3.0\n'
        'parley_requests_total{code="x",endpoint="audio",outcome="client_closed"} 1.0\n'
        'parley_requests_total{code="",endpoint="chat",outcome="client_closed"} 9.0\n'
        'parley_requests_total{code="",endpoint="audio",outcome="ok"} 7.0\n'
    )
    assert list(map(float, streams.CLOSED.findall(text))) == [3.0, 1.0]
