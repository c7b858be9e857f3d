"""A follow-up put as a question of its own, by a model that answers, is late, or fails."""

import json
from typing import Any

import gevent
import pytest

from parley.errors import UpstreamTimeout
from parley.knowledge.index import Query
from parley.rewriting import rewritten
from parley.trail import Trail
from parley.upstream.relay import NoUpstream
from parley.wire.request import Asked, Origin, parse

FOLLOW_UP = Query("and how much is it", "tell me about the full overhaul", {"language": "en"})


class Model(NoUpstream):
    """Answers with this text, or raises it; or never does."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: Asked | None = None

    def complete(self, asked: Asked) -> bytes:
        self.asked = asked
        if self.answer is None:
            gevent.sleep(60)
        if isinstance(self.answer, Exception):
            raise self.answer
        return json.dumps({"choices": [{"message": {"content": self.answer}}]}).encode()


def asked() -> Asked:
    body = {"model": "m", "messages": [{"role": "user", "content": "and how much is it"}], "tools": [{}]}
    trail = Trail(id="1", endpoint="rag")
    return parse(json.dumps(body).encode(), Origin("1", False), trail, "m")


def test_the_models_wording_is_looked_up() -> None:
    model = Model(" How much is a full overhaul? ")

    query = rewritten(FOLLOW_UP, asked(), model, 5)

    assert query == Query("How much is a full overhaul?", "", {"language": "en"})
    assert model.asked is not None and model.asked.body.keys() == {"messages", "temperature", "max_tokens", "model"}
    assert "full overhaul" in model.asked.question and "and how much is it" in model.asked.question


@pytest.mark.parametrize("answer", [None, UpstreamTimeout("late"), "", "x" * 401, 7], ids=str)
def test_without_a_good_wording_in_time_the_callers_own_words_are_looked_up(answer: Any) -> None:
    assert rewritten(FOLLOW_UP, asked(), Model(answer), 0.02) == FOLLOW_UP


def test_a_first_question_needs_no_other_wording() -> None:
    model = Model("anything")

    assert rewritten(Query("how much is it"), asked(), model, 5) == Query("how much is it") and model.asked is None
