"""A follow-up question, rewritten by the model so that it is understood alone, if that is done in time."""

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
from parley.wire.content import join_halves, words_of
from parley.wire.request import ChatRequest

MAX_CHARACTERS = 400
"""Longest answer, in characters, that counts as a question."""

_INSTRUCTION = (
    "Write the caller's last question anew, so that it is understood without what was said before. "
    "Answer with the question alone.\n\nThe caller said, one after the other:\n"
)


def rewrite_query(query: Query, context: TurnContext, upstream: Upstream, seconds: float) -> Query:
    """Return the query in the words of the model; unchanged without an earlier question or a good answer in time."""
    if not query.before:
        return query
    # A record of its own: the log line of the turn tells of its answer, not of this call.
    record = TurnRecord(context.record.endpoint, context.record.id)
    text = ""
    with gevent.Timeout(seconds, False):
        try:
            text = _content_of(
                upstream.complete(_instruction([*query.before.splitlines(), query.text], context.chat), record)
            )
        except ParleyError as exc:
            log.info("query_not_rewritten", id=record.id, code=exc.code)
    return dataclasses.replace(query, text=text, before="") if 0 < len(text) <= MAX_CHARACTERS else query


def _instruction(questions: Sequence[str], chat: ChatRequest) -> ChatRequest:
    """Return the request that asks the model for one question in place of these, without the caller's other fields."""
    content = _INSTRUCTION + "\n".join(f"- {' '.join(question.split())}" for question in questions)
    body: dict[str, Any] = {"messages": [{"role": "user", "content": content}], "temperature": 0, "max_tokens": 80}
    if chat.model:
        body["model"] = chat.model
    return ChatRequest(body, stream=False, origin=chat.origin, size=len(content))


def _content_of(body: bytes) -> str:
    """Return the text of an upstream's answer; empty if there is none."""
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError):
        return ""
    return join_halves(words_of(content).text).strip() if isinstance(content, str | list | dict) else ""
