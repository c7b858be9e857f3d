"""Audio as deltas of completion chunks, and as the message of a whole answer: data, transcript, words.

Sources: https://docs.agora.io/en/conversational-ai/develop/custom-llm (`words`),
https://platform.openai.com/docs/api-reference/chat-streaming (the id, once).
"""

import base64
import binascii
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from parley.errors import UpstreamBadResponse
from parley.wire.chunks import Envelope

KEPT_SECONDS = 3600
"""Clients are told until when an audio id may be referred to; we keep none, and the field is required."""

STEP_BYTES = 3 << 16
"""A multiple of three: base64 of the steps is that of the whole."""

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
        self._begun = False

    def adopt(self, audio_id: str) -> None:
        """Bear an upstream's id from the first chunk on, so that a later turn can refer to its sound."""
        if not self._begun:
            self._label = {"id": audio_id}

    def spoken(self, transcript: str, words: Iterable[TimedWord] = ()) -> bytes:
        """A chunk with a piece of the transcript, and when its words are heard where that is known."""
        timed = [word_object(word) for word in words]
        return self._chunk(
            {
                **({"transcript": transcript} if transcript or not timed else {}),
                **({"words": timed} if timed else {}),
            }
        )

    def data(self, pcm: bytes) -> bytes:
        """A chunk with sound."""
        return self._chunk({"data": encoded(pcm)})

    def _chunk(self, audio: dict[str, Any]) -> bytes:
        role = {} if self._envelope.used else {"role": "assistant"}
        payload = self._envelope.chunk({**role, "audio": {**self._label, **audio}})
        self._begun = True
        if self._id_once:
            self._label = {}
        return payload


def encoded(data: bytes) -> str:
    """Bytes as JSON holds them."""
    return base64.b64encode(data).decode()


def encoded_in_steps(data: bytes, pause: Callable[[], object]) -> msgspec.Raw:
    """The same for a long sound, ready to be put into JSON; `pause` is called after each step."""
    pieces = [b'"']
    for start in range(0, len(data), STEP_BYTES):
        pieces.append(base64.b64encode(data[start : start + STEP_BYTES]))
        pause()
    return msgspec.Raw(b"".join([*pieces, b'"']))


def word_object(word: TimedWord) -> dict[str, Any]:
    """A word as Agora reads it."""
    text, start_ms, end_ms = word
    return {"text": text, "start_ts": start_ms, "end_ts": end_ms, "duration": end_ms - start_ms}


def completion(envelope: Envelope, data: msgspec.Raw, transcript: str, words: Iterable[TimedWord] = ()) -> bytes:
    """The whole answer in one object, as OpenAI's `message.audio`; `data` is a JSON string of base64."""
    timed = [word_object(word) for word in words]
    spoken = {
        "id": f"audio_{uuid.uuid4().hex}",
        "data": data,
        "transcript": transcript,
        "expires_at": int(time.time()) + KEPT_SECONDS,
        **({"words": timed} if timed else {}),
    }
    message = {"role": "assistant", "content": None, "refusal": None, "audio": spoken}
    return msgspec.json.encode(envelope.completion(message))


class Spoken(NamedTuple):
    """What an upstream's chunk holds of speech: PCM16 bytes, a piece of the transcript, words where it times them."""

    pcm: bytes = b""
    transcript: str = ""
    words: tuple[TimedWord, ...] = ()
    id: str = ""


def spoken(delta: dict[str, Any]) -> Spoken | None:
    """The speech in an upstream's delta or message, None where it is not about speech. Raises UpstreamBadResponse.

    Speech may be empty: a chunk may only name an id, or say until when it is kept.
    """
    audio = delta.get("audio")
    if not isinstance(audio, dict):
        return None
    data, transcript = audio.get("data") or "", audio.get("transcript") or ""
    if not isinstance(data, str) or not isinstance(transcript, str):
        raise UpstreamBadResponse("the upstream's audio is not of the form that was asked for")
    listed = audio.get("words")
    named = audio.get("id")
    return Spoken(
        decoded(data),
        transcript,
        _timed_words(listed) if isinstance(listed, list) else (),
        named if isinstance(named, str) else "",
    )


def decoded(data: str) -> bytes:
    """The bytes of an upstream's base64. Raises UpstreamBadResponse."""
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise UpstreamBadResponse("the upstream's audio is not base64") from exc


def _timed_words(listed: list[Any]) -> tuple[TimedWord, ...]:
    """The words that are well-formed; subtitles are no reason to lose the sound."""
    found = [(word.get("text"), word.get("start_ts"), word.get("end_ts")) for word in listed if isinstance(word, dict)]
    return tuple(
        (text, round(start), round(end))
        for text, start, end in found
        if isinstance(text, str) and isinstance(start, int | float) and isinstance(end, int | float)
    )
