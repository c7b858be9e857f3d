"""An upstream that calls tools in every manner that providers have, and judges the results that come back.

A `CallPlan` says beforehand what it will do for one question, which is found by its `x-request-id`: some passes with
calls, then words. What it is told in the next pass is compared with what the tools' behaviours allow.
"""

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import planned_upstream  # noqa: F401 - it says where the tests' modules are
from fake_upstream import END, chunk, event, head, http_chunk
from planned_tools import Out, Peer, Request, is_allowed
from planned_upstream import FINISH, LAST, ROLE

QUIRKS = (
    "pieces",
    "whole",
    "index 0",
    "no index",
    "object",
    "named pieces",
    "no id",
    "equal ids",
    "empty first",
    "text in text",
    "in the finish",
    "listless",
    "usage",
)
FINISHES = ("tool_calls", "stop", "tool_use", "function_call", "", None)
FAULTS = (
    "status",
    "cut before",
    "cut in call",
    "cut in words",
    "error event",
    "error inside",
    "junk",
    "no end",
    "hang",
)
MODEL_USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


@dataclass(frozen=True)
class PlannedCall:
    """A call, and a pattern of what the model may be told of it. `arguments` that are a text are no JSON object."""

    name: str
    arguments: Any
    told: str


@dataclass
class CallPlan:
    """What the upstream does for one question."""

    name: str
    passes: list[list[PlannedCall]]
    quirks: list[str]
    finish: str | None = "tool_calls"
    said_first: bool = False
    count: int = 3
    fault: str | None = None
    once: bool = False
    fault_pass: int = 0
    asked: int = 0
    struck: int = 0
    told: Counter[str] = field(default_factory=Counter)

    def words(self) -> list[str]:
        """What the last pass says."""
        return [f"{self.name}:{number} " for number in range(self.count)]

    @property
    def calls(self) -> int:
        """How many calls the model makes in all."""
        return sum(map(len, self.passes))


class CallingUpstream(Peer):
    """The upstream. `wrong` holds what it was told that no plan allows."""

    def __init__(self) -> None:
        super().__init__()
        self.plans: dict[str, CallPlan] = {}
        self.wrong: list[str] = []
        self.chance = random.Random(3)

    async def answer(self, request: Request, out: Out) -> None:
        """Judge what is told, and do what is planned for this pass."""
        plan = self.plans.get(request.headers.get("x-request-id", "")) or CallPlan("health", [], [])
        body = request.json
        number = self._judge(plan, body)
        plan.asked += 1
        streams = bool(body.get("stream"))
        await out.silence(self.chance.uniform(0.001, 0.01))
        if plan.fault and number == plan.fault_pass and not (plan.once and plan.struck):
            plan.struck += 1
            await self._fail(plan.fault, plan, number, out)
            return
        calls = plan.passes[number] if number < len(plan.passes) and body.get("tool_choice") != "none" else []
        quirk = plan.quirks[number] if calls else ""
        if not streams:
            out.whole(json.dumps(completion(plan, calls, quirk)))
            return
        out.raw(head() + b"".join(self._events(plan, calls, quirk, number)) + LAST + END)

    def _judge(self, plan: CallPlan, body: dict[str, Any]) -> int:
        """Return which pass this is; note what does not fit the plan."""
        messages = body["messages"]
        exchange = messages[max(at for at, each in enumerate(messages) if each["role"] == "user") + 1 :]
        said = [each for each in exchange if each["role"] == "assistant"]
        ids: set[str] = set()
        for calls, message in zip(plan.passes, said, strict=False):
            at = exchange.index(message)
            results = exchange[at + 1 : at + 1 + len(calls)]
            given = [call["id"] for call in message["tool_calls"]]
            if [call["function"]["name"] for call in message["tool_calls"]] != [call.name for call in calls]:
                self._note(plan, f"other calls: {message['tool_calls']}")
            elif len({*given, *ids}) != len(given) + len(ids) or [each["tool_call_id"] for each in results] != given:
                self._note(plan, f"ids: {given} {results}")
            ids.update(given)
            for call, result in zip(calls, results, strict=False):
                plan.told[result["content"][:40]] += 1
                if not is_allowed(result["content"], call.told):
                    self._note(plan, f"{call} is told as {result['content'][:200]!r}")
        return len(said)

    def _note(self, plan: CallPlan, wrong: str) -> None:
        self.wrong.append(f"{plan.name} {plan.quirks}: {wrong}")

    def _events(self, plan: CallPlan, calls: list[PlannedCall], quirk: str, number: int) -> list[bytes]:
        events = [ROLE]
        if not calls:
            return [*events, *(event(chunk({"content": word})) for word in plan.words()), FINISH]
        if plan.said_first and number == 0:
            events.append(event(chunk({"content": "One moment."})))
        pieces = pieces_of(calls, quirk, f"{plan.name}-{number}")
        if quirk == "in the finish":
            return [*events, event(chunk({"tool_calls": pieces}, plan.finish or "tool_calls"))]
        events += [event(chunk({"tool_calls": piece if quirk == "listless" else [piece]})) for piece in pieces]
        if plan.finish is not None:
            events.append(event(chunk({}, plan.finish)))
        if quirk == "usage":
            usage = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []}
            events.append(event(json.dumps({**usage, "usage": MODEL_USAGE}).encode()))
        return events

    async def _fail(self, fault: str, plan: CallPlan, number: int, out: Out) -> None:
        calls = plan.passes[number] if number < len(plan.passes) else []
        events = self._events(plan, calls, "pieces", number)
        if fault == "status":
            out.whole('{"error":{"message":"as planned"}}', 503)
        elif fault == "hang":
            await out.silence(60)
        elif fault == "error event":
            out.raw(head() + ROLE + event(b'{"error":{"message":"as planned"}}') + END)
        elif fault == "no end":
            out.raw(head() + b"".join(events[:2]) + END)
        else:
            out.raw(head() + b"".join(events[:1] if fault == "cut before" else events[:2]))
            if fault == "junk":
                out.raw(http_chunk(b"data: {not json\n\n") + END)
            elif fault == "error inside":
                out.raw(event(b'{"error":{"message":"as planned"}}') + END)
            else:
                await out.silence(0.005)
                out.leave(reset=fault == "cut in words")


def written(call: PlannedCall, quirk: str) -> Any:
    """Return the arguments of a call as this provider writes them."""
    if isinstance(call.arguments, str):
        return call.arguments
    if quirk in ("object", "listless"):
        return call.arguments
    text = json.dumps(call.arguments)
    return json.dumps(text) if quirk == "text in text" else text


def pieces_of(calls: list[PlannedCall], quirk: str, unique: str) -> list[dict[str, Any]]:
    """Return the pieces of calls, each for a chunk of its own."""
    pieces = []
    for number, call in enumerate(calls):
        index = {"index": 0 if quirk == "index 0" else number} if quirk not in ("no index", "listless") else {}
        call_id = {"id": "call_0" if quirk == "equal ids" else f"{unique}-{number}"} if quirk != "no id" else {}
        arguments = written(call, quirk)
        start = {**index, **call_id, "type": "function"}
        if quirk in ("pieces", "named pieces", "empty first", "usage") and isinstance(arguments, str):
            half = len(arguments) // 2
            first = "{}" if quirk == "empty first" and not isinstance(call.arguments, str) else ""
            pieces.append({**start, "function": {"name": call.name, "arguments": first}})
            name = {"name": call.name} if quirk == "named pieces" else {}
            pieces += [
                {**index, "function": {**name, "arguments": part}} for part in (arguments[:half], arguments[half:])
            ]
        else:
            pieces.append({**start, "function": {"name": call.name, "arguments": arguments}})
    return pieces


def completion(plan: CallPlan, calls: list[PlannedCall], quirk: str) -> dict[str, Any]:
    """Return a whole answer."""
    message: dict[str, Any] = {"role": "assistant", "content": None if calls else "".join(plan.words())}
    if calls:
        message["tool_calls"] = [
            {"id": f"{plan.name}-{number}", "type": "function", "function": {"name": call.name, "arguments": text}}
            for number, call in enumerate(calls)
            for text in (written(call, quirk),)
        ]
    choice = {"index": 0, "message": message, "finish_reason": (plan.finish or "stop") if calls else "stop"}
    whole = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return {**whole, "usage": MODEL_USAGE}
