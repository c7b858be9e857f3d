"""Checks of the settings: bad values, near misses, `.env`, placeholders, addresses, callers' keys."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from parley import settings as table
from parley.checking import configuration
from parley.checking.probe import Probe
from parley.checking.report import Outcome
from parley.setting_types import UpstreamSetting
from parley.settings import Settings


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test see its own environment, and a folder without `.env`."""
    monkeypatch.chdir(tmp_path)
    for name in [*table.names(), "PORT"]:
        monkeypatch.delenv(name, raising=False)
    table.ignored.cache_clear()


def statuses(outcomes: Iterable[Outcome]) -> list[str]:
    return [one.status for one in outcomes]


def test_all_bad_settings_are_told_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {"OPENAI_BASE_URL": "https//x", "TTFT_TIMEOUT": "soon", "LLM_MODEL": "m"}.items():
        monkeypatch.setenv(name, value)
    settings, faults = configuration.load_usable()
    found = list(configuration.parse(Probe(settings, tmp_path, faults)))

    assert settings.llm_model == "m" and settings.llm_base_url is None and settings.ttft_timeout == 6
    assert [one.detail.partition(":")[0] for one in found] == ["OPENAI_BASE_URL", "TTFT_TIMEOUT"]
    assert statuses(found) == ["fail", "fail"] and "soon" not in repr(found)


def test_the_settings_are_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LLM_MODEL", "m")
    (tmp_path / ".env").write_text("HEARTBEAT=4\n")
    settings, faults = configuration.load_usable()
    (found,) = configuration.parse(Probe(settings, tmp_path, faults))
    monkeypatch.delenv("HEARTBEAT")
    assert settings.heartbeat == 4 and found.status == "ok" and ".env read, 2 of" in found.detail


@pytest.mark.row("SH-13")
def test_what_is_kept_in_redis_without_one_is_told(tmp_path: Path) -> None:
    settings = Settings.from_environ({"MEMORY_STORE": "redis:"})
    (found,) = configuration.parse(Probe(settings, tmp_path))

    assert found.status == "fail" and "REDIS_URL" in found.detail and found.fix


def test_a_name_that_is_nearly_a_setting_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LLM_MODELL", "m")
    (found,) = configuration.misspelled(Probe(Settings(), tmp_path))
    assert found.status == "warn" and "LLM_MODEL?" in found.detail


@pytest.mark.parametrize(("mode", "status"), [(0o644, "warn"), (0o640, "warn"), (0o600, "ok")])
def test_env_that_others_may_read(tmp_path: Path, mode: int, status: str) -> None:
    file = tmp_path / ".env"
    file.write_text("LLM_API_KEY=x\n")
    file.chmod(mode)
    assert statuses(configuration.env_file(Probe(Settings(llm_api_key="sk-1"), tmp_path))) == [status]


def test_env_of_another_folder_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".env").write_text("LLM_API_KEY=x\n")
    monkeypatch.chdir(tmp_path / "sub")
    (found,) = configuration.env_file(Probe(Settings(), tmp_path))
    assert found.status == "warn" and str(tmp_path / ".env") in found.detail


@pytest.mark.parametrize("place", [".flaskenv", "../.env", "../../.flaskenv"])
def test_what_flask_alone_reads_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    (folder / place).write_text("LLM_API_KEY=x\n")
    (found,) = configuration.env_file(Probe(Settings(), tmp_path / "elsewhere"))
    assert found.status == "warn" and "is not read by a server" in found.detail


@pytest.mark.parametrize(
    "key",
    [
        "sk-...",
        "sk-xxxx",
        "changeme",
        "your-api-key",
        "YOUR_KEY",
        "sk-your-key-here",
        "xxx",
        "API_KEY",
        "test...",
        "...",
    ],
)
def test_a_placeholder_is_no_key(tmp_path: Path, key: str) -> None:
    settings = Settings(llm_api_key=key, llm_base_url="https://api.example.com/v1")
    assert statuses(configuration.placeholders(Probe(settings, tmp_path))) == ["fail"]


@pytest.mark.parametrize(
    "key", ["sk-proj-" + "a1B2" * 5, "gsk_" + "a1B2" * 3, "3f9a8b7c6d5e4f3a2b1c", "pw-of-shop-line"]
)
def test_a_key_is_no_placeholder(tmp_path: Path, key: str) -> None:
    settings = Settings(llm_api_key=key, api_keys=(key,), llm_base_url="https://api.example.com/v1")
    assert statuses(configuration.placeholders(Probe(settings, tmp_path))) == ["ok"]


def test_a_local_server_may_be_given_any_key(tmp_path: Path) -> None:
    settings = Settings(llm_api_key="none", llm_base_url="http://localhost:11434/v1")
    assert statuses(configuration.placeholders(Probe(settings, tmp_path))) == ["ok"]


@pytest.mark.parametrize(
    ("url", "status", "said"),
    [
        ("https://api.openai.com/v1", "ok", ""),
        ("http://127.0.0.1:11434/v1", "ok", ""),
        ("http://ollama:11434/v1", "ok", ""),
        ("https://api.groq.com/v1", "fail", "/openai/v1"),
        ("https://platform.openai.com", "fail", "website"),
        ("http://api.example.com/v1", "fail", "readably"),
        ("https://llm.example.com", "warn", "no path"),
    ],
)
def test_what_is_told_of_a_base_url(tmp_path: Path, url: str, status: str, said: str) -> None:
    found = list(configuration.addresses(Probe(Settings(llm_base_url=url), tmp_path)))
    assert statuses(found) == [status] and said in found[0].detail


def test_a_route_behind_a_base_url_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LLM_BASE_URL", "https://api.openai.com/v1/chat/completions")
    settings, _ = configuration.load_usable()
    monkeypatch.setattr(configuration.base_urls, "cut_routes", lambda: [("LLM_BASE_URL", "/chat/completions")])
    (found,) = configuration.addresses(Probe(settings, tmp_path))
    assert found.status == "warn" and found.fix.startswith("LLM_BASE_URL=https://api.openai.com/v1 ")


LONG, SHORT = "0123456789abcdef0123", "short"


@pytest.mark.parametrize(
    ("settings", "port", "status"),
    [
        (Settings(), "", ["ok"]),
        (Settings(), "8000", ["fail"]),
        (Settings(api_keys=(LONG,)), "8000", ["ok"]),
        (Settings(api_keys=(LONG, SHORT)), "", ["warn"]),
        (Settings(api_keys=(LONG,), llm_api_key=LONG), "", ["fail"]),
        (Settings(api_keys=(LONG,), llm_fallbacks=(UpstreamSetting("https://x.example", LONG, None),)), "", ["fail"]),
    ],
    ids=["open", "open-to-all", "good", "short", "same", "same-as-fallback"],
)
def test_keys_of_callers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Settings, port: str, status: list[str]
) -> None:
    monkeypatch.setenv("PORT", port)
    assert statuses(configuration.callers_keys(Probe(settings, tmp_path))) == status
