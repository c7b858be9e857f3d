"""The answerer of a turn on /rag: the model, the knowledge in its own words, or the one with the other behind it.

    a real model                          the model
    the same, with RAG_FALLBACK=quote     the model; where it fails before its first word, the quote
    the embedded demonstration model      the quote; to small talk a phrase
    no model at all                       the same

A quote is an answer that is complete at once, in one chunk. Which sentences it holds is decided in
`parley/knowledge/quoting.py`.
"""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable
from typing import Protocol

from parley.answers.lookup import lookup_of
from parley.answers.passes import Model
from parley.concurrency import SILENCE
from parley.errors import UpstreamError, UpstreamWordless
from parley.knowledge.base_settings import BaseSettings
from parley.knowledge.index import Query
from parley.knowledge.intent import Intent, intent_of
from parley.knowledge.retriever import Grounding
from parley.languages import ENGLISH
from parley.services import Services
from parley.turn import Batches, TurnContext
from parley.turn_record import TurnRecord
from parley.wire import chunks, sse
from parley.wire.chunks import Envelope
from parley.wire.heard import HeardDetector
from parley.wire.request import ChatRequest

NOTHING = Grounding((), (), ())
"""The grounding of an answer for which nothing was looked up, or in which nothing is quoted."""

KNOWLEDGE = "knowledge"
"""Name, in the log, of the upstream of an answer that no model has written."""


class Answerer(Protocol):
    """Anything that answers as an upstream does."""

    def stream(
        self, chat: ChatRequest, envelope: Envelope, record: TurnRecord, wake_after: float | None = None
    ) -> Batches:
        """Yield the answer in batches; see `Upstream.stream`."""
        ...

    def complete(self, chat: ChatRequest, record: TurnRecord) -> bytes:
        """Return the whole answer; see `Upstream.complete`."""
        ...


def query_of(chat: ChatRequest, services: Services) -> Query | None:
    """Return what to look up for a turn, if anything. Raises NotConfigured without a model and without knowledge."""
    base = services.knowledge.settings_of(chat.kb)
    if not services.quotes:
        return lookup_of(chat, base).query
    listed = services.knowledge.bases.listed.get(chat.kb)
    if not services.has_model and listed and not listed.passages and (reason := services.upstream.unavailable_reason()):
        raise reason
    # Nobody but the gate can tell small talk here: no model reads what was found.
    query = lookup_of(chat, dataclasses.replace(base, gated=True)).query
    if query is None and not base.gated and chat.question.strip():
        # Every turn is looked up here, but by itself: "thanks, bye" must not repeat the last answer.
        return Query(chat.question, "", chat.filters)
    return query


def answerer(
    query: Query | None, found: Grounding, context: TurnContext, services: Services
) -> tuple[Answerer, Grounding]:
    """Return who answers a turn, and what its citations are to name."""
    model, chat, record = Model(services), context.chat, context.record
    if not services.quotes:
        if services.settings.rag_fallback == "off" or query is None or not found.hits:
            return model, found
        return QuoteBehind(model, functools.partial(_quoted, query, found, services)), found
    record.upstream = KNOWLEDGE
    if record.notes:
        record.notes.replaced()
    base = services.knowledge.settings_of(chat.kb)
    quote = services.knowledge.quote(found.base, query, found.hits) if query and found.base and found.hits else None
    is_sure = quote is not None and quote.is_sure
    if query is None or found.is_small_talk or not (is_sure or _asks(chat, query, base)):
        reply = base.spoken_language.at_your_service or ENGLISH.at_your_service
        # Not the demonstration model: it takes seconds to answer "thanks, bye" with "thanks, bye".
        return Text(reply), NOTHING
    if quote is None:
        # A search that failed says so in a comment of the stream.
        words = base.not_found or base.spoken_language.not_found or ENGLISH.not_found
        return Text(words), dataclasses.replace(NOTHING, degraded=found.degraded)
    record.passages = len(found.citations)
    return Text(quote.spoken(base.spoken_language)), found


def _quoted(query: Query, found: Grounding, services: Services) -> str | None:
    """Return the words of the quote that answers a query, if there is one."""
    quote = services.knowledge.quote(found.base, query, found.hits) if found.base else None
    return quote.spoken(found.base.settings.spoken_language) if found.base and quote else None


def _asks(chat: ChatRequest, query: Query, base: BaseSettings) -> bool:
    """Return True if a turn asks something by itself, or agrees to an offer, which is its query."""
    return query.text != chat.question or intent_of(chat.question, base.small_talk_phrases) is Intent.ASKS


class Text:
    """An answer whose words are known."""

    def __init__(self, words: str) -> None:
        self.words = words

    def stream(
        self, chat: ChatRequest, envelope: Envelope, record: TurnRecord, wake_after: float | None = None
    ) -> Batches:
        """Yield the words in one chunk, then the chunk that ends the answer."""
        # Under a copy: whether a chunk of ours went before is told by the envelope of the answer.
        own = dataclasses.replace(envelope)
        record.ttft_ms = record.elapsed_ms
        yield [own.text(self.words, first=not envelope.used)]
        yield sse.LastBatch([own.finish("stop")])

    def complete(self, chat: ChatRequest, record: TurnRecord) -> bytes:
        """Return the whole answer."""
        message = {"role": "assistant", "content": self.words}
        record.ttft_ms = record.elapsed_ms
        return json.dumps(Envelope.new(record.model or "").completion(message), ensure_ascii=False).encode()


class QuoteBehind:
    """An upstream, and a quote that is said in its place if it fails before anything of it is heard.

    The refusal of a request that no upstream would take is the caller's to see, and so is a failure without a quote.
    """

    def __init__(self, upstream: Answerer, find: Callable[[], str | None]) -> None:
        self._upstream = upstream
        self._find = find

    def stream(
        self, chat: ChatRequest, envelope: Envelope, record: TurnRecord, wake_after: float | None = None
    ) -> Batches:
        """Yield the upstream's answer, or the quote after a comment with the code of the failure."""
        heard = HeardDetector()
        answer = self._upstream.stream(chat, envelope, record, wake_after)
        # Not held for as long as the answer lasts.
        del chat
        is_begun = envelope.used
        with contextlib.closing(answer):
            try:
                for batch in answer:
                    if batch is SILENCE:
                        yield batch
                        continue
                    _raise_if_empty(record)
                    # The comment of a silent wait for a tool is no answer, and gives no role.
                    sent = [payload for payload in batch if not sse.is_comment(payload)]
                    is_heard = any([heard.feed(chunks.look(payload)) for payload in sent])
                    yield batch
                    is_begun = is_begun or bool(sent)
                    if is_heard:
                        break
            except UpstreamError as error:
                if (words := self._instead_of(error, record)) is None:
                    raise
            else:
                # Nothing is looked at any more.
                yield from answer
                return
        yield [sse.comment(f"error code={record.code} request_id={record.id}")]
        own = dataclasses.replace(envelope)
        yield [own.text(words, first=not is_begun)]
        yield sse.LastBatch([own.finish("stop")])

    def complete(self, chat: ChatRequest, record: TurnRecord) -> bytes:
        """Return the upstream's whole answer, or the quote."""
        try:
            body = self._upstream.complete(chat, record)
            _raise_if_empty(record)
        except UpstreamError as error:
            if (words := self._instead_of(error, record)) is None:
                raise
            body = Text(words).complete(chat, record)
            # As in a stream: the upstream has given no content.
            record.ttft_ms = None
        return body

    def _instead_of(self, error: UpstreamError, record: TurnRecord) -> str | None:
        """Return the words to say in an error's place, noted in the record; None if the error is to be seen."""
        # The failure is the upstream's or the operator's, not that of the request itself.
        words = self._find() if error.speakable or error.may_fail_over else None
        if words is not None:
            if record.notes:
                record.notes.replaced()
            record.outcome, record.code, record.reason = "spoken_fallback", error.code, error.reason
        return words


def _raise_if_empty(record: TurnRecord) -> None:
    """Raise UpstreamWordless for an answer that the upstream gave twice without a word."""
    if record.outcome == "empty":
        raise UpstreamWordless("the upstream's answer holds no word")
