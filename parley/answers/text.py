"""What /chat and /rag say: the upstream's answer, and the same with what the knowledge says on it."""

import contextlib
import json
import time
from typing import Any

from parley.answers.query_rewriting import rewrite_query
from parley.knowledge import prompt
from parley.knowledge.index import Query
from parley.knowledge.prompt import MORE_THAN_WANTED, Excerpt, select_excerpts
from parley.knowledge.retriever import SearchResult
from parley.services import Services
from parley.turn import Batches, TurnContext
from parley.wire import chunks, sse
from parley.wire.chunks import Envelope
from parley.wire.request import ChatRequest


def chat(context: TurnContext, services: Services) -> Batches:
    """The upstream's answer as it comes."""
    return services.upstream.stream(context.take_chat(), context.envelope, context.record)


def chat_json(context: TurnContext, services: Services) -> bytes:
    """The upstream's answer in one piece, as it came."""
    return services.upstream.complete(context.chat, context.record)


def rag(context: TurnContext, services: Services) -> Batches:
    """A waiting message, then the upstream's answer to the question with what the knowledge says on it."""
    services.knowledge.require(context.chat.kb)
    patience_ms = context.chat.waiting_ms(services.settings.waiting) if context.chat.awaits_answer else None
    if patience_ms == 0:
        yield _waiting_message(context, services)
    with contextlib.closing(_grounded(context, services, (patience_ms or 0) / 1000)) as answer:
        if patience_ms:
            speak_at = time.monotonic() + patience_ms / 1000
            while not (batch := next(answer)) and time.monotonic() < speak_at:
                yield batch
            yield batch or _waiting_message(context, services)
        yield from answer


def rag_json(context: TurnContext, services: Services) -> bytes:
    """The upstream's answer in one piece, with the passages that it was given as `citations`."""
    services.knowledge.require(context.chat.kb)
    found = services.knowledge.search(context.chat.kb, _query(context, services), _most_hits(services), context.record)
    shown = select_excerpts(found.hits, services.settings.rag_top_k)
    question = _with_context(context, found, shown, services)
    completion = services.upstream.complete(question, context.record)
    return chunks.with_field(completion, "citations", _citations(shown))


def _waiting_message(context: TurnContext, services: Services) -> list[bytes]:
    return [context.envelope.text(services.waiting_message(), first=True)]


def _grounded(context: TurnContext, services: Services, patience: float) -> Batches:
    """The upstream's answer with the context; an empty batch after `patience` seconds without content, if any."""
    started = time.monotonic()
    looking = (context.chat.kb, _query(context, services), _most_hits(services), context.record)
    if patience:
        found = yield from services.knowledge.search_telling(*looking, patience)
    else:
        found = services.knowledge.search(*looking)
    shown = select_excerpts(found.hits, services.settings.rag_top_k)
    left = max(0.001, patience - (time.monotonic() - started)) if patience else None
    include_citations = context.chat.include_citations
    question = _with_context(context, found, shown, services)
    context.take_chat()
    with contextlib.closing(services.upstream.stream(question, context.envelope, context.record, left)) as answer:
        del question  # its body is not held for as long as the answer lasts
        yield from _annotated(answer, context.envelope, include_citations, found, _citations(shown))


def _annotated(
    answer: Batches, envelope: Envelope, include_citations: bool, found: SearchResult, citations: list[dict[str, Any]]
) -> Batches:
    """The upstream's payloads as this answer's, with comments and fields that tell of the context."""
    note = _note(found, citations)
    for batch in answer:
        payloads = [envelope.restamp(payload) for payload in batch] if envelope.used else batch
        if include_citations:
            payloads = [chunks.with_field_at_the_end(payload, "citations", citations) for payload in payloads]
        if payloads and note:
            payloads, note = [note, *payloads], None
        yield type(batch)(payloads)


def _note(found: SearchResult, citations: list[dict[str, Any]]) -> sse.Comment | None:
    if found.degraded:
        return sse.comment("rag degraded")
    return sse.comment(f"citations {json.dumps(citations)}") if citations else None


def _query(context: TurnContext, services: Services) -> Query:
    query = Query(context.chat.question, context.chat.question_before, context.chat.filters)
    patience_ms = services.settings.rag_rewrite_ms
    return rewrite_query(query, context, services.upstream, patience_ms / 1000) if patience_ms else query


def _most_hits(services: Services) -> int:
    return services.settings.rag_top_k * MORE_THAN_WANTED


def _with_context(context: TurnContext, found: SearchResult, shown: list[Excerpt], services: Services) -> ChatRequest:
    """The request with the excerpts put around the last user message, in the form that suits the model."""
    if found.degraded:
        return context.chat
    context.record.passages = sum(len(excerpt.hits) for excerpt in shown)
    framing = prompt.FORMS[services.upstream.prompt_form](shown)
    return context.chat.with_context(framing.before, framing.after)


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
