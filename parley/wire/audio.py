"""Audio as deltas of completion chunks, and as the message of a whole answer: data, transcript, words.

Sources: https://docs.agora.io/en/conversational-ai/develop/custom-llm (`words`),
https://platform.openai.com/docs/api-reference/chat-streaming (the id, once).
"""

import base64
import time
import uuid
from collections.abc import Iterable
from typing import Any

import msgspec

from parley.wire.chunks import Envelope

KEPT_SECONDS = 3600
"""Clients are told until when an audio id may be referred to; we keep none, and the field is required."""

TimedWord = tuple[str, int, int]
"""The text, its start and its end in milliseconds."""


class AudioChunks:
    """The chunks of one spoken answer, all of one audio id.

    OpenAI's clients join repeated ids, so with `id_once` the first chunk alone bears it; Agora's samples expect it
    on each.
    """

    def __init__(self, envelope: Envelope, *, id_once: bool) -> None:
        self._envelope = envelope
        self._label: dict[str, Any] = {"id": f"audio_{uuid.uuid4().hex}"}
        self._id_once = id_once

    def spoken(self, transcript: str, words: Iterable[TimedWord] = ()) -> bytes:
        """A chunk with a piece of the transcript, and when its words are heard where that is known."""
        timed = [word_object(word) for word in words]
        return self._chunk({"transcript": transcript, **({"words": timed} if timed else {})})

    def data(self, pcm: bytes) -> bytes:
        """A chunk with sound."""
        return self._chunk({"data": base64.b64encode(pcm).decode()})

    def _chunk(self, audio: dict[str, Any]) -> bytes:
        role = {} if self._envelope.used else {"role": "assistant"}
        payload = self._envelope.chunk({**role, "audio": {**self._label, **audio}})
        if self._id_once:
            self._label = {}
        return payload


def word_object(word: TimedWord) -> dict[str, Any]:
    """A word as Agora reads it."""
    text, start_ms, end_ms = word
    return {"text": text, "start_ts": start_ms, "end_ts": end_ms, "duration": end_ms - start_ms}


def completion(envelope: Envelope, data: bytes, transcript: str, words: Iterable[TimedWord] = ()) -> bytes:
    """The whole answer in one object, as OpenAI's `message.audio`; `data` is in the format that was asked for."""
    timed = [word_object(word) for word in words]
    spoken = {
        "id": f"audio_{uuid.uuid4().hex}",
        "data": base64.b64encode(data).decode(),
        "transcript": transcript,
        "expires_at": int(time.time()) + KEPT_SECONDS,
        **({"words": timed} if timed else {}),
    }
    message = {"role": "assistant", "content": None, "refusal": None, "audio": spoken}
    return msgspec.json.encode(envelope.completion(message))
