"""A model in the place of the upstreams, and the context of a turn, for tests of answers without a server.

upstream = ScriptedUpstream([WORD], SILENCE, LAST)
batches = list(answers.chat(context("Hello?"), services(upstream)))
"""

import dataclasses
import json
from collections.abc import Callable, Generator, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from parley.concurrency import Silence
from parley.services import Services
from parley.settings import Settings
from parley.tools.tool import Result, Tool
from parley.turn import TurnContext
from parley.turn_record import TurnRecord
from parley.upstream.chat_api import PromptForm
from parley.upstream.router import NoUpstream
from parley.wire.chunks import Envelope
from parley.wire.request import ChatRequest, Origin, parse
from parley.wire.sse import Batch, LastBatch

Answered = TypeVar("Answered")


def chunk(finish_reason: str | None = None, **delta: Any) -> bytes:
    """Return an upstream's chunk."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return json.dumps({"id": "up", "created": 5, "model": "big", "choices": [choice]}).encode()


FINISH = chunk("stop")


def last(*payloads: bytes) -> LastBatch:
    """Return the batch that ends an answer; without payloads of its own it holds the finish chunk."""
    return LastBatch(payloads or [FINISH])


class ScriptedUpstream(NoUpstream):
    """An upstream that answers with these batches; an exception among them is raised. `questions` are kept."""

    prompt_form: PromptForm = "reference"

    def __init__(self, *script: Batch | Exception, completion: Any = None) -> None:
        self.script = script
        self.completion = completion
        self.questions: list[ChatRequest] = []
        self.is_closed = False

    def stream(
        self, chat: ChatRequest, envelope: Envelope, record: TurnRecord, wake_after: float | None = None
    ) -> Generator[Batch, None, None]:
        self.questions.append(chat)
        try:
            for step in self.script:
                if isinstance(step, Exception):
                    raise step
                yield step if isinstance(step, Silence) else type(step)(step)
        finally:
            self.is_closed = True

    def complete(self, chat: ChatRequest, record: TurnRecord) -> bytes:
        self.questions.append(chat)
        message = {"role": "assistant", "content": "Hello."} if self.completion is None else self.completion
        return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()


def context(question: str = "Where do you ship?", *, v1: bool = False, **fields: Any) -> TurnContext:
    """Return the context of a turn whose request has this question, or `messages`, and these fields."""
    body = {"messages": [{"role": "user", "content": question}], **fields}
    chat = parse(json.dumps(body).encode(), Origin("turn", v1))
    return TurnContext(chat, Envelope("ours", 1, "m"), TurnRecord("test", "turn"))


def as_served(answer: Callable[[TurnContext, Services], Answered]) -> Callable[[TurnContext, Services], Answered]:
    """Return an answer to requests with the options of the settings, which the server gives to each."""

    def served(turn: TurnContext, within: Services) -> Answered:
        turn.chat = dataclasses.replace(turn.chat, options=within.options)
        return answer(turn, within)

    return served


def broadcast(text: str, **fields: Any) -> TurnContext:
    """Return the context of a turn whose text is to be said as it is."""
    return context(messages=[{"role": "assistant", "content": text}], **fields)


def services(upstream: NoUpstream, **environ: str) -> Services:
    """Return services with this upstream, without knowledge and recordings unless the settings name some."""
    nowhere = {"KB_DIR": "/nowhere/kb", "AUDIO_DIR": "/nowhere/audio", "RAG_TIER": "lexical"}
    return Services(Settings.from_environ({**nowhere, **environ}), upstream)


def deltas(batches: list[Batch]) -> list[dict[str, Any]]:
    """Return the deltas of all chunks, comments and silence aside."""
    payloads = [payload for batch in batches if not isinstance(batch, Silence) for payload in batch]
    read = [json.loads(payload) for payload in payloads if not payload.startswith(b":")]
    return [choice["delta"] for one in read for choice in one["choices"]]


class AnswersInTurn(ScriptedUpstream):
    """An upstream with another script, or whole message, for each question; `retries` may be spent."""

    def __init__(self, *answers: Any, retries: int = 1) -> None:
        super().__init__()
        self.answers = list(answers)
        self.retries = retries

    def stream(
        self, chat: ChatRequest, envelope: Envelope, record: TurnRecord, wake_after: float | None = None
    ) -> Generator[Batch, None, None]:
        self.script = self.answers.pop(0)
        yield from super().stream(chat, envelope, record, wake_after)

    def complete(self, chat: ChatRequest, record: TurnRecord) -> bytes:
        self.completion = self.answers.pop(0)
        return super().complete(chat, record)

    def spend_retry(self) -> bool:
        self.retries -= 1
        return self.retries >= 0


class FixedTools:
    """Tools in the place of a folder's."""

    def __init__(self, *tools: Tool) -> None:
        self._tools = tools

    def tools(self, patterns: Sequence[str] | None = None) -> Sequence[Tool]:
        if patterns is None:
            return self._tools
        return [tool for tool in self._tools if any(fnmatchcase(tool.name, pattern) for pattern in patterns)]


def tool(name: str, run: Callable[..., Result] | str = "done", **more: Any) -> Tool:
    """Return a tool that gives this text, or runs this function."""
    work = (lambda *_: Result(run)) if isinstance(run, str) else run
    return Tool(name, f"The tool {name}.", {"type": "object"}, "python", work, **more)


def offering(upstream: NoUpstream, *tools: Tool, **environ: str) -> Services:
    """Return services with this upstream and these tools."""
    within = services(upstream, WAITING_MESSAGES="One moment.", **environ)
    within.toolbox = FixedTools(*tools)  # type: ignore[assignment] # as much of it as answers use
    return within


def calling(name: str, arguments: str = "{}", number: int = 0) -> bytes:
    """Return a chunk with a whole call."""
    function = {"name": name, "arguments": arguments}
    return chunk(tool_calls=[{"index": number, "id": f"call_{number}", "type": "function", "function": function}])
