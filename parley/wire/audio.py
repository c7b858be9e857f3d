"""Audio in completion chunks and in the message of a whole answer: data, transcript, words.

Made for our callers (`AudioChunks`, `completion`), and read from an upstream (`spoken`).

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
"""Seconds for which clients are told that an audio id may be referred to. The field is required; we keep no sound."""

STEP_BYTES = 3 << 16
"""Bytes encoded in one step; a multiple of three, so that the base64 of the steps is that of the whole."""

TimedWord = tuple[str, int, int]
"""A word's text, its start and its end in milliseconds."""


class AudioChunks:
    """Maker of the chunks of one spoken answer, all of one audio id.

    With `id_once` only the first chunk bears the id, because OpenAI's clients join repeated ids; Agora's samples expect
    it on each.
    """

    def __init__(self, envelope: Envelope, *, id_once: bool) -> None:
        self._envelope = envelope
        self._label: dict[str, Any] = {"id": f"audio_{uuid.uuid4().hex}"}
        self._id_once = id_once
        self._begun = False

    def adopt(self, audio_id: str) -> None:
        """Use an upstream's id, so that a later turn can refer to its sound; too late once a chunk has been made."""
        if not self._begun:
            self._label = {"id": audio_id}

    def spoken(self, transcript: str, words: Iterable[TimedWord] = ()) -> bytes:
        """Return a chunk with a piece of the transcript, and with its words in time where they are known."""
        timed = [word_object(word) for word in words]
        return self._chunk(
            {
                **({"transcript": transcript} if transcript or not timed else {}),
                **({"words": timed} if timed else {}),
            }
        )

    def data(self, pcm: bytes) -> bytes:
        """Return a chunk with sound."""
        return self._chunk({"data": encoded(pcm)})

    def _chunk(self, audio: dict[str, Any]) -> bytes:
        role = {} if self._envelope.used else {"role": "assistant"}
        payload = self._envelope.chunk({**role, "audio": {**self._label, **audio}})
        self._begun = True
        if self._id_once:
            self._label = {}
        return payload


def encoded(data: bytes) -> str:
    """Return the base64 of some bytes."""
    return base64.b64encode(data).decode()


def encoded_in_steps(data: bytes, pause: Callable[[], object]) -> msgspec.Raw:
    """Return the base64 of a long sound as a JSON string; `pause` is called after each step."""
    pieces = [b'"']
    for start in range(0, len(data), STEP_BYTES):
        pieces.append(base64.b64encode(data[start : start + STEP_BYTES]))
        pause()
    return msgspec.Raw(b"".join([*pieces, b'"']))


def word_object(word: TimedWord) -> dict[str, Any]:
    """Return a word in Agora's form."""
    text, start_ms, end_ms = word
    return {"text": text, "start_ts": start_ms, "end_ts": end_ms, "duration": end_ms - start_ms}


def completion(envelope: Envelope, data: msgspec.Raw, transcript: str, words: Iterable[TimedWord] = ()) -> bytes:
    """Return a whole answer with OpenAI's `message.audio`; `data` is a JSON string of base64."""
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
    """The speech in an upstream's chunk: PCM16 bytes, a piece of the transcript, the words in time if it has them."""

    pcm: bytes = b""
    transcript: str = ""
    words: tuple[TimedWord, ...] = ()
    id: str = ""


def spoken(delta: dict[str, Any]) -> Spoken | None:
    """Return the speech in an upstream's delta or message, None if there is no `audio`. Raises UpstreamBadResponse.

    Speech may be empty: a chunk may only name an id, or say until when it is kept.
    """
    audio = delta.get("audio")
    if not isinstance(audio, dict):
        return None
    data, transcript = audio.get("data") or "", audio.get("transcript") or ""
    if not isinstance(data, str) or not isinstance(transcript, str):
        raise UpstreamBadResponse("the upstream's audio is not of the form that was asked for")
    words, audio_id = audio.get("words"), audio.get("id")
    return Spoken(
        decoded(data),
        transcript,
        _timed_words(words) if isinstance(words, list) else (),
        audio_id if isinstance(audio_id, str) else "",
    )


def decoded(data: str) -> bytes:
    """Return the bytes of an upstream's base64. Raises UpstreamBadResponse."""
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise UpstreamBadResponse("the upstream's audio is not base64") from exc


def _timed_words(listed: list[Any]) -> tuple[TimedWord, ...]:
    """Return the words that are well-formed: faulty subtitles are no reason to lose the sound."""
    found = [(word.get("text"), word.get("start_ts"), word.get("end_ts")) for word in listed if isinstance(word, dict)]
    return tuple(
        (text, round(start), round(end))
        for text, start, end in found
        if isinstance(text, str) and isinstance(start, int | float) and isinstance(end, int | float)
    )
