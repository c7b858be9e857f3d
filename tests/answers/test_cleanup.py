"""Batches and whole answers with cleaned texts: which payloads stay, change, or go."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from parley.answers.cleanup import clean, clean_completion
from parley.concurrency import SILENCE
from parley.errors import UpstreamIncomplete
from parley.turn_record import TurnRecord
from parley.wire import sse
from parley.wire.sse import Batch

pytestmark = pytest.mark.row("SP-05")


def chunk(delta: Any, finish: str | None = None, index: int = 0, **more: Any) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    return json.dumps({"id": "a", "n": 1.50, "choices": [choice], **more}, separators=(",", ":")).encode()


def run(*batches: Batch, level: str = "speech") -> tuple[list[Any], TurnRecord]:
    record = TurnRecord("chat", "r")
    return list(clean((batch for batch in batches), level, record)), record


def text(content: str, **more: Any) -> bytes:
    return chunk({"content": content}, **more)


STOP = chunk({}, "stop")


def test_payloads_without_markup_are_the_very_same() -> None:
    role, usage = chunk({"role": "assistant", "content": ""}), b'{"id":"a","choices":[],"usage":{"a":1}}'
    came = [role, text("One"), text(" two"), chunk({"reasoning_content": "**x**"}), STOP, usage]

    left, record = run([*came[:3]], SILENCE, came[3:4], sse.LastBatch(came[4:]))

    assert left == [came[:3], SILENCE, came[3:4], came[4:]] and type(left[-1]) is sse.LastBatch
    assert all(a is b for a, b in zip(left[0], came, strict=False)) and record.cleaned is None


def test_a_changed_payload_has_its_new_text_alone() -> None:
    came = b'{"id":1.50, "choices":[{"index":0,"delta":{"content":"**One**","x":[1.0]},"logprobs":{"content":[]}}]}'

    left, record = run([text("So "), came], [STOP])

    assert left[0][1:] == [
        b'{"id":1.50,"choices":[{"index":0,"delta":{"content":"One**","x":[1.0]},"logprobs":null}]}'.replace(
            b"One**", b"One"
        )
    ]
    assert record.cleaned == "some"


def test_an_empty_payload_goes_and_a_batch_of_such_is_silence() -> None:
    left, record = run([text("<think>a")], [text("b</think>")], sse.LastBatch([STOP]))

    assert left == [SILENCE, SILENCE, [STOP]] and record.cleaned == "all"


def test_what_says_more_stays() -> None:
    first = chunk({"role": "assistant", "content": "**"})
    left, _ = run([first], [text("a**", usage={"t": 1})], [STOP])

    assert left[0] == [first.replace(b"**", b"")] and b'"usage":{"t":1}' in left[1][0]


@pytest.mark.parametrize("ending", ["apart", "together", "call"])
def test_what_is_held_back_leaves_before_the_end(ending: str) -> None:
    call = chunk({"tool_calls": [{"index": 0, "id": "c"}]})
    ends = {"apart": [text("a ["), STOP], "together": [chunk({"content": "a ["}, "stop")], "call": [text("a ["), call]}

    left, _ = run([text("So "), *ends[ending]])

    said = [json.loads(payload)["choices"][0]["delta"].get("content") for payload in left[0]]
    assert (
        said
        == {"apart": ["So ", "a ", "[", None], "together": ["So ", "a ["], "call": ["So ", "a ", "[", None]}[ending]
    )
    assert left[0][-1] in (STOP, call, ends["together"][0])


def test_each_choice_is_cleaned_on_its_own() -> None:
    came = [text("*a", index=0), text("*b", index=1), text("c*", index=1), text("d*", index=0)]

    left, _ = run([*came, chunk({}, "stop", 0), chunk({}, "stop", 1)])

    said = [json.loads(payload)["choices"][0] for payload in left[0]]
    assert [(each["index"], each["delta"].get("content")) for each in said if each["delta"]] == [
        *((0, "a"), (1, "b"), (1, "c"), (0, "d")),
    ]


def test_a_finish_on_every_chunk_ends_no_text() -> None:
    left, _ = run(*([chunk({"content": part}, "stop")] for part in ["One ", "**two", "** [x", "](u)"]))

    said = "".join(json.loads(payload)["choices"][0]["delta"].get("content", "") for each in left for payload in each)
    assert said == "One two x"


@pytest.mark.parametrize("begun", [True, False])
def test_what_is_held_back_leaves_before_a_break(begun: bool) -> None:
    def broken() -> Iterator[Batch]:
        yield [text("a [" if begun else "[")]
        raise UpstreamIncomplete("the upstream's answer broke off")

    left: list[Batch] = []
    with pytest.raises(UpstreamIncomplete):
        left.extend(clean(broken(), "speech", TurnRecord("chat", "r")))  # type: ignore[arg-type]

    assert b'"["' in (left[1][0] if begun and left[1] is not SILENCE else b"") or left == [SILENCE]


def test_halves_of_characters_and_parts_are_cleaned_too() -> None:
    parts = [{"type": "text", "text": "**a**"}, {"type": "thinking", "thinking": "**b**"}]
    left, _ = run(
        [b'{"choices":[{"index":0,"delta":{"content":"Hi \\ud83d"}}]}', text("\ude00 there"), chunk({"content": parts})]
    )

    said = [json.loads(payload)["choices"][0]["delta"]["content"] for payload in left[0]]
    assert said == ["Hi ", "there", [{"type": "text", "text": "a"}, parts[1]]]


def test_a_whole_answer_is_cleaned_or_the_same_bytes() -> None:
    plain = b'{ "id": 1.50, "choices": [ {"index":0,"message":{"content":"Yes","x":1.0},"logprobs":{"a":1}} ] }'
    record = TurnRecord("chat", "r")

    assert clean_completion(plain, "speech", record) is plain and record.cleaned is None
    changed = clean_completion(plain.replace(b"Yes", b"a</think>**Yes** ["), "speech", record)
    assert changed == b'{"id":1.50,"choices":[{"index":0,"message":{"content":"Yes [","x":1.0},"logprobs":null}]}'
    assert record.cleaned == "some"
    clean_completion(plain.replace(b"Yes", b"```x```"), "speech", record)
    assert record.cleaned == "all"
