"""OpenAI's own client against the server: answers, streams, models, and failures as its typed exceptions."""

import base64
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from exchange import SAMPLE_AGENTS
from fake_upstream import (
    DONE,
    END,
    FakeUpstream,
    answer,
    chunk,
    chunks,
    close,
    completion,
    encode,
    event,
    events,
    models,
    refusal,
)
from running_server import RunningServer

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]

SAID: Any = {"model": "m", "messages": [{"role": "user", "content": "How much does a tune-up cost?"}]}
DOOR = {"API_KEYS": "door-1,door-2"}


@pytest.fixture
def client(hasty: RunningServer) -> Iterator[Callable[..., openai.OpenAI]]:
    """`client("/rag/v1")` is OpenAI's client of that base URL."""
    with openai.OpenAI(base_url="http://unused", api_key="unused", max_retries=0, timeout=20) as client:
        yield lambda path: client.with_options(base_url=hasty.url + path)


@pytest.fixture
def hasty(upstream: FakeUpstream, servers: Servers) -> RunningServer:
    """A server that keeps nobody waiting: neither for audio nor for an upstream."""
    return servers(AUDIO_LEAD_MS="5000", IDLE_TIMEOUT="0.5")


Clients = Callable[..., openai.OpenAI]


def test_chat_answers_with_an_object(client: Clients, upstream: FakeUpstream) -> None:
    upstream.script = completion("Hello there")
    answered = client("/v1").chat.completions.create(**SAID)
    assert answered.choices[0].message.content == "Hello there" and answered.usage.total_tokens == 7


def test_chat_streams(client: Clients) -> None:
    streamed = list(client("/v1").chat.completions.create(**SAID, stream=True))
    assert [chunk.choices[0].delta.content for chunk in streamed] == ["", "Hello", " there", None]
    assert {(chunk.id, chunk.object) for chunk in streamed} == {("chatcmpl-fake", "chat.completion.chunk")}


@pytest.mark.parametrize("path", ["/v1", "/rag/v1", "/v1/rag"])
def test_the_stream_helper_puts_the_answer_together(client: Clients, upstream: FakeUpstream, path: str) -> None:
    upstream.script = answer("Hello there", usage=True)
    with client(path).chat.completions.stream(**SAID, stream_options={"include_usage": True}) as stream:
        told = "".join(event.delta for event in stream if event.type == "content.delta")
        final = stream.get_final_completion()
    said = final.choices[0].message
    assert (said.role, said.content, final.choices[0].finish_reason) == ("assistant", told, "stop")
    assert told.endswith("Hello there") and (told == "Hello there") is (path == "/v1")
    assert final.usage is not None and final.usage.total_tokens == 7


def test_the_stream_helper_puts_tool_calls_together(client: Clients, upstream: FakeUpstream) -> None:
    pieces = [
        {"index": 0, "id": "call_1", "type": "function", "function": {"name": "a", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"x":1}'}},
        {"index": 1, "id": "call_2", "type": "function", "function": {"name": "b", "arguments": "{}"}},
    ]
    sent = [chunk({"tool_calls": [piece]}) for piece in pieces]
    upstream.script = [*events([chunks("")[0], *sent, chunk({}, "tool_calls")]), event(DONE), END]
    for path in ("/v1", "/rag/v1"):
        with client(path).chat.completions.stream(**SAID) as stream:
            calls = stream.get_final_completion().choices[0].message.tool_calls
        assert [(call.id, call.function.name, call.function.arguments) for call in calls] == [
            ("call_1", "a", '{"x":1}'),
            ("call_2", "b", "{}"),
        ]


@pytest.mark.parametrize("path", ["/v1", "/rag/v1", "/audio/v1", "/v1/rag", "/v1/audio", "", "/rag", "/audio"])
def test_models_are_listed(client: Clients, upstream: FakeUpstream, path: str) -> None:
    upstream.models_script = models(["fake-model"])
    assert [model.id for model in client(path).models.list()] == [*SAMPLE_AGENTS, "gpt-4o-mini", "fake-model"]


def test_rag_answers_with_an_object_and_citations(client: Clients, upstream: FakeUpstream) -> None:
    upstream.script = completion("65 dollars.")
    answered = client("/rag/v1").chat.completions.create(**SAID)
    assert answered.choices[0].message.content == "65 dollars." and answered.citations[0]["id"] == "tune-up"


def test_rag_streams(client: Clients) -> None:
    streamed = list(client("/rag/v1").chat.completions.create(**SAID, stream=True))
    assert [chunk.choices[0].delta.role for chunk in streamed] == ["assistant", None, None, None, None]
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in streamed}) == 1


def test_audio_answers_with_an_object(client: Clients) -> None:
    audio = (
        client("/audio/v1").chat.completions.create(**SAID, extra_body={"asset": "welcome"}).choices[0].message.audio
    )
    assert audio.transcript.startswith("Welcome to") and base64.b64decode(audio.data).startswith(b"RIFF")


def test_audio_streams_and_the_helper_puts_it_together(client: Clients) -> None:
    audio = client("/audio/v1").chat.completions
    with audio.stream(**SAID, extra_body={"asset": "welcome"}) as stream:
        deltas = [event.chunk.choices[0].delta for event in stream if event.type == "chunk"]
        final = stream.get_final_completion()
    said = [delta.audio for delta in deltas if getattr(delta, "audio", None)]
    sound = b"".join(base64.b64decode(piece.data) for piece in said[1:])
    assert len(sound) == 2 * 59_360 and said[0].transcript.startswith("Welcome to")
    assert final.choices[0].message.audio.id == said[0].id and final.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("path", ["/v1", "/rag/v1", "/audio/v1"])
def test_a_request_without_messages_is_a_bad_request(client: Clients, path: str) -> None:
    with pytest.raises(openai.BadRequestError, match="messages must be a list") as caught:
        client(path).chat.completions.create(model="m", messages=[], stream=True)
    assert (caught.value.param, caught.value.type, caught.value.code) == (
        "messages",
        "invalid_request_error",
        "invalid_value",
    )


@pytest.mark.parametrize("path", ["/v1", "/rag/v1", "/audio/v1"])
def test_a_wrong_key_is_an_authentication_error(upstream: FakeUpstream, servers: Servers, path: str) -> None:
    with openai.OpenAI(base_url=servers(**DOOR).url + path, api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError, match="valid API key") as caught:
            client.chat.completions.create(**SAID)
        with pytest.raises(openai.AuthenticationError):
            client.models.list()
    assert caught.value.code == "invalid_api_key" and upstream.calls == []


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (404, openai.NotFoundError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_an_upstreams_status_raises_its_own_exception(
    client: Clients, upstream: FakeUpstream, status: int, error: type[openai.APIStatusError], stream: bool
) -> None:
    upstream.script = refusal(status, {"message": "no", "type": "t", "param": None, "code": "c"}, {"retry-after": "9"})
    with pytest.raises(error) as caught:
        client("/v1").chat.completions.create(**SAID, stream=stream)
    assert caught.value.status_code == (502 if status == 500 else status)


@pytest.mark.parametrize("path", ["/v1", "/rag/v1"])
@pytest.mark.parametrize("tail", [[close], [END], [event(encode({"error": {"message": "boom"}})), END]])
def test_a_failure_inside_the_stream_is_an_api_error(
    client: Clients, upstream: FakeUpstream, path: str, tail: Any
) -> None:
    upstream.script = [*events(chunks("Hello there")[:3]), *tail]
    told = []
    with pytest.raises(openai.APIError, match="upstream") as caught:
        for piece in client(path).chat.completions.create(**SAID, stream=True):
            told.append(piece.choices[0].delta.content)
    assert told[-3:] == ["Hello", " there", None] and not isinstance(caught.value, openai.APIConnectionError)


def test_a_failure_after_the_waiting_message_is_an_api_error(client: Clients, upstream: FakeUpstream) -> None:
    upstream.script = refusal(500, {"message": "boom"})
    with pytest.raises(openai.APIError), client("/rag/v1").chat.completions.stream(**SAID) as stream:
        stream.until_done()
