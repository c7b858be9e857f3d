"""A follow-up put as a question of its own by the model, where it can do so in time (RAG_REWRITE_MS)."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import gevent

from parley.errors import ParleyError
from parley.knowledge.index import Query
from parley.telemetry.logs import log
from parley.turn import TurnContext
from parley.turn_record import TurnRecord
from parley.upstream.router import Upstream
from parley.wire.request import ChatRequest

MAX_CHARACTERS = 400
"""A longer answer is not a question."""

_ORDER = (
    "Write the caller's last question anew, so that it is understood without what was said before. "
    "Answer with the question alone.\n\nThe caller said, one after the other:\n"
)


def rewrite_query(query: Query, context: TurnContext, upstream: Upstream, seconds: float) -> Query:
    """The query with the model's wording of it; as it was where there is no turn before, or no answer in time."""
    if not query.before:
        return query
    # A record of its own: what the request's log line tells is the answer's.
    record = TurnRecord(context.record.endpoint, context.record.id)
    text = ""
    with gevent.Timeout(seconds, False):
        try:
            text = _answer(upstream.complete(_order([query.before, query.text], context.chat), record))
        except ParleyError as exc:
            log.info("query_not_rewritten", id=record.id, code=exc.code)
    if not 0 < len(text) <= MAX_CHARACTERS:
        return query
    return dataclasses.replace(query, text=text, before="")


def _order(said: Sequence[str], chat: ChatRequest) -> ChatRequest:
    content = _ORDER + "\n".join(f"- {' '.join(turn.split())}" for turn in said)
    body: dict[str, Any] = {"messages": [{"role": "user", "content": content}], "temperature": 0, "max_tokens": 80}
    if chat.model:
        body["model"] = chat.model
    return ChatRequest(body, stream=False, origin=chat.origin, size=len(content))


def _answer(body: bytes) -> str:
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError):
        return ""
    return content.strip() if isinstance(content, str) else ""
