"""Event streams, byte by byte: the WHATWG rules for what a completion stream uses, and frames that nothing can break.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.errors import UpstreamBadResponse
from parley.wire.sse import DONE, MAX_EVENT_BYTES, Decoder, comment, first_payload, frame, frames, is_done

REFERENCE = (
    b"\xef\xbb\xbf: OPENROUTER PROCESSING\n\n"
    b'event: data\nid: 7\nretry: 10\ndata: {"a":"\xe2\x82\xac"}\n\n'
    b'data:{"b":\ndata:  1}\n\n\n'
    b"data\n:\ndata: one\nother: x\ndata: two\n\n"
    b"data: [DONE]\n\n"
)
PAYLOADS = [b'{"a":"\xe2\x82\xac"}', b'{"b":\n 1}', b"one\ntwo", b"[DONE]"]


def decoded(*received: bytes) -> list[bytes]:
    """The payloads of a stream that arrives in these pieces and then ends."""
    decoder = Decoder()
    return [payload for piece in received for payload in decoder.feed(piece)] + decoder.end()


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_end_in_lf_crlf_or_cr(end: bytes) -> None:
    assert decoded(b"data: a\n\ndata: b\ndata: c\n\n".replace(b"\n", end)) == [b"a", b"b\nc"]


def test_kinds_of_line_ends_may_be_mixed() -> None:
    assert decoded(b"data: a\r\ndata: b\rdata: c\n\r\ndata: d\r\r") == [b"a\nb\nc", b"d"]


def test_crlf_cut_in_two_is_one_line_end() -> None:
    assert decoded(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n") == [b"a\nb"]


def test_cr_at_the_end_of_a_receive_ends_its_line_at_once() -> None:
    decoder = Decoder()

    assert decoder.feed(b"data: a\r\r") == [b"a"]
    assert decoder.feed(b"data: b\r\r") == [b"b"]


def test_an_empty_receive_between_cr_and_lf_changes_nothing() -> None:
    assert decoded(b"data: a\r", b"", b"\ndata: b\r\n\r\n") == [b"a\nb"]


@pytest.mark.parametrize(
    "received",
    [
        (b"\xef\xbb\xbfdata: a\n\n",),
        (b"\xef", b"\xbb", b"\xbfdata: a\n\n"),
        (b"\xef\xbb", b"\xbfda", b"ta: a\n\n"),
        (b"", b"\xef\xbb\xbf", b"data: a\n\n"),
    ],
)
def test_a_byte_order_mark_at_the_start_is_passed_over(received: tuple[bytes, ...]) -> None:
    assert decoded(*received) == [b"a"]


def test_only_the_first_byte_order_mark_is_passed_over() -> None:
    assert decoded(b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: \xef\xbb\xbfb\n\n") == [b"\xef\xbb\xbfb"]


@pytest.mark.parametrize(
    "line", [b": OPENROUTER PROCESSING", b":", b"event: data", b"id: 1", b"retry: 5", b"data2: x", b" data: x", b"x"]
)
def test_comments_and_other_fields_are_passed_over(line: bytes) -> None:
    assert decoded(line + b"\ndata: a\n" + line + b"\n\n" + line + b"\n\n") == [b"a"]


@pytest.mark.parametrize(
    ("line", "payload"), [(b"data:a", b"a"), (b"data: a", b"a"), (b"data:  a", b" a"), (b"data:\ta: b ", b"\ta: b ")]
)
def test_one_space_after_the_colon_is_no_part_of_the_data(line: bytes, payload: bytes) -> None:
    assert decoded(line + b"\n\n") == [payload]


def test_several_data_lines_make_one_payload_of_several_lines() -> None:
    assert decoded(b"data: a\nid: 1\ndata:\ndata: b\n\ndata: c\n\n") == [b"a\n\nb", b"c"]


def test_the_field_name_alone_is_an_empty_line_of_data() -> None:
    assert decoded(b"data: a\ndata\ndata: b\n\n") == [b"a\n\nb"]


@pytest.mark.parametrize("stream", [b"", b"\n\n\n", b"data:\n\n", b"data: \n\n", b"event: ping\n\n", b": only\n\n"])
def test_an_event_without_data_gives_nothing(stream: bytes) -> None:
    assert decoded(stream) == []


def test_a_last_event_without_its_blank_line_is_given_out() -> None:
    assert decoded(b"data: a\n\ndata: b\ndata: [DONE]\n") == [b"a", b"b\n[DONE]"]


def test_a_line_that_did_not_end_is_not_given_out() -> None:
    assert decoded(b'data: a\n\ndata: {"half') == [b"a"]


def test_nothing_is_given_out_twice() -> None:
    decoder = Decoder()
    decoder.feed(b"data: a\n")

    assert [decoder.end(), decoder.end()] == [[b"a"], []]


def test_events_come_out_with_the_receive_that_completes_them() -> None:
    decoder = Decoder()
    pieces = [b"data: a\n", b"\ndata: b\n\nda", b"ta: c", b"\n\n"]

    assert [decoder.feed(piece) for piece in pieces] == [[], [b"a", b"b"], [], [b"c"]]


def test_an_event_may_grow_to_one_mebibyte() -> None:
    assert MAX_EVENT_BYTES == 1 << 20


@pytest.mark.parametrize(
    "received",
    [
        [b"data: " + b"x" * 10, b"x"],
        [b"data: xxxx\n", b"data: xx"],
        [b": " + b"x" * 15],
        [b"data: a\n\n" + b"x" * 17],
    ],
)
def test_an_event_above_the_cap_is_refused_before_it_ends(received: list[bytes]) -> None:
    decoder = Decoder(max_event_bytes=16)

    with pytest.raises(UpstreamBadResponse, match="too large"):
        list(map(decoder.feed, received))


def test_the_cap_is_for_one_event_and_not_for_the_stream() -> None:
    decoder = Decoder(max_event_bytes=16)

    assert [decoder.feed(b"data: " + b"x" * 10), decoder.feed(b"\n\n")] == [[], [b"x" * 10]]
    assert [decoder.feed(b"data: 0123456789\n\n") for _ in range(3)] == [[b"0123456789"]] * 3


@settings(max_examples=50)
@given(end=st.sampled_from([b"\n", b"\r\n", b"\r"]), cuts=st.sets(st.integers(1, len(REFERENCE) * 2)))
def test_however_the_stream_is_cut_its_payloads_are_the_same(end: bytes, cuts: set[int]) -> None:
    stream = REFERENCE.replace(b"data\n:\n", b":\n").replace(b"\n", end)
    places = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]

    pieces = [stream[start:stop] for start, stop in itertools.pairwise(places)]

    assert decoded(*pieces) == PAYLOADS


def test_byte_for_byte_the_payloads_are_the_same() -> None:
    assert decoded(*[bytes([byte]) for byte in REFERENCE.replace(b"data\n:\n", b"")]) == PAYLOADS


def test_a_frame_is_a_data_line_and_a_blank_line() -> None:
    assert frame(b'{"a":1}') == b'data: {"a":1}\n\n'


def test_frames_are_one_after_the_other_in_one_piece() -> None:
    assert frames([b"a", b"b"]) == b"data: a\n\ndata: b\n\n"
    assert frames([]) == b""


def test_done_is_the_event_that_all_clients_know() -> None:
    assert DONE == b"data: [DONE]\n\n"


def test_a_line_break_in_a_payload_begins_no_event_and_no_field() -> None:
    assert frame(b"a\n\nevent: x\ndata: [DONE]") == b"data: a\ndata: \ndata: event: x\ndata: data: [DONE]\n\n"


@settings(max_examples=50)
@given(st.lists(st.binary(min_size=1).filter(lambda payload: b"\r" not in payload and payload != b"\n")))
def test_what_is_framed_comes_out_as_it_went_in(payloads: list[bytes]) -> None:
    assert decoded(frames(payloads)) == payloads


def test_a_comment_is_a_line_that_begins_with_a_colon() -> None:
    assert comment("error code=upstream_error") == b": error code=upstream_error\n\n"


@settings(max_examples=50)
@given(st.text())
def test_no_comment_can_begin_an_event(text: str) -> None:
    written = comment(f"a\r\ndata: b\n\n{text}\rdata: c")

    assert written.splitlines() == [written.removesuffix(b"\n\n"), b""]
    assert decoded(written, b"\n\n") == []


CHUNKS = [b'{"id":"a","choices":[{"delta":{"content":"{}"}}]}', b'{"b":"\xe2\x82\xac }"}', b'{"c":[1,2]}']
BARE = {
    "lines": b"\n".join(CHUNKS) + b"\n",
    "lines, no last end": b"\n".join(CHUNKS),
    "blank lines between": b"\n\n".join(CHUNKS) + b"\n\n",
    "events": b"".join(b"data: " + chunk + b"\n\n" for chunk in CHUNKS),
    "comments between": b": ping\n" + b"\n: ping\n\n".join(CHUNKS) + b"\n",
    "fields between": b"event: x\n" + b"\nid: 7\n".join(CHUNKS) + b"\n",
    "over lines": b"\n".join(json.dumps(json.loads(chunk), indent=1).encode() for chunk in CHUNKS),
}


@settings(max_examples=100)
@given(
    form=st.sampled_from([*BARE]),
    end=st.sampled_from([b"\n", b"\r\n", b"\r"]),
    done=st.sampled_from([b"", b"\n[DONE]\n", b"\ndata: [DONE]\n\n", b"\n\ndata:[DONE]"]),
    cuts=st.sets(st.integers(1, 300)),
)
def test_bare_json_in_any_form_gives_the_same_payloads(form: str, end: bytes, done: bytes, cuts: set[int]) -> None:
    stream = (BARE[form] + done).replace(b"\n", end)
    places = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    decoder = Decoder(bare=True)
    payloads = [payload for start, stop in itertools.pairwise(places) for payload in decoder.feed(stream[start:stop])]
    payloads += decoder.end()
    expected = [json.loads(chunk) for chunk in CHUNKS]
    assert [json.loads(payload) for payload in payloads if payload != b"[DONE]"] == expected
    assert payloads.count(b"[DONE]") == (done != b"")


def test_done_on_the_line_of_its_json_is_no_part_of_it() -> None:
    decoder = Decoder(bare=True)
    assert decoder.feed(CHUNKS[0] + b"data: [DONE]\n") == [CHUNKS[0]]


@pytest.mark.parametrize("text", [b"<html>\n{}", b"a text\n", b"[1]\n"])
def test_without_an_object_bare_text_gives_nothing(text: bytes) -> None:
    decoder = Decoder(bare=True)
    assert [payload for payload in decoder.feed(text) + decoder.end() if payload != b"{}"] == []


def test_objects_without_a_blank_line_between_are_two_events() -> None:
    assert decoded(b'data: {"a":1}\ndata: {"b":2}\ndata: [DONE]\n\n') == [b'{"a":1}', b'{"b":2}', b"[DONE]"]
    assert decoded(b'data: [{"a":1}\ndata: ,{"b":2}]\n\n') == [b'[{"a":1}\n,{"b":2}]']


@pytest.mark.parametrize(
    ("payload", "ends"),
    [
        *[(done, True) for done in (b"[DONE]", b" [DONE] ", b"[done]", b'"[DONE]"', b"DONE")],
        *[(other, False) for other in (b"", b"{}", b"[DONE", b'{"content":"DONE"}', b"done deal")],
    ],
)
def test_the_end_of_a_stream_has_several_forms(payload: bytes, ends: bool) -> None:
    assert is_done(payload) is ends


@given(
    st.lists(st.sampled_from([b'{"a":1}', b' {"b":\n2}', b"x\n\ny", comment("a"), comment("data: {}")])), st.booleans()
)
def test_the_first_event_is_found_behind_comments(payloads: list[bytes], is_done_behind: bool) -> None:
    events = [payload for payload in payloads if not payload.startswith(b":")]

    assert first_payload(frames(payloads) + DONE * is_done_behind) == (events[0] if events else None)
