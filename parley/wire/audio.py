"""Audio in completion chunks and in the message of a whole answer: data, transcript, words.

Made for our callers (`AudioChunks`, `completion`), and read from an upstream (`spoken`).

Sources: https://docs.agora.io/en/conversational-ai/develop/custom-llm (`words`),
https://platform.openai.com/docs/api-reference/chat-streaming (the id, once).
"""

import base64
import binascii
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from parley.errors import UpstreamBadResponse
from parley.wire.chunks import Envelope

KEPT_SECONDS = 3600
"""Seconds for which clients are told that an audio id may be referred to. The field is required; we keep no sound."""

STEP_BYTES = 3 << 16
"""Bytes encoded, or characters decoded, in one step; a multiple of three, and of four."""
JOINABLE_BYTES = 6
"""Least common multiple of a sample and of what base64 takes at a time: chunks of so many bytes need no padding."""

TimedWord = tuple[str, int, int]
"""A word's text, its start and its end in milliseconds."""


class AudioChunks:
    """Maker of the chunks of one spoken answer, all of one audio id.

    With `joinable` they are of the form that OpenAI's clients join: the id on the first chunk alone, because a client
    puts repeated ones behind one another, and on each word its `index` in the whole answer, by which lists are merged.
    Agora's samples expect the id on each chunk, and words of four fields.
    """

    def __init__(self, envelope: Envelope, *, joinable: bool) -> None:
        self._envelope = envelope
        self._label: dict[str, Any] = {"id": f"audio_{uuid.uuid4().hex}"}
        self._joinable = joinable
        self._begun = False
        self._words = 0

    def adopt(self, audio_id: str) -> None:
        """Use an upstream's id, so that a later turn can refer to its sound; too late once a chunk has been made."""
        if not self._begun:
            self._label = {"id": audio_id}

    def spoken(self, transcript: str, words: Iterable[TimedWord] = ()) -> bytes:
        """Return a chunk with a piece of the transcript, and with its words in time where they are known."""
        timed = word_objects(words, self._words if self._joinable else None)
        self._words += len(timed)
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
        if self._joinable:
            self._label = {}
        return payload


def encoded(data: bytes) -> str:
    """Return the base64 of some bytes."""
    return base64.b64encode(data).decode()


def encoded_in_steps(pieces: Iterable[bytes], pause: Callable[[], object]) -> msgspec.Raw:
    """Return the base64 of a long sound as a JSON string; `pause` is called before each step."""
    text = bytearray(b'"')
    rest = b""
    for piece in pieces:
        for start in range(0, len(piece), STEP_BYTES):
            pause()
            data = rest + piece[start : start + STEP_BYTES]
            # Base64 takes three bytes at a time; padding inside would end the sound.
            complete = len(data) - len(data) % 3
            rest = data[complete:]
            text += base64.b64encode(data[:complete])
    text += base64.b64encode(rest) + b'"'
    return msgspec.Raw(text)


def word_objects(words: Iterable[TimedWord], first_index: int | None = None) -> list[dict[str, Any]]:
    """Return words in Agora's form, each with its `index` if that of the first one is given."""
    listed = [
        {"text": text, "start_ts": start_ms, "end_ts": end_ms, "duration": end_ms - start_ms}
        for text, start_ms, end_ms in words
    ]
    if first_index is None:
        return listed
    return [{"index": index, **word} for index, word in enumerate(listed, first_index)]


def completion(
    envelope: Envelope,
    data: msgspec.Raw,
    transcript: str,
    words: Iterable[TimedWord] = (),
    *,
    joinable: bool = False,
    finish_reason: str = "stop",
    others: Mapping[str, Any] | None = None,
    fields: Mapping[str, Any] | None = None,
) -> bytes:
    """Return a whole answer with OpenAI's `message.audio`; `data` is a JSON string of base64.

    `joinable` is that of `AudioChunks`; `others` are further fields of the answer, `fields` of its message.
    """
    message = {**audio_message(data, transcript, word_objects(words, 0 if joinable else None)), **(fields or {})}
    return msgspec.json.encode({**envelope.completion(message, finish_reason), **(others or {})})


def audio_message(data: msgspec.Raw, transcript: str, words: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the message of a whole answer."""
    spoken = {
        "id": f"audio_{uuid.uuid4().hex}",
        "data": data,
        "transcript": transcript,
        "expires_at": int(time.time()) + KEPT_SECONDS,
        **({"words": words} if words else {}),
    }
    return {"role": "assistant", "content": None, "refusal": None, "audio": spoken}


class Spoken(NamedTuple):
    """The speech in an upstream's chunk: PCM16 bytes, a piece of the transcript, the words in time if it has them."""

    pcm: bytes = b""
    transcript: str = ""
    words: tuple[TimedWord, ...] = ()
    id: str = ""


def spoken(delta: dict[str, Any], pause: Callable[[], object] = lambda: None) -> Spoken | None:
    """Return the speech in an upstream's delta or message, None if there is no `audio`. Raises UpstreamBadResponse.

    Speech may be empty: a chunk may only name an id, or say until when it is kept. `pause` as for `decoded`.
    """
    audio = delta.get("audio")
    if not isinstance(audio, dict):
        return None
    data, transcript = audio.get("data") or "", audio.get("transcript") or ""
    if not isinstance(data, str) or not isinstance(transcript, str):
        raise UpstreamBadResponse("the upstream's audio is not of the form that was asked for")
    words, audio_id = audio.get("words"), audio.get("id")
    return Spoken(
        decoded(data, pause),
        transcript,
        _timed_words(words) if isinstance(words, list) else (),
        audio_id if isinstance(audio_id, str) else "",
    )


def decoded(data: str, pause: Callable[[], object] = lambda: None) -> bytes:
    """Return the bytes of an upstream's base64; `pause` is called before each step of a long one.

    Raises UpstreamBadResponse.
    """
    try:
        if len(data) <= STEP_BYTES:
            return base64.b64decode(data, validate=True)
        pieces = []
        for start in range(0, len(data), STEP_BYTES):
            pause()
            pieces.append(base64.b64decode(data[start : start + STEP_BYTES], validate=True))
        return b"".join(pieces)
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
