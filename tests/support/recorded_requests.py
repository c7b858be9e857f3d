"""A request of each platform, by hand from its documents: what it sends beside OpenAI's fields, and who calls.

Every value that no upstream may see holds the word PRIVATE, a number in its place the digits of `PRIVATE_NUMBER`.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from engine import REQUEST

PRIVATE, PRIVATE_NUMBER = "PRIVATE", 1764000012345
MESSAGES = [{"role": "system", "content": "You are Mia."}, {"role": "user", "content": "Where is my order?"}]


@dataclasses.dataclass(frozen=True)
class Recorded:
    """One request, and the caller that it tells of; `log` is the session in the log line."""

    name: str
    platform: str
    session: str
    body: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    query: Mapping[str, str] = dataclasses.field(default_factory=dict)
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    user: str = ""
    turn: str = ""
    messages: list[dict[str, Any]] = dataclasses.field(default_factory=lambda: list(MESSAGES))

    @property
    def content(self) -> dict[str, Any]:
        """The whole body."""
        return {"model": "gpt-4o-mini", "stream": True, "messages": self.messages, **self.body}


def function(name: str, *parameters: str) -> dict[str, Any]:
    """Return a tool of a platform's own."""
    properties = {parameter: {"type": "string"} for parameter in parameters}
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": f"Use {name}.",
            "parameters": {"type": "object", "properties": properties},
        },
    }


AGORA = {name: value for name, value in json.loads(REQUEST).items() if name not in ("messages", "tenant")}
PRESENCE = {"presence": {"1002": {"selection": "PRIVATE Plan B"}}}
REQUESTS = (
    Recorded(
        "agora",
        "agora",
        "PRIVATE-app/PRIVATE-channel",
        {
            **AGORA,
            "timestamp": PRIVATE_NUMBER,
            "context": PRESENCE,
            "app_id": "PRIVATE-app",
            "channel": "PRIVATE-channel",
            "template_variables": {"name": "PRIVATE"},
        },
        user="1002",
        turn="turn_id 3",
        messages=json.loads(REQUEST)["messages"],
    ),
    Recorded(
        "agora without params",
        "agora",
        "",
        {**AGORA, "timestamp": PRIVATE_NUMBER},
        user="1002",
        turn="turn_id 3",
        messages=json.loads(REQUEST)["messages"],
    ),
    Recorded(
        "agora url",
        "agora",
        "PRIVATE-1",
        {**AGORA, "timestamp": PRIVATE_NUMBER},
        {"session_id": "PRIVATE-1"},
        turn="turn_id 3",
    ),
    Recorded(
        "agora context",
        "agora",
        "PRIVATE-app/7",
        {**AGORA, "timestamp": PRIVATE_NUMBER, "context": {"appId": "PRIVATE-app", "channel": 7}},
        turn="turn_id 3",
    ),
    Recorded(
        "vapi",
        "vapi",
        "PRIVATE-71e0c1a2-4f0b-4d6e-9c1d-0242ac120002",
        {
            "call": {
                "id": "PRIVATE-71e0c1a2-4f0b-4d6e-9c1d-0242ac120002",
                "orgId": "PRIVATE",
                "type": "inboundPhoneCall",
                "monitor": {"controlUrl": "https://PRIVATE.example.com"},
            },
            "phoneNumber": {"number": "PRIVATE"},
            "customer": {"number": "+4917012345678", "name": "PRIVATE"},
            "temperature": 0.4,
            "tools": [function("endCall"), function("transferCall", "destination")],
        },
        user="+4917012345678",
    ),
    Recorded(
        "elevenlabs",
        "elevenlabs",
        "PRIVATE-conv",
        {
            "user_id": "PRIVATE-user",
            "elevenlabs_extra_body": {"conversation_id": "PRIVATE-conv", "plan": "PRIVATE"},
            "tools": [
                function("end_call", "reason", "message"),
                function("language_detection", "reason", "language"),
                function("transfer_to_agent", "agent_number"),
            ],
        },
        user="PRIVATE-user",
    ),
    Recorded("elevenlabs tools", "elevenlabs", "", {"tools": [function("skip_turn", "reason")]}),
    Recorded("hume", "hume", "PRIVATE-session", query={"custom_session_id": "PRIVATE-session"}),
    Recorded(
        "trtc",
        "trtc",
        "PRIVATE-room/PRIVATE-task",
        {"MetaInfo": {"vip": "PRIVATE"}},
        headers={
            "X-Task-Id": "PRIVATE-task",
            "X-Request-Id": "request-7",
            "X-Sdk-App-Id": "PRIVATE",
            "X-User-Id": "PRIVATE-user",
            "X-Room-Id": "PRIVATE-room",
            "X-Room-Id-Type": "1",
        },
        user="PRIVATE-user",
        turn="x-request-id request-7",
    ),
    Recorded(
        "alibaba",
        "alibaba",
        "PRIVATE-instance",
        {"extendData": {"instanceId": "PRIVATE-instance", "channelId": "PRIVATE", "callerNumber": "PRIVATE"}},
    ),
    Recorded(
        "alibaba text",
        "alibaba",
        "PRIVATE-instance",
        {"extendData": json.dumps({"instanceId": "PRIVATE-instance", "sentenceId": 3})},
    ),
    Recorded(
        "telnyx", "telnyx", "v3:PRIVATE", {"extra_metadata": {"call_control_id": "v3:PRIVATE", "from": "PRIVATE"}}
    ),
    Recorded("volcengine", "volcengine", "PRIVATE-round", {"custom": json.dumps({"session_id": "PRIVATE-round"})}),
    Recorded(
        "openwebui",
        "openwebui",
        "PRIVATE-chat",
        headers={"X-OpenWebUI-Chat-Id": "PRIVATE-chat", "X-OpenWebUI-User-Id": "PRIVATE-user"},
        user="PRIVATE-user",
    ),
    Recorded(
        "deepgram",
        "",
        "PRIVATE-deepgram",
        {
            "reasoning_effort": "low",
            "tools": [{**function("book_table", "day")}],
        },
        headers={"X-Session-Id": "PRIVATE-deepgram"},
    ),
    Recorded(
        "livekit",
        "",
        "PRIVATE-room",
        {"session_id": "PRIVATE-room", "stream_options": {"include_usage": True}, "user": "caller-7"},
        user="caller-7",
    ),
    Recorded(
        "pipecat",
        "",
        "7",
        {"session_id": 7, "stream_options": {"include_usage": True}},
        messages=[{"role": "developer", "content": "You are Mia."}, MESSAGES[1]],
    ),
    Recorded(
        "cartesia",
        "",
        "PRIVATE-call",
        {"tools": [function("end_call"), function("transfer_call", "target_phone_number")]},
        {"session_id": "PRIVATE-call"},
        {"Idempotency-Key": "f00d"},
        turn="idempotency-key f00d",
    ),
)
"""Platforms without marks of their own (Deepgram, LiveKit, Pipecat, Cartesia) name a session where operators set it."""
