"""Hints: what an operator should know, each with what to do, and none where all is well."""

from pathlib import Path

from parley.inspection.hints import hints_of
from parley.knowledge.database import address
from parley.services import Services
from parley.settings import Settings

ROOT = Path(__file__).parents[2]
WELL = {
    "llm_base_url": "http://127.0.0.1:1/v1",
    "llm_api_key": "k",
    "api_keys": ("0123456789abcdef",),
    "kb_dir": ROOT / "kb_data",
    "audio_dir": ROOT / "audio_assets",
    "rag_tier": "lexical",
    "audio_mode": "relay",
}


def texts(**changed: object) -> str:
    services = Services(Settings(**{**WELL, **changed}))  # type: ignore[arg-type]
    services.start_fault = ""
    services.knowledge.require("")
    return " / ".join(f"{hint.text} -> {hint.fix}" for hint in hints_of(services))


def test_a_server_that_is_well_has_none() -> None:
    assert texts() == ""


def test_each_lack_is_told_with_its_way_out(tmp_path: Path) -> None:
    assert "API_KEYS=" in texts(api_keys=None)
    assert "No model is configured" in texts(llm_base_url=None, llm_api_key=None)
    assert "AUDIO_MODE=speech" in texts(audio_mode="assets")
    assert "flask audio check" in texts(audio_mode="assets", audio_dir=tmp_path)
    assert "flask kb import" in texts(kb_dir=tmp_path)
    (tmp_path / "bad.json").write_text("[")
    (tmp_path / "good.json").write_text('[{"title": "A", "text": "B."}]')
    assert "degraded: bad.json" in texts(kb_dir=tmp_path) and str(tmp_path) not in texts(kb_dir=tmp_path)


def test_a_database_that_is_away_is_told_with_its_command(tmp_path: Path) -> None:
    away = address.parse("postgresql://canary@127.0.0.1:1/kb")
    services = Services(Settings(**{**WELL, "database_url": away, "embeddings_cache": tmp_path}))  # type: ignore[arg-type]
    services.start_fault = ""

    (hint,) = [hint for hint in hints_of(services) if "database" in hint.text]

    assert hint.fix == "flask db check" and "canary" not in hint.text


def test_https_that_is_seen_as_http_is_told() -> None:
    services = Services(Settings(**WELL))  # type: ignore[arg-type]
    services.start_fault = ""

    assert [hint.fix for hint in hints_of(services, "http", "https")] == ["TRUSTED_PROXIES=1"]
    assert hints_of(services, "https", "https") == hints_of(services, "http", "http") == []


def test_a_lowered_limit_is_told() -> None:
    services = Services(Settings(**WELL))  # type: ignore[arg-type]
    services.start_fault = ""
    services.admission.limit = 231

    (hint,) = hints_of(services)
    assert "231" in hint.text and "ulimit" in hint.fix


def test_what_is_kept_of_callers_is_told() -> None:
    assert "last 20 requests and answers" in texts(capture=20) and "-> CAPTURE=0" in texts(capture=20)
    assert texts(capture=20, playground="off") == ""
