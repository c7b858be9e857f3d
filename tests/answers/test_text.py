"""The answers of /chat and /rag: the question that goes upstream, the waiting message, the notes on what was found."""

import json
from pathlib import Path
from typing import Any

import pytest
from scripted_upstream import FINISH, ScriptedUpstream, as_served, chunk, context, deltas, last, services

from parley import answers
from parley.answers.text import WaitingMessage
from parley.concurrency import SILENCE
from parley.errors import NotFound, UpstreamWordless
from parley.services import Services
from parley.turn_record import TurnRecord
from parley.wire.request import ChatRequest
from parley.wire.sse import Comment, LastBatch

chat_json, rag, rag_json = as_served(answers.chat_json), as_served(answers.rag), as_served(answers.rag_json)

WORD = chunk(role="assistant", content="By mail.")
PASSAGE = {"id": "shipping", "title": "Shipping", "text": "We ship by mail to every country."}


@pytest.fixture
def upstream() -> ScriptedUpstream:
    return ScriptedUpstream([WORD], last())


def knowing(folder: Path, upstream: ScriptedUpstream, **environ: str) -> Services:
    (folder / "shop.json").write_text(json.dumps([PASSAGE]))
    return services(upstream, KB_DIR=str(folder), WAITING_MESSAGES="One moment.", WAITING="off", **environ)


def test_chat_relays_the_upstreams_batches(upstream: ScriptedUpstream) -> None:
    asked = context()
    question = asked.chat

    assert list(answers.chat(asked, services(upstream))) == [[WORD], [FINISH]]
    assert upstream.questions == [question]


def test_chat_in_one_piece_is_the_upstreams_own() -> None:
    answer = json.loads(chat_json(context(stream=False), services(ScriptedUpstream(completion={"content": "x"}))))

    assert answer["choices"][0]["message"] == {"content": "x"}


def test_the_grounded_question_holds_the_passage(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    asked = context()

    batches = list(rag(asked, knowing(tmp_path, upstream)))

    (question,) = upstream.questions
    assert PASSAGE["text"] in question.question and question.question.endswith("Where do you ship?")
    assert asked.record.passages == 1
    comment = batches[0][0]
    assert isinstance(comment, Comment) and b'"shipping"' in comment
    assert batches == [[comment, WORD], [FINISH]] and isinstance(batches[-1], LastBatch)


def test_a_request_is_not_held_while_its_answer_lasts(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    asked = context()
    batches = rag(asked, knowing(tmp_path, upstream))

    next(batches)

    with pytest.raises(AttributeError):
        _ = asked.chat
    batches.close()
    assert upstream.is_closed


def test_citations_are_named_at_the_end_if_wanted(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    batches = list(rag(context(include_citations=True), knowing(tmp_path, upstream)))

    assert "citations" not in json.loads(batches[0][-1])
    assert [cited["id"] for cited in json.loads(batches[-1][0])["citations"]] == ["shipping"]


def test_a_json_answer_names_its_citations(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    answer = json.loads(rag_json(context(stream=False), knowing(tmp_path, upstream)))

    assert [cited["id"] for cited in answer["citations"]] == ["shipping"]
    assert PASSAGE["text"] in upstream.questions[0].question


def test_after_a_failed_search_the_model_is_told_nothing(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    within, asked = knowing(tmp_path, upstream), context()
    within.knowledge.require("")

    def fail(*_: Any) -> None:
        raise ValueError("out of order")

    monkeypatch.setattr(within.knowledge.bases, "get", lambda name: None if name else fail())
    monkeypatch.setattr(within.knowledge, "require", lambda kb: None)
    batches = list(rag(asked, within))

    assert batches[0][0] == b": rag degraded\n\n" and asked.record.passages is None
    assert upstream.questions[0].question == "Where do you ship?"


def test_an_unknown_knowledge_base_asks_no_upstream(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    with pytest.raises(NotFound):
        list(rag(context(kb="none", waiting="always"), knowing(tmp_path, upstream)))
    assert upstream.questions == []


def test_a_waiting_message_precedes_the_answer_once(tmp_path: Path) -> None:
    upstream = ScriptedUpstream(SILENCE, [WORD], SILENCE, last())

    batches = list(rag(context(waiting="always"), knowing(tmp_path, upstream)))

    said = [delta.get("content") for delta in deltas(batches)]
    assert said == ["One moment. ", "By mail.", None]
    assert [b'"ours"' in batch[-1] for batch in batches if batch is not SILENCE] == [True] * 3
    assert batches.count(SILENCE) == 2


class Clock:
    """A clock that is set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("parley.answers.text.time.monotonic", lambda: self.now)


def waiting(tmp_path: Path, upstream: ScriptedUpstream, **fields: Any) -> WaitingMessage:
    return WaitingMessage(context(**fields), knowing(tmp_path, upstream))


def test_a_waiting_message_takes_the_place_of_silence(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    message = waiting(tmp_path, upstream, waiting=500)
    assert list(message.if_due()) == [] and message.seconds_left == 0.5

    def answer() -> Any:
        yield SILENCE
        clock.now += 0.6
        yield SILENCE
        yield SILENCE
        return 7

    def passed_on() -> Any:
        returned.append((yield from message.during(answer())))

    returned: list[int] = []
    batches = list(passed_on())

    assert [deltas([batch]) for batch in batches] == [[], [{"role": "assistant", "content": "One moment. "}], []]
    assert returned == [7] and message.seconds_left is None


def test_content_in_time_makes_a_waiting_message_needless(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    message = waiting(tmp_path, upstream, waiting=500)

    batches = message.during(iter_of([WORD], SILENCE))

    assert next(batches) == [WORD] and message.seconds_left is None
    clock.now += 1
    assert list(batches) == [SILENCE]


@pytest.mark.row("RA-04")
def test_a_waiting_message_comes_between_thoughts(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    message = waiting(tmp_path, upstream, waiting=500)
    thought = chunk(role="assistant", content="", reasoning="Hmm")

    def answer() -> Any:
        yield [thought]
        clock.now += 0.6
        yield [chunk(content="<thi"), chunk(content="nk>")]
        yield [WORD]

    said = [delta.get("content") for delta in deltas(list(message.during(answer())))]

    assert said == ["", "<thi", "nk>", "One moment. ", "By mail."]


@pytest.mark.row("RA-04")
@pytest.mark.parametrize("end", [[FINISH], last()], ids=["a batch", "the last batch"])
def test_no_waiting_message_follows_an_end(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, end: Any
) -> None:
    clock = Clock(monkeypatch)
    message = waiting(tmp_path, upstream, waiting=500)
    batches = message.during(iter_of(end))
    clock.now += 1
    assert list(batches) == [end]


@pytest.mark.row("RA-05")
def test_the_fallback_text_is_a_whole_answer() -> None:
    class Wordless(ScriptedUpstream):
        def complete(self, chat: ChatRequest, record: TurnRecord) -> bytes:
            raise UpstreamWordless("-")

    asked = context(stream=False)
    body = json.loads(chat_json(asked, services(Wordless(), FALLBACK_TEXT="Sorry?")))
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "Sorry?"}
    assert (body["object"], asked.record.outcome) == ("chat.completion", "spoken_fallback")


def iter_of(*batches: Any) -> Any:
    yield from batches


@pytest.mark.parametrize(
    "fields",
    [{"waiting": "off"}, {"waiting": 0, "messages": [{"role": "tool", "content": "7"}]}],
    ids=["switched off", "after a tool result"],
)
def test_a_waiting_message_may_never_be_due(tmp_path: Path, upstream: ScriptedUpstream, fields: dict[str, Any]) -> None:
    message = waiting(tmp_path, upstream, **fields)

    assert message.seconds_left is None and list(message.if_due()) == []
