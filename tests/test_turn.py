"""The eight endings of a turn, and that a turn leaves nothing behind."""

import json
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gevent
import pytest
from gevent.event import Event
from structlog.testing import capture_logs

from parley.admission import Admission
from parley.concurrency import SILENCE
from parley.errors import (
    AnswerCapped,
    ClientGone,
    InvalidRequest,
    ParleyError,
    RateLimited,
    ServerOverloaded,
    ServerShuttingDown,
    UpstreamDisconnected,
    UpstreamStalled,
    UpstreamUnreachable,
)
from parley.turn import Batches, FallbackSpoken, Turn
from parley.turn_record import TurnRecord
from parley.wire import sse
from parley.wire.chunks import Envelope
from parley.wire.first_chunk import FirstChunkMetadata
from parley.wire.request import Origin, parse


def envelope() -> Envelope:
    return Envelope("id", 0, "model")


@dataclass(frozen=True)
class Ending:
    """What an answer does, what its client reads of it, and what the log line says.

    `raises` is raised after `words` words have been said, or else the answer waits and the turn is ended from outside
    with `interrupted_by`, or else the answer is complete.
    """

    words: int = 0
    raises: type[Exception] | None = None
    interrupted_by: type[BaseException] | None = None
    fallback_text: str | None = None
    read: tuple[str, ...] = ()
    outcome: str = ""
    code: str | None = None

    def answer(self) -> Batches:
        """Yield the words, and end as this ending does."""
        chunks = envelope()
        for number in range(self.words):
            yield [chunks.text(f"word-{number}", first=number == 0)]
        if self.interrupted_by is not None:
            Event().wait()
        if self.raises is not None:
            raise FallbackSpoken(UpstreamStalled("-")) if self.raises is FallbackSpoken else self.raises("-")
        yield sse.LastBatch([chunks.finish("stop")])


ENDINGS = {
    "whole answer": Ending(words=2, read=("word-0", "word-1", "<stop>", "DONE"), outcome="ok"),
    "refused": Ending(raises=InvalidRequest, outcome="refused", code="invalid_value"),
    "refused for its rate": Ending(raises=RateLimited, outcome="refused", code="rate_limited"),
    "failed, nothing sent": Ending(raises=UpstreamUnreachable, outcome="error_before", code="upstream_unreachable"),
    "fault of ours, nothing sent": Ending(raises=ZeroDivisionError, outcome="error_before", code="internal_error"),
    "failed, words are out": Ending(
        words=1,
        raises=UpstreamDisconnected,
        read=("word-0", "<error>", "error upstream_disconnected"),
        outcome="error_mid",
        code="upstream_disconnected",
    ),
    "fault of ours, words are out": Ending(
        words=1,
        raises=ZeroDivisionError,
        read=("word-0", "<error>", "error internal_error"),
        outcome="error_mid",
        code="internal_error",
    ),
    "failed, nothing sent, FALLBACK_TEXT": Ending(
        raises=UpstreamUnreachable,
        fallback_text="Sorry?",
        read=("Sorry?", "<stop>", ": upstream_unreachable", "DONE"),
        outcome="spoken_fallback",
        code="upstream_unreachable",
    ),
    "failed, words are out, FALLBACK_TEXT": Ending(
        words=1,
        raises=UpstreamDisconnected,
        fallback_text="Sorry?",
        read=("word-0", " Sorry?", "<stop>", ": upstream_disconnected", "DONE"),
        outcome="spoken_fallback",
        code="upstream_disconnected",
    ),
    "the answer has said the text itself": Ending(
        words=1,
        raises=FallbackSpoken,
        fallback_text="Sorry?",
        read=("word-0", ": upstream_stalled", "DONE"),
        outcome="spoken_fallback",
        code="upstream_stalled",
    ),
    "a refusal is not spoken over": Ending(
        raises=InvalidRequest, fallback_text="Sorry?", outcome="refused", code="invalid_value"
    ),
    "a cap reached": Ending(words=1, raises=AnswerCapped, read=("word-0", "<length>", "DONE"), outcome="capped"),
    "client gone": Ending(words=1, interrupted_by=ClientGone, read=("word-0",), outcome="client_closed"),
    "client gone before a word": Ending(interrupted_by=ClientGone, outcome="client_closed"),
    "server stops": Ending(
        words=1,
        interrupted_by=ServerShuttingDown,
        read=("word-0", "<error>", "error server_shutting_down"),
        outcome="shutdown",
        code="server_shutting_down",
    ),
    "server stops before a word": Ending(
        interrupted_by=ServerShuttingDown, outcome="shutdown", code="server_shutting_down"
    ),
}
"""The eight rows of the table in parley/turn.py, each in its variants."""


def words_of(body: bytes) -> tuple[str, ...]:
    """Return what a client reads: words, finish reasons in angle brackets, errors and comments by their codes."""
    return tuple(word_of(frame.decode()) for frame in body.split(b"\n\n")[:-1])


def word_of(frame: str) -> str:
    if frame.startswith(":"):
        return ": " + frame.partition("code=")[2].partition(" ")[0]
    payload = frame.removeprefix("data: ")
    if payload == "[DONE]":
        return "DONE"
    chunk: dict[str, Any] = json.loads(payload)
    if "error" in chunk:
        return f"error {chunk['error']['code']}"
    (choice,) = chunk["choices"]
    return f"<{choice['finish_reason']}>" if choice["finish_reason"] else str(choice["delta"]["content"])


def serve(ending: Ending, turn: Turn) -> bytes:
    """Serve a turn as blueprints/web.py does; return the body, which is empty where the answer is a status."""
    if (reason := ending.interrupted_by) is not None:
        error = reason("-") if issubclass(reason, ParleyError) else reason()
        gevent.get_hub().loop.run_callback(turn.interrupt, error)
    body = b""
    try:
        for piece in turn.stream(ending.answer(), envelope()):
            body += piece
    except ClientGone:
        pass
    except Exception as error:  # noqa: BLE001 - whatever it is, it becomes a status
        assert body == b"", "an error after the first byte can't become a status"
        turn.fail(error)
    turn.close()
    return body


def logged_by(serving: Callable[[], object]) -> Mapping[str, Any]:
    """Return the one `request_end` line that this writes."""
    with capture_logs() as lines:
        gevent.spawn(serving).get()
    (end,) = [line for line in lines if line["event"] == "request_end"]
    return end


@pytest.mark.parametrize("name", ENDINGS)
def test_each_ending_has_its_frames_and_its_outcome(name: str) -> None:
    ending, read = ENDINGS[name], []
    turn: list[Turn] = []

    def serving() -> None:
        turn.append(Turn(TurnRecord("chat", "turn"), fallback_text=ending.fallback_text))
        read.extend(words_of(serve(ending, turn[0])))

    line = logged_by(serving)

    assert tuple(read) == ending.read
    assert (line["outcome"], line["code"]) == (ending.outcome, ending.code)


@pytest.mark.parametrize("name", ENDINGS)
def test_each_ending_frees_the_slot_once(name: str) -> None:
    admission = Admission(1)

    def serving() -> None:
        turn = Turn(TurnRecord("chat", "turn"), fallback_text=ENDINGS[name].fallback_text)
        turn.admit(admission, "anybody")
        serve(ENDINGS[name], turn)
        turn.close()

    logged_by(serving)
    assert not admission.running


def test_fallback_text_never_completes_half_a_tool_call() -> None:
    def answer() -> Batches:
        shared.calls_tool = True
        yield [shared.chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]})]
        raise UpstreamDisconnected("-")

    shared = envelope()
    turn = Turn(TurnRecord("chat", "turn"), fallback_text="Sorry?")
    body = b"".join(turn.stream(answer(), shared))
    turn.close()
    assert b"Sorry?" not in body and b"upstream_disconnected" in body and b"DONE" not in body


def test_a_turn_told_to_end_keeps_its_first_reason() -> None:
    def serving() -> None:
        turn = Turn(TurnRecord("chat", "turn"))
        turn.interrupt(ServerShuttingDown("-"))
        turn.interrupt(ClientGone())
        serve(Ending(words=1), turn)

    assert logged_by(serving)["outcome"] == "shutdown"


@pytest.mark.row("RF-23")
def test_a_json_answer_is_no_end_of_its_turn() -> None:
    def serving() -> None:
        turn = Turn(TurnRecord("chat", "turn"))
        turn.admit(admission, "anybody")
        assert turn.whole(lambda: b"{}") == b"{}"
        assert admission.running and turn.is_ending
        turn.close()

    admission = Admission(1)
    assert logged_by(serving)["outcome"] == "ok" and not admission.running


def fails_at_its_close() -> Batches:
    try:
        while True:
            yield [b"{}"]
    finally:
        raise RuntimeError("at the close")


@pytest.mark.row("RL-07")
@pytest.mark.parametrize("started", [True, False], ids=["begun", "not begun"])
def test_a_generator_failing_at_close_frees_its_slot_once(started: bool) -> None:
    admission, turn = Admission(1), Turn(TurnRecord("chat", "rl-07"))
    turn.admit(admission, "anybody")
    pieces = turn.stream(fails_at_its_close(), envelope())
    if started:
        next(pieces)
    with capture_logs() as logged, pytest.raises(RuntimeError, match="at the close"):
        turn.close()
    assert not admission.running and [line["event"] for line in logged] == ["request_end"]
    turn.close()
    admission.admit(Turn(TurnRecord("chat", "next")))
    with pytest.raises(ServerOverloaded):
        admission.admit(Turn(TurnRecord("chat", "one too many")))


@pytest.mark.usefixtures("no_collections")
@pytest.mark.parametrize("name", ["client gone", "failed, words are out"])
def test_a_turn_that_has_ended_holds_no_memory(name: str) -> None:
    def serving() -> weakref.ref[Turn]:
        turn = Turn(TurnRecord("chat", "turn"))
        assert b"DONE" not in serve(ENDINGS[name], turn)
        return weakref.ref(turn)

    ended = gevent.spawn(serving).get()
    gevent.sleep(0)
    assert ended() is None


@pytest.mark.parametrize(("asked_for", "answers"), [("m", "m"), (None, "default"), ("", "default")])
def test_the_log_and_the_chunks_name_the_model_that_answers(asked_for: str | None, answers: str) -> None:
    body = {"messages": [{"role": "user", "content": "Hi"}], "model": asked_for, "turn_id": 7}
    turn = Turn(TurnRecord("chat", "turn"))

    context = turn.context(parse(json.dumps(body).encode(), Origin("turn", v1=False)), "default")

    assert context.envelope.model == turn.record.model == answers
    assert turn.record.turn_id == 7


def test_a_request_that_is_taken_is_held_no_longer() -> None:
    turn = Turn(TurnRecord("chat", "turn"))
    context = turn.context(parse(b'{"messages":[{"role":"user","content":"Hi"}]}', Origin("turn", v1=False)), "m")
    held = weakref.ref(context.chat)

    assert context.take_chat().question == "Hi"

    assert held() is None


METADATA = (
    b'data: {"id":"%b","object":"chat.completion.custom_metadata","created":%d,"model":"%b","choices":[],'
    b'"metadata":{"interruptable":false}}\n\n'
)


def written(ending_of: Callable[[], Batches], fields: dict[str, Any], fallback_text: str | None = None) -> list[bytes]:
    """Return the writes of an answer under an envelope with this metadata."""
    own = envelope()
    own.first_chunk = FirstChunkMetadata(fields)
    turn = Turn(TurnRecord("chat", "turn"), fallback_text=fallback_text, heartbeat=0.001)
    try:
        return list(turn.stream(ending_of(), own))
    finally:
        turn.close()
        assert not own.first_chunk.add({}), "behind its end a turn takes nothing more"


@pytest.mark.row("FC-01")
@pytest.mark.parametrize("name", [name for name, ending in ENDINGS.items() if not ending.interrupted_by])
def test_metadata_is_in_front_of_what_leaves_first(name: str) -> None:
    ending = ENDINGS[name]
    fields = {"interruptable": False}
    try:
        plain = written(ending.answer, {}, ending.fallback_text)
    except Exception as error:  # noqa: BLE001 - whatever it is, it becomes a status
        with pytest.raises(type(error)):
            written(ending.answer, fields, ending.fallback_text)
        return

    assert written(ending.answer, fields, ending.fallback_text) == [
        METADATA % (b"id", 0, b"model") + plain[0],
        *plain[1:],
    ]


@pytest.mark.row("FC-01")
def test_metadata_waits_for_an_event_and_has_its_stamp() -> None:
    chunk = b'{"model":"m","id":"up","choices":[],"created":1}'

    def answer() -> Batches:
        yield [sse.comment("working")]
        time.sleep(0.002)
        yield SILENCE
        yield [sse.comment("citations []"), chunk]
        yield sse.LastBatch([chunk])

    first = METADATA % (b"up", 1, b"m") + b": citations []\n\n" + sse.frame(chunk)
    assert written(answer, {"interruptable": False}) == [
        b": working\n\n",
        b": keep-alive\n\n",
        first,
        sse.frame(chunk) + sse.DONE,
    ]


@pytest.mark.parametrize("last", [[], [sse.comment("nothing")]], ids=["nothing", "comment"])
def test_metadata_never_stands_alone(last: list[bytes]) -> None:
    def answer() -> Batches:
        yield sse.LastBatch(last)

    assert written(answer, {"interruptable": False}) == [sse.frames(last) + sse.DONE]
