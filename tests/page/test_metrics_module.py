"""The page's own reading of the metrics, of turns and of what charts show, run in node."""

import json
import shutil
import subprocess
from typing import Any

import pytest
from running_server import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")]
PAGE = ROOT / "blueprints" / "playground_page"
EXPOSITION = """\
# HELP parley_requests_total Requests by outcome.
# TYPE parley_requests_total counter
parley_requests_total{code="",endpoint="chat",outcome="ok"} 7.0
parley_requests_total{code="",endpoint="rag",outcome="ok"} 3.0
parley_requests_total{code="invalid_api_key",endpoint="rag",outcome="refused"} 2.0
parley_open_streams{endpoint="chat"} 4.0
parley_open_streams{endpoint="rag"} 1.0
parley_breaker_open{upstream="with \\"quotes\\", {braces} and \\\\"} 1.0
parley_breaker_open{upstream="primary"} 0.0
parley_loop_lag_seconds_bucket{le="0.005"} 98.0
parley_loop_lag_seconds_bucket{le="0.001"} 90.0
parley_loop_lag_seconds_bucket{le="+Inf"} 100.0
parley_loop_lag_seconds_count 100.0
parley_loop_lag_seconds_sum 0.25
parley_kb_passages 42.0
"""


def run(code: str, *values: Any, module: str = "metrics") -> Any:
    """Return what this code returns, as JSON; `m` is the module, `values` its further names."""
    program = f"""
        import * as m from {json.dumps((PAGE / f"{module}.js").as_uri())};
        const values = {json.dumps(values)};
        const found = await (async () => {{ {code} }})();
        console.log(JSON.stringify(found, (_, value) => (value === Infinity ? "inf" : value)));
    """
    done = subprocess.run(
        ["node", "--input-type=module", "-e", program], capture_output=True, text=True, timeout=60, check=True
    )
    return json.loads(done.stdout)


def test_a_reading_adds_up_the_series() -> None:
    reading = run("return m.readingOf(values[0], 5)", EXPOSITION)

    assert (reading["at"], reading["open"], reading["passages"]) == (5, 5, 42)
    assert reading["outcomes"] == {"ok": 10, "refused": 2}
    assert reading["breakers"] == {'with "quotes", {braces} and \\': True, "primary": False}
    assert reading["lag"] == {"count": 100, "sum": 0.25, "buckets": [[0.001, 90], [0.005, 98], ["inf", 100]]}


def test_bounds_of_a_histogram() -> None:
    assert run(
        "return [0.5, 0.95, 0.99].map((share) => m.boundOf(m.readingOf(values[0], 0).lag, share))", EXPOSITION
    ) == [
        0.001,
        0.005,
        "inf",
    ]
    assert run("return m.boundOf({count: 0, sum: 0, buckets: []}, 0.5)") is None


def test_the_mean_between_readings() -> None:
    means = run(
        "const of = (count, sum) => ({count, sum, buckets: []});"
        "return [of(14, 3), of(10, 1), of(2, 1)].map((now) => m.meanBetween(of(10, 1), now))"
    )
    assert means == [0.5, None, None]


def test_percentiles_are_values_of_the_list() -> None:
    assert run(
        "return [m.percentile([4, 1, 3, 2], 0.5), m.percentile([4, 1, 30, 2], 0.95), m.percentile([], 0.5)]"
    ) == [
        2,
        30,
        None,
    ]


def test_where_no_model_was_asked_all_is_ours() -> None:
    row = {"asked_ms": None, "ttft_ms": 40.0, "first_ms": 2.0, "lookup_ms": 20.0, "ms": 60.0, "upstream": "knowledge"}
    turn = {"elapsed": 70, "marks": {"byte": 12, "content": 50}, "request": {"endpoint": "rag"}, "tokens": None}
    figures = run(
        "return m.figuresOf(values[0], values[1])", turn, {**row, "attempts": 0, "outcome": "ok"}, module="figures"
    )
    told = {figure["name"]: figure for figure in figures}
    assert told["Ours"]["text"] == "40.0 ms" and told["Model"]["note"] == "no model was asked"
    for module, values in (("figures", [turn, row]), ("server_turn", [row])):
        parts = run("return m.partsOf(...values)", *values, module=module)
        assert "model" not in [part["name"] for part in parts], module
        assert {"look-up", "ours"} <= {part["name"] for part in parts}, module


def test_an_axis_of_times_spans_a_minute_at_least() -> None:
    ranges = run(
        "return values.map((axis) => m.rangeOf(true, false)({data: [axis]}))",
        [500],
        [400, 500],
        [480, 500],
        module="chart",
    )
    assert ranges == [[440, 500], [400, 500], [440, 500]]


def test_upstreams_are_told_in_words() -> None:
    words = run("return values.map((state) => m.upstreamOf(state)[1])", "closed", "open", "half_open", module="head")
    assert words == ["ok", "failing, not asked for a while", "being tried again"]
