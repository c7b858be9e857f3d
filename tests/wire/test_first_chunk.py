"""Metadata for the platform: what can be given, by whom, and until when."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.wire import upstream_json
from parley.wire.first_chunk import MAX_BYTES, FirstChunkMetadata, fault_of

SPEECH = {"tts_params": {"params": {"rate": 1.1}}}
FILLING = len('{"a":""}')
LOOP: dict[str, Any] = {}
LOOP["a"] = LOOP


def encoded(metadata: FirstChunkMetadata) -> bytes:
    return upstream_json.encode(metadata.take())


def test_of_equal_fields_the_latest_wins() -> None:
    metadata = FirstChunkMetadata({"interruptable": True, "a": 1}, SPEECH)

    assert metadata.add({"interruptable": False})
    assert encoded(metadata) == b'{"interruptable":false,"a":1,"tts_params":{"params":{"rate":1.1}}}'


def test_what_is_changed_afterwards_does_not_count() -> None:
    fields = {"a": {"b": 1}}
    metadata = FirstChunkMetadata(fields)
    fields["a"]["b"] = 2

    assert encoded(metadata) == b'{"a":{"b":1}}'


@pytest.mark.parametrize("end", [FirstChunkMetadata.take, FirstChunkMetadata.close], ids=["left", "ended"])
def test_it_can_be_too_late(end: Any) -> None:
    metadata = FirstChunkMetadata({"a": 1})
    end(metadata)

    assert not metadata.add(SPEECH) and metadata.take() == {}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"interruptable": True},
        {"interruptable": False, "x": None, "y": [1, {"z": 2.5}]},
        SPEECH,
        {"tts_params": {}},
        {"tts_params": {"params": {}, "vendor": "x"}},
        {"a": "x" * (MAX_BYTES - FILLING)},
        {"a": "é" * ((MAX_BYTES - FILLING) // 2)},
        {"a": 10**30},
    ],
    ids=["empty", "true", "any", "speech", "no-params", "params", "largest", "largest-utf-8", "long-number"],
)
def test_metadata_that_is_passed_on(fields: dict[str, Any]) -> None:
    assert fault_of(fields) is None
    assert upstream_json.decode(encoded(FirstChunkMetadata(fields))) == fields


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ([], "must be an object"),
        ("interruptable", "must be an object"),
        (True, "must be an object"),
        ({1: 2}, "must be an object"),
        ({"interruptable": None}, "must be an object whose interruptable is true or false"),
        ({"interruptable": "false"}, "must be an object whose interruptable is true or false"),
        ({"interruptable": 0}, "must be an object whose interruptable is true or false"),
        ({"tts_params": None}, "must be an object whose tts_params, and their params, are objects"),
        ({"tts_params": {"params": [1]}}, "must be an object whose tts_params, and their params, are objects"),
        ({"tts_params": {"params": None}}, "must be an object whose tts_params, and their params, are objects"),
        ({"a": "x" * (MAX_BYTES - FILLING + 1)}, "must be an object of at most 4096 bytes"),
        ({"a": object()}, "must be an object of JSON values"),
        (LOOP, "must be an object of JSON values"),
    ],
    ids=str.split("list text bool number null word zero no-speech list-params no-params large object loop"),
)
def test_metadata_that_is_refused(fields: Any, fault: str) -> None:
    assert fault_of(fields) == fault
    with pytest.raises(ValueError, match="first_chunk must be"):
        FirstChunkMetadata().add(fields)


@given(st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=5) | st.integers() | st.none(), max_size=3)))
def test_any_fields_come_out_merged(given_fields: list[dict[str, Any]]) -> None:
    wanted: dict[str, Any] = {}
    for fields in given_fields:
        wanted |= {name: value for name, value in fields.items() if name not in ("interruptable", "tts_params")}

    assert upstream_json.decode(encoded(FirstChunkMetadata(*given_fields))) == wanted
