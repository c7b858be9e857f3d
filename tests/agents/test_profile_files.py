"""An agent's file: what it may say, and where a fault stands."""

import json
from pathlib import Path
from typing import Any

import pytest

from parley.agents.profile_files import MAX_PROFILE_BYTES, ReadProfile, read

WHOLE = {
    "system": "You are Mia.",
    "system_mode": "replace",
    "timezone": "Europe/Madrid",
    "model": "gpt-4o-mini",
    "params": {"temperature": 0.3, "stream_options": {"include_usage": True}},
    "force": {"max_tokens": 200},
    "kb": "hotel",
    "tools": ["free_slots", "shop__*"],
    "waiting": "off",
    "waiting_messages": ["One moment."],
    "tool_waiting": 700,
    "fallback_text": "Sorry?",
    "speech_cleanup": "speech",
    "interruptions": "off",
    "memory": "tools",
    "first_chunk": {"interruptable": True},
    "presence": True,
    "speakers": False,
    "platform": "agora",
}


def read_text(folder: Path, text: str | bytes, name: str = "mia.json") -> ReadProfile:
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return read(folder / name)


def test_a_profile_may_say_everything(tmp_path: Path) -> None:
    profile = read_text(tmp_path, json.dumps(WHOLE)).profile
    assert profile is not None and str(profile.timezone) == "Europe/Madrid"
    assert (profile.name, profile.system_mode, profile.model) == ("mia", "replace", "gpt-4o-mini")
    assert profile.overrides == {
        "kb": "hotel",
        "tools": ("free_slots", "shop__*"),
        "waiting": None,
        "waiting_messages": ("One moment.",),
        "tool_waiting": 700,
        "fallback_text": "Sorry?",
        "speech_cleanup": "speech",
        "interruptions": "off",
        "memory": "tools",
        "first_chunk": {"interruptable": True},
        "presence": True,
        "speakers": False,
        "platform": "agora",
    }


def test_an_empty_profile_is_as_the_settings_say(tmp_path: Path) -> None:
    profile = read_text(tmp_path, "\ufeff{}").profile
    assert profile is not None and profile.overrides == {} and profile.system is None


BAD: dict[str, tuple[Any, str]] = {
    "system": (3, "expected `str | null`, got `int`"),
    "system_mode": ("append", "invalid enum value 'append'"),
    "timezone": ("Mars/Base", "there is no time zone Mars/Base; write one such as Europe/Madrid"),
    "model": ("a\nb", "must be a text of at most 256 printable characters"),
    "params": ({"model": "x"}, 'model can\'t be set by params; "model" is a key of the profile itself'),
    "force": ({"waiting": 0}, 'waiting can\'t be set by force; "waiting" is a key of the profile itself'),
    "kb": ("", "must be the name of a knowledge base"),
    "tools": (["a b"], "a pattern is a tool's name in which * stands for any characters"),
    "waiting": ("never", "invalid enum value 'never'"),
    "waiting_messages": (["\n"], "a phrase is a text without control characters, of 500 characters at most"),
    "tool_waiting": (-1, "expected `int` >= 0"),
    "fallback_text": (" ", "must be a text without control characters, of 500 characters at most"),
    "speech_cleanup": ("all", "invalid enum value 'all'"),
    "interruptions": (True, "expected `str | null`, got `bool`"),
    "memory": ("on", "invalid enum value 'on'"),
    "first_chunk": ({"interruptable": 1}, "first_chunk must be an object whose interruptable is true or false"),
    "presence": ("yes", "expected `bool | null`, got `str`"),
    "speakers": (1, "expected `bool | null`, got `int`"),
    "platform": ("nokia", "is none of the platforms agora, vapi, elevenlabs, hume, trtc, alibaba, telnyx"),
}


@pytest.mark.row("AG-01")
@pytest.mark.parametrize("key", WHOLE)
def test_each_key_refuses_what_it_can_t_use(tmp_path: Path, key: str) -> None:
    value, message = BAD[key]
    (fault,) = read_text(tmp_path, f'{{"presence": true,\n "{key}": {json.dumps(value)}}}').faults[-1:]
    assert fault.startswith("mia.json:2:") and message in fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{\n "sistem": "x"}', 'mia.json:2:2: "sistem" is not known; known are system, system_mode,'),
        ('{"system": "a", "system": "b"}', 'mia.json:1:1: an object has the key "system" twice'),
        ("[]", 'mia.json:1:1: must hold an object such as {"system": "You are Mia."}'),
        ('{"system": ', "mia.json:1:12: expected value"),
        ("", "mia.json: is empty"),
        ('{"system": "Espa\xf1a"}'.encode("latin-1"), "mia.json: is not UTF-8"),
        ('{"params": {"stream_options": 3}}', "mia.json:1:13: stream_options must be an object"),
        ('{"force": {"messages": [], "agent": "x"}}', "mia.json:1:12: messages can't be set by force"),
        ('{"tools": true}', "mia.json:1:2: must be a list of patterns, or false"),
    ],
    ids=["key", "twice", "list", "half", "empty", "latin", "params", "messages", "tools"],
)
def test_a_fault_says_where_it_stands(tmp_path: Path, text: str | bytes, fault: str) -> None:
    read = read_text(tmp_path, text)
    assert read.profile is None and read.faults[0].startswith(fault)


def test_only_a_key_of_a_profile_is_hinted_at(tmp_path: Path) -> None:
    assert read_text(tmp_path, '{"force": {"agent": "x"}}').faults == ("mia.json:1:12: agent can't be set by force",)


def test_all_faults_of_a_file_are_told(tmp_path: Path) -> None:
    text = '{"timezone": "x",\n"platform": "y",\n"force": {"agent": 1, "stream": true}}'
    assert [fault.split(": ")[0] for fault in read_text(tmp_path, text).faults] == [
        "mia.json:3:11",
        "mia.json:3:23",
        "mia.json:3:11",
        "mia.json:2:1",
        "mia.json:1:2",
    ]


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    (fault,) = read_text(tmp_path, json.dumps({"system": "x" * MAX_PROFILE_BYTES})).faults
    assert fault == "mia.json: is larger than 1 MiB"


def test_a_folder_and_a_link_out_are_no_profiles(tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "sub.json").mkdir()
    (tmp_path / "secret.json").write_text("{}")
    (tmp_path / "agents" / "out.json").symlink_to(tmp_path / "secret.json")
    assert read(tmp_path / "agents" / "sub.json").faults == ("sub.json: is a directory, not a file",)
    assert read(tmp_path / "agents" / "out.json").faults == ("out.json: is a link that leads out of its folder",)


@pytest.mark.parametrize(
    ("name", "agent"), [("Mia.v2.JSON", "Mia.v2"), ("Jose\u0301.json", "Jos\u00e9"), ("a b.json", "a b")]
)
def test_the_name_is_that_of_the_file(tmp_path: Path, name: str, agent: str) -> None:
    profile = read_text(tmp_path, "{}", name).profile
    assert profile is not None and profile.name == agent


@pytest.mark.parametrize("name", ["x" * 65 + ".json", "a\nb.json"], ids=["long", "line break"])
def test_a_name_that_nobody_could_write_is_a_fault(tmp_path: Path, name: str) -> None:
    assert "the name of an agent has 1 to 64 characters" in read_text(tmp_path, "{}", name).faults[0]
