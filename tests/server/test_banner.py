"""The announcement: a command that works on this machine, which model and voice answer, and who may call."""

import shlex

import pytest
from structlog.testing import capture_logs

from parley.server import banner
from parley.settings import Settings
from parley.speech import voice_package
from parley.upstream.embedded import model_process


def settings(**environ: str) -> Settings:
    return Settings.from_environ({"LOG_FORMAT": "json", **environ})


def command(address: str) -> list[str]:
    return shlex.split(banner.curl_command(settings(), address))


@pytest.mark.parametrize(
    ("address", "root"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://0.0.0.0:8000", "http://127.0.0.1:8000"),
        ("http://[::]:8000", "http://[::1]:8000"),
        ("http://10.0.0.7:8000", "http://10.0.0.7:8000"),
        ("https://0.0.0.0:8443", "https://127.0.0.1:8443"),
    ],
)
def test_the_command_asks_an_address_of_this_machine(address: str, root: str) -> None:
    assert command(address)[:3] == ["curl", "-N", f"{root}/rag/chat/completions"]


@pytest.mark.parametrize(
    ("address", "option", "path"),
    [
        ("unix:/run/parley.sock", "--unix-socket", "/run/parley.sock"),
        ("unix:/run/a folder/0.0.0.0", "--unix-socket", "/run/a folder/0.0.0.0"),
        ("unix:\0parley", "--abstract-unix-socket", "parley"),
    ],
)
def test_the_command_asks_a_unix_socket_by_its_path(address: str, option: str, path: str) -> None:
    assert command(address)[:5] == ["curl", "-N", option, path, "http://localhost/rag/chat/completions"]


def test_the_command_bears_a_key_where_one_is_needed() -> None:
    assert "Authorization: Bearer ONE_OF_API_KEYS" in shlex.split(
        banner.curl_command(settings(API_KEYS="one"), "http://127.0.0.1:8000")
    )


@pytest.mark.parametrize(
    ("environ", "model"),
    [
        ({"LLM_API_KEY": "k"}, "gpt-4o-mini at OpenAI"),
        ({"LLM_BASE_URL": "http://a/v1", "LLM_MODEL": "m"}, "m at http://a/v1"),
        ({}, f"none yet (/rag is quoted from the knowledge); set {banner.WANTED}"),
    ],
)
def test_the_model_is_described(environ: dict[str, str], model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_process, "running", None)

    assert banner.describe_model(settings(**environ)) == model


def test_the_embedded_model_is_described_as_a_demonstration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_process, "running", object())

    assert banner.describe_model(settings()).startswith("local-demo, a small embedded demonstration model")


@pytest.mark.parametrize(
    ("environ", "voice"),
    [
        ({"AUDIO_DIR": "sounds"}, "the recordings in sounds"),
        ({"AUDIO_MODE": "relay"}, "the model's own"),
        ({"AUDIO_MODE": "speech", "TTS_API_KEY": "k"}, "alloy of gpt-4o-mini-tts at OpenAI"),
        ({"AUDIO_MODE": "speech"}, f"none, soft tones take its place; set {banner.WANTED_VOICE}"),
    ],
)
def test_the_voice_is_described(environ: dict[str, str], voice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice_package, "installed", lambda: False)

    assert banner.describe_voice(settings(**environ)) == voice


def test_on_a_terminal_the_announcement_is_lines_of_text(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(banner.logs, "announce", said.append)
    banner.announce(settings(LOG_FORMAT="text", API_KEYS="one"), ["http://127.0.0.1:8000"])

    lines = said[0].splitlines()
    assert lines[0] == "Parley listens on http://127.0.0.1:8000"
    assert [line.split()[0] for line in lines[1:]] == ["model", "voice", "try", "page"]
    assert lines[4].split()[1] == "http://127.0.0.1:8000/playground"


def test_elsewhere_it_is_one_log_line() -> None:
    with capture_logs() as logged:
        banner.announce(settings(API_KEYS="one"), ["http://127.0.0.1:8000"])

    (line,) = logged
    assert line["event"] == "listening"
    assert line.keys() == {"event", "log_level", "url", "model", "voice", "command", "page"}


@pytest.mark.parametrize(
    ("playground", "address", "page"),
    [
        ("auto", "http://0.0.0.0:80", "http://127.0.0.1:80/playground"),
        ("auto", "http://[::1]:80", "http://[::1]:80/playground"),
        ("auto", "http://10.0.0.7:80", ""),
        ("on", "http://10.0.0.7:80", "http://10.0.0.7:80/playground"),
        ("off", "http://127.0.0.1:80", ""),
        ("on", "unix:/run/parley.sock", ""),
    ],
)
def test_the_page_is_named_where_it_is_served(playground: str, address: str, page: str) -> None:
    assert banner.page_address(settings(PLAYGROUND=playground), address) == page


def test_on_a_hosting_platform_no_page_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "8080")
    assert banner.page_address(settings(), "http://0.0.0.0:8080") == ""
    assert banner.page_address(settings(PLAYGROUND="on"), "http://0.0.0.0:8080").endswith("/playground")


@pytest.mark.row("PG-05")
def test_an_open_page_is_warned_of() -> None:
    with capture_logs() as logged:
        banner.announce(settings(PLAYGROUND="on"), ["http://127.0.0.1:8000"])
        banner.announce(settings(PLAYGROUND="on", API_KEYS="one"), ["http://127.0.0.1:8000"])

    assert [line["event"] for line in logged].count("playground_open") == 1


@pytest.mark.row("PG-15")
def test_captures_are_warned_of_at_each_start() -> None:
    with capture_logs() as logged:
        for chosen in ({"CAPTURE": "20"}, {"CAPTURE": "20", "PLAYGROUND": "off"}, {}):
            banner.announce(settings(API_KEYS="one", **chosen), ["http://127.0.0.1:8000"])

    told = [(line["event"], line["log_level"]) for line in logged if line["event"].startswith("capture")]
    assert told == [("capture_on", "error"), ("capture_off", "warning")]
