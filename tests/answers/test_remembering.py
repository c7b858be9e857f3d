"""The memory around an answer: nothing of it where it is off, the whole conversation for the answer where it is on."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from parley.answers.remembering import with_memory, with_memory_whole
from parley.services import Services
from parley.settings import Settings
from parley.turn import Batches, TurnContext
from parley.turn_record import TurnRecord
from parley.wire.chunks import Envelope
from parley.wire.platforms import Caller
from parley.wire.request import ChatRequest, Origin
from parley.wire.turn_options import DEFAULTS, TurnOptions

ROOT = Path(__file__).parents[2]
REMEMBERED = TurnOptions(memory="full")


def context(text: str, session: str = "room", options: TurnOptions = REMEMBERED, **body: Any) -> TurnContext:
    origin = Origin("id", v1=False)
    body = {"messages": [{"role": "user", "content": text}], **body}
    chat = ChatRequest(body, True, origin, caller=Caller(session), options=options)
    return TurnContext(chat, Envelope.new("m"), TurnRecord("chat", "id"))


def services(**settings: Any) -> Services:
    return Services(Settings(llm_base_url="http://127.0.0.1:9", tools_dir=Path("none"), **settings))


def echo(context: TurnContext, services: Services) -> Batches:
    """Answer with the number of messages."""
    yield [context.envelope.text(str(len(context.take_chat().messages)), first=True)]


def echo_whole(context: TurnContext, services: Services) -> bytes:
    """Answer with the number of messages."""
    return b'{"choices":[{"message":{"content":"%d"}}]}' % len(context.chat.messages)


def end(context: TurnContext, services: Services) -> None:
    """End a turn as `Turn` does."""
    context.record.outcome = "ok"
    if context.record.notes:
        context.record.notes.end(context.record, bool)
        services.sessions.recall("", [], "", mode="full", with_tools=False)


def test_off_is_the_answer_itself() -> None:
    answer = echo(context("Hello"), services())

    def given(context: TurnContext, services: Services) -> Batches:
        return answer

    asked = context("Hello", options=DEFAULTS)
    assert with_memory(given)(asked, services()) is answer and asked.record.notes is None


def test_off_loads_nothing() -> None:
    code = "import sys, app; print([name for name in sys.modules if name.startswith('parley.memory')])"

    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert loaded.stdout.strip() == "[]", loaded.stderr


def test_a_request_without_a_session_is_answered_as_it_is() -> None:
    asked, within = context("Hello", session=""), services(memory="full")

    assert b'"1"' in b"".join(*with_memory(echo)(asked, within))
    assert asked.record.notes is None and "sessions" not in within.__dict__


@pytest.mark.row("MM-02")
def test_the_answer_sees_what_is_remembered() -> None:
    within = services(memory="full")
    for count in (b"1", b"3", b"5"):
        asked = context(f"question {count!r}")
        assert b'"%b"' % count in b"".join(*with_memory(echo)(asked, within))
        end(asked, within)
        within.sessions._store.close, closing = lambda: None, within.sessions._store.close
        within.sessions.finish(5)
        within.sessions._store.close = closing
    assert b'"7"' in with_memory_whole(echo_whole)(context("last"), within)


def test_nothing_is_read_before_the_answer_is_asked_for() -> None:
    asked, within = context("Hello"), services(memory="full")

    batches = with_memory(echo)(asked, within)

    # The turn can be interrupted only while it asks for the next batch.
    assert asked.record.memory is None
    next(batches)
    assert asked.record.memory == "0/0"


@pytest.mark.parametrize("speakers", [True, False])
def test_who_asked_is_kept_where_a_model_is_told(speakers: bool) -> None:
    options, within = TurnOptions(memory="full", speakers=speakers), services(memory="full")
    asked = context("Hello", options=options)
    asked.chat.messages[0]["metadata"] = {"user": "1002"}
    assert b"".join(*with_memory(echo)(asked, within))
    end(asked, within)

    later, seen = context("And?", options=options), []

    def look(context: TurnContext, services: Services) -> Batches:
        seen.extend(context.chat.messages)
        yield from echo(context, services)

    assert b"".join(*with_memory(look)(later, within))
    assert seen[0].get("metadata") == ({"user": "1002"} if speakers else None)
