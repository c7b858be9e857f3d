"""The request: bytes to a checked `ChatRequest`, and from there to the body that goes upstream.

    bytes --parse--> ChatRequest --for_text, with_context--> ChatRequest --for_upstream--> the upstream's body

Only the fields that we use are checked (`validation.py`). An unknown field is never an error, and goes upstream only if
the operator wants it to.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from parley.errors import InvalidRequest
from parley.wire import strict_json, validation
from parley.wire.callers import presence_of, speaker_of, with_callers
from parley.wire.content import text_of
from parley.wire.interruptions import with_interruptions
from parley.wire.platforms import NOBODY, PRIVATE_FIELDS, Caller, Headers, caller_of
from parley.wire.turn_options import DEFAULTS, TurnOptions

OPENAI_FIELDS = frozenset(
    """
    audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens
    messages modalities model moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key
    prompt_cache_options prompt_cache_retention reasoning_effort response_format safety_identifier seed
    service_tier stop store stream stream_options temperature tool_choice tools top_logprobs top_p user
    verbosity web_search_options
    """.split()  # noqa: SIM905 - a column of forty quoted names is harder to read
)
"""OpenAI's own parameters (openai.types.chat.CompletionCreateParams) without `metadata`, which voice platforms fill
with data of the call that the upstream must not see."""
EXTENSION_FIELDS = frozenset(
    {
        "chat_template_kwargs",
        "guided_choice",
        "guided_grammar",
        "guided_json",
        "guided_regex",
        "min_p",
        "reasoning",
        "repetition_penalty",
        "top_k",
    }
)
"""Common extensions of OpenAI-compatible servers."""
UPSTREAM_FIELDS = OPENAI_FIELDS | EXTENSION_FIELDS
OUR_FIELDS = frozenset(
    {
        "agent",
        "asset",
        "filters",
        "first_chunk",
        "include_citations",
        "kb",
        "rag",
        "session_id",
        "speech_cleanup",
        "template_variables",
        "waiting",
    }
)
"""Fields that are addressed to this server."""
SOUND_FIELDS = frozenset({"audio", "modalities"})
"""Fields with which a caller asks for sound."""
MESSAGE_FIELDS = frozenset(
    """
    audio cache_control content extra_content function_call name prefix reasoning reasoning_content reasoning_details
    refusal role tool_call_id tool_calls
    """.split()  # noqa: SIM905 - shorter than a column of quoted names
)
"""Fields of a message that go upstream: OpenAI's, and those that upstreams demand back or offer beside them."""
PRIVATE_MESSAGE_FIELDS = frozenset(
    {"turn_id", "timestamp", "metadata", "speech_start_ms", "speech_end_ms", "speech_algorithmic_delay"}
)
"""Fields of a message that no upstream sees, also where all fields are forwarded: Agora's own."""
EMPTY: tuple[Any, ...] = (None, [], "")
"""Values that say nothing; others of an odd type are left to the upstream to judge."""
NEEDED_FIELDS: Mapping[str, str] = {
    "tool_choice": "tools",
    "parallel_tool_calls": "tools",
    "function_call": "functions",
    "tools": "tools",
    "functions": "functions",
    "stop": "stop",
    "modalities": "modalities",
}
"""Fields that upstreams refuse where the field behind them is missing or empty."""
NO_HEADERS: Headers = MappingProxyType({})
EMPTY_MESSAGE_FIELDS = frozenset({"tool_calls", "function_call"})
"""Fields of a message that upstreams refuse if they are empty."""


@dataclasses.dataclass(frozen=True)
class Origin:
    """The parts of a request beside its body.

    `v1` tells that the path was below /v1. `token` is the caller's own bearer token, for the mode that passes it on.
    `traceparent` is the caller's W3C trace context, if it sent a well-formed one. `kb` and `agent` are the knowledge
    base and the agent that the path names, if it names any.
    """

    request_id: str
    v1: bool
    query: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    token: str | None = dataclasses.field(default=None, repr=False)
    traceparent: str | None = None
    kb: str = ""
    agent: str = ""


@dataclasses.dataclass(frozen=True)
class ChatRequest:
    """A checked request. `size` is that of its body in bytes, as it came.

    `options` hold what the request says nothing of: values of the settings, or of the agent that it is for.
    """

    body: Mapping[str, Any] = dataclasses.field(repr=False)
    stream: bool
    origin: Origin
    size: int = 0
    options: TurnOptions = DEFAULTS
    caller: Caller = NOBODY

    @property
    def model(self) -> str | None:
        """The model that the request names, if any."""
        return self.body.get("model")

    @property
    def turn_id(self) -> int | None:
        """Agora's number of the turn, if it gave a whole number that a JSON reader keeps exact."""
        turn_id = self.body.get("turn_id")
        return turn_id if isinstance(turn_id, int) and abs(turn_id) < 1 << 53 else None

    @property
    def asset(self) -> str | None:
        """The name of a recording, in the body or else in the query."""
        return self.body.get("asset") or self.origin.query.get("asset")

    @property
    def kb(self) -> str:
        """The name of a knowledge base, in the path, the body, the query, or the agent's; empty for the unnamed one."""
        return self.origin.kb or self.body.get("kb") or self.origin.query.get("kb") or self.options.kb

    @property
    def agent(self) -> str:
        """The name of the agent that is asked, in the path, the body or else the query; empty if none is named."""
        return self.origin.agent or self.body.get("agent") or self.origin.query.get("agent", "")

    @property
    def filters(self) -> dict[str, str | int | bool]:
        """Values that the metadata of a passage must hold for it to be found."""
        return self.body.get("filters") or {}

    @property
    def first_chunk(self) -> dict[str, Any]:
        """Metadata that is to stand in front of the first chunk of a stream."""
        return self.body.get("first_chunk") or {}

    @property
    def include_citations(self) -> bool:
        """True if the chunk that ends a stream shall name the passages that the model was given."""
        return self.body.get("include_citations") is True

    @property
    def wants_audio(self) -> bool:
        """True if the upstream is to answer in audio (`modalities`)."""
        return "audio" in (self.body.get("modalities") or ())

    @property
    def wants_usage(self) -> bool:
        """True if the tokens used are wanted at the end of the stream."""
        return bool((self.body.get("stream_options") or {}).get("include_usage"))

    @property
    def expects_tool_finish(self) -> bool:
        """True if an answer that calls a tool ends with `tool_calls`: a tool that is named ends with "stop"."""
        return self.body.get("tool_choice") in (*EMPTY, "auto", "required")

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation, at least one message, as it came."""
        messages: list[dict[str, Any]] = self.body["messages"]
        return messages

    @property
    def awaits_answer(self) -> bool:
        """True if the user spoke last: the last message is no tool result and no broadcast."""
        return bool(self.messages[-1]["role"] == "user")

    @property
    def broadcast(self) -> str | None:
        """A text to be voiced as it is: in Agora's audio mode, a last message of the assistant's."""
        last = self.messages[-1]
        return text_of(last.get("content")) if last["role"] == "assistant" else None

    @property
    def question(self) -> str:
        """The text of the user's last message; empty where there is none."""
        # Lazily: of 4 096 messages one is read.
        said = (text_of(message.get("content")) for message in reversed(self.messages) if message["role"] == "user")
        return next(said, "")

    @property
    def speaker(self) -> str:
        """The name of the user who spoke last, where the model is to be told names; else empty."""
        said = (speaker_of(message) for message in reversed(self.messages) if message["role"] == "user")
        return next(said, "") if self.options.speakers else ""

    @property
    def wants_knowledge(self) -> bool:
        """True if a spoken answer is to be grounded in the knowledge base."""
        if self.body.get("rag") or self.body.get("kb") or self.origin.kb:
            return True
        return bool(self.options.kb) and self.body.get("rag") is not False

    def for_text(self) -> "ChatRequest":
        """Return the request for a model that answers in text and knows no sound.

        The transcript of an earlier answer in sound becomes a text of the conversation.
        """
        body = {name: value for name, value in self.body.items() if name not in SOUND_FIELDS}
        body["messages"] = [_in_text(message) for message in self.messages]
        return dataclasses.replace(self, body=body)

    @property
    def speech_cleanup(self) -> str:
        """The level to which the answer's text is cleaned for a voice: `off`, `thoughts` or `speech`."""
        return self.body.get("speech_cleanup") or self.options.speech_cleanup

    @property
    def waiting_ms(self) -> int | None:
        """The milliseconds without content after which a waiting message is spoken; None means never."""
        waiting = self.body.get("waiting")
        if waiting is None:
            return self.options.waiting
        return waiting if isinstance(waiting, int) else {"always": 0, "off": None}[waiting]

    def without_phrases(self, phrases: Sequence[str]) -> "ChatRequest":
        """Return the request without these phrases at the beginning of the assistant's messages.

        A message that holds one of them alone stays: a conversation without an answer would read as if none was given.
        """
        messages = [
            _without_phrase(message, phrases) if message["role"] == "assistant" else message
            for message in self.messages
        ]
        return self.with_messages(messages)

    def with_callers(self) -> "ChatRequest":
        """Return the request with the callers' state and names in front of their words, where the options want them."""
        options = self.options
        if not (options.presence or options.speakers):
            return self
        presence = presence_of(self.body) if options.presence else ""
        messages = with_callers(self.messages, presence, speakers=options.speakers)
        # Once: what is put around the words next must not come between them and the names.
        options = dataclasses.replace(options, presence=False, speakers=False)
        return dataclasses.replace(self.with_messages(messages), options=options)

    def with_messages(self, messages: list[Any]) -> "ChatRequest":
        """Return the request with another conversation."""
        return dataclasses.replace(self, body={**self.body, "messages": messages})

    def with_context(self, before: str, after: str) -> "ChatRequest":
        """Return the request with reference text around the last user message, whose own content stays unaltered."""
        self = self.with_callers()
        messages = list(self.messages)
        for index in reversed(range(len(messages))):
            if messages[index]["role"] == "user":
                content = messages[index].get("content")
                if isinstance(content, list):
                    # As parts of their own: the caller's parts, pictures among them, are not touched.
                    parts = [[{"type": "text", "text": text}] if text else [] for text in (before, after)]
                    content = [*parts[0], *content, *parts[1]]
                else:
                    content = f"{before}{content or ''}{after}"
                messages[index] = {**messages[index], "content": content}
                break
        return self.with_messages(messages)

    def with_tools(
        self, definitions: Sequence[Mapping[str, Any]], exchange: Sequence[Mapping[str, Any]], choice: str | None
    ) -> "ChatRequest":
        """Return the request with further tools behind its own, and with messages behind its own.

        `choice` replaces `tool_choice`; None leaves it.
        """
        body = {
            **self.body,
            "messages": [*self.messages, *exchange],
            # Always in one order: an upstream's prompt cache holds the tools, too.
            "tools": [*(self.body.get("tools") or ()), *definitions],
        }
        if choice is not None:
            body["tool_choice"] = choice
        return dataclasses.replace(self, body=body)

    def held_back(self, forward: frozenset[str]) -> set[str]:
        """Return the names of the fields that do not go upstream."""
        return {name for name in self.body if not _goes_upstream(name, forward | self.options.forwarded)}

    def for_upstream(self, model: str, forward: frozenset[str]) -> dict[str, Any]:
        """Return the body that goes upstream: the values as they came, without those that no upstream should see."""
        forward = forward | self.options.forwarded
        kept = {name: value for name, value in self.body.items() if _goes_upstream(name, forward)}
        empty = [name for name, needed in NEEDED_FIELDS.items() if name in kept and kept.get(needed) in EMPTY]
        for name in empty:
            del kept[name]
        if not self.stream:
            # OpenAI refuses it without a stream.
            kept.pop("stream_options", None)
        messages: Sequence[Any] = self.with_callers().messages
        messages = with_interruptions(messages) if self.options.interruptions == "note" else messages
        messages = [_clean_message(message, forwards_all="*" in forward) for message in messages]
        return {**kept, "model": self.model or model, "messages": messages, "stream": self.stream}


def parse(raw: bytes, origin: Origin, headers: Headers = NO_HEADERS, options: TurnOptions = DEFAULTS) -> ChatRequest:
    """Return the checked request; its headers tell who calls. Raises InvalidRequest whose `param` names the field."""
    body = strict_json.parse(raw)
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be a JSON object", code="invalid_value")
    validation.check(body)
    stream = body.get("stream")
    if stream is None:
        # Agora's default on the bare paths, OpenAI's under /v1.
        stream = not origin.v1
    caller = caller_of(body, origin.query, headers)
    return ChatRequest(body, stream, origin, len(raw), options, caller)


def _goes_upstream(name: str, forward: frozenset[str]) -> bool:
    if name in OUR_FIELDS:
        return False
    return name in UPSTREAM_FIELDS or name in forward or ("*" in forward and name not in PRIVATE_FIELDS)


def _without_phrase(message: Mapping[str, Any], phrases: Sequence[str]) -> dict[str, Any]:
    """Return a message without a phrase at its beginning, also in the whole text of one that was interrupted."""
    content = message.get("content")
    left = _without_beginning(content, phrases)
    unphrased = {**message, "content": left}
    metadata = message.get("metadata")
    if left != content and isinstance(metadata, dict) and isinstance(metadata.get("original"), str):
        unphrased["metadata"] = {**metadata, "original": _without_beginning(metadata["original"], phrases)}
    return unphrased


def _without_beginning(content: Any, phrases: Sequence[str]) -> Any:
    """Return a content without a phrase at its beginning, of a string or of the first of several parts."""
    if isinstance(content, list) and content:
        first = content[0]
        if isinstance(first, dict) and isinstance(first.get("text"), str):
            return [{**first, "text": _without_beginning(first["text"], phrases)}, *content[1:]]
        return [_without_beginning(first, phrases), *content[1:]]
    for phrase in phrases if isinstance(content, str) else ():
        # Marks alone are the end of the phrase, not an answer behind it.
        if content.startswith(phrase) and any(map(str.isalnum, rest := content[len(phrase) :].lstrip())):
            return rest
    return content


def _in_text(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message without its `audio`, whose transcript stands in for a missing content."""
    text = {name: value for name, value in message.items() if name != "audio"}
    audio = message.get("audio")
    if text.get("content") is None and isinstance(audio, dict) and isinstance(audio.get("transcript"), str):
        text["content"] = audio["transcript"]
    return text


def _clean_message(message: Mapping[str, Any], *, forwards_all: bool) -> dict[str, Any]:
    """Return a message in OpenAI's form, without fields that strict upstreams refuse."""
    cleaned = {
        name: value
        for name, value in message.items()
        if (name in MESSAGE_FIELDS or (forwards_all and name not in PRIVATE_MESSAGE_FIELDS))
        and (value or name not in EMPTY_MESSAGE_FIELDS)
    }
    if isinstance(cleaned.get("content"), list):
        cleaned["content"] = [_openai_part(part) for part in cleaned["content"]]
    if isinstance(cleaned.get("audio"), dict):
        # OpenAI takes an id alone: it kept the sound and its transcript itself.
        cleaned["audio"] = {name: value for name, value in cleaned["audio"].items() if name != "transcript"}
    return cleaned


def _openai_part(part: Any) -> Any:
    """Return a part of a content in OpenAI's form.

    Agora's samples also write plain strings, and pictures as `{"type": "image", "image_url": "..."}`.
    """
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if isinstance(part, dict) and part.get("type") == "image" and isinstance(part.get("image_url"), str):
        return {**part, "type": "image_url", "image_url": {"url": part["image_url"]}}
    return part
