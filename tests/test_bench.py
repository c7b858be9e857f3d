"""The measuring tools measure: run for a moment against the real server, and on figures made up here."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hotspots import REST, part_of
from measuring import capacity, documents, figures, machine, tables
from measuring.targets import KEY, TARGETS, running_target
from measuring.upstream import running_upstream

BENCH = Path(__file__).resolve().parent.parent / "bench"

compiler = pytest.mark.skipif(not shutil.which("cc"), reason="the tools are written in C, and there is no compiler")
MOST_LINES = 300
RESULT = {
    "seconds": 2.0,
    "answers": 10,
    "chunks": 1000,
    "altered": 0,
    "target_cpu": 0.02,
    "target_waited": 0.2,
    "cpu_seconds": 0.001,
    "upstream_cpu": 0.001,
    "wrong": {"broken": 0},
    **{kind: {"p50": 0.5, "p99": 0.7, "max": 0.9} for kind in ("first", "relay", "gap")},
}


def ask(port: int, path: str, *arguments: str) -> dict[str, object]:
    """What the load generator says of a few calls."""
    command = [str(machine.BUILD / "load"), "--port", str(port), "--path", path, "--limit", "20", *arguments]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout))


@compiler
@pytest.mark.slow
def test_the_load_finds_the_upstreams_own_answers_unaltered() -> None:
    machine.build()
    with running_upstream() as upstream:
        upstream.set(20, together=8)
        heard = ask(upstream.port, "/v1/chat/completions", "--clients", "4", "--answers", "12", "--tokens", "20")
        stats = upstream.stats()

    assert (heard["right"], heard["altered"], heard["chunks"]) == (12, 0, 12 * 22)
    assert (stats["open_streams"], stats["connections"]) == (0, 5)  # ours, too


@compiler
@pytest.mark.slow
def test_the_load_counts_a_stream_lacking_a_word_as_incomplete() -> None:
    machine.build()
    with running_upstream() as upstream:
        upstream.set(19)
        heard = ask(upstream.port, "/v1/chat/completions", "--answers", "3", "--tokens", "20")

    assert heard["right"] == 0
    assert heard["wrong"]["incomplete"] == 3  # type: ignore[index]


@compiler
@pytest.mark.slow
def test_a_far_upstream_costs_two_round_trips() -> None:
    machine.build()
    port = machine.free_port()
    with running_upstream() as upstream:
        upstream.set(3)
        far = machine.Tree([machine.BUILD / "delay", str(port), str(upstream.port), "50"], cores=machine.CORES)
        with machine.running(far, port):
            heard = ask(port, "/v1/chat/completions", "--answers", "2", "--tokens", "3")

    assert (heard["right"], heard["altered"]) == (2, 0)
    # A little less: on a busy machine a caller's clock may start late.
    assert heard["first"]["p50"] >= 40  # type: ignore[index] - over the kept connection
    assert heard["first"]["max"] >= 90  # type: ignore[index]


@compiler
@pytest.mark.server
def test_a_measurement_finds_every_payload_unaltered() -> None:
    machine.build()
    with running_upstream() as upstream, running_target("parley", TARGETS["parley"], upstream.base_url) as running:
        upstream.set(1)
        streams = ask(running.port, running.path, "--key", KEY, "--answers", "50", "--tokens", "1")
        upstream.set(64)
        objects = ask(running.port, running.path, "--key", KEY, "--answers", "50", "--tokens", "64", "--whole")
        cpu_seconds, memory_kib = running.cpu_seconds(), running.memory_kib()

    assert (streams["right"], streams["altered"], streams["first_error"]) == (50, 0, "")
    assert (objects["right"], objects["altered"], objects["first_error"]) == (50, 0, "")
    assert cpu_seconds > 0.01 and memory_kib > 10_000


@compiler
@pytest.mark.server
def test_the_command_prints_its_tables() -> None:
    command = [sys.executable, BENCH / "relay.py", "--targets", "direct,parley", "--scenarios", "S0", "--rounds", "1"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout

    for row in ("| direct | ", "| parley | ", "| S0: CPU ms a streamed request | ", "| parley | S0 | "):
        assert row in printed, printed
    assert "| answers wrong | ≤ 0 |  | 0 | kept |" in printed


def test_numbers_become_medians_and_lists_are_joined() -> None:
    rounds = [
        {"a": {"b": 1}, "c": [1.0], "d": ""},
        {"a": {"b": 9}, "c": [None], "d": "x"},
        {"a": {"b": 2}, "c": [], "d": ""},
    ]

    assert figures.median(rounds) == {"a": {"b": 2}, "c": [1.0, None], "d": "x"}


def test_the_figures_are_cpu_by_request_and_by_chunk() -> None:
    told = figures.of_target({"S3": RESULT, "leave": {"talking": [1.0, 3.0], "silent": [1.0, None]}})

    assert (told["S3 ms a request"], told["S3 us a chunk"]) == (2.0, 20.0)
    assert (told["S3 target busy %"], told["S3 target waited %"], told["S3 tools busy %"]) == (1.0, 10.0, 0.1)
    assert (told["leave talking ms"], told["leave silent ms"], told["wrong"]) == (3.0, None, 0)


@pytest.mark.parametrize(("own", "verdict"), [(30.0, "**missed**"), (20.0, "kept"), (10.0, "kept, and the wish")])
def test_a_goal_is_missed_kept_or_outdone(own: float, verdict: str) -> None:
    goal = tables.Goal("what", 20, 10, lambda told: told["parley"]["x"], 0)

    assert goal.row({"parley": {"x": own}}) == ["what", "≤ 20", "≤ 10", f"{own:.0f}", verdict]


def test_goals_that_were_not_measured_are_left_out() -> None:
    assert tables.of_goals({"parley": {"S0 ms a request": 0.3}}, portable=False).count("\n") == 2


def test_a_portable_goal_has_no_unit_of_one_machine() -> None:
    absolute = re.compile(r"\b(ms|µs|KiB|idle CPU|a CPU second)\b")

    portable = [goal.what for goal in tables.GOALS if goal.portable]

    assert all("in times" in what or not absolute.search(what) for what in portable)
    assert all(absolute.search(goal.what) for goal in tables.GOALS if not goal.portable)
    assert len(portable) >= 9


@pytest.mark.parametrize(
    ("document", "names"),
    [
        (documents.PERFORMANCE, ("relays", "goals", "hotspots", "distance", "startup", "bench")),
        (documents.SCALING, ("capacity", "scaling")),
        (documents.TARGETS, ("targets", "distance", "startup")),
    ],
    ids=lambda value: value.name if isinstance(value, Path) else "",
)
def test_each_page_has_the_markers_that_the_bench_writes_between(
    document: Path, names: tuple[str, ...], tmp_path: Path
) -> None:
    page = tmp_path / document.name
    page.write_text(document.read_text())

    for name in names:
        documents.put(name, "new", page)

    assert page.read_text().count("\nnew\n") == len(names)


def test_the_users_page_has_no_goal_in_units_of_one_machine() -> None:
    page = documents.PERFORMANCE.read_text()
    rows = page.partition("<!-- goals: begin -->")[2].partition("<!-- goals: end -->")[0].splitlines()[3:]

    assert {row.split(" | ")[0].removeprefix("| ") for row in rows} <= {
        goal.what for goal in tables.GOALS if goal.portable
    }
    assert "required" not in page.partition("<!-- startup: begin -->")[2]


def test_a_cores_capacity_is_that_of_turns_of_sixty_chunks() -> None:
    table = capacity.of_a_core({"S0 ms a request": 0.5, "S3 us a chunk": 25.0, "S5 KiB a stream": 20.48})

    cells = [line.split(" | ")[1].removesuffix(" |") for line in table.splitlines()[2:]]
    assert cells == ["2.00 ms", "250", "2\u202f500", "400", "20 MiB"]
    assert capacity.of_a_core({"S0 ms a request": 0.5}) == ""


def test_only_the_text_between_the_markers_changes(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n")

    documents.put("x", "new", document)

    assert document.read_text() == "a\n<!-- x: begin -->\nnew\n<!-- x: end -->\nb\n"
    with pytest.raises(ValueError, match="no markers 'y'"):
        documents.put("y", "new", document)


def test_a_file_of_the_bench_has_at_most_three_hundred_lines() -> None:
    lines = {file.name: len(file.read_text().splitlines()) for file in BENCH.glob("**/*.py")}

    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_a_sample_counts_for_the_innermost_owned_code() -> None:
    serving = ["handle (gunicorn/workers/base_async.py:98)", "__call__ (flask/app.py:1536)"]
    assert part_of(serving) == "Flask, Werkzeug"
    assert part_of([*serving, "ip_address (ipaddress.py:45)"]) == "Flask, Werkzeug"
    assert part_of([*serving, "complete (blueprints/basic.py:14)", "look (parley/wire/chunks.py:191)"]) == (
        "events and chunks"
    )
    assert part_of(["run (threading.py:1)"]) == REST
