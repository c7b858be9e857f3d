"""A record gives all its fields for the log line, in order, and the time since the request arrived."""

import dataclasses
import time

import pytest

from parley.turn_record import TurnRecord


def test_a_record_gives_all_its_fields_in_order() -> None:
    record = TurnRecord("chat", "some-id", client="192.0.2.1")

    assert record.fields() == dataclasses.asdict(record)
    assert list(record.fields()) == [field.name for field in dataclasses.fields(TurnRecord)]
    assert (record.fields()["client"], record.fields()["client_by"]) == ("192.0.2.1", "peer")


def test_time_runs_from_the_requests_arrival_in_ms(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    record = TurnRecord("chat", "some-id")
    now[0] += 0.25

    assert record.elapsed_ms == 250.0
