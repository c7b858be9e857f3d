"""CONTRIBUTING.md: the files and commands that it names exist, and its list of untested modules is true."""

import re
import runpy
from pathlib import Path

from parley.errors import ParleyError

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
MOST_WITHOUT_TESTS = 10
OWED = {
    "blueprints/meta.py",
    "blueprints/web.py",
    "parley/answers/audio.py",
    "parley/answers/playback.py",
    "parley/answers/recorded.py",
    "parley/answers/relayed.py",
    "parley/answers/spoken.py",
    "parley/answers/text.py",
    "parley/http_client/proxies.py",
    "parley/http_client/read_waiter.py",
    "parley/knowledge/chunking.py",
    "parley/knowledge/filters.py",
    "parley/knowledge/json_file.py",
    "parley/knowledge/lexical.py",
    "parley/knowledge/minilm.py",
    "parley/knowledge/red_flags.py",
    "parley/knowledge/retriever.py",
    "parley/knowledge/terms.py",
    "parley/knowledge/vector_cache.py",
    "parley/operators/audio_check.py",
    "parley/operators/kb_check.py",
    "parley/operators/kb_import.py",
    "parley/server/banner.py",
    "parley/server/worker.py",
    "parley/setting_types.py",
    "parley/speech/codecs.py",
    "parley/speech/english.py",
    "parley/telemetry/log_output.py",
    "parley/telemetry/metrics.py",
    "parley/turn_record.py",
    "parley/upstream/chat_api.py",
    "parley/upstream/embedded/client.py",
    "parley/upstream/embedded/model_process.py",
    "parley/upstream/router.py",
    "parley/wire/validation.py",
}
"""Modules that still lack a test file of their name: none may be added, each goes when it has one."""


def without_a_test_file() -> set[str]:
    """The modules of the product that have no test file at the place that mirrors theirs."""
    files = [ROOT / "app.py", ROOT / "gunicorn.conf.py", *ROOT.glob("blueprints/**/*.py"), *ROOT.glob("parley/**/*.py")]
    modules = [file.relative_to(ROOT) for file in files if file.name != "__init__.py"]

    def test_of(module: Path) -> Path:
        mirrored = module.relative_to("parley") if module.parts[0] == "parley" else module
        return ROOT / "tests" / mirrored.with_name(f"test_{module.name}")

    return {module.as_posix() for module in modules if not test_of(module).exists()}


def listed() -> dict[str, str]:
    """The modules that the page lists as untested, with the reason of each."""
    table = PAGE.partition("## Modules without a test file")[2]
    return dict(re.findall(r"^\| `([^`]+\.py)` \| (.+) \|$", table, re.MULTILINE))


def test_the_modules_listed_as_untested_are() -> None:
    assert listed().keys() <= without_a_test_file()


def test_few_modules_are_listed_as_untested() -> None:
    assert 0 < len(listed()) <= MOST_WITHOUT_TESTS


def test_every_other_module_has_a_test_file_or_is_owed_one() -> None:
    assert without_a_test_file() - listed().keys() <= OWED


def test_every_path_on_the_page_exists() -> None:
    paths = re.findall(r"`([\w./-]+/[\w./-]*|[\w.]+\.(?:py|md|json))`", PAGE)

    assert len(paths) > 30
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_make_target_on_the_page_exists() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert set(re.findall(r"`make ([a-z-]+)`", PAGE)) <= set(targets)


def test_the_caps_are_those_that_are_held() -> None:
    rules = runpy.run_path(str(ROOT / "tests" / "test_architecture.py"))

    assert f"at most {rules['MAX_FUNCTION_LINES']} lines" in PAGE
    assert f"files {rules['MAX_FILE_LINES']} " in PAGE


def test_the_attributes_of_errors_that_it_names_exist() -> None:
    error = PAGE.partition("**An error**")[2].partition("\n2.")[0]
    names = re.findall(r"`([a-z_]+)`", error)

    assert {"code", "retryable"} <= set(names)
    assert [name for name in names if not hasattr(ParleyError, name)] == []
