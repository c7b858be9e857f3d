"""The environment is read as it is, and completed by `.env`."""

import os
from pathlib import Path

import pytest

from parley.environment import variables


def test_proxies_are_named_by_their_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower() in variables.PROXY_VARIABLES]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("https_proxy", "http://proxy.example")
    monkeypatch.setenv("HTTP_PROXY", "")

    assert variables.named_proxies() == {"https_proxy": "http://proxy.example"}


def test_the_environment_is_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "a")
    variables.environment()["SHOP_TOKEN"] = "b"
    assert os.environ["SHOP_TOKEN"] == "a"


def test_the_file_completes_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORT", "8000")
    monkeypatch.delenv("LLM_MODEL", raising=False)
    (tmp_path / variables.ENV_FILE).write_text("LLM_MODEL=big\nPORT=9\nWAITNG=x\n")
    try:
        sentences = variables.complete(["LLM_MODEL", "PORT", "WAITING"])
        assert variables.environment()["LLM_MODEL"] == "big" and os.environ["PORT"] == "8000"
        assert any("WAITNG" in sentence for sentence in sentences)
    finally:
        os.environ.pop("LLM_MODEL", None)
        os.environ.pop("WAITNG", None)


def test_the_folder_of_metrics_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    variables.share_metrics("/dev/shm/x")
    assert os.environ["PROMETHEUS_MULTIPROC_DIR"] == "/dev/shm/x"
