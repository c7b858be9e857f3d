"""A follow-up put as a question of its own, by a model that answers, is late, or fails."""

import json
from typing import Any

import gevent
import pytest

from parley.answers.query_rewriting import rewrite_query
from parley.errors import UpstreamTimeout
from parley.knowledge.index import Query
from parley.turn import TurnContext
from parley.turn_record import TurnRecord
from parley.upstream.router import NoUpstream
from parley.wire.chunks import Envelope
from parley.wire.request import ChatRequest, Origin, parse

FOLLOW_UP = Query("and how much is it", "tell me about the full overhaul", {"language": "en"})


class Model(NoUpstream):
    """Answers with this text, or raises it; or never does."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.chat: ChatRequest | None = None

    def complete(self, chat: ChatRequest, record: TurnRecord) -> bytes:
        self.chat = chat
        if self.answer is None:
            gevent.sleep(60)
        if isinstance(self.answer, Exception):
            raise self.answer
        return json.dumps({"choices": [{"message": {"content": self.answer}}]}).encode()


def context() -> TurnContext:
    body = {"model": "m", "messages": [{"role": "user", "content": "and how much is it"}], "tools": [{}]}
    record = TurnRecord(id="1", endpoint="rag")
    return TurnContext(parse(json.dumps(body).encode(), Origin("1", False)), Envelope.new("m"), record)


def test_the_models_wording_is_looked_up() -> None:
    model = Model(" How much is a full overhaul? ")

    query = rewrite_query(FOLLOW_UP, context(), model, 5)

    assert query == Query("How much is a full overhaul?", "", {"language": "en"})
    assert model.chat is not None and model.chat.body.keys() == {"messages", "temperature", "max_tokens", "model"}
    assert "full overhaul" in model.chat.question and "and how much is it" in model.chat.question


@pytest.mark.row("RA-07", "RA-08")
@pytest.mark.parametrize("answer", [[{"type": "text", "text": "How much?"}], {"text": "How much?"}, "How \ud83dmuch?"])
def test_a_wording_of_another_type_is_looked_up(answer: Any) -> None:
    assert rewrite_query(FOLLOW_UP, context(), Model(answer), 5).text == "How much?"


@pytest.mark.parametrize("answer", [None, UpstreamTimeout("late"), "", "x" * 401, 7], ids=str)
def test_without_a_rewriting_in_time_the_own_words_are_used(answer: Any) -> None:
    assert rewrite_query(FOLLOW_UP, context(), Model(answer), 0.02) == FOLLOW_UP


def test_a_first_question_needs_no_other_wording() -> None:
    model = Model("anything")

    assert rewrite_query(Query("how much is it"), context(), model, 5) == Query("how much is it") and model.chat is None
