"""The last turns: of one worker in memory, of several in files; never the caller's address."""

import json
import random
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.telemetry.recent_turns import FIELDS, RecentTurns, encoded, now
from parley.telemetry.turn_files import ROOM, SLOT_BYTES, SLOTS
from parley.turn_record import TurnRecord

ANY = st.text(st.characters(), max_size=3000)
PAGE = (Path(__file__).parents[2] / "docs" / "playground.md").read_text()


def record_of(number: int, **fields: object) -> TurnRecord:
    record = TurnRecord("chat", f"id-{number}", client="10.1.2.3", client_by="proxy")
    for name, value in fields.items():
        setattr(record, name, value)
    return record


@pytest.fixture(params=["memory", "files"])
def turns(request: pytest.FixtureRequest, tmp_path: Path) -> RecentTurns:
    return RecentTurns(3, str(tmp_path) if request.param == "files" else None, 1)


def test_a_turn_has_the_fields_of_its_log_line_less_the_address(turns: RecentTurns) -> None:
    before = time.time() * 1000
    turns.add(record_of(1, outcome="ok", ttft_ms=2.5, chunks=4))

    (turn,) = turns.since(0, 10)
    assert list(turn) == ["seq", "at", "worker", *FIELDS] and turn["worker"] == 3
    assert (turn["id"], turn["outcome"], turn["ttft_ms"], turn["chunks"], turn["code"]) == ("id-1", "ok", 2.5, 4, None)
    assert before - 1 <= turn["at"] <= time.time() * 1000 + 1
    assert "10.1.2.3" not in json.dumps(turn) and not {"client", "client_by"} & set(turn)


def test_the_page_documents_each_field(turns: RecentTurns) -> None:
    turns.add(record_of(1))
    (turn,) = turns.since(0, 10)
    example = PAGE.partition("### `GET turns")[2].partition("```json\n")[2].partition("```")[0]

    assert list(json.loads(example)["turns"][0]) == list(turn)


def test_the_newest_come_first_and_only_those_behind(turns: RecentTurns) -> None:
    for number in range(SLOTS + 5):
        turns.add(record_of(number))

    all_of_them = turns.since(0, 1000)
    assert [turn["id"] for turn in all_of_them] == [f"id-{number}" for number in range(SLOTS + 4, 4, -1)]
    assert turns.since(all_of_them[0]["seq"], 10) == []
    assert turns.since(all_of_them[3]["seq"], 10) == all_of_them[:3]
    assert turns.since(0, 2) == all_of_them[:2]


def test_an_order_of_another_run_starts_anew(turns: RecentTurns) -> None:
    turns.add(record_of(1))

    assert len(turns.since(now() + 10**12, 10)) == 1


def test_a_clock_that_is_set_back_changes_no_order(turns: RecentTurns, monkeypatch: pytest.MonkeyPatch) -> None:
    turns.add(record_of(1))
    monkeypatch.setattr(time, "time", lambda: 1.0)
    turns.add(record_of(2))

    assert [turn["id"] for turn in turns.since(0, 10)] == ["id-2", "id-1"]


def test_turns_of_one_moment_keep_their_order(turns: RecentTurns, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = now()
    monkeypatch.setattr("parley.telemetry.recent_turns.now", lambda: moment)
    for number in range(3):
        turns.add(record_of(number))

    assert len({turn["seq"] for turn in turns.since(0, 10)}) == 3


def test_whichever_worker_is_asked_tells_the_turns_of_all(tmp_path: Path) -> None:
    workers = [RecentTurns(number, str(tmp_path), number) for number in (1, 2)]
    for number in range(6):
        workers[number % 2].add(record_of(number))

    for worker in workers:
        told = worker.since(0, 10)
        assert [turn["id"] for turn in told] == [f"id-{number}" for number in range(5, -1, -1)]
        assert [turn["worker"] for turn in told] == [2, 1] * 3
        assert worker.workers == 2


def test_without_space_a_worker_keeps_its_own(tmp_path: Path) -> None:
    alone = RecentTurns(1, str(tmp_path / "gone"), 1)
    alone.add(record_of(1))

    assert len(alone.since(0, 10)) == 1 and alone.workers == 1


@pytest.mark.row("PG-14")
def test_ten_thousand_turns_leave_files_of_fixed_size(tmp_path: Path) -> None:
    chosen = random.Random(7)
    texts = ["", "short", "x" * 5000, "\ud83d" * 900, "名" * 2000, '"\\\x00' * 700, "</script>"]
    workers = [RecentTurns(number, str(tmp_path), number) for number in range(4)]
    for number in range(10_000):
        fields = {name: chosen.choice(texts) for name in ("model", "reason", "tools", "session", "code")}
        workers[number % 4].add(record_of(number, **fields))

    assert [file.stat().st_size for file in tmp_path.iterdir()] == [SLOTS * SLOT_BYTES] * 4
    told = workers[0].since(0, 10_000)
    assert [turn["id"] for turn in told] == [f"id-{number}" for number in range(9999, 9199, -1)]


@pytest.mark.row("PG-14")
@given(model=ANY, reason=ANY, tools=ANY, code=ANY)
def test_a_turn_always_fits_into_its_slot(model: str, reason: str, tools: str, code: str) -> None:
    record = record_of(1, model=model, reason=reason, tools=tools, code=code)
    content = encoded({"at": 1, "worker": 1, **{name: getattr(record, name) for name in FIELDS}})

    assert len(content) <= ROOM
    assert json.loads(content)["id"] == "id-1"
