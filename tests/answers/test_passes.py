"""The upstream itself where no tool is offered, and passes where one is."""

from typing import Any

from scripted_upstream import FINISH, AnswersInTurn, ScriptedUpstream, calling, chunk, context, last, offering, tool

from parley.answers.passes import Model

WORD = chunk(role="assistant", content="Hello")


def test_without_tools_the_answer_is_the_upstreams_own() -> None:
    upstream, asked = ScriptedUpstream([WORD], last()), context()

    answer = Model(offering(upstream)).stream(asked.chat, asked.envelope, asked.record)

    # Not wrapped: nothing is added to the path of a chunk.
    assert getattr(answer, "__name__", "") == "stream" and list(answer) == [[WORD], [FINISH]]
    assert asked.record.passes is None and upstream.questions == [asked.chat]


def test_behind_a_waiting_message_chunks_are_stamped() -> None:
    asked = context()
    asked.envelope.text("One moment. ", first=True)

    answer = Model(offering(ScriptedUpstream([WORD], last()))).stream(asked.chat, asked.envelope, asked.record)

    (first,), _ = list(answer)  # type: ignore[misc] # no silence among them
    assert b'"id":"ours"' in first and b"role" not in first


def test_with_tools_there_are_passes() -> None:
    upstream, asked = AnswersInTurn([[calling("look")], last()], [[WORD], last()]), context()

    answer: Any = Model(offering(upstream, tool("look"))).stream(asked.chat, asked.envelope, asked.record)

    assert list(answer) == [[WORD], [FINISH]] and asked.record.passes == 2


def test_whole_answers_are_the_upstreams_own_or_passes() -> None:
    asked = context(stream=False)
    assert b"Hello." in Model(offering(ScriptedUpstream())).complete(asked.chat, asked.record)
    assert asked.record.passes is None
    message = {"role": "assistant", "content": "Hi."}
    assert b"Hi." in Model(offering(AnswersInTurn(message), tool("look"))).complete(asked.chat, asked.record)
    assert asked.record.passes == 1
