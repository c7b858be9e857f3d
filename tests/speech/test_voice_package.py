"""The question whether the embedded voice is installed, and its version."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from parley.speech import voice_package

Having = Callable[[set[str]], None]


@pytest.fixture
def having(monkeypatch: pytest.MonkeyPatch) -> Having:
    """Return a function that makes these packages the installed ones."""

    def install(names: set[str]) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name in names else None)

    return install


def test_the_voice_is_there_with_all_of_its_packages(having: Having) -> None:
    having({"hibari", "onnx", "onnxruntime"})

    assert voice_package.installed()


@pytest.mark.parametrize("missing", ["hibari", "onnx", "onnxruntime"])
def test_the_voice_is_missing_without_one_of_its_packages(having: Having, missing: str) -> None:
    having({"hibari", "onnx", "onnxruntime"} - {missing})

    assert not voice_package.installed()


def test_the_known_version_is_the_pinned_one() -> None:
    pins = (Path(__file__).parents[2] / "requirements-local.txt").read_text().split()

    assert f"{voice_package.PACKAGE}=={voice_package.VERSION}" in pins
