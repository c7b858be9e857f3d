"""An examination: what is skipped, what breaks down, and that nothing secret is told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from parley.checking import examination
from parley.checking.catalogue import Check, Group
from parley.checking.probe import Probe
from parley.checking.report import Outcome, block, fail, ok, warn
from parley.settings import Settings

KEY = "canary-key-0123456789"


def told(*outcomes: Outcome) -> object:
    return lambda _: iter(outcomes)


def examine(monkeypatch: pytest.MonkeyPatch, probe: Probe, *checks: Check) -> list[tuple[str, str, str]]:
    group = Group("XX", lambda one: [one], lambda _: "Things", checks)
    monkeypatch.setattr(examination, "GROUPS", (group,))
    return [(one.id, one.status, one.detail) for one in examination.examine(probe)]


def check(id: str, run: object, **more: bool) -> Check:
    return Check(id, f"name of {id}", run, "the usual fix", **more)  # type: ignore[arg-type]


def test_what_blocks_ends_its_group(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [check("XX-1", told(fail("one"))), check("XX-2", told(block("two"))), check("XX-3", told(ok("three")))]
    found = examine(monkeypatch, Probe(Settings(), Path()), *checks)
    assert found == [("XX-1", "fail", "one"), ("XX-2", "fail", "two"), ("XX-3", "skip", "name of XX-3: needs XX-2")]


def test_offline_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = Probe(Settings(), Path(), offline=True)
    found = examine(monkeypatch, probe, check("XX-1", told(ok("one"))), check("XX-2", told(ok("two")), asks=True))
    assert found == [("XX-1", "ok", "one"), ("XX-2", "skip", "name of XX-2: not asked (--offline)")]


def test_a_check_that_breaks_down_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> Iterator[Outcome]:
        yield ok("before")
        raise KeyError("choices")

    found = examine(monkeypatch, Probe(Settings(), Path()), check("XX-1", broken), check("XX-2", told(ok("two"))))
    assert [status for _, status, _ in found] == ["ok", "fail", "ok"] and "KeyError" in found[1][2]


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> Iterator[Outcome]:
        import no_such_package

        yield ok(str(no_such_package))

    ((_, status, detail),) = examine(monkeypatch, Probe(Settings(), Path()), check("XX-1", broken))
    assert (status, detail) == ("fail", "the package no_such_package is not installed")


def test_secrets_are_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(llm_api_key=KEY, llm_base_url="https://api.example.com/v1?code=canary-query-1")
    probe = Probe(settings, Path(), key="canary-caller-1")
    words = f"{KEY} canary-caller-1 canary-query-1"
    checks = (check("XX-1", told(Outcome("fail", words, words, {"words": words}))),)
    monkeypatch.setattr(examination, "GROUPS", (Group("XX", lambda one: [one], lambda _: words, checks),))
    assert "canary" not in repr(list(examination.examine(probe)))


def test_a_fault_without_a_remedy_gets_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = (check("XX-1", told(warn("one"), ok("two"))),)
    monkeypatch.setattr(examination, "GROUPS", (Group("XX", lambda one: [one], lambda _: "Things", checks),))
    assert [one.fix for one in examination.examine(Probe(Settings(), Path()))] == ["the usual fix", ""]
