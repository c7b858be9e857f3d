"""The memory of conversations in whole answers: several workers, all endpoints, platforms with their windows."""

import functools
import json
import random
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import tool_folder
from exchange import AUDIO, CHAT, RAG
from fake_upstream import (
    DONE,
    END,
    HANG,
    FakeUpstream,
    Step,
    answer,
    chunk,
    chunks,
    completion,
    event,
    events,
    refusal,
    reset,
    whole,
)
from leaving import leave
from running_server import RunningServer, hooked, post, receive_until, running_server
from simulated_calls import PLATFORMS, Platform, SharedStore, SimulatedCall, TrueTurn
from waiting import wait_until

from parley.memory.policy import Recollection

pytestmark = pytest.mark.server

KEY, OTHER_KEY = "caller-key-0123456789", "another-key-0123456789"
SECRET = "tangerine-4711"
PATIENT = "from parley.memory import stores; stores.WAIT_SECONDS, stores.BUSY_SECONDS = 20, 15"
"""Run in each worker: a busy machine is no failing store."""
FALLBACK = "Sorry, once more please."
KB = [
    {"title": "Deposit", "text": "The deposit for a tandem is fifty dollars."},
    {"title": "Hours", "text": "We open."},
]


@pytest.fixture(scope="module")
def tool_server() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        fake.script = whole(b'{"free":["Monday","Tuesday"]}')
        yield fake


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("memory")


@pytest.fixture(scope="module")
def server(folder: Path, tool_server: FakeUpstream, upstream_url: str) -> Iterator[RunningServer]:
    """Two workers that share a file."""
    tool_folder.write(folder / "tools", tool_server.base_url)
    for base in (folder / "kb", folder / "kb" / "shop"):
        base.mkdir()
        (base / "kb.json").write_text(json.dumps(KB))
    env = {
        "LLM_BASE_URL": upstream_url,
        "API_KEYS": f"{KEY},{OTHER_KEY}",
        "MEMORY": "full",
        "MEMORY_STORE": f"sqlite:{folder}/sessions.db",
        "TOOLS_DIR": str(folder / "tools"),
        "TOOL_WAITING": "200",
        "KB_DIR": str(folder / "kb"),
        "WAITING_MESSAGES": "One moment, please.",
        "AUDIO_MODE": "speech",
        "AUDIO_LEAD_MS": "5000",
        "FALLBACK_TEXT": FALLBACK,
        "CORS_ORIGINS": "https://app.example.com",
        "EMBEDDINGS_CACHE": str(folder / "cache"),
    }
    with running_server(env, argv=("-w", "2", *hooked(folder, PATIENT))) as running:
        yield running


class Talk:
    """One session, on a fresh connection for each turn, so on any worker."""

    def __init__(self, server: RunningServer, upstream: FakeUpstream, session: str = "", key: str = KEY) -> None:
        self._server, self._upstream, self._key = server, upstream, key
        self.session = session or f"room/{uuid.uuid4().hex}"
        self.end: dict[str, Any] = {}

    def ask(self, said: Any, path: str = CHAT, *, before: Any = (), **fields: Any) -> list[dict[str, Any]]:
        """Ask; return the messages of the last request that the upstream got for it, if any."""
        messages = [*before, *([{"role": "user", "content": said}] if said is not None else [])]
        return self.send({"messages": messages, **fields}, path)

    def send(self, body: dict[str, Any], path: str = CHAT, **headers: str) -> list[dict[str, Any]]:
        count, request_id = len(self._upstream.calls), uuid.uuid4().hex
        named = {"x-session-id": self.session, "x-request-id": request_id, "connection": "close"}
        self.response = requests.post(
            self._server.url + path,
            json=body,
            headers={**named, "authorization": f"Bearer {self._key}", **headers},
            timeout=30,
        )
        # The line is written behind the memory.
        self.end = self._server.wait_for_end(request_id)
        return messages_of(self._upstream, count)

    def leave(
        self, body: dict[str, Any], until: bytes, path: str = CHAT, then: Callable[[], object] = bool
    ) -> list[dict[str, Any]]:
        """Ask, and leave when these bytes have come, and behind `then`."""
        count, request_id = len(self._upstream.calls), uuid.uuid4().hex
        named = {"x_session_id": self.session, "x_request_id": request_id, "authorization": f"Bearer {self._key}"}
        with self._server.connect() as connection:
            connection.sendall(post(path, body, **named))
            receive_until(connection, until)
            then()
            leave(connection)
        self.end = self._server.wait_for_end(request_id)
        return messages_of(self._upstream, count)


def messages_of(upstream: FakeUpstream, count: int) -> list[dict[str, Any]]:
    """The messages of the last request since there were so many."""
    calls = upstream.calls[count:]
    return calls[-1].json["messages"] if calls else []


def texts(messages: list[dict[str, Any]]) -> list[str]:
    return [message["content"] for message in messages]


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def calling(name: str, call_id: str = "c1", content: str | None = None, **arguments: Any) -> list[Step]:
    """An answer that calls a tool."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    call = {"index": 0, "id": call_id, "type": "function", "function": function}
    sent = [chunk({"role": "assistant", "content": content}), chunk({"tool_calls": [call]}), chunk({}, "tool_calls")]
    return [*events(sent), event(DONE), END]


def broken(text: str, step: Step = reset) -> list[Step]:
    """An answer that ends behind these words."""
    return [*events(chunks(text)[:-1]), 0.05, step]


@pytest.fixture
def talk(server: RunningServer, upstream: FakeUpstream) -> Talk:
    return Talk(server, upstream)


@pytest.mark.row("MM-02")
@pytest.mark.parametrize("whole_answer", [False, True])
def test_the_last_turn_alone_brings_the_conversation(talk: Talk, upstream: FakeUpstream, whole_answer: bool) -> None:
    for number in range(6):
        text = f"answer {number}"
        upstream.script = completion(text) if whole_answer else answer(text)
        read = talk.ask(f"question {number}", "/v1/chat/completions", stream=not whole_answer)

    assert read == [each for n in range(5) for each in (user(f"question {n}"), said(f"answer {n}"))] + [
        user("question 5")
    ]
    assert talk.end["memory"] == "10/10"


@pytest.mark.row("MM-01")
def test_a_platform_that_sends_all_gets_its_own_bytes(server: RunningServer, upstream: FakeUpstream) -> None:
    with_memory, without = Talk(server, upstream), Talk(server, upstream)
    history: list[dict[str, Any]] = [{"role": "system", "content": "You are Mia."}, said("Welcome!")]
    for number in range(5):
        history.append({"role": "user", "content": [{"type": "text", "text": "yes"}], "name": "x"})
        body = {"messages": history, "temperature": 0.5, "turn_id": number}
        count = len(upstream.calls)
        upstream.script = answer(f"answer {number}")
        with_memory.send(body)
        without.session = f"{uuid.uuid4().hex}"
        without.send(body)
        first, second = upstream.calls[count:]
        assert first.body == second.body
        history.append({"role": "assistant", "content": f"answer {number}", "metadata": {"source": "llm"}})
        assert with_memory.end["memory"].startswith("0/")


@pytest.mark.row("MM-02")
def test_endpoints_share_a_session(talk: Talk, upstream: FakeUpstream) -> None:
    upstream.script = answer("It is fifty dollars.")
    talk.ask("What is the deposit for a tandem?", RAG)
    upstream.script = answer("That is a lot.")
    talk.ask("I see.", AUDIO)
    read = talk.ask("Fine.")

    assert texts(read) == [
        "What is the deposit for a tandem?",
        "It is fifty dollars.",
        "I see.",
        "That is a lot.",
        "Fine.",
    ]


@pytest.mark.row("MM-02")
@pytest.mark.parametrize("path", [RAG, "/v1/rag/chat/completions", "/kb/shop/rag/chat/completions"])
def test_what_is_looked_up_knows_the_turns_before(talk: Talk, upstream: FakeUpstream, path: str) -> None:
    upstream.script = answer("Shall I tell you about the deposit?")
    talk.ask("Can I rent a tandem?", path, stream=True)

    read = talk.ask("yes please", path, stream=True)

    assert texts(read)[:2] == ["Can I rent a tandem?", "Shall I tell you about the deposit?"]
    assert "The deposit for a tandem is fifty dollars." in read[-1]["content"]
    # The excerpts of a turn are of that turn alone.
    assert texts(talk.ask("thanks", CHAT, stream=True))[2] == "yes please"


@pytest.mark.row("MM-04")
def test_a_hidden_search_is_known_in_the_next_turn(talk: Talk, upstream: FakeUpstream) -> None:
    upstream.enqueue(calling("order_status", content="Let me see.", order_id="1"))
    upstream.script = answer("Monday or Tuesday?")
    talk.ask("Which days are free?")

    read = talk.ask("Book the second one.")

    assert [each["role"] for each in read] == ["user", "assistant", "tool", "assistant", "user"]
    assert read[1]["content"] is None and read[1]["tool_calls"][0]["id"] == read[2]["tool_call_id"]
    assert read[2]["content"] == '{"free":["Monday","Tuesday"]}'
    assert read[3]["content"] == "Let me see. Monday or Tuesday?"
    # The same where the platform sends the conversation, and not where no tools are offered.
    history = [user("Which days are free?"), said("Let me see. Monday or Tuesday?")]
    assert [each["role"] for each in talk.ask("Book the second one.", before=history)] == [
        each["role"] for each in read
    ]
    assert [each["role"] for each in talk.ask("Book the second one.", before=history, tool_choice="none")] == [
        "user",
        "assistant",
        "user",
    ]


@pytest.mark.row("MM-04")
def test_the_result_of_a_detached_call_is_remembered(
    talk: Talk, upstream: FakeUpstream, tool_server: FakeUpstream
) -> None:
    let_go = threading.Event()
    tool_server.enqueue([let_go, *whole(b'{"booked":true}')])
    count = len(tool_server.calls)
    upstream.enqueue(calling("book", "c9", content="I book it.", order_id="7"))
    is_called = functools.partial(wait_until, lambda: len(tool_server.calls) > count)
    talk.leave({"messages": [user("Book it.")]}, b"I", then=is_called)

    upstream.script = answer("Yes?")
    before = talk.ask("Hello?")
    let_go.set()
    wait_until(lambda: '"booked"' in str(talk.ask("And now?")))
    after = talk.ask("And now?")

    assert "interrupted" in before[2]["content"] and before[2]["tool_call_id"] == "c9"
    assert json.loads(after[2]["content"]) == {"booked": True}


@pytest.mark.row("MM-02")
def test_fillers_and_waiting_messages_are_no_part_of_an_answer(
    talk: Talk, upstream: FakeUpstream, tool_server: FakeUpstream
) -> None:
    upstream.script = answer("Fifty dollars.")
    talk.ask("What is the deposit for a tandem?", RAG, waiting="always")
    assert "One moment, please. " in talk.response.text
    tool_server.enqueue([0.6, *whole(b"{}")])
    upstream.enqueue(calling("order_status", order_id="1"))
    talk.ask("Where is it?")
    assert "Looking it up. " in talk.response.text

    heard = [user("What is the deposit for a tandem?"), said("One moment, please. Fifty dollars.")]
    read = talk.ask("And?", before=[*heard, user("Where is it?"), said("Looking it up. Fifty")], tool_choice="none")
    # What the platform itself says was heard is the platform's.
    assert read[-2]["content"] == "Looking it up. Fifty —" and "not heard" in read[-1]["content"]
    # What is put in front is the model's alone.
    assert texts(talk.ask("So?", tool_choice="none"))[:4] == [
        "What is the deposit for a tandem?",
        "Fifty dollars.",
        "Where is it?",
        "Fifty —",
    ]


@pytest.mark.row("MM-03")
@pytest.mark.parametrize("path", [CHAT, RAG, AUDIO])
def test_a_turn_that_is_cut_and_asked_again_is_one(talk: Talk, upstream: FakeUpstream, path: str) -> None:
    slow = [*events(chunks("We have three plans. And there are more of them.")[:8]), HANG]
    for words in ("I want", "I want to book", "I want to book a table"):
        upstream.enqueue(slow)
        talk.leave({"messages": [user(words)], "waiting": "off"}, b"We", path)
        assert talk.end["outcome"] == "client_closed"
    upstream.script = answer("For whom?")
    talk.ask("I want to book a table", path, waiting="off")

    read = talk.ask("For two.")

    assert read == [user("I want to book a table"), said("For whom?"), user("For two.")]


@pytest.mark.row("MM-02")
def test_where_the_caller_cut_in_is_told(talk: Talk, upstream: FakeUpstream) -> None:
    upstream.enqueue([*events(chunks("We have three plans, and many more.")[:4]), HANG])
    talk.leave({"messages": [user("What plans?")]}, b"three")
    read = talk.ask("Stop.")

    assert read[0] == user("What plans?") and read[1]["content"].endswith(" —")
    assert read[2]["content"] == "[You were interrupted here.]\nStop."


@pytest.mark.row("MM-03")
def test_the_platforms_name_of_a_turn_decides(talk: Talk, upstream: FakeUpstream) -> None:
    for name in ("t1", "t1", "t2"):
        read = talk.send({"messages": [user("yes")]}, **{"idempotency-key": name})

    assert read == [user("yes"), said("Hello there"), user("yes")]


@pytest.mark.row("MM-06")
@pytest.mark.parametrize("path", [CHAT, RAG, AUDIO])
def test_failures_leave_no_words_of_ours(talk: Talk, upstream: FakeUpstream, folder: Path, path: str) -> None:
    upstream.script = broken("It costs ten")
    talk.ask("How much?", path)
    assert talk.end["outcome"] == "spoken_fallback"
    upstream.script = refusal(400, {"message": "no"})
    talk.ask("Well?", path)
    upstream.script = answer("Ten dollars.")

    read = talk.ask("Once more.")

    assert [each for each in texts(read) if FALLBACK in each] == []
    assert texts(read)[0] == "How much?" and texts(read)[-2:] == ["Well?", "Once more."]
    assert FALLBACK.encode() not in b"".join(file.read_bytes() for file in folder.glob("sessions.db*"))


@pytest.mark.row("MM-05")
def test_a_session_is_forgotten_on_demand_by_its_own_key(server: RunningServer, upstream: FakeUpstream) -> None:
    talk = Talk(server, upstream, "/app id/room #7?%2F" + uuid.uuid4().hex)
    other = Talk(server, upstream, talk.session, OTHER_KEY)
    escaped = requests.utils.quote(talk.session, safe="")
    key, other_key = ({"authorization": f"Bearer {each}"} for each in (KEY, OTHER_KEY))
    talk.ask("My word.")

    assert texts(other.ask("Hello?")) == ["Hello?"]
    assert requests.delete(f"{server.url}/sessions/{escaped}", timeout=30).status_code == 401
    gone = requests.delete(f"{server.url}/sessions/{escaped}", headers=other_key, timeout=30)
    assert (gone.status_code, gone.content) == (204, b"")
    assert texts(talk.ask("And?"))[0] == "My word."
    for path in ("/v1/sessions/", "/sessions/"):
        assert requests.delete(f"{server.url}{path}{escaped}", headers=key, timeout=30).status_code == 204
        assert texts(talk.ask("Hello?")) == ["Hello?"]
    assert requests.delete(f"{server.url}/sessions/unknown/", headers=key, timeout=30).status_code == 204
    assert requests.get(f"{server.url}/sessions/{escaped}", headers=key, timeout=30).status_code == 405
    asked = {"origin": "https://app.example.com", "access-control-request-method": "DELETE"}
    leave_ = requests.options(f"{server.url}/sessions/{escaped}", headers=asked, timeout=30)
    assert "DELETE" in leave_.headers["access-control-allow-methods"]


@pytest.mark.row("MM-06")
def test_a_spoken_secret_is_in_the_store_alone(
    server: RunningServer, upstream: FakeUpstream, talk: Talk, folder: Path
) -> None:
    upstream.script = answer(f"I note {SECRET}.")
    for path in (CHAT, RAG, AUDIO):
        talk.ask(f"The word is {SECRET}.", path)
    metrics = requests.get(f"{server.url}/metrics", headers={"authorization": f"Bearer {KEY}"}, timeout=30).text

    kept = {file for file in folder.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()}
    assert kept and all(file.name.startswith("sessions.db") for file in kept)
    assert all(file.stat().st_mode & 0o077 == 0 for file in folder.glob("sessions.db*"))
    assert SECRET not in server.output() and SECRET not in metrics
    assert re.search(r'parley_memory_lookups_total\{result="hit"\} [1-9]', metrics)
    # Neither is the session's name a text in the file.
    assert talk.session.encode() not in b"".join(file.read_bytes() for file in folder.glob("sessions.db*"))


@pytest.mark.row("MM-02")
def test_halves_of_characters_and_pictures_do_no_harm(talk: Talk, upstream: FakeUpstream) -> None:
    picture = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": "data:,x"}}]
    said_ = [chunk({"content": each}).replace(b"HALF", b"\\ud83d") for each in ("A HALF", "HALF cat", "\U0001f63a!")]
    upstream.script = [*events([*said_, chunk({}, "stop")]), event(DONE), END]
    talk.ask(picture)

    assert talk.response.status_code == 200 and talk.end["memory"] == "0/0"
    assert texts(talk.ask("Well?")) == ["Look", "A  cat\U0001f63a!", "Well?"] and talk.end["memory"] == "2/2"


@pytest.mark.row("MM-02")
def test_a_request_without_a_session_is_nobodys(server: RunningServer, upstream: FakeUpstream) -> None:
    talk = Talk(server, upstream)
    talk.session = "{{unset}}"
    talk.ask("One.")

    assert texts(talk.ask("Two.")) == ["Two."] and talk.end["memory"] is None


class RealCall(SimulatedCall):
    """A simulated call whose turns are whole answers of the server."""

    def __init__(self, chance: random.Random, platform: Platform, talk: Talk, upstream: FakeUpstream) -> None:
        super().__init__(chance, talk.session, platform, SharedStore())
        self._talk, self._upstream = talk, upstream

    def _ask(self, user: str, turn_id: str, *, closed: bool, is_final: bool, failed: bool = False) -> None:
        self._count += 1
        messages = [*self._history(), {"role": "user", "content": user}]
        body: dict[str, Any] = {"messages": messages, **({"turn_id": int(turn_id)} if self._platform.ids else {})}
        sent = "" if failed else f"Answer {self._count} of {self._name}, which is rather long."
        if closed:
            sent = sent[: self._chance.choice([8, 20])]
            self._upstream.enqueue([*events([chunk({"content": sent})]), HANG])
            read = self._talk.leave(body, sent.encode())
        else:
            self._upstream.enqueue(refusal(400, {"message": "no"}) if failed else answer(sent))
            read = self._talk.send(body)
        read, plain = [unmarked(each) for each in read], [unmarked(each) for each in messages]
        self._check(messages, Recollection(messages if read == plain else read), user)
        if is_final:
            kept = sent if self._platform.whole or not closed else sent[: self._chance.choice([0, 6, len(sent)])]
            self._turns.append(TrueTurn(user, sent, kept, closed))


def unmarked(message: dict[str, Any]) -> dict[str, Any]:
    """A message without what tells the model of interruptions."""
    content = re.sub(r"^\[You were interrupted.*?\]\n", "", message["content"]).removesuffix(" —").strip()
    return {"role": message["role"], "content": content}


@pytest.mark.row("MM-01")
@pytest.mark.row("MM-02")
@pytest.mark.row("MM-03")
@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda platform: platform.name)
def test_whole_calls_lose_and_double_nothing(server: RunningServer, upstream: FakeUpstream, platform: Platform) -> None:
    call = RealCall(random.Random(platform.name), platform, Talk(server, upstream, uuid.uuid4().hex), upstream)

    call.play(turns=8)

    assert call.mistakes == []
