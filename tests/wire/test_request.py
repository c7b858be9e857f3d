"""A request: the properties read out of its body, and the part of it that goes upstream."""

import ast
import dataclasses
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from engine import REQUEST

from parley.errors import InvalidRequest
from parley.wire.content import text_of
from parley.wire.request import OPENAI_FIELDS, UPSTREAM_FIELDS, ChatRequest, Origin, parse
from parley.wire.turn_options import TurnOptions

USER = {"role": "user", "content": "Hi"}
NOTHING: frozenset[str] = frozenset()

AGORA_FOR_OTHERS = {
    "model": "gpt-4o-mini",
    "stream": True,
    "max_tokens": 200,
    "messages": [
        {"role": "system", "content": "You are a concise voice assistant."},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "What plans are there?"},
        {"role": "assistant", "content": "We have three plans, the first —"},
        {
            "role": "user",
            "content": '[You were interrupted; not heard: "costs ten dollars."]\nJust this one.',
        },
    ],
}


def read(body: Any, *, v1: bool = False, query: dict[str, str] | None = None) -> ChatRequest:
    """The request with this body, checked."""
    return parse(json.dumps(body).encode(), Origin("r", v1, query or {}))


def chat(*messages: dict[str, Any], v1: bool = False, **fields: Any) -> ChatRequest:
    return read({"messages": messages or [USER], **fields}, v1=v1)


@pytest.mark.parametrize("body", [[], "x", 7, None, True])
def test_a_body_other_than_an_object_is_refused(body: Any) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read(body)

    assert (raised.value.code, raised.value.param) == ("invalid_value", None)
    assert raised.value.message == "the body must be a JSON object"


@pytest.mark.parametrize(
    ("fields", "bare", "v1"),
    [
        ({}, True, False),
        ({"stream": None}, True, False),
        ({"stream": True}, True, True),
        ({"stream": False}, False, False),
    ],
)
def test_by_default_bare_paths_stream_and_v1_paths_do_not(fields: dict[str, Any], bare: bool, v1: bool) -> None:
    assert (chat(**fields).stream, chat(v1=True, **fields).stream) == (bare, v1)


@pytest.mark.parametrize(("sent", "kept"), [(7, 7), ("7", None), (None, None), (1 << 53, None), (0.5, None)])
def test_a_turn_id_is_a_number_that_json_keeps_exact(sent: Any, kept: int | None) -> None:
    assert chat(turn_id=sent).turn_id == kept


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Hi", "Hi"),
        ("", ""),
        (None, ""),
        ([], ""),
        ({"text": "x"}, ""),
        (["Hi", "there"], "Hi there"),
        ([{"type": "text", "text": "Hi"}, "there"], "Hi there"),
        ([{"type": "image_url", "image_url": {"url": "u"}}, {"type": "text", "text": "Hi"}], "Hi"),
        ([{"type": "image", "image_url": "u"}, {"type": "input_audio", "input_audio": {}}], ""),
        ([{"type": "text", "text": None}, {"type": "text", "text": 7}, {"type": "text"}], ""),
    ],
)
def test_the_text_of_any_content_is_found(content: Any, text: str) -> None:
    assert text_of(content) == text


def test_the_question_is_the_text_of_the_users_last_message() -> None:
    first, last = {"role": "user", "content": "First"}, {"role": "user", "content": ["Second"]}
    answer = {"role": "assistant", "content": "Sure."}

    assert chat(first, answer, last).question == "Second"
    assert chat(first, answer).question == "First"
    assert chat(answer).question == ""


@pytest.mark.parametrize(
    ("content", "left"),
    [
        ("One moment. From 7 to 10.", "From 7 to 10."),
        ("One moment.", "One moment."),
        ("One moment...", "One moment..."),
        ("In one moment. From 7.", "In one moment. From 7."),
        (None, None),
        ([], []),
        (
            [{"type": "text", "text": "One moment. From 7."}, {"type": "text", "text": "One moment. Now."}],
            [{"type": "text", "text": "From 7."}, {"type": "text", "text": "One moment. Now."}],
        ),
        (["One moment. From 7."], ["From 7."]),
    ],
)
def test_our_own_phrases_are_taken_from_what_the_assistant_said(content: Any, left: Any) -> None:
    said = {"role": "user", "content": "One moment. When?"}

    request = chat(said, {"role": "assistant", "content": content}, said).without_phrases(["One moment."])

    assert [message["content"] for message in request.messages] == [said["content"], left, said["content"]]


@pytest.mark.parametrize(
    ("last", "awaits_answer", "broadcast"),
    [
        (USER, True, None),
        ({"role": "tool", "content": "7", "tool_call_id": "a"}, False, None),
        ({"role": "assistant", "content": "Welcome!"}, False, "Welcome!"),
        ({"role": "assistant", "content": None}, False, ""),
        ({"role": "system", "content": "x"}, False, None),
    ],
)
def test_the_last_message_tells_what_is_wanted(
    last: dict[str, Any], awaits_answer: bool, broadcast: str | None
) -> None:
    request = chat(USER, last)

    assert (request.awaits_answer, request.broadcast) == (awaits_answer, broadcast)


@pytest.mark.parametrize(
    ("body", "query", "asset"),
    [
        ({"asset": "a"}, {"asset": "b"}, "a"),
        ({"asset": ""}, {"asset": "b"}, "b"),
        ({}, {"asset": "b"}, "b"),
        ({}, {}, None),
    ],
)
def test_a_recording_is_named_in_the_body_or_else_in_the_query(
    body: dict[str, Any], query: dict[str, str], asset: str | None
) -> None:
    assert read({"messages": [USER], **body}, query=query).asset == asset


@pytest.mark.parametrize(("wish", "waiting_ms"), [(None, 700), ("always", 0), ("off", None), (0, 0), (250, 250)])
def test_a_request_may_delay_its_waiting_message(wish: str | int | None, waiting_ms: int | None) -> None:
    asked = dataclasses.replace(chat(waiting=wish), options=TurnOptions(waiting=700))
    assert asked.waiting_ms == waiting_ms


def test_context_stands_around_the_last_user_messages_own_text() -> None:
    system, first, last = {"role": "system", "content": "S"}, dict(USER), {"role": "user", "content": "  é\n", "x": 1}
    tool = {"role": "tool", "content": "7", "tool_call_id": "a"}
    request = chat(system, first, last, tool)

    framed = request.with_context("before ", " after")

    assert framed.messages == [system, first, {"role": "user", "content": "before   é\n after", "x": 1}, tool]
    assert request.messages == [system, first, last, tool]


@pytest.mark.parametrize(
    ("before", "after", "around"), [("B", "A", ("B", "A")), ("B", "", ("B",)), ("", "A", ("A",)), ("", "", ())]
)
def test_context_surrounds_a_list_of_parts_as_its_own_parts(before: str, after: str, around: tuple[str, ...]) -> None:
    own = [{"type": "image_url", "image_url": {"url": "u"}}, "Hi", {"type": "text", "text": " there "}]

    content = chat({"role": "user", "content": own}).with_context(before, after).messages[0]["content"]

    texts = {text: {"type": "text", "text": text} for text in around}
    assert content == [*([texts["B"]] if before else []), *own, *([texts["A"]] if after else [])]


def test_context_without_a_user_message_changes_nothing() -> None:
    messages = [{"role": "system", "content": "S"}, {"role": "assistant", "content": "A"}]

    assert chat(*messages).with_context("B", "A").messages == messages


def test_context_changes_nothing_but_the_messages() -> None:
    request = chat(model="m", temperature=0.5, stream=False)

    framed = request.with_context("B", "A")

    assert {**framed.body, "messages": None} == {**request.body, "messages": None}
    assert (framed.stream, framed.origin) == (False, request.origin)


def test_the_closed_list_is_openais_without_metadata() -> None:
    # Its source is read: an import would cost a second.
    package = importlib.util.find_spec("openai")
    assert package is not None and package.origin is not None
    source = Path(package.origin).with_name("types") / "chat" / "completion_create_params.py"

    annotated = {
        field.target.id
        for kind in ast.parse(source.read_text()).body
        if isinstance(kind, ast.ClassDef) and kind.name.startswith("CompletionCreateParams")
        for field in kind.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    }

    assert annotated - {"metadata"} == OPENAI_FIELDS
    assert "metadata" in annotated


def test_the_common_extensions_go_upstream_too() -> None:
    extensions = (
        "top_k min_p repetition_penalty chat_template_kwargs reasoning guided_json guided_regex guided_choice "
        "guided_grammar"
    )

    assert frozenset(extensions.split()) | OPENAI_FIELDS == UPSTREAM_FIELDS


def test_of_agoras_request_nothing_private_goes_upstream() -> None:
    request = parse(REQUEST.encode(), Origin("r", v1=False))

    assert request.for_upstream("default", NOTHING) == AGORA_FOR_OTHERS


def test_what_agora_said_stays_readable_here() -> None:
    request = parse(REQUEST.encode(), Origin("r", v1=False))

    request.for_upstream("default", NOTHING)

    assert request.body == json.loads(REQUEST)


def test_each_field_of_the_closed_list_goes_upstream_as_it_came() -> None:
    names = sorted(UPSTREAM_FIELDS - {"messages", "model", "stream", "modalities"})
    fields = {name: {"a": [1, None, "é"], "number": number} for number, name in enumerate(names)}

    sent = chat(modalities=["text"], **fields).for_upstream("m", NOTHING)

    assert sent == {**fields, "modalities": ["text"], "model": "m", "messages": [USER], "stream": True}


@pytest.mark.parametrize(
    "name",
    [
        "turn_id",
        "timestamp",
        "interruptable",
        "context",
        "metadata",
        "asset",
        "waiting",
        "call",
        "customer",
        "user_id",
        "api_key",
        "base_url",
        "api_base",
        "extra_headers",
        "extra_body",
        "elevenlabs_extra_body",
    ],
)
def test_no_other_field_goes_upstream(name: str) -> None:
    value = "off" if name == "waiting" else "x"

    assert chat(**{name: value}).for_upstream("m", NOTHING) == {"model": "m", "messages": [USER], "stream": True}


@pytest.mark.parametrize("forward", [NOTHING, frozenset({"*"}), frozenset({"kb", "filters", "include_citations"})])
def test_what_is_addressed_to_the_knowledge_never_goes_upstream(forward: frozenset[str]) -> None:
    request = chat(kb="shop", filters={"language": "en"}, include_citations=True)

    assert request.for_upstream("m", forward) == {"model": "m", "messages": [USER], "stream": True}


@pytest.mark.parametrize(
    ("body", "query", "kb"),
    [
        ({"kb": "a"}, {"kb": "b"}, "a"),
        ({"kb": ""}, {"kb": "b"}, "b"),
        ({}, {"kb": "b"}, "b"),
        ({}, {}, ""),
    ],
)
def test_a_knowledge_base_is_named_in_the_body_or_the_query(
    body: dict[str, Any], query: dict[str, str], kb: str
) -> None:
    assert read({"messages": [USER], **body}, query=query).kb == kb


def test_filters_are_words_whole_numbers_and_truths() -> None:
    filters = {"language": "en", "price": 5, "new": True}

    assert (chat(filters=filters).filters, chat().filters) == (filters, {})


def test_further_fields_go_upstream_where_they_are_named() -> None:
    sent = chat(metadata={"a": "b"}, tenant="acme", call={}).for_upstream("m", frozenset({"metadata", "tenant"}))

    assert sent == {"metadata": {"a": "b"}, "tenant": "acme", "model": "m", "messages": [USER], "stream": True}


def test_a_star_lets_all_go_but_agoras_fields_and_ours() -> None:
    private = {"turn_id": 1, "timestamp": 2, "interruptable": True, "context": {}, "asset": "a", "waiting": "off"}

    sent = chat(metadata={"a": "b"}, tenant="acme", **private).for_upstream("m", frozenset({"*"}))

    assert sent == {"metadata": {"a": "b"}, "tenant": "acme", "model": "m", "messages": [USER], "stream": True}


@pytest.mark.parametrize("forward", [NOTHING, frozenset({"*"}), frozenset({"metadata", "turn_id", "timestamp"})])
def test_agoras_fields_leave_each_message_whatever_is_forwarded(forward: frozenset[str]) -> None:
    message = {**USER, "name": "Ann", "turn_id": 1, "timestamp": 2.5, "metadata": {}, "x": 1}

    unknown = {"x": 1} if "*" in forward else {}

    assert chat(message).for_upstream("m", forward)["messages"] == [{**USER, "name": "Ann", **unknown}]


@pytest.mark.row("IN-10")
@pytest.mark.parametrize("forward", [NOTHING, frozenset({"*"})])
def test_other_platforms_fields_leave_each_message(forward: frozenset[str]) -> None:
    agoras = {"speech_start_ms": 1, "speech_end_ms": 2, "speech_algorithmic_delay": 3}
    others = {"created_at": "2026-01-01", "models": {"prosody": {}}, "id": "m1"}

    sent = chat({**USER, **agoras, **others}).for_upstream("m", forward)["messages"]

    assert sent == [{**USER, **others} if forward else USER]


@pytest.mark.row("IN-10")
def test_what_upstreams_demand_back_goes_up_untouched() -> None:
    call = {"id": "c", "type": "function", "x": 1, "extra_content": {"google": {"thought_signature": "s"}}}
    kept = {
        **{"role": "assistant", "content": "A", "name": "n", "tool_calls": [call], "refusal": None, "prefix": True},
        **{"reasoning": "r", "reasoning_content": "r", "reasoning_details": [{"a": 1}], "extra_content": {"b": 2}},
        **{"cache_control": {"type": "ephemeral"}, "audio": {"id": "a"}, "tool_call_id": "c"},
    }

    assert chat(kept, USER).for_upstream("m", NOTHING)["messages"] == [kept, USER]


@pytest.mark.row("IT-03")
def test_interruptions_are_told_only_where_they_shall_be() -> None:
    request = parse(REQUEST.encode(), Origin("r", v1=False), options=TurnOptions(interruptions="off"))

    sent = request.for_upstream("default", NOTHING)["messages"]

    assert [message["content"] for message in sent[-2:]] == ["We have three plans, the first ", "Just this one."]


@pytest.mark.row("IT-01")
def test_a_waiting_message_is_taken_from_the_whole_text_too() -> None:
    metadata = {"interrupted": True, "original": "One moment. It costs ten."}
    cut = {"role": "assistant", "content": "One moment. It costs", "metadata": metadata}

    sent = chat(cut, USER).without_phrases(["One moment."]).for_upstream("m", NOTHING)["messages"]

    assert sent[-1]["content"] == '[You were interrupted; not heard: "ten."]\nHi'


@pytest.mark.parametrize(
    ("choice", "expects"),
    [
        *((choice, True) for choice in (None, "", "auto", "required")),
        *((choice, False) for choice in ("none", {"type": "function", "function": {"name": "f"}})),
    ],
)
def test_a_named_tool_ends_with_stop(choice: Any, expects: bool) -> None:
    assert chat(tool_choice=choice).expects_tool_finish is expects


def test_the_transcript_of_an_audio_answer_stays_here() -> None:
    message = {"role": "assistant", "audio": {"id": "a", "transcript": "Hello"}}

    assert chat(message).for_upstream("m", NOTHING)["messages"] == [{"role": "assistant", "audio": {"id": "a"}}]


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        ("Hi", {"type": "text", "text": "Hi"}),
        ({"type": "image", "image_url": "u"}, {"type": "image_url", "image_url": {"url": "u"}}),
        ({"type": "image", "image_url": "u", "x": 1}, {"type": "image_url", "image_url": {"url": "u"}, "x": 1}),
        ({"type": "image_url", "image_url": {"url": "u"}}, {"type": "image_url", "image_url": {"url": "u"}}),
        ({"type": "image"}, {"type": "image"}),
        ({"type": "what_comes_next", "x": []}, {"type": "what_comes_next", "x": []}),
    ],
)
def test_agoras_own_forms_of_content_become_openais(part: Any, sent: dict[str, Any]) -> None:
    request = chat({"role": "user", "content": [part, {"type": "text", "text": "?"}]})

    content = request.for_upstream("m", NOTHING)["messages"][0]["content"]

    assert content == [sent, {"type": "text", "text": "?"}]


@pytest.mark.parametrize(
    ("fields", "model"), [({}, "ours"), ({"model": None}, "ours"), ({"model": "theirs"}, "theirs")]
)
def test_a_missing_model_is_filled_in(fields: dict[str, Any], model: str) -> None:
    assert chat(**fields).for_upstream("ours", NOTHING)["model"] == model


@pytest.mark.parametrize(("v1", "fields"), [(False, {"stream": False}), (True, {}), (True, {"stream": None})])
def test_without_a_stream_its_options_leave_too(v1: bool, fields: dict[str, Any]) -> None:
    sent = chat(v1=v1, stream_options={"include_usage": True}, **fields).for_upstream("m", frozenset({"*"}))

    assert sent == {"model": "m", "messages": [USER], "stream": False}


def test_with_a_stream_its_options_stay() -> None:
    sent = chat(stream_options={"include_usage": True}).for_upstream("m", NOTHING)

    assert (sent["stream"], sent["stream_options"]) == (True, {"include_usage": True})


def test_what_a_caller_said_is_not_in_a_requests_repr() -> None:
    origin = Origin("r", v1=False, query={"q": "secret"}, token="secret")

    request = parse(b'{"messages":[{"role":"user","content":"secret"}]}', origin)

    assert "secret" not in repr(request)


@pytest.mark.parametrize(
    ("fields", "wants"),
    [({}, False), ({"rag": True}, True), ({"rag": False}, False), ({"kb": "house"}, True), ({"kb": None}, False)],
)
def test_a_spoken_answer_is_grounded_where_the_body_says_so(fields: dict[str, Any], wants: bool) -> None:
    assert chat(**fields).wants_knowledge == wants


def test_what_is_for_a_model_of_text_holds_no_sound() -> None:
    heard = {"role": "assistant", "audio": {"id": "audio_1", "transcript": "Hello!"}}
    told = {"role": "assistant", "content": "Yes?", "audio": {"id": "audio_2", "transcript": "No."}}
    question = {"role": "user", "content": "Hi"}
    original = chat(messages=[heard, told, question], modalities=["audio"], audio={"voice": "alloy"}, rag=True)

    text = original.for_text()

    sent = text.for_upstream("m", frozenset({"*"}))
    assert sent["messages"] == [
        {"role": "assistant", "content": "Hello!"},
        {"role": "assistant", "content": "Yes?"},
        question,
    ]
    assert not {"modalities", "audio", "rag"} & sent.keys()
    assert original.messages[0] == heard
