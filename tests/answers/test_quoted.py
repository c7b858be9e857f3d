"""The answerer of a turn: the model, the knowledge in its own words, or the model with a quote behind it."""

import json
from pathlib import Path
from typing import Any

import pytest
from scripted_upstream import ScriptedUpstream, as_served, chunk, context, deltas, last, services

from parley import answers
from parley.answers.passes import Model
from parley.answers.quoted import NOTHING, QuoteBehind, Text, answerer, query_of
from parley.errors import NotConfigured, UpstreamDisconnected, UpstreamError, UpstreamRefused
from parley.knowledge.index import Query
from parley.languages import ENGLISH, LANGUAGES
from parley.services import Services
from parley.turn import TurnContext
from parley.upstream.chat_api import PromptForm
from parley.upstream.router import KnowledgeOnly
from parley.wire.sse import LastBatch, comment

rag, rag_json = as_served(answers.rag), as_served(answers.rag_json)

DOWN = UpstreamDisconnected("gone")


class Demonstration(ScriptedUpstream):
    """A model that is not good enough to be asked about the knowledge."""

    prompt_form: PromptForm = "extractive"


@pytest.fixture
def kb(tmp_path: Path) -> Path:
    (tmp_path / "kb.json").write_text(json.dumps({"Chain": "A new chain costs 35 dollars. It lasts 2000 miles."}))
    return tmp_path


def made(upstream: Any, kb: Path, **environ: str) -> Services:
    of_all = services(upstream, KB_DIR=str(kb), WAITING="off", **environ)
    of_all.knowledge.require("")
    return of_all


def asked(question: str, **fields: Any) -> TurnContext:
    return context(question, **fields)


def words(upstream: Any, kb: Path, question: str, **environ: str) -> str:
    batches = list(rag(asked(question), made(upstream, kb, **environ)))
    return "".join(delta.get("content") or "" for delta in deltas(batches))


@pytest.mark.parametrize("upstream", [KnowledgeOnly(), Demonstration()], ids=["no model", "demonstration"])
def test_what_the_knowledge_holds_is_quoted(upstream: Any, kb: Path) -> None:
    assert words(upstream, kb, "what does a new chain cost") == "A new chain costs 35 dollars."


def test_a_quote_has_a_first_content_though_no_model_was_asked(kb: Path) -> None:
    records = []
    for answer in (rag, rag_json):
        turn = asked("what does a new chain cost")
        answered = answer(turn, made(KnowledgeOnly(), kb))
        list(answered)
        records.append(turn.record)
    for record in records:
        assert record.ttft_ms is not None and record.asked_ms is None and record.attempts == 0


def test_a_real_model_answers_itself(kb: Path) -> None:
    upstream = ScriptedUpstream([chunk(content="35.")], last())
    assert words(upstream, kb, "what does a new chain cost") == "35."
    answers, found = answerer(Query("x"), NOTHING, asked("x"), made(upstream, kb))
    assert isinstance(answers, Model) and found is NOTHING


@pytest.mark.parametrize("gate", [True, False])
def test_small_talk_gets_a_phrase_of_the_language(kb: Path, gate: bool) -> None:
    (kb / "base.json").write_text(json.dumps({"small_talk": gate, "language": "de"}))
    for upstream in (Demonstration([chunk(content="Bye.")], last()), KnowledgeOnly()):
        assert words(upstream, kb, "thanks, bye") == LANGUAGES["de"].at_your_service


def test_the_bases_own_words_say_that_nothing_is_known(kb: Path) -> None:
    assert words(KnowledgeOnly(), kb, "who won the war") == ENGLISH.not_found
    (kb / "base.json").write_text('{"not_found": "No idea."}')
    assert words(KnowledgeOnly(), kb, "who won the war") == "No idea."


def test_an_accepted_offer_is_looked_up(kb: Path) -> None:
    said = [
        {"role": "assistant", "content": "Do you want to know what a new chain costs?"},
        {"role": "user", "content": "yes please"},
    ]
    query = query_of(asked("", messages=said).chat, made(KnowledgeOnly(), kb))
    assert query and "chain" in query.text


def test_without_knowledge_and_model_nothing_can_be_answered(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured):
        query_of(asked("what is a chain").chat, made(KnowledgeOnly(), tmp_path))
    assert query_of(asked("what is a chain").chat, made(Demonstration(), tmp_path))


def test_a_quote_in_one_piece_has_its_citations(kb: Path) -> None:
    turn = asked("what does a new chain cost")
    completion = json.loads(rag_json(turn, made(KnowledgeOnly(), kb)))
    assert completion["choices"][0]["message"]["content"] == "A new chain costs 35 dollars."
    assert completion["object"] == "chat.completion" and completion["citations"][0]["title"] == "Chain"
    assert (turn.record.passages, turn.record.upstream) == (1, "knowledge")


def test_a_failure_before_the_first_word_is_replaced(kb: Path) -> None:
    thoughts = [chunk(role="assistant", reasoning_content="Hm.")]
    for upstream in (ScriptedUpstream(DOWN), ScriptedUpstream(thoughts, DOWN)):
        turn = asked("what does a new chain cost")
        batches = list(rag(turn, made(upstream, kb, RAG_FALLBACK="quote")))
        found = deltas(batches)
        assert isinstance(batches[-1], LastBatch) and found[-2]["content"] == "A new chain costs 35 dollars."
        assert sum("role" in delta for delta in found) == 1
        assert (turn.record.outcome, turn.record.code) == ("spoken_fallback", "upstream_disconnected")


@pytest.mark.parametrize(
    ("script", "environ", "question"),
    [
        ([[chunk(content="Well")], DOWN], {"RAG_FALLBACK": "quote"}, "what does a new chain cost"),
        ([DOWN], {}, "what does a new chain cost"),
        ([DOWN], {"RAG_FALLBACK": "quote"}, "who won the war"),
        ([UpstreamRefused(400, {})], {"RAG_FALLBACK": "quote"}, "what does a new chain cost"),
    ],
    ids=["words are out", "off", "no quote", "refused"],
)
def test_other_failures_are_told(script: list[Any], environ: dict[str, str], question: str, kb: Path) -> None:
    with pytest.raises(UpstreamError):
        words(ScriptedUpstream(*script), kb, question, **environ)


def test_a_rate_limit_is_replaced(kb: Path) -> None:
    limited = ScriptedUpstream(UpstreamRefused(429, {}))
    assert words(limited, kb, "what does a new chain cost", RAG_FALLBACK="quote") == "A new chain costs 35 dollars."


def test_a_text_continues_an_answer_that_has_begun() -> None:
    turn = asked("x")
    turn.envelope.text("Wait. ", first=True)
    first, finish = deltas(list(Text("Hello.").stream(turn.chat, turn.envelope, turn.record)))
    assert (first, finish) == ({"content": "Hello."}, {})
    assert json.loads(Text("Hello.").complete(turn.chat, turn.record))["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("fails", [True, False])
def test_a_comment_ahead_is_neither_an_answer_nor_a_failure(fails: bool) -> None:
    upstream = ScriptedUpstream([comment("working")], *([DOWN] if fails else [[chunk(content="35.")], last()]))
    turn = asked("x")

    batches = list(QuoteBehind(upstream, lambda: "Quoted.").stream(turn.chat, turn.envelope, turn.record))

    found = [delta for delta in deltas(batches) if delta]
    assert found == ([{"role": "assistant", "content": "Quoted."}] if fails else [{"content": "35."}])
