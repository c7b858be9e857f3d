"""The memory around an answer: the first step of each endpoint, and the last.

    recall --> the request with what is remembered --> the answer, heard on its way --> (Turn) remember, behind it

Here, so that everything behind it sees one conversation: what /rag looks up and whether it does, the model, tools.
Where nothing is remembered an answer stays what it is, and nothing of `parley/memory/` is loaded.
"""

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from parley.answers.cleanup import Stream, Whole
from parley.answers.tool_turn import offered_tools
from parley.concurrency import SILENCE, run_for_size
from parley.services import Services
from parley.telemetry import metrics
from parley.telemetry.logs import log
from parley.turn import Batches, TurnContext
from parley.wire.request import ChatRequest

if TYPE_CHECKING:
    from parley.memory.session_turn import SessionTurn

RunsTools = Callable[[ChatRequest, Services], bool]
"""A function that tells if the answer to a request may call the operator's tools."""


def always(_: ChatRequest, __: Services) -> bool:
    """Return true: the model that answers may call tools."""
    return True


def with_memory(answer: Stream, runs_tools: RunsTools = always) -> Stream:
    """Return the answer as a part of its session, where sessions are remembered."""

    def stream(context: TurnContext, services: Services) -> Batches:
        turn = session_turn(context, services)
        # Without a memory nothing stands between the answer and the turn.
        return answer(context, services) if turn is None else remembered(turn, answer, context, services, runs_tools)

    return stream


def with_memory_whole(answer: Whole, runs_tools: RunsTools = always) -> Whole:
    """Return the answer in one piece as a part of its session, where sessions are remembered."""

    def whole(context: TurnContext, services: Services) -> bytes:
        turn = session_turn(context, services)
        if turn is None:
            return answer(context, services)
        recall(turn, context, services, runs_tools)
        body = answer(context, services)
        run_for_size(len(body), turn.hear_whole, body)
        return body

    return whole


def session_turn(context: TurnContext, services: Services) -> "SessionTurn | None":
    """Return the turn as one of its session; None where nothing is remembered."""
    mode = context.chat.options.memory
    if mode == "off":
        return None
    caller, record = context.chat.caller, context.record
    if not caller.session:
        metrics.series(metrics.MEMORY_LOOKUPS, "no_session").inc()
        if not services.logged_no_session:
            services.logged_no_session = True
            log.info("memory_without_session", id=record.id, hint="the request names no session: see docs/sessions.md")
        return None
    # perf: saves 5 ms (a start without a memory)
    from parley.memory.session_turn import SessionTurn
    from parley.memory.sessions import session_key

    key = session_key(services.keyring.lasting_name(record.holder), caller.session)
    turn = SessionTurn(services.sessions, key, mode, caller.turn, context.chat.speaker)
    record.notes = turn
    return turn


def remembered(
    turn: "SessionTurn", answer: Stream, context: TurnContext, services: Services, runs_tools: RunsTools
) -> Batches:
    """Yield the batches of an answer to the request with what is remembered."""
    # Not before: the turn can be interrupted while the store is waited for.
    recall(turn, context, services, runs_tools)
    with contextlib.closing(answer(context, services)) as batches:
        for batch in batches:
            if batch is not SILENCE:
                turn.hear(batch)
            yield batch


def recall(turn: "SessionTurn", context: TurnContext, services: Services, runs_tools: RunsTools) -> None:
    """Put what is remembered into the context's request; a platform's own history is left as it is."""
    chat = context.chat
    # Some upstreams refuse calls in the conversation where no tools are listed.
    with_tools = bool(chat.body.get("tools") or (runs_tools(chat, services) and offered_tools(chat, services)))
    messages = turn.recall(chat.messages, context.record, with_tools=with_tools)
    if messages is not chat.messages:
        context.chat = chat.with_messages(messages)
