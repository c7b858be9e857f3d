"""The answers: what each endpoint says, as generators of payload batches, and as whole JSON objects.

Here upstream, knowledge and speech meet. An answer gets all it needs as arguments; how it ends on the wire,
and when it is cut short, is the turn's business (`parley/turn.py`).
"""

import base64
import contextlib
import json
import time
import uuid
from typing import Any

import msgspec

from parley.knowledge import context
from parley.knowledge.index import Hit, Query
from parley.logs import log
from parley.services import Services
from parley.speech import pacing, wav
from parley.speech.utterances import Utterance
from parley.turn import Batches
from parley.wire.request import Asked

AUDIO_KEPT_SECONDS = 3600
"""Clients are told until when an audio id may be referred to; we keep none, and the field is required."""


def chat(asked: Asked, services: Services) -> Batches:
    """The upstream's answer as it comes."""
    yield from services.upstream.stream(asked)


def chat_json(asked: Asked, services: Services) -> bytes:
    """The upstream's answer in one piece, as it came."""
    return services.upstream.complete(asked)


def rag(asked: Asked, services: Services) -> Batches:
    """A waiting message, then the upstream's answer to the question with what the knowledge says on it."""
    patience_ms = asked.waiting_ms(services.settings.waiting) if asked.awaits_answer else None
    if patience_ms == 0:
        yield _waiting_message(asked, services)
    with contextlib.closing(_grounded(asked, services, patience_ms)) as answer:
        if patience_ms:
            speak_at = time.monotonic() + patience_ms / 1000
            while not (batch := next(answer)) and time.monotonic() < speak_at:
                yield batch
            yield batch or _waiting_message(asked, services)
        for batch in answer:
            yield [asked.envelope.restamp(payload) for payload in batch] if asked.envelope.used else batch


def rag_json(asked: Asked, services: Services) -> bytes:
    """The upstream's answer in one piece, with the passages that it was given as `citations`."""
    hits = services.knowledge.search(_query(asked), services.settings.rag_top_k)
    completion: dict[str, Any] = json.loads(services.upstream.complete(_with_context(asked, hits, services)))
    return json.dumps({**completion, "citations": [_citation(hit) for hit in hits]}).encode()


def audio(asked: Asked, services: Services) -> Batches:
    """The transcript, then the recording in chunks at the pace of speech."""
    utterance = _utterance(asked, services)
    settings = services.settings
    audio_id = f"audio_{uuid.uuid4().hex}"
    spoken = {"id": audio_id, "transcript": utterance.transcript}
    yield [asked.envelope.chunk({"role": "assistant", "audio": spoken})]
    # OpenAI's clients join repeated ids; Agora's samples expect one on each chunk.
    label = {} if asked.origin.v1 else {"id": audio_id}
    size = pacing.chunk_bytes(utterance.rate, settings.audio_chunk_ms)
    # A chunk is a whole number of samples, so its true length may differ a little from the setting's.
    chunk_ms = pacing.duration_ms(size, utterance.rate)
    for piece in pacing.paced(pacing.chunks(utterance.pcm, size), chunk_ms, settings.audio_lead_ms):
        yield [asked.envelope.chunk({"audio": {**label, "data": base64.b64encode(piece).decode()}})]
    yield [asked.envelope.finish("stop")]


def audio_json(asked: Asked, services: Services) -> bytes:
    """The recording in one piece, as OpenAI's `message.audio`: a WAV file unless `audio.format` is pcm16."""
    utterance = _utterance(asked, services)
    wants_raw = (asked.body.get("audio") or {}).get("format") == "pcm16"
    data = utterance.pcm if wants_raw else wav.encode(utterance.pcm, utterance.rate)
    spoken = {
        "id": f"audio_{uuid.uuid4().hex}",
        "data": base64.b64encode(data).decode(),
        "transcript": utterance.transcript,
        "expires_at": int(time.time()) + AUDIO_KEPT_SECONDS,
    }
    message = {"role": "assistant", "content": None, "refusal": None, "audio": spoken}
    return msgspec.json.encode(asked.envelope.completion(message))


def _waiting_message(asked: Asked, services: Services) -> list[bytes]:
    return [asked.envelope.text(services.waiting_message(), first=True)]


def _grounded(asked: Asked, services: Services, patience_ms: int | None) -> Batches:
    hits = services.knowledge.search(_query(asked), services.settings.rag_top_k)
    wake_after = patience_ms / 1000 if patience_ms else None
    yield from services.upstream.stream(_with_context(asked, hits, services), wake_after)


def _query(asked: Asked) -> Query:
    return Query(asked.question, asked.question_before)


def _with_context(asked: Asked, hits: list[Hit], services: Services) -> Asked:
    """The request with the passages put around the last user message, in the form that suits the model."""
    framing = context.FORMS[services.upstream.prompt_form](hits)
    return asked.with_context(framing.before, framing.after)


def _citation(hit: Hit) -> dict[str, Any]:
    passage = hit.passage
    return {"id": passage.id, "title": passage.title, "score": round(hit.score, 4), "file": passage.file}


def _utterance(asked: Asked, services: Services) -> Utterance:
    utterance = services.recordings.choose(asked.asset, asked.broadcast)
    if utterance.simulated:
        log.warning("simulated_audio", id=asked.origin.request_id, reason="no recording fits this request")
    return utterance
