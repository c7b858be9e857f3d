"""What the memory adds to requests: nothing twice, nothing lost, nothing of others; and what it keeps of turns."""

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from simulated_calls import PLATFORMS, Platform, SharedStore, SimulatedCall

from parley.memory import policy
from parley.memory.conversation import StoredTurn, history_of, stored_turn
from parley.memory.policy import Mode, Recollection, heard_of_said
from parley.wire.request import ChatRequest, Origin

Message = dict[str, Any]
SYSTEM = {"role": "system", "content": "You are Mia."}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "search", "arguments": "{}"},
    "extra_content": {"s": 1},
}
EXCHANGE: tuple[Message, ...] = (
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": '["one","two"]'},
)


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def reply(text: str | None, **more: Any) -> Message:
    return {"role": "assistant", "content": text, **more}


def conversation(count: int, first: int = 0) -> list[Message]:
    """The messages of so many turns."""
    numbers = range(first, first + count)
    return [each for number in numbers for each in (user(f"question {number}"), reply(f"This is answer {number}."))]


def stored(count: int, **more: Any) -> tuple[StoredTurn, ...]:
    """So many turns, with further fields of the last one."""
    turns = [StoredTurn(f"question {n}", f"This is answer {n}.", started=1.0 + n) for n in range(count)]
    last = turns[-1]
    turns[-1] = StoredTurn(**{**{name: getattr(last, name) for name in ("user", "said", "started")}, **more})
    return tuple(turns)


def recall(
    turns: Sequence[StoredTurn], *messages: Message, turn: str = "", mode: Mode = "full", with_tools: bool = True
) -> Recollection:
    return policy.recall(turns, [SYSTEM, *messages], turn=turn, mode=mode, with_tools=with_tools)


def remember(
    turns: Sequence[StoredTurn], *messages: Message, said: str = "Right.", mode: Mode = "full", **fields: Any
) -> tuple[StoredTurn, ...]:
    """The stored turns once a request with these messages has been answered."""
    history = history_of(messages)
    assert history
    values = {"closed": False, "turn": "", "started": 100.0, **fields}
    return policy.remember(turns, history, stored_turn(history.user, said, said, **values), mode=mode)


@pytest.mark.slow
@pytest.mark.row("MM-01", "MM-02", "MM-03")
@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda one: one.name)
def test_ten_thousand_calls_lose_and_double_nothing(platform: Platform) -> None:
    compared = 0
    for seed in range(420):
        chance, store = random.Random(f"{seed} {platform.name}"), SharedStore()
        calls = [SimulatedCall(chance, f"room-{seed}-{number}", platform, store) for number in range(2)]
        # Beyond the platform's window.
        for _ in range(chance.randint(1, 10 + (platform.window or 0) * 3 // 4)):
            for call in calls:
                call.play(1)
        assert [call.mistakes[:1] for call in calls] == [[], []], seed
        compared += sum(call.same_bytes for call in calls)
    assert (compared > 0) == (platform.whole and platform.window is None)


@pytest.mark.row("MM-01")
@pytest.mark.parametrize("count", [1, 5, 40])
def test_a_platform_that_sends_all_gets_its_own_messages(count: int) -> None:
    messages = [SYSTEM, reply("Welcome!"), *conversation(count), reply("Are you still there?"), user("now")]

    found = policy.recall(stored(count), messages, turn="", mode="full", with_tools=True)

    assert found.messages is messages and (found.added, found.stored) == (0, 2 * count)


@pytest.mark.row("MM-02")
@pytest.mark.parametrize("sent", range(6))
def test_what_a_window_leaves_out_is_put_in_front(sent: int) -> None:
    found = recall(stored(5), *conversation(sent, 5 - sent), user("now"))

    assert found.messages == [SYSTEM, *conversation(5), user("now")]
    assert (found.added, found.stored) == (2 * (5 - sent), 10)


@pytest.mark.row("MM-02")
@pytest.mark.parametrize("sent", range(5))
@pytest.mark.parametrize("text", ["This is answer {}.", "this is  ANSWER", "This is answer {}. Shall I go on?"])
def test_an_answer_whose_question_was_cut_off_is_not_doubled(sent: int, text: str) -> None:
    lead = reply(text.format(4 - sent), metadata={"source": "llm"})

    found = recall(stored(5), lead, *conversation(sent, 5 - sent), user("now"))

    front = conversation(5 - sent)[:-1]
    assert found.messages == [SYSTEM, *front, lead, *conversation(sent, 5 - sent), user("now")]


def test_a_text_of_the_platforms_own_leads_as_it_is() -> None:
    found = recall(stored(2), reply("Are you still there?"), user("now"))

    assert found.messages == [SYSTEM, *conversation(2), reply("Are you still there?"), user("now")]


@pytest.mark.row("MM-02")
def test_without_a_session_or_a_question_nothing_is_added() -> None:
    messages = [SYSTEM, reply("Welcome!")]

    assert policy.recall(stored(2), messages, turn="", mode="full", with_tools=True).messages is messages
    assert policy.recall((), [user("a")], turn="", mode="full", with_tools=True).messages == [user("a")]


def test_another_conversation_begins_anew() -> None:
    others = [user("x"), reply("X"), user("y"), reply("Y")]

    assert recall(stored(2), *others, user("now")).messages == [SYSTEM, *others, user("now")]
    assert [each.user for each in remember(stored(2), *others, user("now"))] == ["x", "y", "now"]


@pytest.mark.row("MM-03")
@pytest.mark.parametrize(
    ("last", "turn", "now", "turn_now", "is_same"),
    [
        ({"closed": True, "user": "I want"}, "", "I want to book", "", True),
        ({"closed": True, "user": "I want", "said": ""}, "", "I want", "", True),
        ({"closed": True, "user": "I want"}, "", "I want", "", True),
        ({"user": "I want", "said": ""}, "", "I want", "", True),
        ({"user": "yes"}, "", "yes", "", False),
        ({"user": "yes", "closed": True}, "", "no", "", False),
        ({"user": "yes", "turn": "turn_id 3"}, "turn_id 3", "yes", "turn_id 3", True),
        ({"user": "yes", "turn": "turn_id 3", "closed": True}, "turn_id 3", "yes", "turn_id 4", False),
        ({"user": "yes", "turn": "turn_id 3", "closed": True}, "turn_id 3", "yes please", "turn_id 4", False),
        ({"user": "yes", "turn": "turn_id 3"}, "turn_id 3", "no, not that", "turn_id 3", True),
        ({"user": "yes", "closed": True}, "x-request-id a", "yes", "x-request-id b", False),
        ({"user": "yes", "closed": True}, "x-request-id a", "yes please", "x-request-id b", False),
        ({"user": "yes", "closed": True}, "idempotency-key a", "yes please", "idempotency-key b", True),
        ({"user": "yes", "closed": True}, "idempotency-key a", "yes", "idempotency-key b", False),
        ({"user": "yes", "closed": True}, "idempotency-key a", "yes", "idempotency-key a", True),
    ],
    ids=range(15),
)
def test_a_turn_that_is_asked_for_once_more_is_one_turn(
    last: dict[str, Any], turn: str, now: str, turn_now: str, is_same: bool
) -> None:
    turns = stored(3, **{"turn": turn, **last})

    found = recall(turns, user(now), turn=turn_now)
    kept = remember(turns, user(now), turn=turn_now)

    before = ["question 0", "question 1", *([] if is_same else [turns[-1].user])]
    assert [each["content"] for each in found.messages if each["role"] == "user"] == [*before, now]
    assert [each.user for each in kept] == [*before, now]


@pytest.mark.row("MM-03")
def test_what_the_platform_holds_as_a_turn_is_one() -> None:
    turns = stored(3, user="yes", said="This is", closed=True)
    history = [*conversation(2), user("yes"), reply("This is")]

    found = recall(turns, *history, user("yes please"))

    assert found.messages == [SYSTEM, *history, user("yes please")]
    assert [each.user for each in remember(turns, *history, user("yes please"))][2:] == ["yes", "yes please"]


@pytest.mark.row("MM-03", "MM-04")
def test_a_turn_that_the_platform_holds_keeps_its_calls() -> None:
    turns = stored(3, user="yes", said="This is", closed=True, exchange=EXCHANGE)
    history = [*conversation(2), user("yes"), reply("This is")]

    found = recall(turns, *history, user("yes please"))
    kept = remember(turns, *history, user("yes please"))

    assert found.messages[6:8] == list(EXCHANGE) and kept[2].exchange == EXCHANGE


@pytest.mark.row("MM-03")
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1)], ids=str)
def test_overlapping_requests_end_in_any_order(order: tuple[int, ...]) -> None:
    asked = [("I", True), ("I want", True), ("I want to book", False)]
    turns = stored(1)

    for number in order:
        text, closed = asked[number]
        turns = remember(turns, *conversation(1), user(text), closed=closed, started=50.0 + number)

    assert [each.user for each in turns] == ["question 0", "I want to book"]


def test_a_turn_written_late_stands_in_its_place() -> None:
    turns = remember(stored(1), user("later"), started=60.0)

    assert [each.user for each in remember(turns, user("before"), started=50.0)] == ["question 0", "before", "later"]


def test_a_turn_that_was_learned_is_replaced_by_its_own() -> None:
    turns = remember(stored(1), *conversation(1), user("before"), reply("Half"), user("later"), started=60.0)

    kept = remember(turns, *conversation(1), user("before"), said="Half of it", started=50.0, closed=True)

    assert [(each.user, each.said) for each in kept][1:] == [("before", "Half of it"), ("later", "Right.")]


def test_a_first_turn_that_was_learned_is_not_doubled() -> None:
    turns = remember((), user("first"), reply("Half"), user("later"), started=60.0)

    kept = remember(turns, user("first"), said="Half of it", started=50.0, closed=True)

    assert [each.user for each in kept] == ["first", "later"]


@pytest.mark.row("MM-02")
def test_a_cut_answer_is_marked_as_agora_marks_it() -> None:
    turns = stored(2)
    played = [*conversation(1), user("question 1"), reply("this is  Answer")]
    original = {"interrupted": True, "original": "This is answer 1."}

    found = recall(turns, *played, user("now"))
    kept = remember(turns, *played, user("now"))

    assert found.messages == [SYSTEM, *played[:-1], reply("this is  Answer", metadata=original), user("now")]
    assert (kept[1].heard, found.added) == ("this is  Answer", 0)
    later = recall(kept, user("later"))
    assert reply("this is  Answer", metadata=original) in later.messages


@pytest.mark.parametrize("text", ["This is answer 1", "THIS IS ANSWER 1.", "Another answer", ""])
def test_an_answer_that_lacks_no_word_is_not_marked(text: str) -> None:
    messages = [SYSTEM, *conversation(1), user("question 1"), reply(text), user("now")]

    assert policy.recall(stored(2), messages, turn="", mode="full", with_tools=True).messages is messages


def test_marks_of_the_platform_stay() -> None:
    marked = reply("This is", metadata={"interrupted": True, "original": "of the platform"})
    messages = [SYSTEM, *conversation(1), user("question 1"), marked, user("now")]

    assert policy.recall(stored(2), messages, turn="", mode="full", with_tools=True).messages is messages


def test_a_caller_who_left_has_heard_what_was_sent() -> None:
    found = recall(stored(2, closed=True), user("now"))

    assert found.messages[-2] == reply("This is answer 1.", metadata={"interrupted": True})


def test_a_model_is_told_of_remembered_interruptions() -> None:
    played = [*conversation(1), user("question 1"), reply("This is")]
    turns = remember(stored(2), *played, user("question 2"), said="Two of", closed=True)

    messages = recall(turns, user("now")).messages
    sent = ChatRequest({"messages": messages}, True, Origin("r", False)).for_upstream("m", frozenset())["messages"]

    assert [each["content"] for each in sent[3:]] == [
        "question 1",
        "This is —",
        '[You were interrupted; not heard: "answer 1."]\nquestion 2',
        "Two of —",
        "[You were interrupted here.]\nnow",
    ]


def test_of_fillers_a_model_reads_nothing() -> None:
    turns = stored(2, sent="Let me look. This is answer 1.")

    assert recall(turns, user("now")).messages == [SYSTEM, *conversation(2), user("now")]
    returned = [*conversation(1), user("question 1"), reply("Let me look. This is answer 1.")]
    assert recall(turns, *returned, user("now")).messages == [SYSTEM, *returned, user("now")]


@pytest.mark.row("MM-04")
@pytest.mark.parametrize("mode", ["tools", "full"])
def test_calls_stand_before_the_answer_they_led_to(mode: Mode) -> None:
    turns = stored(2, exchange=EXCHANGE)

    found = recall(turns, *conversation(2), user("book the second one"), mode=mode)

    first, second = conversation(1), conversation(1, 1)
    assert found.messages == [SYSTEM, *first, second[0], *EXCHANGE, second[1], user("book the second one")]
    assert found.added == 2


@pytest.mark.row("MM-04")
@pytest.mark.parametrize("mark", ["", "<flush /> "])
def test_calls_are_found_with_and_without_a_silent_mark(mark: str) -> None:
    (turn,) = stored(1, exchange=EXCHANGE, sent="One moment. This is answer 0.")
    sent = [user("question 0"), reply(f"One moment. {mark}This is answer 0."), user("and?")]

    assert recall([turn], *sent).messages == [SYSTEM, sent[0], *EXCHANGE, *sent[1:]]


def test_a_speaker_is_told_as_platforms_do() -> None:
    turns = stored(1, speaker="1002")

    asked, answered, _ = recall(turns, user("and?")).messages[1:]
    assert asked == {**user("question 0"), "metadata": {"user": "1002"}} and "metadata" not in answered


@pytest.mark.row("MM-04")
def test_before_the_window_calls_stand_only_with_all_turns() -> None:
    turns = stored(2, exchange=EXCHANGE)

    assert recall(turns, user("now"), mode="tools").added == 0
    assert recall(turns, user("now")).messages[4:6] == list(EXCHANGE)
    assert recall(turns, reply("This is answer 1."), user("now")).messages[4:7] == [
        *EXCHANGE,
        reply("This is answer 1."),
    ]


@pytest.mark.row("MM-04")
@pytest.mark.parametrize("text", ["Another answer", "Nothing of that"])
def test_calls_before_another_answer_are_left_out(text: str) -> None:
    turns = stored(2, exchange=EXCHANGE)

    assert recall(turns, *conversation(1), user("question 1"), reply(text), user("now"), mode="tools").added == 0


@pytest.mark.row("MM-04")
def test_without_tools_no_calls_are_put_back() -> None:
    turns = stored(2, exchange=EXCHANGE)

    assert recall(turns, *conversation(2), user("now"), with_tools=False).added == 0
    assert "tool_calls" not in json.dumps(recall(turns, user("now"), with_tools=False).messages)


def test_at_most_eight_exchanges_are_put_back() -> None:
    turns = tuple(
        StoredTurn(f"question {n}", f"This is answer {n}.", started=1.0, exchange=EXCHANGE) for n in range(10)
    )

    found = recall(turns, *conversation(10), user("now"), mode="tools")

    assert found.added == 16 and found.messages[:5] == [SYSTEM, *conversation(2)]


def test_calls_of_this_turn_stand_before_the_platforms() -> None:
    platforms = [reply(None, tool_calls=[{"id": "p"}]), {"role": "tool", "tool_call_id": "p", "content": "done"}]
    turns = stored(3, user="book it", said="One moment.", exchange=EXCHANGE)

    found = recall(turns, *conversation(2), user("book it"), *platforms)
    kept = remember(turns, *conversation(2), user("book it"), *platforms, said="It is booked.")

    assert found.messages == [SYSTEM, *conversation(2), user("book it"), *EXCHANGE, *platforms]
    assert [each.user for each in kept] == ["question 0", "question 1", "book it"]
    assert (kept[-1].said, kept[-1].exchange) == ("One moment. It is booked.", EXCHANGE)


def test_with_tools_alone_only_their_turns_are_kept() -> None:
    turns = remember((), user("hello"), mode="tools")
    assert turns == ()

    turns = remember(turns, user("search"), mode="tools", exchange=EXCHANGE)
    assert [each.user for each in remember(turns, user("thanks"), mode="tools")] == ["search"]


def test_a_late_result_takes_its_place() -> None:
    turns = stored(2, exchange=EXCHANGE)

    late = policy.with_result(turns, {"role": "tool", "tool_call_id": "call_1", "content": "booked"})

    assert late[1].exchange == (EXCHANGE[0], {"role": "tool", "tool_call_id": "call_1", "content": "booked"})
    for of_none in ("x", 7):
        assert policy.with_result(turns, {"role": "tool", "tool_call_id": of_none, "content": "y"}) == turns


def test_a_failed_turn_is_remembered_by_its_question() -> None:
    turns = remember(stored(1), user("lost"), said="")

    found = recall(turns, user("now"))

    assert found.messages == [SYSTEM, *conversation(1), user("lost"), user("now")]


def test_a_conversation_is_learned_from_the_platform() -> None:
    turns = remember((), reply("Welcome!"), *conversation(3), user("now"))

    assert recall(turns, user("later")).messages == [
        *[SYSTEM, *conversation(3), user("now"), reply("Right.")],
        user("later"),
    ]


@pytest.mark.parametrize(
    ("sent", "heard", "told"),
    [
        ("One moment. It costs ten dollars.", "One moment. It costs", "It costs"),
        ("One moment. It costs ten dollars.", "one  moment.", ""),
        ("It costs Just a second. ten dollars.", "It costs Just a", "It costs"),
        ("It costs Just a second. ten dollars.", "It costs Just a second. ten", "It costs ten"),
        ("Wait. It costs Just a second. ten dollars.", "Wait. It costs Just a second. ten", "It costs ten"),
        ("", "It costs", "It costs"),
    ],
)
def test_what_was_heard_is_told_without_fillers(sent: str, heard: str, told: str) -> None:
    turn = StoredTurn(user="?", said="It costs ten dollars.", sent=sent)

    assert heard_of_said(turn, heard) == told
