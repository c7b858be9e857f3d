"""Interrupted turns: a dash behind what was heard, a note in front of the caller's next words, nothing else."""

import copy
import itertools
from typing import Any

import pytest

from parley.wire.interruptions import with_interruptions

HERE = "[You were interrupted here.]\n"


def cut(content: Any, original: Any = None, **more: Any) -> dict[str, Any]:
    """Return an assistant's message that was interrupted."""
    metadata = {"source": "llm", "interrupted": True, **({} if original is None else {"original": original})}
    return {"role": "assistant", "content": content, "metadata": metadata, **more}


def user(content: Any = "Yes.") -> dict[str, Any]:
    return {"role": "user", "content": content}


def told(*messages: dict[str, Any]) -> list[Any]:
    """Return the contents that the model is given; the messages themselves stay as they are."""
    before = copy.deepcopy(messages)
    after = with_interruptions(messages)
    assert messages == before
    return [message["content"] for message in after]


@pytest.mark.row("IT-02")
@pytest.mark.parametrize(
    ("heard", "original", "dashed", "note"),
    [
        ("The first ", "The first costs ten.", "The first —", '[You were interrupted; not heard: "costs ten."]\n'),
        ("", "It costs\n ten.", "—", '[You were interrupted; not heard: "It costs ten."]\n'),
        (None, "Ten.", "—", '[You were interrupted; not heard: "Ten."]\n'),
        ("The  first ,", "The first, I say", "The  first , —", '[You were interrupted; not heard: "I say"]\n'),
        ("The fi", "The first one", "The fi —", '[You were interrupted; not heard: "rst one"]\n'),
        ("我们有 三", "我们有三个", "我们有 三 —", '[You were interrupted; not heard: "个"]\n'),
        ("The first", None, "The first —", HERE),
        ("", None, "—", HERE),
        ("The first", 7, "The first —", HERE),
        ("The first one", "The first", "The first one —", HERE),
        ("A second", "The first", "A second —", HERE),
        ("A", "A " + "b" * 400, "A —", f'[You were interrupted; not heard: "{"b" * 300}..."]\n'),
        ("All of it.", "All  of it.\n", "All of it.", ""),
    ],
)
def test_what_was_not_heard_is_told(heard: Any, original: Any, dashed: str, note: str) -> None:
    assert told(cut(heard, original), user()) == [dashed, f"{note}Yes."]


@pytest.mark.row("IT-02")
def test_each_part_of_a_content_stays() -> None:
    said = [{"type": "text", "text": "The first "}, {"type": "text", "text": " "}]
    picture = {"type": "image_url", "image_url": {"url": "u"}}

    assistant, caller = told(cut(said, "The first one"), user([picture, "What?"]))

    assert assistant == [{"type": "text", "text": "The first —"}, said[1]]
    assert caller == [{"type": "text", "text": '[You were interrupted; not heard: "one"]\n'}, picture, "What?"]
    assert told(cut([picture]), user(""))[0] == [picture, {"type": "text", "text": "—"}]
    assert told(cut(["The "]), user())[0] == ["The —"]


@pytest.mark.row("IT-02")
def test_interruptions_in_a_row_are_each_told() -> None:
    assert told(cut("A", "A b"), cut("C"), user(), user("No.")) == [
        "A —",
        "C —",
        f'[You were interrupted; not heard: "b"]\n{HERE}Yes.',
        "No.",
    ]


@pytest.mark.row("IT-02")
def test_the_beginning_of_the_prompt_stays_the_same() -> None:
    turns = [cut("A", "A b"), user(), cut("C"), user(), cut("D", "D e")]

    rendered = [with_interruptions(turns[: end + 1]) for end in range(len(turns))]

    assert all(longer[: len(shorter)] == shorter for shorter, longer in itertools.pairwise(rendered))


@pytest.mark.row("IT-03")
@pytest.mark.parametrize(
    "metadata", [None, "x", [], {}, {"interrupted": False}, {"interrupted": "true"}, {"interrupted": 1}]
)
def test_messages_without_the_mark_are_the_very_same(metadata: Any) -> None:
    messages = [{"role": "assistant", "content": "A", "metadata": metadata}, user()]

    assert all(after is before for after, before in zip(with_interruptions(messages), messages, strict=True))


@pytest.mark.row("IT-02")
def test_what_begins_as_a_note_gets_none() -> None:
    assert told(cut("A"), user("[You were interrupted, says he]")) == ["A —", "[You were interrupted, says he]"]


@pytest.mark.row("IT-02")
@pytest.mark.parametrize("more", [{"tool_calls": [{"id": "1"}]}, {"audio": {"id": "a"}}])
def test_calls_and_sound_need_no_text_in_their_place(more: dict[str, Any]) -> None:
    assert told(cut(None, **more), user()) == [None, f"{HERE}Yes."]


@pytest.mark.row("IT-02")
def test_a_user_s_mark_and_the_last_message_put_no_note() -> None:
    assert told({**user(), "metadata": {"interrupted": True}}, cut("A")) == ["Yes.", "A —"]
