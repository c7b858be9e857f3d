"""The page's pure modules, run in the browser that the page runs in."""

from typing import Any

import pytest
from playwright.sync_api import Page
from running_server import RunningServer

pytestmark = [pytest.mark.server, pytest.mark.page]
WORDS = [("Welcome", 0, 400), ("to", 410, 500), ("Works", 520, 900), (".", 900, 910)]


@pytest.fixture
def modules(page: Page, patient: RunningServer) -> Page:
    """Return a page of the server, so that its modules can be imported."""
    page.goto(f"{patient.url}/playground#connect")
    return page


def run(page: Page, module: str, body: str, argument: Any = None) -> Any:
    """Return what a function returns that gets a module, `m`, and an argument, `a`."""
    code = f"async (a) => {{ const m = await import('/playground/{module}.js'); {body} }}"
    return page.evaluate(code, argument)


EVENTS = [("data", "one"), ("comment", "keep-alive"), ("data", "two\nlines"), ("data", "[DONE]")]
STREAMS = {
    "line feeds": "data: one\n\n: keep-alive\n\nevent: x\ndata: two\ndata: lines\n\ndata:[DONE]\n\n",
    "both": "data: one\r\n\r\n: keep-alive\r\n\r\ndata: two\r\ndata: lines\r\n\r\ndata: [DONE]\r\n\r\n",
    "carriage returns": "data: one\r\r: keep-alive\r\rid: 7\rdata: two\rdata: lines\r\rdata: [DONE]\r\r\n",
}


def test_events_are_read_however_they_are_cut(modules: Page) -> None:
    body = """return a.map((stream) => [1, 2, 3, 7, 1000].map((size) => {
      const parser = new m.Parser(); const found = [];
      for (let at = 0; at < stream.length; at += size) found.push(...parser.push(stream.slice(at, at + size)));
      return found.map(({kind, text}) => [kind, text]);
    }))"""
    for name, sizes in zip(STREAMS, run(modules, "sse", body, list(STREAMS.values())), strict=True):
        for found in sizes:
            assert [tuple(one) for one in found] == EVENTS, name


def test_an_event_without_its_end_is_none(modules: Page) -> None:
    assert run(modules, "sse", "return new m.Parser().push('data: half\\n')") == []


@pytest.mark.parametrize(
    ("heard_ms", "text"),
    [
        (-1, ""),
        (399, ""),
        (400, "Welcome"),
        (505, "Welcome to"),
        (905, "Welcome to Works"),
        (5000, "Welcome to Works."),
    ],
)
def test_heard_words_end_by_then(modules: Page, heard_ms: int, text: str) -> None:
    words = [{"text": word, "start_ts": start, "end_ts": end} for word, start, end in WORDS]
    argument = {"words": words, "ms": heard_ms}

    assert run(modules, "conversation", "return m.heardText('Welcome to Works.', a.words, a.ms)", argument) == text


def test_a_conversation_remembers_what_was_heard(modules: Page) -> None:
    body = """const all = new m.Conversation();
    all.remember({role: 'user', content: 'Hi'}, 'Welcome to us. ', null);
    all.remember({role: 'user', content: 'Open?'}, 'We are open', 'We are');
    all.remember({role: 'user', content: 'Well?'}, 'We', '');
    all.remember({role: 'assistant', content: 'Bye.'}, 'Bye.', null);
    return all.request('Be brief.', {role: 'user', content: 'Next'})"""

    assert run(modules, "conversation", body) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Welcome to us."},
        {"role": "user", "content": "Open?"},
        {"role": "assistant", "content": "We are", "original": "We are open"},
        {"role": "user", "content": "Well?"},
        {"role": "assistant", "content": "Bye."},
        {"role": "user", "content": "Next"},
    ]


def schedule(page: Page, steps: list[tuple[float, float]]) -> Any:
    """Play chunks of 40 ms (or as long as is said) that come at these seconds, with a lead of 0.2 s."""
    body = """const s = new m.Schedule(0.2); const starts = a.map(([now, seconds]) => s.add(now, seconds));
    const last = a.at(-1)[0];
    const heard = [s.heard(last, 0), s.heard(last + 9, 0), s.queued];
    return {starts, heard, gaps: s.gaps, pauses: s.pauses.map((one) => one.isGap)}"""
    return run(page, "schedule", body, [list(step) for step in steps])


def test_chunks_in_time_leave_no_gap(modules: Page) -> None:
    found = schedule(modules, [(10, 0.2), (10.04, 0.04), (10.08, 0.04)])

    assert found["starts"] == pytest.approx([10.05, 10.25, 10.29])
    assert (found["gaps"], found["pauses"]) == (0, [])
    assert found["heard"] == pytest.approx([0.03, 0.28, 0.28])


def test_a_late_chunk_is_a_gap_and_a_pause_is_silence(modules: Page) -> None:
    found = schedule(modules, [(10, 0.1), (10.25, 0.1), (13, 0.1)])

    # The first ends at 10.15 and the second is late by 0.1 s; the third comes long after that.
    assert found["starts"] == pytest.approx([10.05, 10.25, 13.05])
    assert (found["gaps"], found["pauses"]) == (1, [True, False])
    assert found["heard"][1:] == pytest.approx([0.3, 0.3])


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("Expected ',' in JSON at position 9 (line 2 column 3)", 2),
        ("JSON.parse: unexpected character at line 3 column 1 of the JSON data", 3),
        ("Unexpected token } in JSON at position 8", 3),
        ("Unexpected end of JSON input", 4),
        ("JSON Parse error: Expected '}'", 0),
    ],
)
def test_the_line_of_an_error_is_found(modules: Page, message: str, line: int) -> None:
    body = "return m.lineOf(a, 'ab\\ncde\\nfgh\\n')"

    assert run(modules, "editor", body, message) == line
