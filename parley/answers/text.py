"""What /chat and /rag say: the upstream's answer, and the same with what the knowledge says on it."""

import contextlib
import json
import time
from typing import Any

from parley.knowledge import context
from parley.knowledge.index import Hit
from parley.services import Services
from parley.turn import Batches
from parley.wire.request import Asked


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
    hits = services.knowledge.search(asked.question, services.settings.rag_top_k)
    completion: dict[str, Any] = json.loads(services.upstream.complete(_with_context(asked, hits, services)))
    return json.dumps({**completion, "citations": [_citation(hit) for hit in hits]}).encode()


def _waiting_message(asked: Asked, services: Services) -> list[bytes]:
    return [asked.envelope.text(services.waiting_message(), first=True)]


def _grounded(asked: Asked, services: Services, patience_ms: int | None) -> Batches:
    hits = services.knowledge.search(asked.question, services.settings.rag_top_k)
    wake_after = patience_ms / 1000 if patience_ms else None
    yield from services.upstream.stream(_with_context(asked, hits, services), wake_after)


def _with_context(asked: Asked, hits: list[Hit], services: Services) -> Asked:
    """The request with the passages put around the last user message, in the form that suits the model."""
    framing = context.FORMS[services.upstream.prompt_form](hits)
    return asked.with_context(framing.before, framing.after)


def _citation(hit: Hit) -> dict[str, Any]:
    passage = hit.passage
    return {"id": passage.id, "title": passage.title, "score": round(hit.score, 4), "file": passage.file}
