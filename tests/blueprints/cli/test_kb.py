"""`flask kb check`, `search` and `import`: what is printed, as lines and as JSON, and the exit codes."""

import json
import re
import shlex
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import Result
from fake_upstream import Call, FakeUpstream, Step, refusal, whole
from gevent.threadpool import ThreadPool
from redis_servers import RedisServer

from app import create_app
from blueprints.cli import kb as cli
from parley import concurrency
from parley.knowledge import documents
from parley.settings import Settings
from parley.shared import link, urls
from parley.telemetry import logs

KEY = "sk-proj-" + "a1B2" * 8


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """The search silences the log of its process, which here is that of all tests."""
    yield
    logs.configure("info", None)


@pytest.fixture(autouse=True)
def _threads_end(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Wait for the threads of a command: a model may be read behind an answer that needs none.

    Python 3.11 fails (SystemError) where two threads parse code, as NumPy does in a file and Werkzeug in a route.
    """
    made, make = [], concurrency.thread_pool

    def kept(count: int) -> ThreadPool:
        made.append(make(count))
        return made[-1]

    monkeypatch.setattr(concurrency, "thread_pool", kept)
    yield
    for pool in made:
        pool.join()


def kb(folder: Path, *args: str) -> Result:
    """Run `flask kb ...` on a folder."""
    return create_app(Settings(kb_dir=folder)).test_cli_runner().invoke(args=["kb", *args])


def told(folder: Path, *args: str) -> Any:
    """Return the JSON that a command prints."""
    return json.loads(kb(folder, *args, "--json").stdout)


def write(file: Path, content: Any) -> None:
    file.parent.mkdir(exist_ok=True, parents=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))


# --- check ---


def test_a_folder_without_fault_is_well(tmp_path: Path) -> None:
    write(tmp_path / "a.json", {"Parking": "Behind the shop."})
    write(tmp_path / "north" / "b.json", {"Parking": "In the yard."})

    result = kb(tmp_path, "check")

    assert result.exit_code == 0
    assert result.output.splitlines() == [
        f"{tmp_path}: 1 files, 1 passages, 16 characters in English, 0 invisible characters removed",
        f"{tmp_path}/north: 1 files, 1 passages, 12 characters in English, 0 invisible characters removed",
        "0 errors, 0 warnings",
    ]


def test_the_sample_knowledge_is_well() -> None:
    result = kb(Path(__file__).parents[3] / "kb_data", "check", "--strict")

    assert result.exit_code == 0, result.output


def test_a_folder_that_is_missing_is_an_error(tmp_path: Path) -> None:
    result = kb(tmp_path / "none", "check")

    assert (result.exit_code, "can't be read" in result.output) == (1, True)


def test_a_key_is_an_error_and_is_not_printed(tmp_path: Path) -> None:
    write(tmp_path / "a.json", [{"text": "fine"}, {"id": "k", "text": f"The key is {KEY}."}])

    result = kb(tmp_path, "check")

    assert result.exit_code == 1 and KEY not in result.output
    assert f"error: {tmp_path}/a.json:7 [k]: looks like a key or password" in result.output.splitlines()


def test_warnings_count_where_the_check_is_strict(tmp_path: Path) -> None:
    write(tmp_path / "a.json", {"x": "See https://x.example/p?q=1"})

    assert [kb(tmp_path, "check").exit_code, kb(tmp_path, "check", "--strict").exit_code] == [0, 1]


def test_the_check_as_json_has_bases_findings_and_counts(tmp_path: Path) -> None:
    write(tmp_path / "a.json", ["x", {"text": "z\u200b"}])

    report = told(tmp_path, "check")

    (base,) = report.pop("bases")
    assert report == {"errors": 1, "warnings": 0}
    assert base["findings"] == [
        {
            "severity": "error",
            "file": f"{tmp_path}/a.json",
            "line": 2,
            "where": "[0]",
            "message": 'the entry is not an object; write {"text": "..."}',
        }
    ]
    assert (base["kb"], base["passages"], base["invisible_characters"], base["characters"]) == ("", 1, 1, 1)


# --- search ---


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Restore the log's configuration: a command changes it for its process, which here runs all tests."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
    vars(logs.log).pop("bind", None)  # what structlog remembers of the configuration on first use


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    write(
        tmp_path / "a.json", [{"id": "tune-up", "title": "Tune-up", "text": "It costs 65 dollars.", "language": "en"}]
    )
    write(tmp_path / "north" / "a.json", {"Tune-up": "It costs 70 dollars."})
    return tmp_path


@pytest.mark.slow
def test_a_search_tells_what_was_found_why_and_what_is_sent(shop: Path) -> None:
    result = kb(shop, "search", "How much is a tune-up?")

    base, gate, found, first, *rest = result.output.splitlines()
    assert result.exit_code == 0
    assert base.startswith("base: language en, searched by words") and gate == "gate: asks"
    assert re.fullmatch(r"found: (evidence|coverage) [\d.]+, threshold [\d.]+", found)
    assert first.startswith("1. ") and "[tune-up] Tune-up (a.json)" in first and "shares tune" in first
    assert "[tune-up] Tune-up" in rest and "It costs 65 dollars." in rest and rest[-1] == "How much is a tune-up?"


@pytest.mark.slow
def test_a_search_as_json_is_json_alone(shop: Path) -> None:
    report = told(shop, "search", "How much is a tune-up?", "--kb", "north")

    (hit,) = report["hits"]
    assert (hit["text"], hit["sent"], hit["file"]) == ("It costs 70 dollars.", True, "a.json") and hit["score"] > 0
    assert report["sent"].endswith("How much is a tune-up?") and "It costs 70 dollars." in report["sent"]


@pytest.mark.slow
def test_a_search_that_finds_nothing_says_so_by_its_exit_code(shop: Path) -> None:
    result = kb(shop, "search", "Xyzzy plugh?")

    assert (result.exit_code, "nothing was found" in result.output) == (1, True)


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    write(tmp_path / "a.json", [{"id": "pump", "title": "Pump", "text": "The MX-204B is a drain pump for $49."}])
    write(tmp_path / "nord" / "a.json", {"Parken": "Das ist hinter dem Haus."})
    write(tmp_path / "offen" / "a.json", {"Hello": "We say hello to all."})
    write(tmp_path / "offen" / "base.json", {"encoder": "none", "small_talk": False})
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "lines"),
    [
        (["m x two oh four b"], ["gate: asks; looked up: MX-204B"]),
        (
            ["yes please", "--agent", "Shall I tell you about the pump?"],
            ["looked up: Shall I tell you about the pump?"],
        ),
        (["and how much", "--before", "which pump is it"], ["with the turns before: which pump is it"]),
        (["thanks bye"], ["gate: small talk; the model answers without a search"]),
        (["who is the president of France"], ["nothing found: ", " is below "]),
        (["wo ist das", "--kb", "nord"], ["base: language de, searched by words"]),
        (["hello", "--kb", "offen"], ["base: language en, searched by words alone", "gate: off"]),
    ],
    ids=["folded", "assent", "follow-up", "small-talk", "refused", "German", "gate-off"],
)
def test_a_search_tells_how_it_was_made(parts: Path, args: list[str], lines: list[str]) -> None:
    output = kb(parts, "search", *args).output

    assert [line for line in lines if line not in output] == []


@pytest.mark.slow
def test_what_decided_is_told_as_json(parts: Path) -> None:
    report = told(parts, "search", "pump m x two oh four b", "--kb", "")

    assert (report["language"], report["gate"], report["looked_up"]) == ("en", "asks", "pump MX-204B")
    assert report["confidence"] > report["threshold"] > 0
    assert (report["before"], report["refusal"]) == ("", "")
    nothing = told(parts, "search", "thanks")
    assert (nothing["gate"], nothing["looked_up"], nothing["hits"], nothing["sent"]) == (
        "small talk",
        None,
        [],
        "thanks",
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "args", [["search", "x", "--kb", "south"], ["search", "x", "--filter", "language"], ["search"], ["import"]]
)
def test_a_command_that_makes_no_sense_ends_with_2(shop: Path, args: list[str]) -> None:
    assert kb(shop, *args).exit_code == 2


def test_a_search_without_an_encoder_says_so_and_goes_by_words(shop: Path, tmp_path: Path) -> None:
    with FakeUpstream() as api:
        api.script = refusal(500, {"message": "out of order"}, {"connection": "close"})
        settings = Settings(
            kb_dir=shop, rag_tier="auto", embeddings_base_url=api.base_url, embeddings_cache=tmp_path / "cache"
        )
        result = create_app(settings).test_cli_runner().invoke(args=["kb", "search", "How much is a tune-up?"])

    assert result.exit_code == 0 and "[tune-up] Tune-up (a.json)" in result.stdout
    reason = "the embeddings API answered with status 500"
    assert result.stderr == f"the passages are not encoded, so they are found by words alone: {reason}\n"


def test_searches_share_vectors_in_redis(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A busy machine is late.
    monkeypatch.setattr(link, "BEAT_DEADLINE", 20.0)

    def encoded(call: Call) -> list[Step]:
        rows = [{"index": at, "embedding": [1.0, 0.5]} for at in range(len(call.json["input"]))]
        return whole(json.dumps({"data": rows}).encode(), headers={"connection": "close"})

    with FakeUpstream() as api, RedisServer() as redis:
        api.script = encoded
        asked = []
        for _ in range(2):
            settings = Settings(
                kb_dir=shop,
                rag_tier="auto",
                embeddings_base_url=api.base_url,
                embeddings_cache="redis",
                redis_url=urls.parse(redis.url),
                redis_timeout=20_000,
            )
            result = create_app(settings).test_cli_runner().invoke(args=["kb", "search", "How much is a tune-up?"])
            assert result.exit_code == 0, result.output
            asked.append({text for call in api.calls for text in call.json["input"]})
            api.calls.clear()

    # The second time the question alone is encoded, if at all: on a busy machine its time may be over.
    assert len(asked[0]) > 1 and asked[1] <= {"How much is a tune-up?"}


# --- import ---


def imported(folder: Path, file: Path) -> list[tuple[str, str]]:
    """Return titles and texts of an imported document, as the server reads them."""
    result = kb(folder, "import", str(file))
    assert result.exit_code == 0, result.output
    loaded = documents.load(folder)
    assert not loaded.problems
    return [(passage.title, passage.text) for passage in loaded.passages]


def test_files_go_to_a_base_of_their_own_where_one_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "x")

    assert kb(tmp_path / "kb", "import", "--kb", "north", str(tmp_path / "a.txt")).exit_code == 0
    assert (tmp_path / "kb" / "north" / "a.json").exists()
    assert kb(tmp_path / "kb", "import", "--kb", "../south", str(tmp_path / "a.txt")).exit_code == 2


def test_nothing_is_written_over_unless_it_is_forced(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "old")
    imported(tmp_path / "kb", tmp_path / "a.txt")
    write(tmp_path / "a.txt", "new")

    refused = kb(tmp_path / "kb", "import", str(tmp_path / "a.txt"))
    forced = kb(tmp_path / "kb", "import", "--force", str(tmp_path / "a.txt"))

    assert (refused.exit_code, "use --force" in refused.output, forced.exit_code) == (1, True, 0)
    assert documents.load(tmp_path / "kb").passages[0].text == "new"


def test_one_bad_file_does_not_keep_the_others_out(tmp_path: Path) -> None:
    write(tmp_path / "good.txt", "x")
    (tmp_path / "latin.txt").write_bytes("привет, мир".encode("windows-1251"))
    write(tmp_path / "blank.md", " \n")
    files = [str(tmp_path / name) for name in ("latin.txt", "good.txt", "none.txt", "blank.md", "a.exe")]

    result = kb(tmp_path / "kb", "import", "--json", *files)
    report = json.loads(result.stdout)

    assert (result.exit_code, report["failed"]) == (1, 4)
    assert [entry.get("fault", entry.get("entries")) for entry in report["files"]] == [
        "is neither UTF-8 nor Windows-1252 (line 1); name its encoding, for example `--encoding windows-1251` "
        "(Cyrillic), shift_jis or gb18030",
        1,
        "can't be read: No such file or directory",
        "contains no text",
        "has an unknown suffix; the known ones are .md, .markdown, .txt, .csv, .tsv, .tab, .xlsx, .xlsm, .xls, .json, "
        ".jsonl, .ndjson, .yaml, .yml, .html, .htm, .pdf, .docx",
    ]


@pytest.mark.row("RC-01")
def test_rows_that_give_no_entry_are_named_with_exit_code_1(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "question,answer\nWhere?,Here.\nWhen?,\n")

    result = kb(tmp_path / "kb", "import", str(tmp_path / "a.csv"))

    assert result.exit_code == 1
    assert result.stdout.endswith("a.json: 1 entries\n  left out: line 3: has no answer (When?)\n")


@pytest.mark.row("RC-02")
def test_the_fault_of_unknown_columns_names_options_that_work(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "Bike,Price\nCity,25\n")
    file, folder = str(tmp_path / "a.csv"), tmp_path / "kb"

    refused = kb(folder, "import", file)
    named = kb(folder, "import", file, "--question", "Bike", "--answer", "Price")
    as_rows = kb(folder, "import", file, "--table", "--force")

    assert refused.exit_code == 1 and "--question NAME --answer NAME" in refused.output and "--table" in refused.output
    assert (named.exit_code, as_rows.exit_code) == (0, 0)
    assert documents.load(folder).passages[0].text == "Bike: City. Price: 25."


@pytest.mark.row("RC-02")
def test_the_encoding_is_told_and_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("Frage;Antwort\r\nWo?;Grüße\r\n".encode("windows-1252"))
    (tmp_path / "b.csv").write_bytes("Frage;Antwort\r\nWo?;Grüße\r\n".encode("cp850"))

    told = kb(tmp_path / "kb", "import", str(tmp_path / "a.csv"))
    named = kb(tmp_path / "kb", "import", "--encoding", "cp850", str(tmp_path / "b.csv"))

    assert (told.exit_code, "note: read as Windows-1252" in told.output) == (0, True)
    assert (named.exit_code, "note: read as cp850" in named.output) == (0, True)
    assert [passage.text for passage in documents.load(tmp_path / "kb").passages] == ["Grüße", "Grüße"]


@pytest.mark.parametrize("suffix", [".html", ".pdf", ".docx", ".xlsx", ".yaml"])
def test_without_the_converter_it_is_said_what_to_install(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("markitdown", "openpyxl", "yaml"):
        monkeypatch.setitem(sys.modules, package, None)  # as where it is not installed
    write(tmp_path / f"a{suffix}", "PK\x03\x04" if suffix == ".xlsx" else "x")

    result = kb(tmp_path / "kb", "import", str(tmp_path / f"a{suffix}"))

    assert result.exit_code == 1 and "pip install -r requirements-import.txt" in result.output


converter = pytest.mark.skipif(not find_spec("markitdown"), reason="needs requirements-import.txt")


# --- the guide ---


@pytest.mark.slow
def test_the_commands_of_the_guide_do_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (Path(__file__).parents[3] / "docs" / "knowledge.md").read_text()
    commands = re.findall(r"^flask (kb .*?)(?:\s+#.*)?$", guide, re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "handbook.md", "# Tune-up\n\nA tune-up costs 65 dollars.\n")
    write(tmp_path / "prices.csv", "question,answer\nHow much is a chain?,35 dollars.\n")
    runner = create_app(Settings(kb_dir=Path("kb_data"))).test_cli_runner()

    codes = {command: runner.invoke(args=shlex.split(command)).exit_code for command in commands}

    assert codes == {
        "kb import handbook.md prices.csv": 0,
        "kb check": 0,
        'kb search "How much is a tune-up?"': 0,
        "kb import price-list.pdf terms.docx --kb north": 1,  # there are none
    }
    assert sorted(path.name for path in Path("kb_data").glob("*.json")) == ["handbook.json", "prices.json"]


# --- parts of the output ---


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("price=65", ("price", 65)),
        ("new=true", ("new", True)),
        ("language=en", ("language", "en")),
        ('code="65"', ("code", "65")),
        ("note=a=b", ("note", "a=b")),
        ("list=[1]", ("list", "[1]")),
    ],
)
def test_a_filter_has_the_types_of_a_requests_json(text: str, pair: tuple[str, object]) -> None:
    assert cli.parse_filter(text) == pair
