"""The operator's system prompt: one system message, the first."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.wire.system_messages import with_system

USER = {"role": "user", "content": "Hi"}
PARTS = [{"type": "text", "text": "Be"}, {"type": "text", "text": "kind."}]


def system(content: Any, role: str = "system") -> dict[str, Any]:
    return {"role": role, "content": content}


GIVEN: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "none": ([USER], []),
    "one": ([system("Be kind."), USER], ["Be kind."]),
    "two": ([system("Be kind."), USER, system("Be brief.")], ["Be kind.", "Be brief."]),
    "developer": ([system("Be kind.", "developer"), USER], ["Be kind."]),
    "both": ([system("A."), system("B.", "developer"), USER], ["A.", "B."]),
    "parts": ([system(PARTS), USER], ["Be kind."]),
    "blank": ([system(" "), USER], []),
    "not first": ([USER, system("Be kind.")], ["Be kind."]),
}


@pytest.mark.row("AG-02")
@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("mode", ["prepend", "replace", "fallback"])
def test_one_system_message_is_the_first(mode: Any, given: str) -> None:
    messages, texts = GIVEN[given]

    first, *others = with_system(messages, "You are Mia.", mode)

    assert first["role"] == "system" and others == [USER]
    expected = {"prepend": ["You are Mia.", *texts], "replace": ["You are Mia."], "fallback": texts or ["You are Mia."]}
    if (mode, given) == ("fallback", "parts"):
        # As it came: its parts may have fields of their own.
        assert first["content"] == PARTS
    else:
        assert first["content"] == "\n\n".join(expected[mode])


ANY = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["system", "developer", "user", "assistant", "tool"]),
            "content": st.none() | st.text(max_size=3) | st.lists(st.just({"type": "text", "text": "x"}), max_size=2),
        }
    ),
    max_size=8,
)


@pytest.mark.row("AG-02")
@given(ANY, st.sampled_from(["prepend", "replace", "fallback"]))
def test_whatever_came_one_is_left_and_no_other_is_lost(messages: list[dict[str, Any]], mode: Any) -> None:
    first, *others = with_system(messages, "Mia", mode)
    assert first["role"] == "system" and first["content"]
    assert others == [message for message in messages if message["role"] not in ("system", "developer")]


def test_what_came_is_not_changed() -> None:
    messages = [system("Be kind."), USER]
    with_system(messages, "You are Mia.", "prepend")
    assert messages == [system("Be kind."), USER]
