"""What a worker keeps for its life: the waiting messages, knowledge, voice, keys and limits."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import monkey
from structlog.testing import capture_logs

from parley.errors import InternalError, ParleyError, ServerOverloaded, UpstreamError
from parley.factories.model import upstream_of
from parley.http_client import pool
from parley.services import Services
from parley.settings import Settings
from parley.speech.speech_text import Clause
from parley.speech.synthesis import CachingSynthesiser, PlaceholderVoice
from parley.speech.utterance import AudioPiece
from parley.turn import Turn
from parley.turn_record import TurnRecord
from parley.upstream.router import NoUpstream


def settings(**environ: str) -> Settings:
    return Settings.from_environ(environ)


@pytest.mark.parametrize(("database", "is_spread"), [("", False), ("postgresql://127.0.0.1:1/kb", True)])
def test_polls_are_spread_where_many_ask_one_server(database: str, is_spread: bool) -> None:
    services = Services(settings(DATABASE_URL=database))

    assert bool(services.knowledge._spread) == is_spread


def test_a_waiting_message_is_never_the_same_twice_running() -> None:
    services = Services(settings())

    said = [services.waiting_message() for _ in range(300)]

    assert all(one != next_one for one, next_one in itertools.pairwise(said))
    assert set(said) == {
        "Let me look that up for you. ",
        "One moment, I am checking. ",
        "Good question, let me see. ",
    }


def test_of_two_waiting_messages_each_has_its_turn() -> None:
    services = Services(settings(WAITING_MESSAGES="A.|B."))

    said = [services.waiting_message() for _ in range(10)]

    assert said in (["A. ", "B. "] * 5, ["B. ", "A. "] * 5)


def test_a_single_waiting_message_is_all_there_is_to_say() -> None:
    services = Services(settings(WAITING_MESSAGES="A."))

    assert [services.waiting_message() for _ in range(3)] == ["A. "] * 3


@pytest.mark.parametrize(
    ("phrase", "said"),
    [
        ("One moment", "One moment. "),
        ("One moment.", "One moment. "),
        ("Moment!", "Moment! "),
        ("Shall I look?", "Shall I look? "),
        ("Let me see…", "Let me see… "),
        ("少々お待ちください。", "少々お待ちください。 "),
        ("请稍等！", "请稍等！ "),
        ("可以吗？", "可以吗？ "),
        ("One moment. <flush />", "One moment. <flush /> "),
        ("One moment <break time='1s'/>", "One moment <break time='1s'/> "),
        ("One moment...", "One moment... "),
        ("One moment 😊", "One moment 😊 "),
        ("I heart ❤️", "I heart ❤️ "),
        ('I say "wait."', 'I say "wait." '),
        ("J'arrive »", "J'arrive » "),
        ("One moment (please)", "One moment (please) "),
        ("请稍等", "请稍等。 "),
        ("एक क्षण कृपया", "एक क्षण कृपया. "),
        ("एक क्षण।", "एक क्षण। "),
        ("Cafe\u0301", "Cafe\u0301. "),
        ("Line 5", "Line 5. "),
    ],
)
@pytest.mark.row("RB-04")
def test_a_waiting_message_ends_in_a_sentence_mark_and_a_space(phrase: str, said: str) -> None:
    assert Services(settings(WAITING_MESSAGES=phrase)).waiting_message() == said


def test_creating_the_services_opens_no_folder() -> None:
    services = Services(settings(KB_DIR="/nowhere/kb", AUDIO_DIR="/nowhere/audio"))

    assert not services.admission.running
    assert not services.draining


def test_warming_loads_the_knowledge_and_the_recordings(tmp_path: Path) -> None:
    services = Services(settings(KB_DIR=str(tmp_path), AUDIO_DIR=str(tmp_path), RAG_TIER="lexical"))

    with capture_logs() as logged:
        services.warm()
        while services.knowledge.loading:
            services.knowledge.require("")

    events = [line["event"] for line in logged]
    assert (events.count("knowledge_loaded"), events.count("recordings_loaded")) == (1, 1)


@pytest.mark.parametrize("failure", [InternalError("the embedded voice failed"), UpstreamError("no voice")])
def test_a_voice_that_fails_in_the_rehearsal_prints_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], failure: ParleyError
) -> None:
    class Failing(PlaceholderVoice):
        said = 0

        def say(self, clause: Clause, *, urgent: bool = True) -> Iterator[AudioPiece]:
            self.said += 1
            raise failure

    services = Services(
        settings(KB_DIR=str(tmp_path), AUDIO_DIR=str(tmp_path), RAG_TIER="lexical", AUDIO_MODE="speech")
    )
    voice = Failing(16_000)
    services.synthesis = CachingSynthesiser(voice, ["One moment."])
    services.warm()
    with gevent.Timeout(10):
        # What is loaded later would be logged into the next test.
        while not voice.said or services.knowledge.loading:
            gevent.sleep(0.005)
        gevent.sleep(0)

    assert "Traceback" not in capsys.readouterr().err


def test_warming_without_any_connection_prints_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where the process has no file left to open."""

    def full(*_: object, **__: object) -> None:
        raise ServerOverloaded("the server has no file left for a connection to the upstream")

    monkeypatch.setattr(pool, "connect", full)
    upstream = upstream_of(settings(LLM_BASE_URL="http://127.0.0.1:9/v1", LLM_API_KEY="k", SPARE_CONNECTIONS="2"))

    with capture_logs() as logged, gevent.Timeout(10):
        upstream.warm(lambda: False)
        # What tests before this one still load in the background is logged, too.
        while not (told := [line["event"] for line in logged if "connection" in line["event"]]):
            gevent.sleep(0.005)

    assert told == ["spare_connections_failed"]
    assert "no file left" in upstream.connection_faults()["primary"]
    assert upstream.models() == []
    assert "Traceback" not in capsys.readouterr().err


def test_the_keys_and_the_limit_are_the_settings_own() -> None:
    services = Services(settings(API_KEYS="one,two", MAX_STREAMS="1"))

    assert services.keyring.holder(["two"]) == "key-2" and services.keyring.holder([]) is None
    assert Services(settings()).keyring.is_open
    services.admission.admit(Turn(TurnRecord("chat", "r")))
    with pytest.raises(ServerOverloaded):
        services.admission.admit(Turn(TurnRecord("chat", "r")))


def test_a_given_upstream_is_used() -> None:
    upstream = NoUpstream()

    assert Services(settings(LLM_API_KEY="k"), upstream).upstream is upstream


@pytest.mark.parametrize(
    ("environ", "model"),
    [
        ({}, "knowledge-quotes"),
        ({"LLM_API_KEY": "k", "LLM_MODEL": "big"}, "big"),
        ({"LLM_API_KEY": "k"}, "gpt-4o-mini"),
    ],
)
def test_there_is_always_a_default_model(environ: dict[str, str], model: str) -> None:
    assert Services(settings(**environ)).default_model == model


def test_an_upstream_with_a_model_of_its_own_answers_with_it() -> None:
    class Demo(NoUpstream):
        model = "local-demo"

    assert Services(settings(LLM_MODEL="big"), Demo()).default_model == "local-demo"


@pytest.mark.parametrize(("mode", "has_voice"), [("assets", False), ("speech", True), ("relay", False)])
def test_without_an_apis_voice_only_speech_has_one(mode: str, has_voice: bool) -> None:
    assert Services(settings(AUDIO_MODE=mode)).has_voice == has_voice


@pytest.mark.row("RF-07")
def test_the_knowledge_folder_is_looked_at_in_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "north").mkdir()
    for name in ("a.json", "north/b.json"):
        (tmp_path / name).write_text('{"x": "y"}')
    this_thread = monkey.get_original("_thread", "get_ident")
    threads = []
    scandir = os.scandir

    def watched(folder: Any) -> Any:
        threads.append(this_thread())
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", watched)

    Services(Settings(kb_dir=tmp_path, rag_tier="lexical")).knowledge.require("north")

    assert len(threads) == 3 and this_thread() not in threads
