"""A streamed answer in several passes: what leaves, under which envelope, and what is said while tools run."""

import dataclasses
import json
from typing import Any

import gevent
import pytest
from scripted_upstream import (
    FINISH,
    AnswersInTurn,
    ScriptedUpstream,
    as_served,
    calling,
    chunk,
    context,
    deltas,
    last,
    offering,
    tool,
)

from parley import answers
from parley.concurrency import SILENCE
from parley.errors import AnswerCapped, UpstreamDisconnected, UpstreamRefused
from parley.tools.tool import Arguments, Call, Result
from parley.turn import TurnContext
from parley.wire.sse import LastBatch
from parley.wire.turn_options import TurnOptions
from parley.wire.upstream_json import encode

chat = as_served(answers.chat)

ROLE = chunk(role="assistant", content=None)
FRIDAY = chunk(role="assistant", content="On Friday.")
BROKEN = UpstreamDisconnected("cut")
LOOK = tool("look")


def nap(seconds: float, name: str = "nap", **more: Any) -> Any:
    def run(arguments: Arguments, call: Call) -> Result:
        gevent.sleep(seconds)
        return Result("slept")

    return tool(name, run, cancels=True, waiting=("A moment",), **more)


def said(batches: list[Any]) -> str:
    return "".join(delta.get("content") or "" for delta in deltas(batches))


def test_a_hidden_pass_leaves_the_next_byte_for_byte() -> None:
    upstream = AnswersInTurn([[ROLE, calling("look")], last(chunk("tool_calls"))], [[FRIDAY], last()])
    asked = context()

    batches = list(chat(asked, offering(upstream, LOOK)))

    assert batches == [[FRIDAY], [FINISH]] and isinstance(batches[-1], LastBatch)
    assert (asked.envelope.used, asked.envelope.calls_tool) == (False, False)
    assert (asked.record.passes, asked.record.tools, asked.record.fillers) == (2, "look", 0)
    assert upstream.questions[1].messages[-1] == {"role": "tool", "tool_call_id": "call_0", "content": "done"}


def test_what_follows_words_is_their_continuation() -> None:
    words = chunk(role="assistant", content="One moment.")
    upstream = AnswersInTurn([[words], [calling("look")], last()], [[ROLE], [FRIDAY], last()])

    batches = list(chat(context(), offering(upstream, LOOK)))

    assert said(batches) == "One moment. On Friday." and sum("role" in delta for delta in deltas(batches)) == 1


@pytest.mark.parametrize(("before", "after"), [("One moment. ", "On Friday."), ("One moment.", " On Friday.")])
def test_no_space_is_doubled(before: str, after: str) -> None:
    upstream = AnswersInTurn([[chunk(content=before), calling("look")], last()], [[chunk(content=after)], last()])

    assert said(list(chat(context(), offering(upstream, LOOK)))) == "One moment. On Friday."


def test_a_filler_gives_the_role_and_the_id() -> None:
    upstream = AnswersInTurn([[ROLE, calling("nap")], last()], [[ROLE], [FRIDAY], last()])
    asked = context()

    batches = [batch for batch in chat(asked, offering(upstream, nap(0.1), TOOL_WAITING="20")) if batch is not SILENCE]

    assert said(batches) == "A moment. On Friday." and deltas(batches)[0] == {
        "role": "assistant",
        "content": "A moment. ",
    }
    assert sum("role" in delta for delta in deltas(batches)) == 1 and asked.record.fillers == 1
    assert {json.loads(payload)["id"] for batch in batches for payload in batch} == {asked.envelope.id}


def test_always_speaks_at_once_and_off_never() -> None:
    def answered(waiting: str) -> str:
        upstream = AnswersInTurn([[calling("nap")], last()], [[FRIDAY], last()])
        return said(list(chat(context(), offering(upstream, nap(0.05), TOOL_WAITING=waiting))))

    assert [answered("always"), answered("off")] == ["A moment. On Friday.", "On Friday."]


def test_no_filler_comes_behind_words_of_the_model() -> None:
    upstream = AnswersInTurn([[chunk(content="Hm."), calling("nap")], last()], [[FRIDAY], last()])

    assert said(list(chat(context(), offering(upstream, nap(0.1), TOOL_WAITING="20")))) == "Hm. On Friday."


@pytest.mark.parametrize("retries", [1, 0])
def test_a_hidden_pass_that_breaks_is_asked_once_more(retries: int) -> None:
    upstream = AnswersInTurn(
        [[calling("look")], last()], [[calling("look")], BROKEN], [[FRIDAY], last()], retries=retries
    )
    asked = chat(context(), offering(upstream, LOOK))

    if retries:
        assert said(list(asked)) == "On Friday." and len(upstream.questions) == 3
    else:
        with pytest.raises(UpstreamDisconnected):
            list(asked)


@pytest.mark.parametrize(
    "script",
    [
        [[FRIDAY], BROKEN],
        [BROKEN],
        [[calling("look")], UpstreamRefused(400, {})],
    ],
    ids=["words have left", "nothing has come", "a refusal"],
)
def test_other_failures_are_not_repeated(script: list[Any]) -> None:
    upstream = AnswersInTurn(script)

    with pytest.raises((UpstreamDisconnected, UpstreamRefused)):
        list(chat(context(), offering(upstream, LOOK)))
    assert len(upstream.questions) == 1


def test_a_pass_is_repeated_once_a_turn() -> None:
    half = [[calling("look", '{"a":1}')], BROKEN]
    upstream = AnswersInTurn(half, half, retries=5)

    with pytest.raises(UpstreamDisconnected):
        list(chat(context(), offering(upstream, LOOK)))
    assert len(upstream.questions) == 2


def test_a_cap_in_a_hidden_call_ends_the_answer() -> None:
    upstream = AnswersInTurn([[calling("look")], AnswerCapped()])

    with pytest.raises(AnswerCapped):
        list(chat(context(), offering(upstream, LOOK)))


def test_the_time_of_the_first_content_is_that_of_what_leaves() -> None:
    def ttft(asked: TurnContext, *answers: Any) -> float | None:
        asked.record.ttft_ms = 1.5  # of a hidden call
        list(chat(asked, offering(AnswersInTurn(*answers), LOOK)))
        return asked.record.ttft_ms

    assert ttft(context(), [[calling("look")], last()], [[ROLE], last()]) is None
    assert ttft(context(), [[calling("look")], last()], [[FRIDAY], last()]) is not None


def test_an_end_without_its_mark_is_an_end() -> None:
    upstream = AnswersInTurn([[FRIDAY], [FINISH]])

    batches = list(chat(context(), offering(upstream, LOOK)))

    assert batches == [[FRIDAY], [FINISH]] and isinstance(batches[-1], LastBatch)


def test_a_caller_who_leaves_ends_the_tool() -> None:
    seen: list[str] = []

    def run(arguments: Arguments, call: Call) -> Result:
        try:
            gevent.sleep(60)
        finally:
            seen.append("ended")
        return Result("x")

    upstream = AnswersInTurn([[calling("nap")], last()])
    batches = chat(context(), offering(upstream, tool("nap", run, cancels=True), HEARTBEAT="0.05"))
    assert next(batches) == [b": working\n\n"]

    batches.close()

    gevent.sleep(0.01)
    assert seen == ["ended"]


AGORA = {"turn_id": 3, "timestamp": 1764000012345}
FALSE, TRUE = {"interruptable": False}, {"interruptable": True}


@pytest.mark.row("FC-01")
@pytest.mark.parametrize(
    ("fields", "wishes", "metadata"),
    [
        (AGORA, [False], FALSE),
        (AGORA, [True], TRUE),
        (AGORA, [None], {}),
        (AGORA, [None, False], FALSE),
        (AGORA, [True, False], FALSE),
        ({}, [False], {}),
        ({"turn_id": 3}, [False], {}),
        ({**AGORA, "first_chunk": {"interruptable": True, "a": 1}}, [False], {**FALSE, "a": 1}),
    ],
    ids=["false", "true", "none", "another", "both", "no-agora", "half-agora", "request"],
)
def test_a_tools_wish_is_in_front_of_its_filler(fields: Any, wishes: list[Any], metadata: dict[str, Any]) -> None:
    tools = [nap(0.1, name=f"nap{at}", interruptable=wish) for at, wish in enumerate(wishes)]
    calls = [calling(each.name, number=at) for at, each in enumerate(tools)]
    asked = context(**fields)
    answer = chat(asked, offering(AnswersInTurn([calls, last()], [[FRIDAY], last()]), *tools, TOOL_WAITING="20"))

    given = next(asked.envelope.first_chunk.take() for batch in answer if batch is not SILENCE)
    rest = said(list(answer))

    assert json.loads(encode(given)) == metadata
    assert rest == "On Friday." and not asked.envelope.first_chunk.take()


@pytest.mark.row("FC-01")
@pytest.mark.parametrize(("platform", "metadata"), [("agora", FALSE), ("", {})])
def test_an_agent_of_agoras_needs_no_marks(platform: str, metadata: dict[str, Any]) -> None:
    options = TurnOptions(platform=platform, tool_waiting=20, waiting_messages=("Mine.",))
    asked = context()
    asked.chat = dataclasses.replace(asked.chat, options=options)
    upstream = AnswersInTurn([[calling("nap")], last()], [[FRIDAY], last()])
    slow = tool("nap", lambda *_: gevent.sleep(0.1) or Result("slept"), cancels=True, interruptable=False)
    answer = answers.chat(asked, offering(upstream, slow))

    given = next(asked.envelope.first_chunk.take() for batch in answer if batch is not SILENCE)

    assert json.loads(encode(given)) == metadata


def test_an_agents_tools_alone_are_offered() -> None:
    upstream = ScriptedUpstream([FRIDAY], last())
    for patterns, names in (
        (("l*",), ["look", "listen"]),
        ((), []),
        (("nap", "x"), ["nap"]),
        (None, ["look", "listen", "nap"]),
    ):
        asked = context()
        asked.chat = dataclasses.replace(asked.chat, options=TurnOptions(tools=patterns))
        list(answers.chat(asked, offering(upstream, LOOK, tool("listen"), nap(0))))
        assert [each["function"]["name"] for each in upstream.questions[-1].body.get("tools", ())] == names


@pytest.mark.row("FC-01")
def test_a_call_gives_metadata_until_words_have_left() -> None:
    sent: list[bool] = []

    def run(_arguments: Arguments, call: Call) -> Result:
        sent.append(call.first_chunk({"rate": len(sent)}))
        return Result("ok")

    script = [
        [[calling("look")], last()],
        [[chunk(content="Hm."), calling("look", '{"a":1}')], last()],
        [[FRIDAY], last()],
    ]
    asked = context()
    turn = chat(asked, offering(AnswersInTurn(*script), tool("look", run)))
    for batch in turn:
        if batch is not SILENCE and sent == [True]:
            assert encode(asked.envelope.first_chunk.take()) == b'{"rate":0}'

    assert sent == [True, False]
