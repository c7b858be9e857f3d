"""The query that a conversation asks of the knowledge, if it asks any. Searching for it is the retriever's part.

the last turn asks            its text, with the last turns before it that ask something
it agrees to an offer         the agent's offer: "yes please" has no content of its own
it is small talk              nothing: the model answers by itself
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parley.knowledge.base_settings import BaseSettings
from parley.knowledge.index import EARLIER_TURNS, Query
from parley.knowledge.intent import Intent, intent_of, offer_of
from parley.wire.content import text_of
from parley.wire.request import ChatRequest

MAX_TURNS = 8
"""Earlier turns of the user among which those that ask something are sought."""


@dataclass(frozen=True)
class Lookup:
    """The purpose of the user's last turn, and what to look up for it; no query where there is nothing to look up."""

    intent: Intent
    query: Query | None


def lookup_of(chat: ChatRequest, base: BaseSettings) -> Lookup:
    """Return what to look up in this base for the user's last turn.

    Without the base's gate every turn asks, and is looked up by its own words.
    """
    text = chat.question
    intent = intent_of(text, base.small_talk_phrases) if base.gated else Intent.ASKS
    if intent is Intent.ASKS:
        return Lookup(intent, Query(text, asked_before(chat, base), chat.filters))
    if intent is Intent.ASSENT:
        offer = offer_of(said_before(chat), text, base.small_talk_phrases)
        if offer:
            return Lookup(intent, Query(offer, "", chat.filters))
    return Lookup(intent, None)


def asked_before(chat: ChatRequest, base: BaseSettings) -> str:
    """Return the last few turns of the user before the last one that ask something, the earliest first."""
    earlier = itertools.islice(texts_of(chat.messages, "user"), 1, 1 + MAX_TURNS)
    asking = (text for text in earlier if intent_of(text, base.small_talk_phrases) is Intent.ASKS)
    return "\n".join(reversed(list(itertools.islice(asking, EARLIER_TURNS))))


def said_before(chat: ChatRequest) -> str:
    """Return the agent's last words before the user's last turn; in the rounds of a tool it speaks behind that, too."""
    messages = chat.messages
    last = max((at for at, message in enumerate(messages) if message["role"] == "user"), default=0)
    return next(filter(None, texts_of(messages[:last], "assistant")), "")


def texts_of(messages: Sequence[Mapping[str, Any]], role: str) -> Iterator[str]:
    """Yield the texts of this role's messages, the last one first."""
    return (text_of(message.get("content")) for message in reversed(messages) if message["role"] == role)
