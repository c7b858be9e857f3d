"""The application factory: what it puts together, and that it opens nothing."""

import os
import threading

import pytest

from app import create_app
from parley.services import Services
from parley.settings import Settings, SettingsError, load

PLAIN = Settings()


@pytest.fixture(autouse=True)
def _logs_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep an app from configuring the logs of the whole process, which other tests capture."""
    monkeypatch.setattr("parley.telemetry.logs.configure", lambda *_: None)


def test_creating_an_app_opens_no_file_and_starts_no_thread() -> None:
    create_app(PLAIN)  # loads what is loaded once
    held = len(os.listdir("/proc/self/fd")), threading.active_count()

    create_app(PLAIN)

    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == held


def test_each_app_has_services_of_its_own() -> None:
    given = Services(PLAIN)

    assert create_app(services=given).extensions["parley"] is given
    assert create_app(PLAIN).extensions["parley"] is not create_app(PLAIN).extensions["parley"]


def test_without_arguments_the_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.load", load.__wrapped__)  # it reads the environment once a process
    monkeypatch.setenv("MAX_STREAMS", "7")
    assert create_app().extensions["parley"].settings.max_streams == 7

    monkeypatch.setenv("MAX_STREAMS", "many")
    with pytest.raises(SettingsError, match="MAX_STREAMS"):
        create_app()


def test_a_trailing_slash_is_accepted_and_a_double_one_not() -> None:
    client = create_app(PLAIN).test_client()

    assert [client.get(path).status_code for path in ("/health", "/health/", "/v1//models")] == [200, 200, 404]


@pytest.mark.parametrize("prefix", ["", "/v1"])
@pytest.mark.parametrize("path", ["/chat/completions", "/rag/chat/completions", "/audio/chat/completions"])
def test_every_endpoint_answers_bare_and_under_v1(prefix: str, path: str) -> None:
    assert create_app(PLAIN).test_client().options(f"{prefix}{path}").status_code == 200


def test_the_commands_of_flask_are_there() -> None:
    assert {"settings", "kb", "audio"} <= create_app(PLAIN).cli.commands.keys()
