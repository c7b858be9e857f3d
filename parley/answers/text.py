"""What /chat and /rag say: the upstream's answer, and the same with what the knowledge says on it."""

import contextlib
import json
import time
from typing import Any

from parley.knowledge import context
from parley.knowledge.excerpts import MORE_THAN_WANTED, Excerpt, excerpts
from parley.knowledge.index import Query
from parley.lookup import Found
from parley.rewriting import rewritten
from parley.services import Services
from parley.turn import Batches
from parley.wire import chunks, sse
from parley.wire.request import Asked


def chat(asked: Asked, services: Services) -> Batches:
    """The upstream's answer as it comes."""
    return services.upstream.stream(asked)


def chat_json(asked: Asked, services: Services) -> bytes:
    """The upstream's answer in one piece, as it came."""
    return services.upstream.complete(asked)


def rag(asked: Asked, services: Services) -> Batches:
    """A waiting message, then the upstream's answer to the question with what the knowledge says on it."""
    services.knowledge.require(asked.kb)
    patience_ms = asked.waiting_ms(services.settings.waiting) if asked.awaits_answer else None
    if patience_ms == 0:
        yield _waiting_message(asked, services)
    with contextlib.closing(_grounded(asked, services, (patience_ms or 0) / 1000)) as answer:
        if patience_ms:
            speak_at = time.monotonic() + patience_ms / 1000
            while not (batch := next(answer)) and time.monotonic() < speak_at:
                yield batch
            yield batch or _waiting_message(asked, services)
        del asked  # its body is not held for as long as the answer lasts
        yield from answer


def rag_json(asked: Asked, services: Services) -> bytes:
    """The upstream's answer in one piece, with the passages that it was given as `citations`."""
    services.knowledge.require(asked.kb)
    found = services.knowledge.search(asked.kb, _query(asked, services), _most_hits(services), asked.trail)
    shown = excerpts(found.hits, services.settings.rag_top_k)
    completion = services.upstream.complete(_with_context(asked, found, shown, services))
    return chunks.with_field(completion, "citations", _citations(shown))


def _waiting_message(asked: Asked, services: Services) -> list[bytes]:
    return [asked.envelope.text(services.waiting_message(), first=True)]


def _grounded(asked: Asked, services: Services, patience: float) -> Batches:
    """The upstream's answer with the context; an empty batch after `patience` seconds without content, if any."""
    started = time.monotonic()
    looking = (asked.kb, _query(asked, services), _most_hits(services), asked.trail)
    if patience:
        found = yield from services.knowledge.search_telling(*looking, patience)
    else:
        found = services.knowledge.search(*looking)
    shown = excerpts(found.hits, services.settings.rag_top_k)
    left = max(0.001, patience - (time.monotonic() - started)) if patience else None
    with contextlib.closing(services.upstream.stream(_with_context(asked, found, shown, services), left)) as answer:
        annotated = _annotated(answer, asked, found, _citations(shown))
        del asked, looking
        yield from annotated


def _annotated(answer: Batches, asked: Asked, found: Found, citations: list[dict[str, Any]]) -> Batches:
    """The upstream's payloads as this answer's, with comments and fields that tell of the context."""
    note = _note(found, citations)
    envelope, include_citations = asked.envelope, asked.include_citations
    del asked
    for batch in answer:
        payloads = [envelope.restamp(payload) for payload in batch] if envelope.used else batch
        if include_citations:
            payloads = [chunks.with_field_at_the_end(payload, "citations", citations) for payload in payloads]
        if payloads and note:
            payloads, note = [note, *payloads], None
        yield type(batch)(payloads)


def _note(found: Found, citations: list[dict[str, Any]]) -> sse.Comment | None:
    if found.degraded:
        return sse.comment("rag degraded")
    return sse.comment(f"citations {json.dumps(citations)}") if citations else None


def _query(asked: Asked, services: Services) -> Query:
    query = Query(asked.question, asked.question_before, asked.filters)
    patience_ms = services.settings.rag_rewrite_ms
    return rewritten(query, asked, services.upstream, patience_ms / 1000) if patience_ms else query


def _most_hits(services: Services) -> int:
    return services.settings.rag_top_k * MORE_THAN_WANTED


def _with_context(asked: Asked, found: Found, shown: list[Excerpt], services: Services) -> Asked:
    """The request with the excerpts put around the last user message, in the form that suits the model."""
    if found.degraded:
        return asked
    asked.trail.passages = sum(len(excerpt.hits) for excerpt in shown)
    framing = context.FORMS[services.upstream.prompt_form](shown)
    return asked.with_context(framing.before, framing.after)


def _citations(shown: list[Excerpt]) -> list[dict[str, Any]]:
    """The passages that the model was given, best first."""
    hits = sorted((hit for excerpt in shown for hit in excerpt.hits), key=lambda hit: -hit.score)
    return [
        {
            "id": hit.passage.id,
            "title": hit.passage.title,
            "score": round(hit.score, 4),
            "file": hit.passage.file,
        }
        for hit in hits
    ]
