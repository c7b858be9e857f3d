"""`/rag/chat/completions`: the waiting message, the context that goes upstream, the endings."""

import json
import re
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests
from fake_upstream import (
    DONE,
    END,
    USAGE,
    FakeUpstream,
    answer,
    chunk,
    chunks,
    close,
    completion,
    encode,
    event,
    events,
    head,
    refusal,
)
from running_server import RunningServer, payloads

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]

PHRASES = ("Let me look that up for you. ", "One moment, I am checking. ", "Good question, let me see. ")
QUESTION = "How much does a tune-up cost?"
PASSAGE = "A tune-up costs 65 dollars and takes one day."
SYSTEM = {"role": "system", "content": "You are a concise voice assistant."}
TALK = [SYSTEM, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
TOOL_CALL = {"id": "call_1", "type": "function", "function": {"name": "a", "arguments": "{}"}}
AFTER_A_TOOL = [
    *TALK,
    {"role": "user", "content": QUESTION},
    {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "42"},
]


def ask(server: RunningServer, said: Any = QUESTION, *, unread: bool = False, **fields: Any) -> requests.Response:
    """The answer to a conversation that ends in these words."""
    body = {"messages": [*TALK, {"role": "user", "content": said}], **fields}
    return requests.post(f"{server.url}/rag/chat/completions", json=body, stream=unread, timeout=20)


def uncited(stream: bytes) -> bytes:
    """A stream without the comment that names the passages; there is one at most, in front of the model's words."""
    return re.sub(rb": citations \[.*\]\n\n", b"", stream, count=1)


def plain(*sent: bytes) -> bytes:
    return b"".join(b"data: " + payload + b"\n\n" for payload in (*sent, DONE))


def content(payload: bytes) -> str:
    return str(json.loads(payload)["choices"][0]["delta"].get("content"))


def asked_upstream(upstream: FakeUpstream) -> Any:
    """The messages of the last call."""
    return upstream.calls[-1].json["messages"]


@pytest.fixture
def quiet(upstream: FakeUpstream, servers: Servers) -> RunningServer:
    """A server that speaks no waiting message unless a request wants one."""
    return servers(WAITING="off")


# --- the waiting message ---


def test_the_waiting_message_comes_while_the_upstream_is_silent(patient: RunningServer, upstream: FakeUpstream) -> None:
    speak = threading.Event()
    upstream.script = [speak, *answer("Hello there")]
    with ask(patient, unread=True) as response:
        frames = response.iter_content(chunk_size=None)
        first = next(frames)
        assert len(payloads(first)) == 1 and content(payloads(first)[0]) in PHRASES
        assert response.status_code == 200 and response.headers["content-type"] == "text/event-stream"
        assert upstream.wait_for_calls(1)[0].outcome is None  # which says: the search and the upstream began at once
        speak.set()
        rest = payloads(b"".join(frames))
    assert [content(payload) for payload in rest[:-2]] == ["", "Hello", " there"]


def test_the_whole_stream_is_one_answer_with_one_id_and_one_role(patient: RunningServer) -> None:
    waiting, *rest = payloads(ask(patient, model="m").content)
    first = json.loads(waiting)
    assert re.fullmatch(r"chatcmpl-[0-9a-f]{32}", first["id"]) and first["id"] != "waiting_msg"
    choice = {"index": 0, "delta": {"role": "assistant", "content": content(waiting)}}
    choice.update({"logprobs": None, "finish_reason": None})
    envelope = {"id": first["id"], "object": "chat.completion.chunk", "created": first["created"], "model": "m"}
    assert first == {**envelope, "choices": [choice]}
    start = b'{"id":"%b","object":"chat.completion.chunk","created":%d,"model":"m","choices":[{"index":0,"delta":' % (
        first["id"].encode(),
        first["created"],
    )
    assert rest == [
        start + b'{"content":""},"logprobs":null,"finish_reason":null}]}',
        start + b'{"content":"Hello"},"logprobs":null,"finish_reason":null}]}',
        start + b'{"content":" there"},"logprobs":null,"finish_reason":null}]}',
        start + b'{},"logprobs":null,"finish_reason":"stop"}]}',
        b"[DONE]",
    ]


def test_the_waiting_message_is_never_the_same_twice_running(patient: RunningServer) -> None:
    spoken = [content(payloads(ask(patient).content)[0]) for _ in range(8)]
    assert set(spoken) <= set(PHRASES) and all(one != next for one, next in pairwise(spoken))


def test_a_waiting_message_changes_only_envelope_and_role(patient: RunningServer, upstream: FakeUpstream) -> None:
    call = b'{"tool_calls":[{"index":0,"id":"call_1","x":1.50,"n":12345678901234567890123}]}'
    sent = b'{"id":"a","choices":[{"index":0,"delta":%b}],"own":"\\u00e9","usage":null}' % call
    usage = chunk({}, choices=[], usage=USAGE)
    upstream.script = [*events([sent, chunk({}, "tool_calls"), usage]), event(DONE), END]
    waiting, tool, _, last, _ = payloads(ask(patient).content)
    envelope = {name: json.loads(waiting)[name] for name in ("id", "created", "model")}
    assert call in tool and b'"own":"\\u00e9"' in tool and json.loads(tool) == {**json.loads(sent), **envelope}
    assert json.loads(last) == {**json.loads(usage), **envelope}


@pytest.mark.parametrize(
    ("waiting", "silence", "speaks"),
    [(None, 0, False), ("always", 0, True), (20_000, 0, False), (20, 0.5, True), (0, 0, True), ("off", 0.1, False)],
)
def test_a_request_can_delay_its_waiting_message(
    quiet: RunningServer, upstream: FakeUpstream, waiting: Any, silence: float, speaks: bool
) -> None:
    upstream.script = [silence, *answer("Hello there")]
    stream = ask(quiet, waiting=waiting).content
    assert (content(payloads(stream)[0]) in PHRASES) is speaks and stream.count(b'"role"') == 1
    assert speaks or uncited(stream) == plain(*chunks("Hello there"))
    assert "waiting" not in upstream.calls[0].json


def test_a_request_can_do_without_the_waiting_message(patient: RunningServer) -> None:
    assert uncited(ask(patient, waiting="off").content) == plain(*chunks("Hello there"))


@pytest.mark.parametrize("waiting", ["never", -1, 60_001, True, 1.5, [], {}])
def test_a_wish_that_is_none_is_refused(patient: RunningServer, upstream: FakeUpstream, waiting: Any) -> None:
    response = ask(patient, waiting=waiting)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "waiting") and not upstream.calls


@pytest.mark.parametrize("messages", [AFTER_A_TOOL, [*TALK[:2], {"role": "assistant", "content": "Hi."}]])
def test_a_tool_result_or_broadcast_gets_no_waiting_message(patient: RunningServer, messages: Any) -> None:
    assert uncited(ask(patient, messages=messages).content) == plain(*chunks("Hello there"))


# --- the context ---


def test_the_passages_stand_before_the_callers_words(patient: RunningServer, upstream: FakeUpstream) -> None:
    ask(patient)
    *before, last = asked_upstream(upstream)
    assert before == TALK and last.keys() == {"role", "content"} and last["role"] == "user"
    assert last["content"].endswith(QUESTION) and last["content"].count(QUESTION) == 1
    (tag, inside), *_ = re.findall(r"\n<(reference-[0-9a-f]{8,})>\n(.*?)\n</\1>\n", last["content"], re.DOTALL)
    assert PASSAGE in inside and "[tune-up] Tune-up" in inside
    ask(patient)
    # As long as the passages are the same, so is the prompt: an upstream's cache holds it.
    assert tag in asked_upstream(upstream)[-1]["content"]


def test_a_message_in_parts_keeps_them_behind_the_passages(patient: RunningServer, upstream: FakeUpstream) -> None:
    parts = [
        {"type": "text", "text": QUESTION},
        {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
    ]
    ask(patient, parts)
    context, *rest = asked_upstream(upstream)[-1]["content"]
    assert rest == parts and context["type"] == "text" and PASSAGE in context["text"]


def test_a_tool_result_is_answered_with_the_questions_context(patient: RunningServer, upstream: FakeUpstream) -> None:
    ask(patient, messages=AFTER_A_TOOL)
    sent = asked_upstream(upstream)
    assert [said["role"] for said in sent] == [said["role"] for said in AFTER_A_TOOL]
    assert PASSAGE in sent[3]["content"] and sent[4:] == AFTER_A_TOOL[4:] and sent[:3] == TALK


@pytest.mark.parametrize("said", ["Xyzzy plugh?", "plugh \U0001f914", "x.*(", "\u0645\u062a\u0649"])
def test_the_model_is_told_that_nothing_was_found(patient: RunningServer, upstream: FakeUpstream, said: str) -> None:
    assert ask(patient, said).content.endswith(plain())
    told = asked_upstream(upstream)[-1]["content"]
    assert "nothing was found" in told and "<reference" not in told and told.endswith(said)


def test_a_json_answer_bears_citations_and_no_waiting_message(patient: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = completion("65 dollars.")
    response = ask(patient, stream=False)
    body = response.json()
    first, *more = body.pop("citations")
    assert body == json.loads(completion("65 dollars.")[1]) and response.headers["content-type"] == "application/json"
    assert (first["id"], first["title"], first["file"]) == ("tune-up", "Tune-up", "services.json")
    assert first.keys() == {"id", "title", "score", "file"} and len(more) <= 3
    scores = [hit["score"] for hit in (first, *more)]
    assert scores == sorted(scores, reverse=True) and scores[0] > 0
    assert PASSAGE in asked_upstream(upstream)[-1]["content"]


def cited(stream: bytes) -> list[dict[str, Any]]:
    """What the comment of a stream names."""
    (comment,) = re.findall(rb"^: citations (\[.*\])$", stream, re.MULTILINE)
    found: list[dict[str, Any]] = json.loads(comment)
    return found


def test_a_stream_names_the_passages_in_one_comment_first(patient: RunningServer) -> None:
    stream = ask(patient).content
    waiting, comment, *rest = stream.split(b"\n\n")
    assert cited(stream)[0]["id"] == "tune-up" and comment.startswith(b": citations ") and content(waiting[6:])
    assert all(b"citations" not in frame and b"services.json" not in frame for frame in (waiting, *rest))


@pytest.mark.parametrize("waiting", ["off", "always", 20_000])
def test_requested_citations_come_on_the_last_chunk(
    patient: RunningServer, upstream: FakeUpstream, waiting: Any
) -> None:
    stream = ask(patient, include_citations=True, waiting=waiting).content
    *words, last, _ = payloads(stream)
    told = json.loads(last)
    assert told["citations"] == cited(stream) and told["choices"][0]["finish_reason"] == "stop"
    assert all(b"citations" not in payload for payload in words) and told["choices"][0]["delta"] == {}
    assert "include_citations" not in upstream.calls[-1].json


@pytest.mark.parametrize("said", ["Xyzzy plugh?", "thanks, bye"])
def test_nothing_found_is_nothing_cited(patient: RunningServer, said: str) -> None:
    stream = ask(patient, said, include_citations=True).content
    assert b": citations" not in stream and json.loads(payloads(stream)[-2])["citations"] == []


# --- knowledge bases by folder, and filters ---


@pytest.fixture(scope="module")
def shop_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three bases: one without a name, and two that answer the same question differently."""
    folder = tmp_path_factory.mktemp("kb")
    entries = [
        {"id": language, "text": f"A tune-up costs 65 dollars ({language}).", "language": language, "price": 65}
        for language in ("en", "fr")
    ]
    contents = {"": entries, "north": {"Tune-up": "It costs 70."}, "south": {"Tune-up": "It costs 80."}}
    for name, content in contents.items():
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "a.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def shops(shop_folder: Path, upstream: FakeUpstream, servers: Servers) -> RunningServer:
    """A server with these bases."""
    return servers(KB_DIR=str(shop_folder), WAITING="off")


def test_a_base_is_chosen_in_the_body_or_query_or_is_a_404(shops: RunningServer, upstream: FakeUpstream) -> None:
    url = f"{shops.url}/rag/chat/completions"
    body = {"messages": [{"role": "user", "content": "How much is a tune-up?"}]}
    for query, fields, told in [
        ("", {}, "65 dollars (en)"),
        ("", {"kb": "north"}, "It costs 70."),
        ("?kb=south", {}, "It costs 80."),
        ("?kb=south", {"kb": "north"}, "It costs 70."),
    ]:
        requests.post(url + query, json={**body, **fields}, timeout=20)
        call = upstream.calls[-1].json
        assert told in call["messages"][-1]["content"] and call["messages"][-1]["content"].count("costs") <= 2
        assert "kb" not in call
    upstream.calls.clear()
    for wrong in ("west", "../north", "north/", ".", "a.json"):
        for stream in (True, False):
            refused = requests.post(url, json={**body, "kb": wrong, "stream": stream, "waiting": "always"}, timeout=20)
            error = refused.json()["error"]
            assert (refused.status_code, error["code"], error["param"]) == (404, "unknown_knowledge_base", "kb")
    assert not upstream.calls


def test_filters_keep_only_passages_with_that_metadata(shops: RunningServer, upstream: FakeUpstream) -> None:
    for filters, found in [
        ({"language": "fr"}, ["fr"]),
        ({"language": "en", "price": 65}, ["en"]),
        ({"language": "de"}, []),
        ({"price": "65"}, []),
        ({}, ["en", "fr"]),
    ]:
        stream = ask(shops, "How much is a tune-up?", filters=filters).content
        assert sorted(hit["id"] for hit in (cited(stream) if b": citations" in stream else [])) == found, filters
        assert "filters" not in upstream.calls[-1].json


# --- the ends ---


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (refusal(500, {"message": "boom"}), "upstream_error"),
        (refusal(400, {"message": "too long", "code": "context_length_exceeded"}), "context_length_exceeded"),
        ([close], "upstream_unreachable"),
        ([*events(chunks("Hello there")[:1]), close], "upstream_disconnected"),
        ([head(), END], "upstream_empty_response"),
    ],
)
def test_a_failure_after_the_waiting_message_ends_in_two_frames(
    patient: RunningServer, upstream: FakeUpstream, script: Any, code: str
) -> None:
    upstream.script = script
    response = ask(patient)
    waiting, *relayed, broken, error = payloads(response.content)
    assert response.status_code == 200 and content(waiting) in PHRASES and relayed == []
    choice = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "error"}
    assert json.loads(broken) == {**json.loads(waiting), "choices": [choice]}
    assert json.loads(error).keys() == {"error"} and json.loads(error)["error"]["code"] == code


def test_a_failure_before_anything_was_said_is_a_true_status(quiet: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = refusal(500, {"message": "boom"})
    for waiting in (None, 20_000):
        assert (ask(quiet, waiting=waiting).status_code, len(upstream.calls) > 0) == (502, True)


def test_the_fallback_text_follows_the_waiting_message(upstream: FakeUpstream, servers: Servers) -> None:
    upstream.script = refusal(500, {"message": "boom"})
    server = servers(FALLBACK_TEXT="Sorry, please say that again.", TTFT_TIMEOUT="0.5")
    stream = ask(server).content
    frames = stream.split(b"\n\n")
    assert content(frames[1].removeprefix(b"data: ")) == " Sorry, please say that again."
    assert frames[3].startswith(b": error code=upstream_error") and stream.endswith(b"\n\ndata: [DONE]\n\n")
    assert stream.count(b'"role"') == 1 and b'"error"' not in stream


def test_an_error_inside_the_answer_after_words_ends_it(patient: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = [*events(chunks("Hello there")[:2]), event(encode({"error": {"message": "boom"}})), END]
    _, role, word, broken, error = payloads(ask(patient).content)
    assert (content(role), content(word)) == ("", "Hello") and b'"finish_reason":"error"' in broken
    assert json.loads(error)["error"]["code"] == "upstream_error"
