"""The files of a knowledge base, at the start and while callers are served."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from fake_upstream import DONE, END, FakeUpstream, chunks, event, events
from living import LivingKnowledge
from running_server import RunningServer, held_by, running_server

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]
MIB = 1 << 20
LONG = "PARLEY_LONG" in os.environ
GOOD = {"Parking": "Parking is free behind the shop."}
ASKS = "Where is parking?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kb")


@pytest.fixture
def kb(folder: Path, first: FakeUpstream, quick_servers: Servers) -> LivingKnowledge:
    """A server whose folder is empty, and which looks at it twenty times a second."""
    knowledge = LivingKnowledge(quick_servers(KB_DIR=str(folder), KB_POLL="0.05", RAG_TIER="lexical"), folder, first)
    knowledge.clear()
    return knowledge


Started = Callable[[Path], LivingKnowledge]


@pytest.fixture
def started(first: FakeUpstream, quick_servers: Servers) -> Iterator[Started]:
    """Starts a server of its own on a folder."""
    running = []

    def start(folder: Path) -> LivingKnowledge:
        settings = {"KB_DIR": str(folder), "KB_POLL": "0.05", "RAG_TIER": "lexical"}
        context = running_server({"LLM_BASE_URL": first.base_url, **settings})
        running.append(context)
        return LivingKnowledge(context.__enter__(), folder, first)

    yield start
    for context in running:
        context.__exit__(None, None, None)


def ready(kb: LivingKnowledge) -> requests.Response:
    """The answer of readiness, once the knowledge has been read."""
    kb.wait_until(lambda: requests.get(f"{kb.server.url}/readyz", timeout=30).status_code == 200)
    return requests.get(f"{kb.server.url}/readyz", timeout=30)


class Flow:
    """A stream of the fake's that flows through the server meanwhile; `worst_gap` in seconds."""

    def __init__(self, kb: LivingKnowledge, upstream: FakeUpstream) -> None:
        self._kb = kb
        self._upstream = upstream
        self._over = threading.Event()
        self._usual = upstream.script
        self.worst_gap = 0.0

    def __enter__(self) -> "Flow":
        begun = threading.Event()

        def script(call: Any) -> Iterator[Any]:
            (*start, finish) = chunks("a")
            yield from events(start)
            while not self._over.is_set():
                yield 0.005
                yield event(start[-1])
            yield from (event(finish), event(DONE), END)

        def listen() -> None:
            body = {"messages": [{"role": "user", "content": "Flow"}], "stream": True}
            with requests.post(f"{self._kb.server.url}/chat/completions", json=body, stream=True, timeout=60) as heard:
                last = time.monotonic()
                for _ in heard.iter_content(chunk_size=None):
                    begun.set()
                    self.worst_gap = max(self.worst_gap, time.monotonic() - last)
                    last = time.monotonic()

        self._upstream.enqueue(script)
        self._listener = threading.Thread(target=listen)
        self._listener.start()
        assert begun.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._listener.join(30)


@pytest.mark.row("KB-01")
def test_a_broken_file_at_the_start_is_reported_with_its_place(tmp_path: Path, started: Started) -> None:
    (tmp_path / "faq.json").write_text('{\n  "documents": [\n    {"text": "a"}\n    {"text": "b"}\n  ]\n}')
    (tmp_path / "good.json").write_text(json.dumps(GOOD))

    kb = started(tmp_path)

    assert (ready(kb).status_code, kb.state()) == (200, "degraded")
    assert kb.faults() == ["faq.json:4:5: expected ',' delimiter"]
    assert GOOD["Parking"] in kb.told(ASKS)


@pytest.mark.row("KB-02")
def test_a_file_that_breaks_leaves_the_old_knowledge_in_use(kb: LivingKnowledge) -> None:
    kb.put("a.json", GOOD)
    kb.wait_until(lambda: kb.state() == "ok")
    failures = kb.metric("parley_kb_reload_failures_total")

    kb.put("a.json", '{\n"Parking": "Nowhere" oops}')
    kb.wait_until(lambda: kb.state() == "degraded")

    assert kb.metric("parley_kb_reload_failures_total") == failures + 1
    assert kb.faults()[-1] == "a.json:2:22: expected ',' delimiter"
    assert kb.logged("knowledge_kept")[-1]["level"] == "warning"
    assert GOOD["Parking"] in kb.told(ASKS)
    kb.put("a.json", {"Parking": "In the yard."})
    kb.wait_until(lambda: "In the yard." in kb.told(ASKS))
    assert kb.state() == "ok"


@pytest.mark.row("KB-03")
def test_entries_of_a_wrong_shape_are_reported_and_left_out(kb: LivingKnowledge) -> None:
    before = len(kb.faults())

    kb.put("a.json", ["text", {"title": "x"}, {"text": {"a": [1]}}, 3, None, {"title": "Parking", "text": "Behind."}])
    kb.wait_until(lambda: kb.state() == "degraded")

    assert [fault.partition(": ")[0] for fault in kb.faults()[before:]] == [f"a.json[{place}]" for place in range(5)]
    loaded = kb.logged("knowledge_loaded")[-1]
    assert (loaded["passages"], loaded["faults"]) == (1, 5)
    assert "Behind." in kb.told(ASKS)


@pytest.mark.row("KB-04")
@pytest.mark.parametrize("what", ["empty", "missing", "a directory named like a file", "no permission"])
def test_without_a_readable_file_the_server_starts_and_says_so(tmp_path: Path, started: Started, what: str) -> None:
    folder = tmp_path / "kb"
    if what != "missing":
        folder.mkdir()
    if what.startswith("a directory"):
        (folder / "x.json").mkdir()
    if what == "no permission":
        if os.geteuid() == 0:
            pytest.skip("root may read everything")
        folder.chmod(0)

    kb = started(folder)

    assert (ready(kb).status_code, kb.state()) == (200, "empty")
    assert kb.logged("knowledge_loaded")[0]["level"] == "warning"
    assert "nothing was found" in kb.told(ASKS)
    if what == "no permission":
        folder.chmod(0o700)


@pytest.mark.row("KB-05")
def test_a_file_too_large_is_refused_and_stops_no_stream(kb: LivingKnowledge, first: FakeUpstream) -> None:
    (worker,) = kb.server.worker_pids()
    kb.put("b.json", GOOD)
    kb.wait_until(lambda: kb.state() == "ok")
    rss = held_by(worker).rss_bytes

    with Flow(kb, first) as flow:
        kb.put("huge.json", b'{"x": "' + b"y" * (50 * MIB) + b'"}')
        kb.wait_until(lambda: kb.state() == "degraded")
        (kb.folder / "huge.json").unlink()
        kb.put(
            "long.json",
            {"Long": "The quick brown fox jumps over it. " * (150_000 if LONG else 30_000) + "The zebra sleeps."},
        )
        kb.wait_until(lambda: "The zebra sleeps." in kb.told("Does the zebra sleep?"), timeout=120)

    assert "huge.json: is larger than 20 MiB; split it" in kb.faults()
    assert flow.worst_gap < 1.0  # 20 ms on a machine that has nothing else to do
    assert held_by(worker).rss_bytes - rss < 400 * MIB
    assert GOOD["Parking"] in kb.told(ASKS)


@pytest.mark.row("KB-05")
def test_of_a_million_entries_a_hundred_thousand_are_kept(kb: LivingKnowledge) -> None:
    kb.put("many.json", "[" + ",".join(['{"text":"fox"}'] * 1_000_000) + "]")

    kb.wait_until(lambda: any("100000 passages" in fault for fault in kb.faults()), timeout=120)

    assert "many.json[100000]: the limit of 100000 passages is reached: the file is left out from here on" in (
        kb.faults()
    )
    kb.wait_until(lambda: kb.logged("knowledge_loaded")[-1]["passages"] == 100_000, timeout=120)
    assert kb.ask("fox").status == 200


@pytest.mark.slow
@pytest.mark.row("RF-07")
@pytest.mark.parametrize("bases", [0, 500], ids=["one base", "500 bases"])
def test_thousands_of_files_stop_no_stream(tmp_path: Path, started: Started, first: FakeUpstream, bases: int) -> None:
    for number in range(10_000 if not bases else 1_000):
        file = tmp_path / (f"b{number % bases}" if bases else "") / f"{number}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({"title": f"Number {number}", "text": f"Text {number}."}))
    kb = started(tmp_path)

    with Flow(kb, first) as flow:
        kb.wait_until(lambda: kb.state() != "loading", timeout=120)
        kb.put("new.json", GOOD)
        kb.wait_until(lambda: GOOD["Parking"] in kb.told(ASKS), timeout=120)

    assert flow.worst_gap < 1.0  # 10 ms on a machine that has nothing else to do


@pytest.mark.row("KB-06")
def test_utf_8_of_every_script_is_found_other_codings_named(kb: LivingKnowledge) -> None:
    texts = {
        "Hours": "Grüße! Geöffnet ab 9 Uhr.",
        "arabic": "موقف السيارات خلف المتجر",
        "chinese": "我们的商店在车站旁边。",
        "japanese": "駐車場は店の裏にあります。",
        "russian": "Парковка за магазином бесплатна.",
        "emoji": "Bells \U0001f514 cost five dollars.\r\nHorns too.",
    }
    before = len(kb.faults())

    kb.put("good.json", b"\xef\xbb\xbf" + json.dumps(texts, ensure_ascii=False).encode())
    kb.put("utf16.json", json.dumps(GOOD).encode("utf-16"))
    kb.put("latin.json", '{"Gr\xfc\xdfe": "sch\xf6n"}'.encode("latin-1"))
    kb.put("nul.json", b'{"a": "b\x00"}')
    kb.wait_until(lambda: len(kb.faults()) >= before + 3 and "Uhr" in kb.told("Geöffnet?"))

    assert {fault.partition(";")[0] for fault in kb.faults()[-3:]} == {
        "utf16.json: is UTF-16",
        "latin.json: is not UTF-8 but perhaps Latin-1 (line 1)",
        "nul.json:1:9: invalid control character",
    }
    for question, found in [
        ("موقف السيارات", texts["arabic"]),
        ("商店在哪里", texts["chinese"]),
        ("駐車場はどこですか", texts["japanese"]),
        ("парковка", texts["russian"]),
        ("bells \U0001f514", "cost five dollars.\nHorns too."),
    ]:
        assert found in kb.told(question), question


@pytest.mark.row("KB-07")
def test_links_out_of_the_folder_and_editor_files_are_ignored(kb: LivingKnowledge, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text('{"Parking": "The secret yard."}')
    for name in (".hidden.json", ".#a.json", "~$a.json", "#a.json#", "a.json~", "a.json.bak"):
        kb.put(name, '{"Parking": "A draft."}')

    (kb.folder / "link.json").symlink_to(tmp_path / "secret.json")
    (kb.folder / "sub").mkdir(exist_ok=True)
    (kb.folder / "sub" / "up.json").symlink_to("../../../../../../../../etc/hostname")
    kb.put("a.json", GOOD)
    kb.wait_until(lambda: GOOD["Parking"] in kb.told(ASKS))

    assert "link.json: is a link that leads out of its folder" in kb.faults()
    assert "sub/up.json: is a link that leads out of its folder" in kb.faults()
    assert "secret" not in kb.told(ASKS) and "draft" not in kb.told(ASKS)
    assert kb.logged("knowledge_fault")[-1]["level"] == "warning"


@pytest.mark.row("KB-08")
def test_half_a_file_is_never_served(kb: LivingKnowledge) -> None:
    def edition(number: int) -> str:
        entries = [{"id": f"{at}", "title": "Parking", "text": f"Yard {at}, edition {number}."} for at in range(2)]
        return json.dumps(entries)

    kb.put("a.json", edition(1))
    kb.wait_until(lambda: "edition 1" in kb.told(ASKS))
    failures = kb.metric("parley_kb_reload_failures_total")

    (kb.folder / "a.json").write_text(edition(2)[:60])
    kb.wait_until(lambda: kb.metric("parley_kb_reload_failures_total") > failures)
    told = kb.told(ASKS)
    assert told.count("edition 1") == 2 and "edition 2" not in told
    (kb.folder / "a.json").write_text(edition(2))
    kb.wait_until(lambda: "edition 2" in (told_now := kb.told(ASKS)) and "edition 1" not in told_now)

    assert kb.told(ASKS).count("edition 2") == 2


@pytest.mark.row("KB-08")
def test_reloads_under_load_fail_no_question(kb: LivingKnowledge) -> None:
    def edition(number: int) -> list[dict[str, str]]:
        return [{"id": f"{at}", "title": "Parking", "text": f"Yard {at}, edition {number}."} for at in range(2)]

    kb.put("a.json", edition(0))
    kb.wait_until(lambda: "edition 0" in kb.told(ASKS))
    before = kb.metric("parley_kb_reloads_total")
    over = threading.Event()
    told: list[str] = []

    def caller() -> None:
        while not over.is_set():
            told.append(kb.told(ASKS))

    callers = [threading.Thread(target=caller) for _ in range(4)]
    for thread in callers:
        thread.start()
    for number in range(1, 26):
        kb.put("a.json", edition(number))
        kb.wait_until(lambda number=number: kb.metric("parley_kb_reloads_total") >= before + number)
    over.set()
    for thread in callers:
        thread.join(30)

    editions = [{part.partition(".")[0] for part in text.split("edition ")[1:]} for text in told]
    assert len(told) > 25 and all(len(found) == 1 for found in editions)
    assert len(set.union(*editions)) > 5
    assert kb.state() == "ok"


@pytest.mark.row("KB-09")
@pytest.mark.parametrize(
    "question",
    [
        "",
        " \n\t",
        "the of and to a",
        "\U0001f6b2\U0001f6b2\U0001f6b2",
        ".*(?:a+)+$[[[\\",
        "%s{0}{tag}\\0",
        "parking " * 130_000,
        "x" * MIB,
        "(" * MIB,
    ],
    ids=["empty", "blank", "stop words", "emoji", "regex", "format", "many words", "one word", "brackets"],
)
def test_no_question_is_too_odd_to_be_looked_up(kb: LivingKnowledge, question: str) -> None:
    kb.put("a.json", GOOD)
    kb.wait_until(lambda: kb.state() == "ok")

    heard = kb.ask(question)

    assert (heard.status, heard.text, heard.end["outcome"]) == (200, "Hello there", "ok")
    # Without a word, there is no search. It takes 50 ms on a machine that has nothing else to do.
    assert (heard.end["lookup_ms"] or 0) < 500
    assert "rag degraded" not in heard.body.decode()


@pytest.mark.row("KB-10")
def test_searching_100_000_passages_stops_no_stream(kb: LivingKnowledge, first: FakeUpstream) -> None:
    words = ["chain", "brake", "wheel", "tyre", "saddle", "spoke", "pedal", "rim", "hub", "fork", "lamp", "bell"] * 3
    entries = [
        {"text": f"The {words[at % 12]} {words[at % 17]} number {at} costs {at % 90}."}
        for at in range(100_000 if LONG else 20_000)
    ]
    kb.put("a.json", entries)
    kb.wait_until(lambda: kb.state() == "ok", timeout=150)

    with Flow(kb, first) as flow:
        ends = [kb.ask(f"What does the {word} number {477 * at} cost?").end for at, word in enumerate(words)]

    assert all(end["passages"] > 0 for end in ends)
    assert sorted(end["lookup_ms"] for end in ends)[len(ends) // 2] < 200  # 20 on a machine with nothing else to do
    assert flow.worst_gap < 0.5
