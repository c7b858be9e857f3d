"""The operator's system prompt: one system message, the first."""

from typing import Any

import pytest

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


def test_what_came_is_not_changed() -> None:
    messages = [system("Be kind."), USER]
    with_system(messages, "You are Mia.", "prepend")
    assert messages == [system("Be kind."), USER]
