"""The answers of /chat and /rag: the upstream's, without or with excerpts from a knowledge base.

    rag:    [waiting message] --> rewrite --> ground --> [waiting message] --> answerer --> annotate

The answerer is the model, with the operator's tools (`passes.py`), or the knowledge in its own words (`quoted.py`).

The waiting message is spoken once, at the first of these moments at which it is due. The rewriting of a follow-up
(RAG_REWRITE_MS, off by default) is not interrupted for it: a message that falls due meanwhile is spoken behind it.
"""

import contextlib
import json
import math
import time
from collections.abc import Generator
from typing import TypeVar

from parley.answers.passes import Model
from parley.answers.query_rewriting import rewrite_query
from parley.answers.quoted import NOTHING, Answerer, answerer, query_of
from parley.concurrency import SILENCE
from parley.errors import UpstreamWordless
from parley.knowledge import prompt
from parley.knowledge.index import Query
from parley.knowledge.retriever import Grounding
from parley.services import Services
from parley.turn import Batches, TurnContext
from parley.wire import chunks, sse
from parley.wire.heard import HeardDetector
from parley.wire.phrases import in_history
from parley.wire.request import ChatRequest
from parley.wire.sse import Batch

Value = TypeVar("Value")


def chat(context: TurnContext, services: Services) -> Batches:
    """Yield the upstream's answer as it comes."""
    return Model(services).stream(context.take_chat(), context.envelope, context.record)


def chat_json(context: TurnContext, services: Services) -> bytes:
    """Return the upstream's answer in one piece, byte for byte."""
    return complete(context.chat, context, services, Model(services))


def complete(chat: ChatRequest, context: TurnContext, services: Services, answers: Answerer) -> bytes:
    """Return the whole answer of `answers` to `chat`, byte for byte; FALLBACK_TEXT in place of one without a word."""
    try:
        return answers.complete(chat, context.record)
    except UpstreamWordless as error:
        record = context.record
        record.outcome, record.code, record.reason = "spoken_fallback", error.code, error.reason
        if record.notes:
            record.notes.replaced()
        message = {"role": "assistant", "content": chat.options.fallback_text}
        return json.dumps(context.envelope.completion(message)).encode()


def rag(context: TurnContext, services: Services) -> Batches:
    """Yield a waiting message when it is due, then the upstream's answer to the grounded question.

    Small talk asks nothing of the knowledge: the model answers it at once, by itself.
    """
    # Before anything is sent: an unknown base is still an HTTP status.
    services.knowledge.require(context.chat.kb)
    query = query_of(context.chat, services)
    if query is None:
        # No waiting message either: nobody waits for a lookup.
        include_citations = context.chat.include_citations
        answers, _ = answerer(query, NOTHING, context, services)
        answer = answers.stream(_unphrased(context, services), context.envelope, context.record)
        yield from _annotate(answer, NOTHING, include_citations) if include_citations else answer
        return
    waiting = WaitingMessage(context, services)
    # With `waiting` 0 the caller hears the message before the search begins.
    yield from waiting.if_due()
    looking = services.knowledge.ground_notifying(
        *_lookup(query, context, services), context.record, waiting.seconds_left
    )
    found = yield from waiting.during(looking)
    include_citations = context.chat.include_citations
    answers, found = answerer(query, found, context, services)
    answer = answers.stream(
        _grounded_question(context, found, services), context.envelope, context.record, waiting.seconds_left
    )
    yield from waiting.during(_annotate(answer, found, include_citations))


def rag_json(context: TurnContext, services: Services) -> bytes:
    """Return the upstream's answer in one piece, with the passages that the model was given as `citations`."""
    services.knowledge.require(context.chat.kb)
    query = query_of(context.chat, services)
    if query is None:
        answers, _ = answerer(query, NOTHING, context, services)
        completion = complete(_unphrased(context, services), context, services, answers)
        # Empty, not missing: a client reads the field in every answer.
        return chunks.with_field(completion, "citations", ())
    found = services.knowledge.ground(*_lookup(query, context, services), context.record)
    answers, found = answerer(query, found, context, services)
    completion = complete(_grounded_question(context, found, services), context, services, answers)
    return chunks.with_field(completion, "citations", found.citations)


def _lookup(query: Query, context: TurnContext, services: Services) -> tuple[str, Query, int]:
    """Return which knowledge base to ask, the query, and the most excerpts to take."""
    chat, settings = context.chat, services.settings
    if settings.rag_rewrite_ms:
        query = rewrite_query(query, context, services.upstream, settings.rag_rewrite_ms / 1000)
    return chat.kb, query, settings.rag_top_k


def _grounded_question(context: TurnContext, found: Grounding, services: Services) -> ChatRequest:
    """Take the request; return it with the excerpts around its last user message."""
    chat = _unphrased(context, services)
    if found.degraded or found.is_small_talk or services.quotes:
        # Nothing is known, not even that there is nothing to be found; or nothing was asked. The model is told nothing.
        return chat
    context.record.passages = len(found.citations)
    framing = prompt.reference(found.excerpts, services.knowledge.settings_of(chat.kb))
    return chat.with_context(framing.before, framing.after)


def _unphrased(context: TurnContext, services: Services) -> ChatRequest:
    """Take the request; return it without our own waiting messages in what the assistant said before.

    The platform's history holds all that was heard: a model that reads them would begin to speak like them.
    """
    chat = context.take_chat()
    options = chat.options
    phrases = options.waiting_messages or services.waiting_messages(chat.kb)
    return chat.without_phrases(in_history(phrases, options.platform))


class WaitingMessage:
    """A phrase for a caller who hears nothing yet, spoken at most once, before anything else is heard.

    Due so many milliseconds after the request (`waiting`, or the setting WAITING), or never.
    """

    def __init__(self, context: TurnContext, services: Services) -> None:
        self._envelope = context.envelope
        self._notes = context.record.notes
        self._services = services
        self._kb = context.chat.kb
        self._options = context.chat.options
        # After a tool result or a broadcast nobody waits for an answer to a question.
        delay_ms = context.chat.waiting_ms if context.chat.awaits_answer else None
        self._due = math.inf if delay_ms is None else time.monotonic() + delay_ms / 1000
        self._is_first = True
        self._heard = HeardDetector()

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the message is due, always more than 0; None if it will not be spoken any more."""
        return None if self._due == math.inf else max(0.001, self._due - time.monotonic())

    def if_due(self) -> Batches:
        """Yield the message if its time has come."""
        if time.monotonic() >= self._due:
            self._due = math.inf
            own, platform = self._options.waiting_messages, self._options.platform
            phrase = self._services.waiting_message(self._kb, own, platform)
            if self._notes:
                self._notes.phrase(phrase)
            yield [self._envelope.text(phrase, first=self._is_first)]

    def during(self, batches: Generator[Batch, None, Value]) -> Generator[Batch, None, Value]:
        """Yield all batches, the message behind the first silence or thought after its time; return their value."""
        with contextlib.closing(batches):
            while self._due < math.inf:
                try:
                    batch = next(batches)
                except StopIteration as stop:
                    value: Value = stop.value
                    return value
                if batch is not SILENCE and self._ends_the_wait(batch):
                    self._due = math.inf
                is_due = time.monotonic() >= self._due
                if batch is not SILENCE or not is_due:
                    yield batch
                # Thoughts have given the role; a comment alone has not.
                self._is_first = self._is_first and (batch is SILENCE or all(map(sse.is_comment, batch)))
                yield from self.if_due()
            return (yield from batches)

    def _ends_the_wait(self, batch: list[bytes]) -> bool:
        """Return True if anything of a batch is heard, or ends the answer: the message would come too late."""
        views = [chunks.look(payload) for payload in batch if not isinstance(payload, sse.Comment)]
        return any([self._heard.feed(view) or view.finishes for view in views])


def _annotate(answer: Batches, found: Grounding, include_citations: bool) -> Batches:
    """Yield the answer's batches, with a comment on what was found before the first.

    With `include_citations` the chunk that ends the answer names the passages, too.
    """
    citations = found.citations
    comment = sse.comment(f"citations {json.dumps(citations)}") if citations else None
    if found.degraded:
        # As a comment of the stream, because an answer without context sounds like any other.
        comment = sse.comment("rag degraded")
    with contextlib.closing(answer):
        for batch in answer:
            # A comment alone is no part of the answer: a tool is waited for, or a quote takes the answer's place.
            if batch is not SILENCE and not (batch and sse.is_comment(batch[0])):
                if include_citations:
                    # In place, because the last batch of an answer is marked by its type.
                    batch[:] = [chunks.with_field_at_the_end(payload, "citations", citations) for payload in batch]
                if comment:
                    batch.insert(0, comment)
                    comment = None
            yield batch
            if comment is None and not include_citations:
                yield from answer
