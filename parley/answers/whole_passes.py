"""The whole answer of a turn with tools: the last pass's, with the texts and the usage of all passes."""

from collections.abc import Sequence
from typing import Any

import msgspec

from parley.answers.tool_turn import ToolTurn
from parley.concurrency import run_for_size
from parley.services import Services
from parley.tools.tool import Tool
from parley.turn_record import TurnRecord
from parley.wire import chunks, upstream_json
from parley.wire.calls import Calls
from parley.wire.content import words_in
from parley.wire.request import ChatRequest
from parley.wire.usage import added, usage_of


class WholePasses(ToolTurn):
    """The passes of an answer in one piece."""

    def __init__(self, chat: ChatRequest, record: TurnRecord, services: Services, tools: dict[str, Tool]) -> None:
        super().__init__(chat, record, services, tools)
        self._said: list[str] = []

    def body(self) -> bytes:
        """Return the answer: the last pass's, with the texts and the usage of all. Raises what the upstream raises."""
        try:
            while True:
                body = self._services.upstream.complete(self._next_request(), self._record)
                calls = Calls(self._tools, has_others=self._has_others)
                choice = first_choice(run_for_size(len(body), upstream_json.decode, body))
                message = choice.get("message")
                if isinstance(message, dict):
                    calls.take_message(message, choice.get("finish_reason"))
                    calls.usage = usage_of(body)
                    self._said.append(words_in(message).text)
                if not self._are_to_be_run(calls):
                    self._log_dropped(calls)
                    self._calls.end(sum(map(len, self._said)))
                    return self._joined(body, calls)
                called = self._begin_calls(calls)
                # Nothing can be sent before the end, so that nobody acts in between.
                while not self._calls.wait(self._tick):
                    pass
                self._tell_results(called)
        finally:
            self._finish()

    def _joined(self, body: bytes, calls: Calls) -> bytes:
        """Return the last pass's body with what the earlier ones said and used, and without calls of ours."""
        usage = added(self._usage, calls.usage)
        said = [text for text in self._said[:-1] if text]
        # Most answers go on byte for byte.
        if usage and usage != calls.usage:
            body = chunks.with_field(body, "usage", usage)
        if not said and not calls.kept:
            return body
        completion = upstream_json.fields(body)
        choices = msgspec.json.decode(completion["choices"], type=list[dict[str, msgspec.Raw]])
        message = msgspec.json.decode(choices[0]["message"], type=dict[str, msgspec.Raw])
        if calls.kept and calls.others:
            message["tool_calls"] = msgspec.Raw(upstream_json.encode(calls.others))
        elif calls.kept:
            message.pop("tool_calls", None)
        # Parts are left to those who wrote them.
        content = upstream_json.decode(bytes(message.get("content", b"null")))
        if said and (content is None or isinstance(content, str)):
            message["content"] = msgspec.Raw(upstream_json.encode(joined([*said, content or ""])))
        choices[0]["message"] = msgspec.Raw(upstream_json.encode(message))
        completion["choices"] = msgspec.Raw(msgspec.json.encode(choices))
        return upstream_json.encode(completion)


def first_choice(completion: Any) -> dict[str, Any]:
    """Return the first choice of a whole answer; empty if there is none."""
    choices = completion.get("choices") if isinstance(completion, dict) else None
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}


def joined(texts: Sequence[str]) -> str:
    """Return texts behind one another, with a space where two words would stick together."""
    whole = ""
    for text in texts:
        is_apart = not whole or not text or whole[-1].isspace() or text[0].isspace()
        whole += text if is_apart else f" {text}"
    return whole
