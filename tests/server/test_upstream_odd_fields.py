"""Chunks that a strict reader refuses or a client library can't read: half characters, odd types, missing fields."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from fake_upstream import DONE, END, ENVELOPE, FakeUpstream, chunk, encode, events, whole
from heard import STREAMS, ask
from plain_http import frames
from running_server import RunningServer

pytestmark = pytest.mark.server
ROLE, FINISH = chunk({"role": "assistant", "content": ""}), chunk({}, "stop")
CALLED = chunk({}, "tool_calls")


def ascii_chunk(delta: Any, **more: Any) -> bytes:
    """A chunk whose texts are escaped, as those of most servers."""
    return json.dumps({**ENVELOPE, "choices": [{"index": 0, "delta": delta, "finish_reason": None}], **more}).encode()


HALVES: dict[str, list[Any]] = {
    "in two chunks": [{"content": "One \ud83d"}, {"content": "\ude00 two"}],
    "alone": [{"content": "One \ud83d two"}],
    "low alone": [{"content": "One \udc4b two"}],
    "in thoughts": [{"reasoning_content": "\ud83d"}, {"content": "One two"}],
    "in arguments": [{"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": '{"a":"\ud83d'}}]}],
    "in a refusal": [{"refusal": "No \ud83d"}],
    "in a name": [{"content": "One", "x": {"\ud83d": 1}}],
}


@pytest.mark.row("RA-07")
@pytest.mark.parametrize("halves", HALVES)
@pytest.mark.parametrize("capital", [False, True])
def test_halves_of_characters_pass_byte_for_byte(
    single: RunningServer, first: FakeUpstream, halves: str, capital: bool
) -> None:
    sent = [ROLE, *map(ascii_chunk, HALVES[halves]), CALLED if halves == "in arguments" else FINISH, DONE]
    sent = [one.replace(b"\\ud8", b"\\uD8") if capital else one for one in sent]
    first.script = [*events(sent), END]
    heard = ask(single)
    assert heard.body == b"".join(map(frames, sent)) and heard.end["outcome"] == "ok"


@pytest.mark.row("RA-07")
@pytest.mark.parametrize("halves", HALVES)
def test_halves_of_characters_stay_behind_a_waiting_message(
    single: RunningServer, first: FakeUpstream, halves: str
) -> None:
    sent = [ROLE, *(ascii_chunk(delta, n=[1e2, 12345678901234567890123]) for delta in HALVES[halves]), FINISH, DONE]
    first.script = [*events([one.replace(b"100.0", b"1e2") for one in sent]), END]
    heard = ask(single, "waited")
    deltas = [choice["delta"] for choice in heard.choices]
    assert [delta for delta in deltas[1:] if delta][-len(HALVES[halves]) :] == HALVES[halves]
    assert b"[1e2,12345678901234567890123]" in heard.body.replace(b" ", b"") and heard.end["outcome"] == "ok"


@pytest.mark.row("RA-07")
@pytest.mark.parametrize("way", ["chat", "json"])
def test_halves_of_a_whole_answer_are_kept(single: RunningServer, first: FakeUpstream, way: str) -> None:
    message = {"role": "assistant", "content": "One \ud83d two"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = json.dumps({**ENVELOPE, "object": "chat.completion", "choices": [choice]}).encode()
    first.script = whole(body)
    heard = ask(single, way)
    assert heard.text == message["content"] and heard.end["outcome"] == "ok"
    assert way == "chat" or heard.body == body


@pytest.mark.row("RA-07")
def test_a_pair_that_was_cut_is_one_in_a_completion(single: RunningServer, first: FakeUpstream) -> None:
    first.script = [*events([ROLE, *map(ascii_chunk, HALVES["in two chunks"]), FINISH, DONE]), END]
    assert json.loads(ask(single, "json").body)["choices"][0]["message"]["content"] == "One \U0001f600 two"


@pytest.mark.row("RA-07")
@pytest.mark.parametrize("bad", [b'"\\ud83d', b'"\\uZZZZ"', b'"\\ud83d" x'])
def test_other_faults_beside_half_a_character_stay_faults(
    single: RunningServer, first: FakeUpstream, bad: bytes
) -> None:
    first.script = [*events([b'{"choices":[{"index":0,"delta":{"content":"\\ud83d","x":%b}}]}' % bad]), END]
    ask(single).failed(502, "upstream_bad_response")


LENIENT = {
    "NaN": b'{"choices":[{"index":0,"delta":{"content":"Yes."},"logprobs":{"content":[{"logprob":NaN}]}}]}',
    "an infinity": b'{"choices":[{"index":0,"delta":{"content":"Yes."},"score":-Infinity}]}',
    "a tab": b'{"choices":[{"index":0,"delta":{"content":"Yes."},"note":"a\tb"}]}',
    "half of UTF-8": b'{"choices":[{"index":0,"delta":{"content":"Yes."},"token":"\xf0\x9f"}]}',
    "a half pair and NaN": b'{"choices":[{"index":0,"delta":{"content":"Yes."},"token":"\\ud83d","x":NaN}]}',
    "a byte order mark": b'\xef\xbb\xbf{"choices":[{"index":0,"delta":{"content":"Yes."}}]}',
    "a number too large": b'{"choices":[{"index":0,"delta":{"content":"Yes."}}],"t":1e999}',
}


@pytest.mark.row("RA-07")
@pytest.mark.parametrize("lenient", LENIENT)
@pytest.mark.parametrize("way", ["chat", "waited", "json"])
def test_what_lenient_clients_read_is_passed_on(
    single: RunningServer, first: FakeUpstream, lenient: str, way: str
) -> None:
    first.script = [*events([ROLE, LENIENT[lenient], FINISH, DONE]), END]
    ask(single, way).answered("Yes.")
    assert len(first.calls) == 1


@pytest.mark.row("RA-08")
@pytest.mark.parametrize("error", ["", {}, False, []], ids=["a text", "an object", "false", "a list"])
@pytest.mark.parametrize("way", ["chat", "json"])
def test_an_empty_error_beside_choices_is_none(
    single: RunningServer, first: FakeUpstream, error: Any, way: str
) -> None:
    sent = [chunk({"content": "Yes."}, error=error), chunk({}, "stop", error=error), DONE]
    first.script = [*events(sent), END]
    heard = ask(single, way)
    assert (heard.status, heard.text, heard.end["outcome"], len(first.calls)) == (200, "Yes.", "ok", 1)


@pytest.mark.row("RA-08")
@pytest.mark.parametrize(
    "content",
    [42, ["One"], {"parts": [{"text": "One"}]}, [{"type": "output_text", "text": "One"}], {"text": {"value": "One"}}],
    ids=["a number", "texts", "parts", "an output text", "a value"],
)
@pytest.mark.parametrize("way", ["chat", "waited", "json"])
def test_words_of_any_type_are_an_answer(single: RunningServer, first: FakeUpstream, content: Any, way: str) -> None:
    first.script = [*events([ROLE, chunk({"content": content}), FINISH, DONE]), END]
    heard = ask(single, way)
    assert (heard.status, heard.end["outcome"], len(first.calls)) == (200, "ok", 1)


@pytest.mark.row("RA-08")
def test_an_empty_list_leaves_a_completions_text(single: RunningServer, first: FakeUpstream) -> None:
    first.script = [*events([ROLE, chunk({"content": "Yes."}), chunk({"content": []}), FINISH, DONE]), END]
    ask(single, "json").answered("Yes.")


ODD: dict[str, bytes] = {
    "content as parts": chunk({"content": [{"type": "text", "text": "One"}]}),
    "content as an object": chunk({"content": {"text": "One"}}),
    "content as a number": chunk({"content": 42}),
    "arguments as an object": chunk({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": {"a": 1}}}]}),
    "tool calls as an object": chunk({"tool_calls": {"index": 0}}),
    "tool calls as texts": chunk({"tool_calls": ["f"]}),
    "finish reason as an object": chunk({"content": "x"}, finish_reason={"type": "stop"}),  # type: ignore[arg-type]
    "finish reason as a number": chunk({"content": "x"}, finish_reason=1),  # type: ignore[arg-type]
    "finish reason false": chunk({"content": "x"}, finish_reason=False),  # type: ignore[arg-type]
    "ids and times": chunk({"content": "x"}, id=7, created=1.5, model=None, object=["x"]),
    "time as a text": chunk({"content": "x"}, created="2026-11-27T21:00:00Z"),
    "usage": chunk({"content": "x"}, usage=[{"total_tokens": "7"}]),
    "index as a text": chunk({}, choices=[{"index": "0", "delta": {"content": "x"}}]),
    "index as a float": chunk({}, choices=[{"index": 0.0, "delta": {"content": "x"}}]),
    "index true": chunk({}, choices=[{"index": False, "delta": {"content": "x"}}]),
    "index null": chunk({}, choices=[{"index": None, "delta": {"content": "x"}}]),
    "role and logprobs": chunk({}, choices=[{"index": 0, "delta": {"role": 1, "content": "x"}, "logprobs": "none"}]),
    "choices null": chunk({}, choices=None),
    "more fields": chunk({}, choices=[{"index": 0, "delta": {"content": "x"}, "message": [], "text": {}}], error=None),
    "delta null": chunk(None),
    "delta a list": chunk([]),
}


@pytest.mark.row("RA-08")
@pytest.mark.parametrize("odd", ODD)
def test_odd_types_pass_byte_for_byte(single: RunningServer, first: FakeUpstream, odd: str) -> None:
    sent = [ROLE, ODD[odd], chunk({"content": "Yes."}), CALLED if odd.startswith("arguments") else FINISH, DONE]
    first.script = [*events(sent), END]
    heard = ask(single)
    assert heard.body == b"".join(map(frames, sent)) and heard.end["outcome"] == "ok"


@pytest.mark.row("RA-08")
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("way", ["waited", "json"])
def test_odd_types_break_no_other_form(single: RunningServer, first: FakeUpstream, odd: str, way: str) -> None:
    first.script = [*events([ROLE, ODD[odd], chunk({"content": "Yes."}), FINISH, DONE]), END]
    heard = ask(single, way)
    assert heard.status == 200 and b"Yes." in heard.body and heard.end["outcome"] == "ok", heard.body


@pytest.mark.row("RA-08")
@pytest.mark.parametrize("way", STREAMS)
def test_a_whole_answer_of_odd_types_becomes_a_stream(single: RunningServer, first: FakeUpstream, way: str) -> None:
    parts = [{"type": "text", "text": "Yes."}]
    choice = {"index": 0, "message": {"role": "assistant", "content": parts}, "finish_reason": {"type": "stop"}}
    first.script = whole(encode({"id": 7, "created": "now", "model": None, "choices": [choice], "usage": "none"}))
    heard = ask(single, way)
    assert parts in [choice["delta"].get("content") for choice in heard.choices] and heard.end["outcome"] == "ok"


@pytest.mark.row("RE-10", "RA-08")
@pytest.mark.parametrize("created", [5, 5.25, "2026-11-27T21:00:00Z"])
def test_our_finish_chunk_has_the_upstreams_envelope(single: RunningServer, first: FakeUpstream, created: Any) -> None:
    first.script = [*events([chunk({"content": "Yes."}, created=created), DONE]), END]
    told = [(one["id"], one["created"], one["model"]) for one in ask(single).chunks]
    assert told == [("chatcmpl-fake", created, "fake-model")] * 2


CALL: dict[str, Any] = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
NUMBERED = {
    "whole calls in chunks": [[{"id": "a", **CALL}], [{"id": "b", **CALL}]],
    "whole calls in one chunk": [[{"id": "a", **CALL}, {"id": "b", **CALL}]],
    "pieces": [
        [{"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}],
        [{"function": {"arguments": "{"}}],
        [{"function": {"arguments": "}"}}],
        [{"id": "b", **CALL}],
    ],
    "null": [[{"index": None, "id": "a", **CALL}], [{"index": None, "id": "b", **CALL}]],
    "the second alone": [[{"index": 0, "id": "a", **CALL}], [{"id": "b", **CALL}]],
}


@pytest.fixture
def client(single: RunningServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{single.url}/v1", api_key="unused", max_retries=0, timeout=20) as client:
        yield client


def told(client: openai.OpenAI, **fields: Any) -> Any:
    """The answer as OpenAI's own client puts it together; each chunk is read as its examples do."""
    asked: Any = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}
    for each in client.chat.completions.create(**asked, stream=True):
        for choice in each.choices:
            assert isinstance(choice.index, int) and choice.delta.content in (None, "", "One", " two")
    with client.chat.completions.stream(**asked) as stream:
        for _ in stream:
            pass
        return stream.get_final_completion()


@pytest.mark.row("RA-09")
@pytest.mark.parametrize("numbered", NUMBERED)
def test_tool_calls_get_their_numbers(client: openai.OpenAI, first: FakeUpstream, numbered: str) -> None:
    sent = [chunk({"tool_calls": pieces}) for pieces in NUMBERED[numbered]]
    first.script = [*events([ROLE, *sent, chunk({}, "tool_calls"), DONE]), END]
    calls = told(client).choices[0].message.tool_calls
    assert [(call.id, call.function.name, call.function.arguments) for call in calls] == [
        ("a", "f", "{}"),
        ("b", "f", "{}"),
    ]


WITHOUT = {
    "a delta": {"index": 0, "finish_reason": None, "content_filter_offsets": {"start_offset": 5}},
    "a delta at the end": {"index": 0, "finish_reason": "stop"},
    "an index": {"delta": {"content": " two"}, "finish_reason": None},
    "an index and a delta": {"content_filter_results": {"hate": {"filtered": False}}},
}


@pytest.mark.row("RA-09")
@pytest.mark.parametrize("without", WITHOUT)
def test_a_choice_without_a_field_gets_it(client: openai.OpenAI, first: FakeUpstream, without: str) -> None:
    sent = [ROLE, chunk({"content": "One"}), chunk({}, choices=[WITHOUT[without]]), FINISH, DONE]
    first.script = [*events(sent), END]
    assert str(told(client).choices[0].message.content).startswith("One")


@pytest.mark.row("RA-09")
def test_a_last_chunk_without_choices_gets_them(client: openai.OpenAI, first: FakeUpstream) -> None:
    usage = encode({**ENVELOPE, "usage": {"total_tokens": 7}})
    first.script = [*events([ROLE, chunk({"content": "One"}), FINISH, usage, DONE]), END]
    assert told(client).choices[0].message.content == "One"


@pytest.mark.row("RA-09")
@pytest.mark.parametrize("way", STREAMS)
def test_only_the_missing_field_is_added(single: RunningServer, first: FakeUpstream, way: str) -> None:
    odd = b'{"x":1e2,"choices":[{"index":0, "n":12345678901234567890123 ,"y":"\\u00e9 \\ud83d"}],"z":[ 1.0]}'
    first.script = [*events([ROLE, chunk({"content": "One"}), odd, FINISH, DONE]), END]
    heard = ask(single, way)
    repaired = next(payload for payload in heard.payloads if b'"x":1e2' in payload)
    assert repaired.startswith(b'{"x":1e2,"choices":[{"index":0,"n":12345678901234567890123,"y":"\\u00e9 \\ud83d"')
    assert json.loads(repaired)["choices"][0]["delta"] == {} and b'"z":[ 1.0]' in repaired


LEFT_OUT: dict[str, dict[str, Any]] = {
    "no tools": {"tools": []},
    "tools null": {"tools": None, "tool_choice": None, "functions": None, "function_call": None},
    "a choice without tools": {"tool_choice": "auto"},
    "a named choice without tools": {"tools": [], "tool_choice": {"type": "function", "function": {"name": "f"}}},
    "parallel calls without tools": {"tools": [], "parallel_tool_calls": True, "tool_choice": "none"},
    "no functions": {"functions": [], "function_call": "auto"},
    "empty lists": {"stop": [], "modalities": [], "tools": []},
}


@pytest.mark.row("RA-13")
@pytest.mark.parametrize("fields", LEFT_OUT)
@pytest.mark.parametrize("way", ["chat", "rag", "json"])
def test_empty_lists_do_not_go_upstream(single: RunningServer, first: FakeUpstream, fields: str, way: str) -> None:
    ask(single, way, **LEFT_OUT[fields])
    assert first.calls[-1].json.keys() == {"model", "messages", "stream"}


@pytest.mark.row("RA-13")
def test_empty_tool_calls_of_a_message_do_not_go_upstream(single: RunningServer, first: FakeUpstream) -> None:
    said = {"role": "assistant", "content": "Hi", "tool_calls": [], "function_call": None}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    called = {"role": "assistant", "content": None, "tool_calls": [call]}
    user = {"role": "user", "content": "Hi"}
    ask(single, messages=[user, said, called, user])
    assert first.calls[-1].json["messages"] == [user, {"role": "assistant", "content": "Hi"}, called, user]


@pytest.mark.row("RA-13")
def test_tools_and_what_belongs_to_them_go_upstream(single: RunningServer, first: FakeUpstream) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    fields = {"tools": tools, "tool_choice": "none", "parallel_tool_calls": False, "stop": ["x"]}
    ask(single, **fields)
    assert fields.items() <= first.calls[-1].json.items()
