"""Passages page by page with the faults of their files, and recordings with what mends them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from wav_files import tone, wav

from parley.errors import NotFound
from parley.inspection.contents import PAGE, passages_of, recordings_of
from parley.services import Services
from parley.settings import Settings


def services_of(tmp_path: Path) -> Services:
    services = Services(Settings(kb_dir=tmp_path, audio_dir=tmp_path, rag_tier="lexical"))
    services.knowledge.require("")
    return services


def test_passages_come_a_hundred_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "many.json").write_text(json.dumps([{"title": f"T{n}", "text": f"Text {n}."} for n in range(PAGE + 7)]))
    (tmp_path / "one.json").write_text('[{"title": "<b>", "text": "Alone.", "price": 7}]')
    services = services_of(tmp_path)

    first = passages_of(services, "", "", 0)
    assert (len(first["passages"]), first["total"], first["next"], first["state"]) == (PAGE, PAGE + 8, PAGE, "ok")
    last = passages_of(services, "", "", PAGE)
    assert (len(last["passages"]), last["next"]) == (8, None)
    assert first["files"] == [{"name": "many.json", "passages": PAGE + 7}, {"name": "one.json", "passages": 1}]
    (alone,) = passages_of(services, "", "one.json", 0)["passages"]
    assert (alone["text"], alone["metadata"]) == ("Alone.", {"price": 7})
    assert passages_of(services, "", "../one.json", 0)["passages"] == []


def test_a_fault_is_told_with_file_and_line_and_no_folder(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('[\n {"title": "A", "text": "B."},\n {"title": "C", "text": 7}\n]')
    (tmp_path / "broken.json").write_text('[\n\n {"title": ]')
    told = passages_of(services_of(tmp_path), "", "", 0)

    assert {(fault["file"], fault["line"], fault["lost"]) for fault in told["faults"]} >= {("broken.json", 3, "file")}
    assert told["state"] == "degraded" and str(tmp_path) not in json.dumps(told)
    assert all(fault["line"] for fault in told["faults"])


def test_a_base_that_the_database_searches_tells_how_many_it_has(tmp_path: Path) -> None:
    services = services_of(tmp_path)
    (tmp_path / "one.json").write_text('[{"title": "T", "text": "Text."}]')
    assert passages_of(services, "", "", 0)["elsewhere"] == 0
    bases = services.knowledge.bases
    bases._serving = {"": replace(bases.get(""), passages=4000, is_searchable=True)}

    assert passages_of(services, "", "", 0)["elsewhere"] == 4000


def test_an_unknown_base_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        passages_of(services_of(tmp_path), "nowhere", "", 0)


def test_recordings_tell_their_words_and_what_mends_them(tmp_path: Path) -> None:
    (tmp_path / "hello.wav").write_bytes(wav(tone(16_000, 1.0), 16_000))
    (tmp_path / "hello.txt").write_text("Hello there.")
    (tmp_path / "mute.txt").write_text("Only a text.")
    told = recordings_of(services_of(tmp_path))

    by_name = {one["name"]: one for one in told["recordings"]}
    assert by_name["hello"]["words"] == "estimated" and by_name["hello"]["mend"] == "flask audio align hello"
    assert by_name["hello"]["complete"] and by_name["hello"]["seconds"] == pytest.approx(1, abs=0.01)
    assert by_name["mute"]["simulated"] and not by_name["mute"]["complete"] and by_name["mute"]["problems"]
    assert str(tmp_path) not in json.dumps(told)


def test_an_empty_folder_is_told_by_the_settings_name(tmp_path: Path) -> None:
    told = recordings_of(services_of(tmp_path))

    assert told["recordings"] == [] and told["problems"][0].startswith("AUDIO_DIR: ")
