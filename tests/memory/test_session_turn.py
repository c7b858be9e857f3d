"""One turn of a session: which words of an answer are kept, in which of its two texts, and when they are written."""

import gc
import json
import weakref
from typing import Any

import gevent
import pytest

from parley.memory.conversation import decode
from parley.memory.session_turn import SessionTurn, without_phrases
from parley.memory.sessions import Sessions
from parley.memory.stores import Entry, StoreFailed, WorkerStore
from parley.turn_record import TurnRecord
from parley.wire import sse
from parley.wire.chunks import Envelope

QUESTION = [{"role": "user", "content": "How much?"}]
CALL = {"id": "c1", "type": "function", "function": {"name": "price", "arguments": "{}"}}


class BrokenStore(WorkerStore):
    """A store that can't be used."""

    def get(self, key: str) -> Entry | None:
        """Fail."""
        raise StoreFailed("broken")


@pytest.fixture(autouse=True)
def _as_in_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is spawned go on behind the test's back, as in a worker of gevent's."""
    monkeypatch.setattr("gevent.monkey.is_module_patched", lambda name: True)


def text(content: str, index: int = 0) -> bytes:
    return Envelope.new("m").chunk({"content": content}, index=index)


def begun(store: WorkerStore, mode: Any = "full", name: str = "") -> tuple[SessionTurn, TurnRecord]:
    """A turn that has been recalled."""
    record = TurnRecord("chat", "id")
    turn = SessionTurn(Sessions(store, ttl=60), "key", mode, name)
    assert turn.recall(QUESTION, record, with_tools=True) is QUESTION
    return turn, record


def ended(turn: SessionTurn, record: TurnRecord, outcome: str | None = "ok") -> list[str]:
    """End a turn; return what was called behind it."""
    reports: list[str] = []
    record.outcome = outcome
    turn.end(record, lambda: reports.append("reported"))
    # Nobody waits for the store.
    assert reports == []
    turn._sessions.finish(5)
    return reports


def kept(store: WorkerStore) -> Any:
    entry = store.get("key")
    return decode(entry.data)[-1] if entry else None


class KeptStore(WorkerStore):
    """A store that a stop leaves as it is."""

    def close(self) -> None:
        """Do nothing."""


@pytest.mark.row("MM-02")
def test_words_are_kept_as_said_and_as_sent() -> None:
    turn, record = begun(store := KeptStore())
    turn.phrase("One moment. ")
    turn.hear([sse.comment("citations"), text("One moment. "), text("Ten "), text("of another choice", 1)])
    turn.hear([text("dollars."), Envelope.new("m").finish("stop")])

    assert ended(turn, record) == ["reported"]
    assert (kept(store).said, kept(store).sent) == ("Ten dollars.", "One moment. Ten dollars.")
    assert record.memory == "0/0" and not kept(store).closed


def test_a_mark_that_no_voice_speaks_is_not_kept() -> None:
    turn, record = begun(store := KeptStore())
    turn.phrase("One moment. <flush /> ")
    turn.hear([text("One moment. <flush /> "), text("Ten dollars.")])
    ended(turn, record)

    assert (kept(store).said, kept(store).sent) == ("Ten dollars.", "One moment. Ten dollars.")


@pytest.mark.parametrize(
    ("outcome", "closed"), [("ok", False), ("error_mid", False), ("client_closed", True), (None, True)]
)
def test_a_caller_who_left_closed_the_turn(outcome: str | None, closed: bool) -> None:
    turn, record = begun(store := KeptStore(), name="turn_id 3")
    turn.hear([text("Ten")])
    ended(turn, record, outcome)

    assert (kept(store).closed, kept(store).turn) == (closed, "turn_id 3")


def test_transcripts_and_whole_answers_are_heard() -> None:
    turn, record = begun(store := KeptStore())
    audio = {"transcript": "Ten dollars. "}
    turn.hear([Envelope.new("m").chunk({"audio": audio}), Envelope.new("m").chunk({"audio": {"data": "AAAA"}})])
    ended(turn, record)
    assert (kept(store).said, kept(store).sent) == ("Ten dollars.", "")

    turn, record = begun(store := KeptStore())
    message = {"role": "assistant", "content": [{"type": "text", "text": "Nine."}], "audio": {"data": "AAAA"}}
    turn.hear_whole(json.dumps(Envelope.new("m").completion(message)).encode())
    ended(turn, record)
    assert kept(store).said == "Nine."


def test_what_stands_in_the_place_of_an_answer_is_not_kept() -> None:
    turn, record = begun(store := KeptStore())
    turn.hear([text("It costs")])
    turn.replaced()
    turn.hear([text("Sorry?")])
    turn.hear_whole(json.dumps(Envelope.new("m").completion({"content": "Sorry?"})).encode())
    ended(turn, record)

    assert kept(store).said == "It costs"


@pytest.mark.parametrize("said", ["<think>ten?</think>Nine.", "Nine."])
def test_thoughts_are_for_no_later_turn(said: str) -> None:
    turn, record = begun(store := KeptStore())
    turn.hear([text(each) for each in said])
    ended(turn, record)

    assert kept(store).said == "Nine."


@pytest.mark.row("MM-04")
def test_calls_without_a_result_get_it_when_it_comes() -> None:
    turn, record = begun(store := KeptStore(), "tools")
    exchange: list[dict[str, Any]] = []
    turn.follow(exchange)
    exchange.append({"role": "assistant", "content": "Let me see.", "tool_calls": [CALL]})
    turn.hear([text("Let me see.")])
    ended(turn, record, "client_closed")
    call, result = kept(store).exchange
    assert call["content"] is None and "interrupted" in result["content"] and result["tool_call_id"] == "c1"

    turn.late_result({"role": "tool", "tool_call_id": "c1", "content": "ten"})

    assert kept(store).exchange[1]["content"] == "ten"


@pytest.mark.row("MM-04")
def test_a_result_that_comes_before_the_writing_is_kept() -> None:
    turn, record = begun(store := KeptStore())
    turn.follow([{"role": "assistant", "content": None, "tool_calls": [CALL]}])
    turn.late_result({"role": "tool", "tool_call_id": "c1", "content": "ten"})
    ended(turn, record, "client_closed")

    assert kept(store).exchange[1]["content"] == "ten"


@pytest.mark.row("MM-05")
def test_a_store_that_fails_is_told_in_the_log_line() -> None:
    record = TurnRecord("chat", "id")
    turn = SessionTurn(Sessions(BrokenStore(), ttl=60), "key", "full", "")

    assert turn.recall(QUESTION, record, with_tools=True) is QUESTION and record.memory == "failed"
    assert ended(turn, record) == ["reported"] and record.memory == "failed"


def test_who_asks_again_at_once_finds_the_turn() -> None:
    turn, record = begun(store := KeptStore())
    turn.hear([text("Ten.")])
    record.outcome = "ok"
    turn.end(record, lambda: gevent.sleep(0))
    again = SessionTurn(turn._sessions, "key", "full", "")

    read = again.recall([{"role": "user", "content": "And two?"}], TurnRecord("chat", "id"), with_tools=False)

    assert [each["content"] for each in read] == ["How much?", "Ten.", "And two?"]
    assert kept(store).said == "Ten."


def test_a_turn_that_was_never_recalled_leaves_nothing() -> None:
    record = TurnRecord("chat", "id")
    turn = SessionTurn(Sessions(store := KeptStore(), ttl=60), "key", "full", "")

    assert ended(turn, record, None) == ["reported"] and kept(store) is None


@pytest.mark.parametrize(
    ("sent", "phrases", "said"),
    [
        ("One moment. Ten.", ["One moment. "], "Ten."),
        ("One moment, please. Ten.", ["One *moment*, please. "], "Ten."),
        ("Let me see. Looking it up. Still looking. Ten.", ["Looking it up. ", "Still looking. "], "Let me see. Ten."),
        ("One mom", ["One moment. "], ""),
        ("Ten. Still looking,", ["Still looking, please hold. "], "Ten."),
        ("Is this the one", ["One moment. "], "Is this the one"),
        ("Ten.", ["Still looking. "], "Ten."),
        ("少々お待ちください。十です。", ["少々お待ちください。 "], "十です。"),
        ("कृपया रुकें। दस।", ["कृपया रुकें। "], "दस।"),
        ("\u23f3 Ten.", ["\u23f3 "], "\u23f3 Ten."),
        ("Ten.", [], "Ten."),
    ],
)
def test_phrases_are_taken_out_where_they_stand(sent: str, phrases: list[str], said: str) -> None:
    assert without_phrases(sent, phrases) == said


def test_a_chunk_that_can_not_be_read_goes_on_unheard() -> None:
    turn, record = begun(store := KeptStore())
    turn.hear([text("Ten"), b'{"choices":[{"delta":{"content":"x"', b'"content"', text(" dollars.")])
    turn.hear_whole(b"not JSON")
    ended(turn, record)

    assert kept(store).said == "Ten dollars."


def test_nothing_of_a_turn_stays_behind() -> None:
    gc.collect()
    gc.disable()
    try:
        turn, record = begun(KeptStore())
        turn.hear([text("Ten.")])
        ended(turn, record)
        left = weakref.ref(turn)
        del turn, record

        assert left() is None
    finally:
        gc.enable()
