"""Finish reasons on every chunk, too early, undone or named again, with and without DONE: the last one counts."""

import json

import pytest
from fake_upstream import DONE, END, HANG, FakeUpstream, Step, chunk, close, event, events, head, reset, text_chunk
from heard import STREAMS, WAITED, ask
from plain_http import frames
from running_server import RunningServer
from servers import Servers

pytestmark = [pytest.mark.server, pytest.mark.row("RA-06")]
every_stream = pytest.mark.parametrize("way", STREAMS)
PAUSE = 1.4
ROLE = chunk({"role": "assistant", "content": ""})
ONE, TWO = text_chunk("chatcmpl-fake", "One"), text_chunk("chatcmpl-fake", " two")
FINISH, LENGTH = chunk({}, "stop"), chunk({}, "length")


def word(text: str, reason: str | None = "stop", index: int = 0) -> bytes:
    """A chunk with a word and a finish_reason."""
    choice = {"index": index, "delta": {"content": text}, "finish_reason": reason}
    return chunk({}, choices=[choice])


def of(index: int, text: str | None = None, reason: str | None = None) -> bytes:
    """A chunk of one of several choices."""
    delta = {} if text is None else {"content": text}
    return chunk({}, choices=[{"index": index, "delta": delta, "finish_reason": reason}])


ANNOTATION = chunk({}, choices=[{"index": 0, "finish_reason": None, "content_filter_offsets": {"start_offset": 0}}])
ENDS: dict[str, list[Step]] = {
    "DONE": [event(DONE), END],
    "no DONE": [END],
    "closed": [close],
    "reset": [0.05, reset],
}
FINISHED: dict[str, list[bytes]] = {
    "on every chunk": [word(""), word("One"), word(" two")],
    "on every chunk, then null": [word("One"), word(" two"), chunk({}, None)],
    "with the role": [chunk({"role": "assistant", "content": ""}, "stop"), ONE, TWO, FINISH],
    "too early": [ROLE, ONE, FINISH, TWO, FINISH],
    "named again": [ROLE, ONE, TWO, FINISH, ANNOTATION],
    "named again with a null delta": [ROLE, ONE, TWO, FINISH, chunk(None)],
    "named again, then the usage": [ROLE, ONE, TWO, FINISH, ANNOTATION, chunk({}, choices=[], usage={"n": 1})],
    "empty texts behind": [ROLE, ONE, TWO, FINISH, chunk({"content": ""}), chunk({"content": None, "tool_calls": []})],
    "notes behind": [ROLE, ONE, TWO, FINISH, chunk({"annotations": [{"type": "url_citation"}]})],
    "twice": [ROLE, ONE, TWO, FINISH, LENGTH],
    "with the last word": [ROLE, ONE, word(" two")],
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("finished", FINISHED)
@every_stream
def test_the_last_finish_reason_counts(
    single: RunningServer, first: FakeUpstream, finished: str, end: str, way: str
) -> None:
    first.script = [*events(FINISHED[finished]), *ENDS[end]]
    heard = ask(single, way)
    assert (heard.text, heard.end["outcome"]) == ("One two", "ok"), heard.body
    assert heard.payloads[-1] == DONE and b'"error"' not in heard.body


@pytest.fixture
def patient(first: FakeUpstream, quick_servers: Servers) -> RunningServer:
    """Return a server whose upstream may pause."""
    return quick_servers(IDLE_TIMEOUT="6", TTFT_TIMEOUT="4", PRECOMMIT_TIMEOUT="5")


SLOW: dict[str, list[bytes]] = {
    "on every chunk": [word(""), word("One"), word(" two")],
    "with the role": [chunk({"role": "assistant", "content": ""}, "stop"), ONE, TWO, FINISH],
    "behind a step": [ROLE, ONE, chunk({}, "tool_calls"), TWO, FINISH],
}


@pytest.mark.parametrize("finished", SLOW)
@pytest.mark.parametrize("way", [*STREAMS, "json"])
def test_a_pause_behind_a_finish_reason_cuts_nothing(
    patient: RunningServer, first: FakeUpstream, finished: str, way: str
) -> None:
    steps: list[Step] = [head()]
    for payload in SLOW[finished]:
        steps += [event(payload), PAUSE]
    first.script = [*steps[:-1], event(DONE), END]
    heard = ask(patient, way)
    assert (heard.text, heard.end["outcome"]) == ("One two", "ok"), heard.body


@pytest.mark.parametrize("finished", ["with the last word", "twice"])
def test_silence_behind_the_last_finish_reason_ends_it(
    single: RunningServer, first: FakeUpstream, finished: str
) -> None:
    first.script = [*events(FINISHED[finished]), HANG]
    heard = ask(single)
    assert (heard.text, heard.end["outcome"]) == ("One two", "ok") and heard.payloads[-1] == DONE


UNDONE = {
    "words": [ROLE, word("One"), TWO],
    "a tool call": [ROLE, word("One"), text_chunk("chatcmpl-fake", " two"), chunk({"tool_calls": [{"index": 0}]})],
}


@pytest.mark.parametrize("undone", UNDONE)
@every_stream
def test_an_ending_that_was_none_leaves_a_cut_a_cut(
    single: RunningServer, first: FakeUpstream, undone: str, way: str
) -> None:
    first.script = [*events(UNDONE[undone]), END]
    heard = ask(single, way)
    assert heard.text == "One two" and heard.finish_reasons == ["stop", "error"] and DONE not in heard.payloads
    assert (heard.end["outcome"], heard.end["code"]) == ("error_mid", "upstream_incomplete")


def test_an_undone_ending_is_made_again_at_done(single: RunningServer, first: FakeUpstream) -> None:
    first.script = [*events([*UNDONE["words"], DONE]), END]
    heard = ask(single)
    assert heard.end["outcome"] == "ok" and heard.finish_reasons == ["stop", "stop"]
    assert json.loads(heard.payloads[-2])["choices"][0]["delta"] == {}


SEVERAL: dict[str, tuple[list[bytes], bool]] = {
    "one after the other": ([of(0, "a"), of(0, None, "stop"), of(1, "b"), of(1, None, "stop")], True),
    "both named again": ([of(0, "a", "stop"), of(1, "b", "stop"), of(0), of(1)], True),
    "on every chunk": ([of(0, "a", "stop"), of(1, "b", "stop"), of(0, "c", "stop"), of(1, "d", "stop")], True),
    "one goes on": ([of(0, "a", "stop"), of(1, "b", "stop"), of(0, "c")], False),
    "one never ends": ([of(0, "a"), of(1, "b"), of(0, None, "stop")], False),
}


@pytest.mark.parametrize("several", SEVERAL)
def test_each_of_several_choices_ends_by_itself(single: RunningServer, first: FakeUpstream, several: str) -> None:
    payloads, is_whole = SEVERAL[several]
    first.script = [*events(payloads), END]
    heard = ask(single, n=2)
    assert heard.end["outcome"] == ("ok" if is_whole else "error_mid")
    assert heard.body.startswith(b"".join(map(frames, payloads))) and WAITED.encode() not in heard.body
