"""Request bodies as the voice platforms send them, from a conversation: for tests of the way to a server.

Private fields are those of the platforms' documents and samples. Pure functions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

STARTED_MS = 1_764_000_000_000
"""Time of a conversation's first message, in milliseconds since 1970; any will do."""
TURN_MS = 4000
"""Milliseconds from one message to the next."""
END_CALL = {
    "type": "function",
    "function": {
        "name": "end_call",
        "description": "End the call.",
        "parameters": {"type": "object", "properties": {"reason": {"type": "string"}}, "required": ["reason"]},
    },
}
"""A tool of the platform's own, which it runs itself."""


@dataclass(frozen=True)
class Message:
    """One message. `original` is the whole of an answer of which `content` is what was heard before a barge-in."""

    role: str
    content: str
    original: str = ""


def plain(conversation: Sequence[Message], model: str) -> dict[str, Any]:
    """Return a streaming request with OpenAI's fields alone."""
    messages = [{"role": one.role, "content": one.content} for one in conversation]
    return {"model": model, "messages": messages, "stream": True}


def agora(conversation: Sequence[Message], model: str) -> dict[str, Any]:
    """Return a request of Agora's engine with `vendor` `custom`: numbered turns, times, what was interrupted."""
    turns = 0
    messages: list[dict[str, Any]] = []
    for number, one in enumerate(conversation):
        message: dict[str, Any] = {"role": one.role, "content": one.content}
        # The engine's memory holds these two; the system's message comes from its configuration, without marks.
        if one.role in ("user", "assistant"):
            turns += one.role == "user"
            at = STARTED_MS + number * TURN_MS
            speech = {"speech_start_ms": at - 900, "speech_end_ms": at - 200, "speech_algorithmic_delay": 120}
            message |= {"turn_id": turns, "timestamp": at, "metadata": _agora_metadata(one, at, is_first=turns == 0)}
            message |= speech if one.role == "user" else {}
        messages.append(message)
    # Beside OpenAI's fields, which come from `llm.params`: the turn, and what a client may set for it.
    return {
        "model": model,
        "messages": messages,
        "stream": True,
        "turn_id": turns,
        "timestamp": STARTED_MS + len(conversation) * TURN_MS,
        "interruptable": True,
        "context": {"presence": {"1002": {"selection": "Plan B"}}},
    }


def _agora_metadata(message: Message, at: int, *, is_first: bool) -> dict[str, Any]:
    """Return the metadata of a message in the engine's memory."""
    if message.role == "user":
        return {"source": "asr", "user": "1002"}
    # A flag that is false is left out.
    if not message.original:
        return {"source": "greeting" if is_first else "llm"}
    interrupted = {"interrupted": True, "interrupt_timestamp": at + TURN_MS // 2, "original": message.original}
    return {"source": "llm", **interrupted}


def agora_broadcast(text: str, model: str) -> dict[str, Any]:
    """Return the request by which Agora's engine has a text said as it is, in audio-only mode."""
    sound = {"modalities": ["audio"], "audio": {"voice": "alloy", "format": "wav"}}
    return {**agora([Message("assistant", text)], model), **sound}


def vapi(conversation: Sequence[Message], model: str) -> dict[str, Any]:
    """Return a request of Vapi's, with the data of the call beside OpenAI's fields."""
    call = {"id": "00000000-0000-4000-8000-000000000000", "type": "webCall"}
    parties = {"phoneNumber": {"number": "+15550100"}, "customer": {"number": "+15550101"}}
    return {**plain(conversation, model), "temperature": 0.5, "call": call, **parties, "metadata": {"tenant": "shop"}}


def elevenlabs(conversation: Sequence[Message], model: str) -> dict[str, Any]:
    """Return a request of ElevenLabs', with a system tool and its extra body."""
    extra = {"user_id": "caller-1", "elevenlabs_extra_body": {"tenant": "shop"}}
    return {**plain(conversation, model), "temperature": 0.5, "tools": [END_CALL], **extra}


def livekit(conversation: Sequence[Message], model: str) -> dict[str, Any]:
    """Return a request of LiveKit's OpenAI plugin, which counts tokens."""
    return {**plain(conversation, model), "stream_options": {"include_usage": True}}


def pipecat(conversation: Sequence[Message], model: str) -> dict[str, Any]:
    """Return a request of Pipecat's, which calls the system's role `developer`."""
    renamed = [Message("developer" if one.role == "system" else one.role, one.content) for one in conversation]
    return livekit(renamed, model)


def hume(conversation: Sequence[Message], model: str) -> dict[str, Any]:
    """Return a request of Hume's, which names no model and gives each message its time and its prosody."""
    del model
    # Its documents name the keys beside role and content in the websocket form alone.
    messages = [
        {"role": one.role, "content": one.content, "time": {"begin": 0, "end": 900}, "models": {"prosody": None}}
        for one in conversation
    ]
    return {"messages": messages, "stream": True}


def cartesia(conversation: Sequence[Message], model: str) -> dict[str, Any]:
    """Return a request of Cartesia's, which offers its system tools."""
    return {**plain(conversation, model), "tools": [END_CALL]}
