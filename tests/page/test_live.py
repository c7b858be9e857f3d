"""The view Live: its numbers are those of /metrics."""

import re

import pytest
import requests
from fake_upstream import FakeUpstream, answer
from page_traffic import call_once
from playwright.sync_api import Page, Route, expect
from running_server import RunningServer
from servers import Servers

pytestmark = [pytest.mark.server, pytest.mark.page]
POLL_MS = 5000
"""Milliseconds between two questions of the page for the metrics."""


@pytest.fixture
def called(servers: Servers, upstream: FakeUpstream) -> RunningServer:
    """Return a server that callers have asked."""
    upstream.script = answer("We are open.")
    server = servers(alone="called")
    for number in range(8):
        call_once(server.url, number)
    return server


def metric(server: RunningServer, pattern: str) -> float:
    """Return the sum of the series that match."""
    text = requests.get(f"{server.url}/metrics", timeout=30).text
    return sum(float(value) for value in re.findall(rf"^{pattern} (\S+)$", text, re.M))


def test_the_numbers_are_those_of_the_metrics(page: Page, called: RunningServer) -> None:
    page.goto(f"{called.url}/playground#live")
    panel = page.locator("#panel-live")
    all_requests = metric(called, r"parley_requests_total{.*}")
    complete = metric(called, r'parley_requests_total{.*outcome="ok"}')
    refused = metric(called, r'parley_requests_total{.*outcome="refused"}')

    assert complete > 0 and refused > 0
    expect(panel.locator("[data-key=requests]")).to_have_text(str(int(all_requests)))
    expect(panel.locator("[data-key=open]")).to_have_text("0")
    expect(panel.locator("[data-key=passages]")).to_have_text(str(int(metric(called, "parley_kb_passages"))))
    expect(panel.get_by_role("row", name="complete")).to_have_text(f"complete{int(complete)}")
    expect(panel.get_by_role("row", name="refused", exact=False)).to_contain_text(str(int(refused)))
    expect(panel.get_by_role("row", name="primary")).to_have_text("primaryok")


def test_each_chart_has_a_sentence_and_a_table(page: Page, called: RunningServer) -> None:
    page.goto(f"{called.url}/playground#live")
    charts = page.locator("figure.chart")
    expect(charts.first.locator("canvas")).to_be_visible()

    assert charts.count() == 4
    for number in range(charts.count()):
        chart = charts.nth(number)
        sentence = chart.locator(".chart-sentence").text_content() or ""
        expect(chart.get_by_role("img")).to_have_accessible_name(re.compile(re.escape(sentence) + "$"))
        chart.get_by_text("Numbers").click()
        assert chart.get_by_role("row").count() > 1
    expect(charts.first.locator(".chart-sentence")).to_contain_text("of it was ours")


def test_a_canvas_has_the_colours_of_the_scheme(page: Page, called: RunningServer) -> None:
    colours = set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(f"{called.url}/playground#live")
        page.reload()
        canvas = page.locator("figure.chart canvas").first
        expect(canvas).to_be_visible()
        colours.add(canvas.evaluate(INKS))

    assert len(colours) == 2 and "0,0,0" not in colours


INKS = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const counts = {};
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] === 255) counts[data.slice(at, at + 3)] = (counts[data.slice(at, at + 3)] ?? 0) + 1;
  }
  return Object.entries(counts).sort((one, other) => other[1] - one[1])[0][0];
}"""
"""Returns the commonest opaque colour of a canvas."""


def test_without_metrics_the_last_picture_stays(page: Page, called: RunningServer) -> None:
    page.clock.install()
    page.goto(f"{called.url}/playground#live")
    expect(page.locator("#panel-live [data-key=requests]")).to_be_visible()

    def refuse(route: Route) -> None:
        route.abort()

    page.route("**/metrics", refuse)
    page.clock.run_for(POLL_MS)

    expect(page.locator("#panel-live .notice")).to_contain_text("The picture is of")
    expect(page.locator("#panel-live [data-key=requests]")).to_be_visible()
    assert page.locator("#panel-live .stale").count() == 1
