"""`/rag` in a conversation: what is looked up and said, and what the model is told, on the real server."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from fake_upstream import FakeUpstream, answer, completion
from running_server import RunningServer
from waiting import wait_until

from parley.knowledge import minilm

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]

HOTEL = [
    {"id": "sauna", "title": "Sauna", "text": "The sauna is open from 2 pm to 9 pm."},
    {"id": "gym", "title": "Gym", "text": "The gym is open around the clock."},
    {"id": "massage", "title": "Treatments", "text": "A back massage costs £45. Book on extension 214."},
    {"id": "breakfast", "title": "Breakfast", "text": "Breakfast is from 7 to 10, on Sundays from 8 to 11."},
]
PRAXIS = [
    {"id": "zeiten", "title": "Sprechzeiten", "text": "Die Praxis ist montags bis freitags von 8 bis 12 Uhr geöffnet."},
    {
        "id": "absage",
        "title": "Absage",
        "text": "Bitte sagen Sie Termine 24 Stunden vorher ab, sonst zahlen Sie 30 Euro.",
    },
]


def filled(folder: Path) -> Path:
    (folder / "praxis").mkdir()
    (folder / "hotel.json").write_text(json.dumps(HOTEL))
    (folder / "praxis" / "praxis.json").write_text(json.dumps(PRAXIS))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an English base, and one in German; the tests, and so their servers, share it."""
    return filled(tmp_path_factory.mktemp("knowledge"))


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    """A folder like it, to be changed by one test."""
    return filled(tmp_path)


def ask(server: RunningServer, *turns: str, **fields: Any) -> str:
    """Return what is heard of an answer; turns alternate, the user's first and last."""
    messages = [{"role": ("user", "assistant")[at % 2], "content": turn} for at, turn in enumerate(turns)]
    with requests.post(f"{server.url}/rag/chat/completions", json={"messages": messages, **fields}, timeout=20) as sent:
        assert sent.status_code == 200, sent.text
        lines = [line[6:] for line in sent.content.decode().splitlines() if line.startswith("data: {")]
    return "".join(json.loads(line)["choices"][0]["delta"].get("content") or "" for line in lines)


def told(upstream: FakeUpstream) -> str:
    """Return what the model was told in place of the user's last message."""
    return str(upstream.calls[-1].json["messages"][-1]["content"])


@pytest.mark.parametrize(
    "turns",
    [
        ("hello",),
        ("when is breakfast", "From 7.", "okay thank you that was all"),
        ("when is breakfast", "From 7.", "sorry can you say that one more time"),
        ("when is breakfast", "From 7.", ""),
    ],
    ids=["greeting", "thanks", "repetition", "empty"],
)
def test_small_talk_is_left_to_the_model(folder: Path, upstream: FakeUpstream, servers: Servers, turns: Any) -> None:
    server = servers(KB_DIR=str(folder))
    upstream.script = answer("You are welcome.")

    assert ask(server, *turns, include_citations=True) == "You are welcome."
    assert told(upstream) == turns[-1]


def test_small_talk_cites_nothing(folder: Path, upstream: FakeUpstream, servers: Servers) -> None:
    server = servers(KB_DIR=str(folder), alone="no lookups")
    url, body = f"{server.url}/rag/chat/completions", {"messages": [{"role": "user", "content": "thanks"}]}
    upstream.script = lambda call: answer("Fine.") if call.json["stream"] else completion("Fine.")

    streamed = requests.post(url, json={**body, "stream": True, "include_citations": True}, timeout=20)
    whole = requests.post(url, json={**body, "stream": False}, timeout=20)

    assert streamed.text.count('"citations":[]') == 1 and ": citations" not in streamed.text
    assert whole.json()["citations"] == [] and whole.json()["choices"][0]["message"]["content"] == "Fine."
    assert "parley_rag_lookups_total{" not in requests.get(f"{server.url}/metrics", timeout=20).text


def test_an_assent_is_looked_up_by_the_offer(folder: Path, upstream: FakeUpstream, servers: Servers) -> None:
    server = servers(KB_DIR=str(folder), WAITING="off")
    upstream.script = answer("From 2 pm.")

    ask(server, "what can we do here", "There is a sauna. Shall I tell you when the sauna is open?", "yes please")

    assert "The sauna is open from 2 pm" in told(upstream)


def test_what_was_heard_is_looked_up_as_it_is_written(folder: Path, upstream: FakeUpstream, servers: Servers) -> None:
    server = servers(KB_DIR=str(folder), WAITING="off")
    upstream.script = lambda _: answer("Yes.")

    for question, passage in (
        ("extension two one four please", "Book on extension 214"),
        ("is there a jim", "The gym is open"),
    ):
        ask(server, question)
        assert passage in told(upstream)
        assert told(upstream).endswith(question), "the model gets the words of the caller"


def test_our_waiting_messages_are_no_part_of_what_was_said(
    folder: Path, upstream: FakeUpstream, servers: Servers
) -> None:
    server = servers(KB_DIR=str(folder), WAITING_MESSAGES="One moment, please")
    upstream.script = answer("On Sundays from 8.")

    heard = ask(server, "when is breakfast", "One moment, please. From 7 to 10.", "and on sundays")

    assert heard == "One moment, please. On Sundays from 8."
    assert upstream.calls[-1].json["messages"][1]["content"] == "From 7 to 10."


def test_in_the_rounds_of_a_tool_the_prompt_stays_the_same(
    folder: Path, upstream: FakeUpstream, servers: Servers
) -> None:
    server = servers(KB_DIR=str(folder), WAITING="off")
    upstream.script = lambda _: answer("Done.")
    question = {"role": "user", "content": "when is breakfast"}
    call = {"id": "call_1", "type": "function", "function": {"name": "book", "arguments": "{}"}}
    called = {"role": "assistant", "content": None, "tool_calls": [call]}
    rounds = [[question], [question, called, {"role": "tool", "tool_call_id": "call_1", "content": "ok"}]]

    for messages in rounds:
        requests.post(f"{server.url}/rag/chat/completions", json={"messages": messages}, timeout=20).raise_for_status()

    first, second = (call.json["messages"][0]["content"] for call in upstream.calls[-2:])
    assert first == second and "Breakfast is from 7" in first


def test_a_base_in_german_is_served_in_german(folder: Path, upstream: FakeUpstream, servers: Servers) -> None:
    server = servers(KB_DIR=str(folder))
    upstream.script = answer("Von 8 bis 12.")

    heard = ask(server, "Wann haben Sie montags geöffnet?", kb="praxis")

    assert heard.removesuffix("Von 8 bis 12.") in (
        "Einen Moment bitte. ",
        "Ich sehe kurz nach. ",
        "Einen Augenblick, ich schaue nach. ",
    )
    assert "Die Praxis ist montags bis freitags" in told(upstream)


def test_a_conversation_in_german(folder: Path, upstream: FakeUpstream, servers: Servers) -> None:
    server = servers(KB_DIR=str(folder), RAG_TIER="lexical", WAITING_MESSAGES="Moment.")
    upstream.script = lambda _: answer("Gut.")
    said: list[str] = []

    for turn, passage, heard in (
        ("wann haben Sie geöffnet", "Die Praxis ist montags bis freitags", "Moment. Gut."),
        ("und am samstag", "Die Praxis ist montags bis freitags", "Moment. Gut."),
        ("danke", "", "Gut."),
        ("muss ich vierundzwanzig stunden vorher absagen", "sonst zahlen Sie 30 Euro", "Moment. Gut."),
    ):
        assert ask(server, *said, turn, kb="praxis") == heard
        assert passage in told(upstream) if passage else told(upstream) == turn
        said += [turn, "Gut."]
    ask(server, "verkaufen Sie Fahrräder", kb="praxis")

    assert "nothing was found" in told(upstream) and "Dazu habe ich leider keine" in told(upstream)


def test_a_base_has_its_own_settings(own_folder: Path, upstream: FakeUpstream, servers: Servers) -> None:
    settings = {"waiting_messages": ["Grüezi"], "not_found": "Das weiß ich nicht.", "small_talk": ["grüß dich"]}
    (own_folder / "praxis" / "base.json").write_text(json.dumps(settings))
    server = servers(KB_DIR=str(own_folder))
    upstream.script = lambda _: answer("Ja.")

    assert ask(server, "Verkaufen Sie Fahrräder?", kb="praxis") == "Grüezi. Ja."
    assert "Das weiß ich nicht." in told(upstream)
    assert ask(server, "grüß dich", kb="praxis") == "Ja."


def test_faulty_settings_of_a_base_are_named(own_folder: Path, servers: Servers) -> None:
    (own_folder / "praxis" / "base.json").write_text('{"language": "xx"}')
    server = servers(KB_DIR=str(own_folder))

    wait_until(lambda: "base.json" in server.output())
    assert '\\"language\\" must be one of en, de' in server.output()


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": "is there a"}, {"type": "text", "text": "jim"}],
        ["is there a jim"],
        "is there a jim " * 700,
        "هل هناك gym",
        "is there a gym, bitte",
    ],
    ids=["parts", "strings", "10-kB", "right-to-left", "mixed"],
)
def test_unusual_contents_are_looked_up(folder: Path, upstream: FakeUpstream, servers: Servers, content: Any) -> None:
    server = servers(KB_DIR=str(folder), WAITING="off")
    upstream.script = lambda _: answer("Yes.")
    body = {"messages": [{"role": "user", "content": content}]}

    requests.post(f"{server.url}/rag/chat/completions", json=body, timeout=20).raise_for_status()

    assert "The gym is open around the clock" in told(upstream)


@pytest.mark.parametrize(
    ("turn", "found"),
    [("no thank you", None), ("yes, and what does it cost", "Breakfast is from"), ("go ahead", "The sauna is open")],
    ids=["refusal", "question", "assent"],
)
def test_an_offer_may_be_refused_or_outrun(
    folder: Path, upstream: FakeUpstream, servers: Servers, turn: str, found: str | None
) -> None:
    server = servers(KB_DIR=str(folder), WAITING="off")
    upstream.script = lambda _: answer("Fine.")
    offer = "Breakfast is at seven. " * 60 + "Shall I tell you when the sauna is open? " + "It is popular. " * 8

    ask(server, "when is breakfast", offer, turn)

    assert found in told(upstream) if found else told(upstream) == turn


def test_filters_hold_for_what_was_folded(own_folder: Path, upstream: FakeUpstream, servers: Servers) -> None:
    other = {"id": "spa", "title": "Spa", "text": "The spa has extension 214.", "house": "north"}
    (own_folder / "spa.json").write_text(json.dumps([other]))
    server = servers(KB_DIR=str(own_folder), WAITING="off")
    upstream.script = lambda _: answer("Yes.")

    ask(server, "extension two one four", filters={"house": "north"})

    assert "The spa has extension 214" in told(upstream)
    assert "Book on extension" not in told(upstream)


def test_every_worker_frames_the_same_passages_alike(folder: Path, upstream: FakeUpstream, servers: Servers) -> None:
    server = servers(KB_DIR=str(folder), WAITING="off", WEB_CONCURRENCY="2")
    upstream.script = lambda _: answer("From 7.")

    for _ in range(12):
        ask(server, "when is breakfast")

    assert len({call.json["messages"][-1]["content"] for call in upstream.calls[-12:]}) == 1


def test_a_list_in_base_json_is_knowledge(own_folder: Path, upstream: FakeUpstream, servers: Servers) -> None:
    (own_folder / "praxis" / "base.json").write_text(
        json.dumps([{"id": "hund", "text": "Hunde dürfen nicht in die Praxis."}])
    )
    server = servers(KB_DIR=str(own_folder), WAITING="off")
    upstream.script = answer("Nein.")

    ask(server, "Darf mein Hund mit in die Praxis?", kb="praxis")

    assert "Hunde dürfen nicht" in told(upstream)


def test_settings_of_a_base_change_while_it_runs(own_folder: Path, upstream: FakeUpstream, servers: Servers) -> None:
    settings = own_folder / "praxis" / "base.json"
    server = servers(KB_DIR=str(own_folder), KB_POLL="0.05", WAITING_MESSAGES="Wait.")
    upstream.script = lambda _: answer("Ja.")
    assert ask(server, "Hallo", kb="praxis") == "Ja."

    settings.write_text(json.dumps({"small_talk": False, "waiting_messages": ["Moment."]}))
    wait_until(lambda: ask(server, "Hallo", kb="praxis") == "Moment. Ja.")
    # Broken later, the settings stay as they were.
    settings.write_text('{"small_talk": tr')
    wait_until(lambda: "knowledge_kept" in server.output())

    assert ask(server, "Hallo", kb="praxis") == "Moment. Ja."


def test_small_talk_is_spoken_at_once(folder: Path, upstream: FakeUpstream, servers: Servers) -> None:
    server = servers(
        KB_DIR=str(folder), AUDIO_MODE="speech", WAITING_MESSAGES="Wait.", RAG_TIER="lexical", AUDIO_LEAD_MS="5000"
    )
    upstream.script = lambda _: answer("Fine.")

    heard = []
    for turn in ("thanks a lot", "when is breakfast"):
        body = {"messages": [{"role": "user", "content": turn}], "rag": True, "modalities": ["audio"]}
        with requests.post(f"{server.url}/audio/chat/completions", json=body, timeout=30) as sent:
            lines = [json.loads(line[6:]) for line in sent.content.decode().splitlines() if line.startswith("data: {")]
        deltas = [choice["delta"].get("audio") or {} for line in lines for choice in line.get("choices", ())]
        heard.append("".join(delta.get("transcript") or "" for delta in deltas).strip())

    assert heard == ["Fine.", "Wait. Fine."]


@pytest.mark.embedded
@pytest.mark.skipif(not minilm.installed(), reason="the embedded encoder is not installed")
def test_small_talk_by_the_encoder_is_left_to_the_model(
    folder: Path, upstream: FakeUpstream, servers: Servers, tmp_path: Path
) -> None:
    server = servers(
        KB_DIR=str(folder),
        WAITING="off",
        RAG_TIER="auto",
        EMBEDDINGS_CACHE=str(tmp_path / "cache"),
        EMBEDDINGS_TIMEOUT="10",
    )
    upstream.script = lambda _: answer("Take your time.")
    wait_until(lambda: "embeddings_ready" in server.output(), 60, server.output)

    ask(server, "when is breakfast", "From 7.", "hang on let me fetch a pencil")

    assert told(upstream) == "hang on let me fetch a pencil"
