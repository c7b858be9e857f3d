"""Lines, sums and exit codes of findings."""

import json

import pytest

from parley.checking import report
from parley.checking.report import Finding, Status


def finding(status: Status, detail: str = "words", fix: str = "") -> Finding:
    return Finding("SV-1", "Server", "reached", status, detail, fix, 1.5, {"a": 1})


def test_lines_for_a_person() -> None:
    assert list(report.lines(finding("fail", "first\nsecond", "do this\nor that"))) == [
        "  fail  SV-1   first",
        "               second",
        "               fix: do this",
        "                    or that",
    ]


@pytest.mark.parametrize(
    ("statuses", "code", "strict"),
    [(("ok", "skip"), 0, 0), (("ok", "warn"), 0, 1), (("warn", "fail"), 1, 1), ((), 0, 0)],
    ids=["well", "warning", "problem", "none"],
)
def test_exit_codes(statuses: tuple[Status, ...], code: int, strict: int) -> None:
    findings = [finding(status) for status in statuses]
    assert (report.exit_code(findings, strict=False), report.exit_code(findings, strict=True)) == (code, strict)


def test_the_last_line_and_the_object_count() -> None:
    findings = [finding("ok"), finding("fail"), finding("warn"), finding("warn"), finding("skip")]
    assert report.summary(findings) == "1 problem, 2 warnings, 1 well, 1 skipped"

    told = json.loads(json.dumps(report.as_json(findings, "1", "https://x.example")))
    assert (told["ok"], told["errors"], told["warnings"], told["version"]) == (False, 1, 2, "1")
    assert told["checks"][0].keys() == {"id", "group", "name", "status", "detail", "fix", "ms", "data"}
