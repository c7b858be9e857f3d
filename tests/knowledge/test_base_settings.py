"""A base's own settings: the fields of `base.json`, and what is refused."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from parley.knowledge.base_settings import ENCODERS, FIELDS, NO_SETTINGS, BadBaseSettings, BaseSettings, are_settings
from parley.knowledge.intent import Intent, intent_of
from parley.languages import ENGLISH, LANGUAGES

GUIDE = (Path(__file__).parents[2] / "docs" / "knowledge.md").read_text()
SECTION = GUIDE.partition("## A base's own settings")[2].partition("\n## ")[0]


def test_the_guides_example_is_read_and_its_table_is_complete() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", SECTION, re.DOTALL)
    described = re.findall(r"^\| `(\w+)`", SECTION, re.MULTILINE)

    assert BaseSettings.of(json.loads(example)).language is LANGUAGES["de"]
    assert set(described) == set(json.loads(example)) == set(FIELDS)
    assert all(f"`{name}`" in SECTION for name in (*LANGUAGES, *ENCODERS))


def test_each_field_is_read() -> None:
    settings = BaseSettings.of(
        {
            "language": "de",
            "waiting_messages": ["Moment.", " Gleich \n bin ich da. "],
            "not_found": "Weiß ich nicht.",
            "framing": "Antworte auf Deutsch.",
            "encoder": "none",
            "min_evidence": 1,
            "small_talk": ["moin"],
        }
    )

    assert settings == BaseSettings(
        language=LANGUAGES["de"],
        waiting_messages=("Moment.", "Gleich bin ich da."),
        not_found="Weiß ich nicht.",
        framing="Antworte auf Deutsch.",
        encoder="none",
        min_evidence=1.0,
        small_talk=("moin",),
    )
    assert settings.spoken_language is LANGUAGES["de"]


def test_what_is_left_out_has_its_default() -> None:
    assert BaseSettings.of({}) == BaseSettings.of({"language": None, "not_found": None}) == NO_SETTINGS
    assert NO_SETTINGS.spoken_language is ENGLISH
    assert NO_SETTINGS.small_talk_phrases is None


def test_the_gate_is_switched_off_or_extended_by_one_field() -> None:
    assert NO_SETTINGS.gated
    assert BaseSettings.of({"small_talk": True}) == NO_SETTINGS
    assert not BaseSettings.of({"small_talk": False}).gated
    extended = BaseSettings.of({"small_talk": ["Servus!"]})
    assert intent_of("servus", extended.small_talk_phrases) is Intent.SMALL_TALK


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "must hold an object"),
        ({"langauge": "de"}, '"langauge" is no setting of a base; known are language, '),
        ({"language": "xx"}, '"language" must be one of en, de,'),
        ({"language": ["de"]}, '"language" must be one of'),
        ({"waiting_messages": "Moment."}, '"waiting_messages" must be a list of texts, at most 200'),
        ({"waiting_messages": []}, '"waiting_messages" must be a list'),
        ({"waiting_messages": ["x"] * 201}, '"waiting_messages" must be a list'),
        ({"waiting_messages": ["x", 7]}, '"waiting_messages" must be a text'),
        ({"not_found": " "}, '"not_found" must be a text of at most 2000 characters'),
        ({"framing": "x" * 2001}, '"framing" must be a text'),
        ({"encoder": "minilm"}, '"encoder" must be one of english, multilingual, none'),
        ({"encoder": {}}, '"encoder" must be one of'),
        ({"min_evidence": True}, '"min_evidence" must be a number from 0 to 2'),
        ({"min_evidence": -0.1}, '"min_evidence" must be a number'),
        ({"small_talk": "off"}, '"small_talk" must be a list'),
    ],
)
def test_what_is_wrong_is_refused_by_name(value: Any, message: str) -> None:
    with pytest.raises(BadBaseSettings) as refused:
        BaseSettings.of(value)

    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("value", "settings"),
    [
        ({}, True),
        ({"language": "de"}, True),
        ({"language": "xx", "typo": 1}, True),
        ([{"text": "x"}], False),
        ({"Parking": "Behind the shop."}, False),
        ("x", False),
    ],
)
def test_settings_are_told_from_knowledge(value: Any, settings: bool) -> None:
    assert are_settings(value) is settings
