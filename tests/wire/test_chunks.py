"""Chunks as literal JSON: ours whole, the upstream's untouched but for what must be made one."""

import json
from typing import Any

import pytest

from parley.errors import (
    InvalidRequest,
    UpstreamBadResponse,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimeout,
)
from parley.wire.chunks import (
    ChunkView,
    Envelope,
    check_completion,
    error_body,
    error_payload,
    look,
)

HEAD = b'{"id":"chatcmpl-7","object":"chat.completion.chunk","created":1764000013,"model":"m","choices":[{"index":0,'


def envelope() -> Envelope:
    return Envelope("chatcmpl-7", 1764000013, "m")


def view_of_delta(delta: str) -> ChunkView:
    return look(b'{"choices":[{"index":0,"delta":%b}]}' % delta.encode())


def test_a_first_piece_of_text_has_the_envelope_and_the_role() -> None:
    assert envelope().text("Hé. ", first=True) == (
        HEAD + '"delta":{"role":"assistant","content":"Hé. "},"logprobs":null,"finish_reason":null}]}'.encode()
    )


def test_a_later_piece_of_text_has_the_envelope_and_no_role() -> None:
    assert envelope().text("a", first=False) == (
        HEAD + b'"delta":{"content":"a"},"logprobs":null,"finish_reason":null}]}'
    )


@pytest.mark.parametrize("reason", ["stop", "length", "error"])
def test_a_finish_chunk_has_the_envelope_and_an_empty_delta(reason: str) -> None:
    assert envelope().finish(reason) == HEAD + b'"delta":{},"logprobs":null,"finish_reason":"%b"}]}' % reason.encode()


def test_any_delta_gets_the_whole_envelope() -> None:
    assert envelope().chunk({"audio": {"id": "a", "data": "AA=="}}) == (
        HEAD + b'"delta":{"audio":{"id":"a","data":"AA=="}},"logprobs":null,"finish_reason":null}]}'
    )


def test_a_line_break_in_a_text_stays_inside_its_json_string() -> None:
    assert b"\n" not in envelope().text("a\n\ndata: [DONE]\r\n", first=True)


def test_a_whole_answer_has_the_envelope_of_a_completion() -> None:
    assert envelope().completion({"role": "assistant", "content": "Hi"}) == {
        "id": "chatcmpl-7",
        "object": "chat.completion",
        "created": 1764000013,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi"},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
    }


def test_a_new_envelope_has_its_own_id_and_the_time_in_seconds() -> None:
    first, second = Envelope.new("m"), Envelope.new("m")

    assert first.id.startswith("chatcmpl-") and first.id != second.id
    assert 1_700_000_000 < first.created < 10_000_000_000


def test_the_upstreams_envelope_is_adopted_before_ours_was_used() -> None:
    ours = envelope()

    ours.adopt(look(b'{"id":"up","created":5,"model":"big","choices":[]}'))

    assert (ours.id, ours.created, ours.model) == ("up", 5, "big")


def test_the_upstreams_envelope_is_ignored_once_ours_was_sent() -> None:
    ours = envelope()
    ours.text("One moment. ", first=True)

    ours.follow(Envelope("up", 5, "big"))

    assert (ours.id, ours.created, ours.model) == ("chatcmpl-7", 1764000013, "m")


def test_until_then_the_upstreams_is_followed() -> None:
    ours = envelope()

    ours.follow(Envelope("up", 5, "big", calls_tool=True))

    assert (ours.id, ours.created, ours.model, ours.calls_tool) == ("up", 5, "big", True)


@pytest.mark.parametrize(
    "chunk",
    [
        b'{"created":5,"model":"big"}',
        b'{"id":7,"created":5,"model":"big"}',
        b'{"id":"up","created":[5],"model":"big"}',
        b'{"id":"up","created":5,"model":null}',
    ],
)
def test_an_envelope_with_a_hole_is_not_adopted_by_halves(chunk: bytes) -> None:
    ours = envelope()

    ours.adopt(look(chunk))

    assert (ours.id, ours.created, ours.model) == ("chatcmpl-7", 1764000013, "m")


@pytest.mark.parametrize("created", ["5", "5.5", '"2026-11-27T21:00:00Z"'])
def test_a_time_is_adopted_in_the_upstreams_form(created: str) -> None:
    ours = envelope()

    ours.adopt(look(b'{"id":"up","created":%b,"model":"big"}' % created.encode()))

    assert b'{"id":"up","object":"chat.completion.chunk","created":%b,"model":"big"' % created.encode() in ours.finish(
        ""
    )


def test_restamping_changes_only_the_envelope_and_the_role() -> None:
    came = (
        '{"id":"up","provider":"x y","object":"chat.completion.chunk","created":1,"model":"big","choices":[{"index":0,'
        '"delta":{"role":"assistant","content":"hé \\u00e9 \\/","reasoning_content":"r","n":123456789012345678901.500},'
        '"logprobs":{"role":[1e2, 0.10]},"finish_reason":null,"odd":{"role":"kept"}}],"usage":{"role":1E+2},"seed":-0}'
    )

    left = envelope().restamp(came.encode())

    expected = came.replace('"id":"up"', '"id":"chatcmpl-7"').replace('"created":1,', '"created":1764000013,')
    expected = expected.replace('"model":"big"', '"model":"m"').replace('"role":"assistant",', "")
    assert left == expected.encode()


def test_restamping_keeps_choices_without_a_role_as_they_are() -> None:
    came = b'{"id":"up","created":1,"model":"b","choices":[ {"delta" : {"content":"a"},"x":1e400} ]}'

    assert envelope().restamp(came) == (
        b'{"id":"chatcmpl-7","created":1764000013,"model":"m","choices":[ {"delta" : {"content":"a"},"x":1e400} ]}'
    )


def test_restamping_takes_the_role_out_of_every_choice() -> None:
    came = b'{"choices":[{"delta":{"role":"a"}},{"delta":null},{"index":2},{"delta":{"content":"b","role":"a"}}]}'

    left = json.loads(envelope().restamp(came))

    assert left["choices"] == [{"delta": {}}, {"delta": None}, {"index": 2}, {"delta": {"content": "b"}}]


def test_restamping_gives_a_chunk_without_an_envelope_ours() -> None:
    assert envelope().restamp(b'{"choices":[]}') == (
        b'{"choices":[],"id":"chatcmpl-7","created":1764000013,"model":"m"}'
    )


def test_restamping_takes_whatever_a_look_takes() -> None:
    came = b'{"choices":null,"x":{"role":"a"}}'
    look(came).raise_for_failure()

    assert b'"choices":null' in envelope().restamp(came)


@pytest.mark.parametrize(
    "delta",
    [
        '{"content":"a"}',
        '{"role":"assistant","content":" "}',
        '{"reasoning_content":"r"}',
        '{"refusal":"no"}',
        '{"audio":{"data":"AA=="}}',
        '{"tool_calls":[{"index":0}]}',
        '{"function_call":{"name":"f"}}',
        '{"what_comes_next":1}',
    ],
)
def test_any_field_with_something_in_it_commits(delta: str) -> None:
    assert view_of_delta(delta).commits


@pytest.mark.parametrize(
    "delta",
    [
        "{}",
        "null",
        '{"role":"assistant"}',
        '{"role":"assistant","content":""}',
        '{"content":null,"refusal":null,"reasoning_content":""}',
        '{"tool_calls":[],"audio":{},"function_call":null}',
    ],
)
def test_a_role_and_empty_fields_commit_nothing(delta: str) -> None:
    assert not view_of_delta(delta).commits


@pytest.mark.parametrize("chunk", [b'{"choices":[]}', b'{"choices":null}', b'{"usage":{"total_tokens":7}}', b"{}"])
def test_a_chunk_without_a_choice_is_fine_and_says_nothing(chunk: bytes) -> None:
    view = look(chunk)

    view.raise_for_failure()
    assert (view.commits, view.calls_tool, view.finishes) == (False, False, False)


def test_a_second_choice_counts_as_much_as_the_first() -> None:
    second = b'{"index":1,"delta":{"tool_calls":[{"index":0}]},"finish_reason":"tool_calls"}'
    view = look(b'{"choices":[{"index":0,"delta":{}},%b]}' % second)

    assert (view.commits, view.calls_tool, view.finishes) == (True, True, True)


@pytest.mark.parametrize("delta", [b'{"tool_calls":null}', b'{"tool_calls":[]}', b'{"content":"x"}'])
def test_no_tool_call_is_no_tool_call(delta: bytes) -> None:
    assert not look(b'{"choices":[{"delta":%b}]}' % delta).calls_tool


def test_a_function_call_is_one() -> None:
    assert look(b'{"choices":[{"delta":{"function_call":{"arguments":"{"}}}]}').calls_tool


@pytest.mark.parametrize(
    ("reason", "ends"),
    [
        *[(reason, True) for reason in ('"stop"', '"length"', '"made_up"', '{"type":"stop"}', "1", '["stop"]')],
        *[(reason, False) for reason in ("null", '""', '"null"', '"None"', "false", "0", '"error"')],
    ],
)
def test_any_finish_reason_ends_a_choice(reason: str, ends: bool) -> None:
    view = look(b'{"choices":[{"delta":{},"finish_reason":%b}]}' % reason.encode())

    assert view.finishes is ends


@pytest.mark.parametrize(
    ("chunk", "code"),
    [
        (b'{"error":{"message":"secret","code":"context_length_exceeded"}}', "context_length_exceeded"),
        (b'{"error":"secret"}', "upstream_error"),
        (b'{"object":"error","message":"secret","code":"oom"}', "oom"),
        (b'{"object":"error","message":"secret","code":400}', "upstream_error"),
        (b'{"choices":[{"delta":{"content":""},"finish_reason":"error"}]}', "upstream_error"),
        (
            b'{"error":{"code":502,"message":"secret"},"choices":[{"delta":{},"finish_reason":"error"}]}',
            "upstream_error",
        ),
    ],
)
def test_each_form_of_a_reported_failure_is_seen(chunk: bytes, code: str) -> None:
    with pytest.raises(UpstreamError) as raised:
        look(chunk).raise_for_failure()

    assert (raised.value.code, raised.value.public_code) == ("upstream_error", code)
    assert "secret" not in raised.value.message


@pytest.mark.parametrize("code", ["a b", "", "x" * 65, "a\\nb", "<b>", "é"])
def test_a_code_of_odd_characters_is_not_passed_on(code: str) -> None:
    with pytest.raises(UpstreamError) as raised:
        look(b'{"error":{"code":"%b"}}' % code.encode()).raise_for_failure()

    assert raised.value.public_code == "upstream_error"


def test_a_failure_is_no_end() -> None:
    assert not look(b'{"choices":[{"delta":{},"finish_reason":"error"}]}').finishes


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[DONE",
        b"<html>",
        b"[]",
        b'"x"',
        b"7",
        b"null",
        b'{"choices":[null]}',
        b'{"choices":{}}',
        b'{"choices":[{"delta":"x"}]}',
        b'{"choices":[{"delta":{"content":"\xff"}}]}',
        b'{"choices":[]',
        b'{"choices":[]} x',
    ],
)
def test_anything_but_a_chunk_is_a_bad_response(payload: bytes) -> None:
    with pytest.raises(UpstreamBadResponse) as raised:
        look(payload)

    assert raised.value.message == "the upstream sent an event that is not a completion chunk"


@pytest.mark.parametrize("field", [b"x", b"choices", b"error"])
def test_a_chunk_nested_too_deep_is_a_bad_response(field: bytes) -> None:
    with pytest.raises(UpstreamBadResponse):
        look(b'{"%b":%b}' % (field, b'[{"a":' * 5000 + b"1" + b"}]" * 5000))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"error":{"message":"x"}}', UpstreamError),
        (b'{"object":"error","message":"x"}', UpstreamError),
        (b'{"id":"up","choices":[]}', UpstreamBadResponse),
        (b"x", UpstreamBadResponse),
    ],
)
def test_a_whole_answer_that_is_none_is_told(body: bytes, error: type[UpstreamError]) -> None:
    with pytest.raises(UpstreamError) as raised:
        check_completion(body)

    assert type(raised.value) is error


def test_a_whole_answer_that_is_one_passes() -> None:
    check_completion(b'{"id":"up","choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}')


def test_an_error_is_told_to_sdks_and_to_agora() -> None:
    error = InvalidRequest("model must be a string", param="model", code="invalid_value")

    assert error_body(error) == {
        "error": {
            "message": "model must be a string",
            "type": "invalid_request_error",
            "param": "model",
            "code": "invalid_value",
        },
        "detail": "model must be a string",
    }


@pytest.mark.parametrize(
    ("upstreams", "told"),
    [
        (
            {"message": "too long", "type": "t", "param": "messages", "code": "context_length_exceeded"},
            {"message": "too long", "type": "t", "param": "messages", "code": "context_length_exceeded"},
        ),
        (
            {"message": "too long"},
            {"message": "too long", "type": "invalid_request_error", "param": None, "code": "upstream_error"},
        ),
    ],
)
def test_an_upstreams_refusal_is_told_in_its_own_words(upstreams: dict[str, Any], told: dict[str, Any]) -> None:
    assert error_body(UpstreamRefused(400, upstreams)) == {"error": told, "detail": "too long"}


def test_an_upstreams_429_has_the_type_that_clients_wait_for() -> None:
    assert error_body(UpstreamRefused(429, {"message": "slow down"}))["error"] == {
        "message": "slow down",
        "type": "rate_limit_error",
        "param": None,
        "code": "rate_limited",
    }


def test_an_error_inside_a_stream_is_a_bare_error_object() -> None:
    assert error_payload(UpstreamTimeout("nothing came")) == (
        b'{"error":{"message":"nothing came","type":"server_error","param":null,"code":"upstream_timeout"}}'
    )


def test_the_upstreams_own_code_is_the_one_that_the_caller_sees() -> None:
    assert b'"code":"oom"}' in error_payload(UpstreamError("it failed", upstream_code="oom"))


@pytest.mark.row("RA-02")
@pytest.mark.parametrize(
    "payload",
    [
        b'{"error":{"message":"no"}}',
        b'{"error":"no"}',
        b'{"object":"error","message":"no"}',
        b'{"detail":"no"}',
        b'{"errors":[{"message":"no"}]}',
        b'{"message":"no"}',
        b'{"choices":[{"delta":{},"finish_reason":"error"}],"error":{"message":"no"}}',
    ],
)
def test_a_reported_failure_has_the_upstreams_words(payload: bytes) -> None:
    with pytest.raises(UpstreamError) as raised:
        look(payload).raise_for_failure(payload)
    assert raised.value.words is not None and raised.value.words.message == "no"
    assert "no" not in raised.value.message.split()


@pytest.mark.row("RA-02")
@pytest.mark.parametrize("payload", [b'[{"error":{"message":"no"}}]', b"no", b'"no"'])
def test_an_event_that_is_no_chunk_may_be_an_error(payload: bytes) -> None:
    with pytest.raises(UpstreamBadResponse) as raised:
        look(payload)
    assert raised.value.words is not None and raised.value.words.message == "no"


@pytest.mark.row("RE-07")
@pytest.mark.parametrize(
    "payload",
    [
        b'{"choices":[],"prompt_filter_results":[{"message":"m"}]}',
        b'{"id":"x","object":"chat.completion.chunk","message":"m"}',
        b'{"type":"ping"}',
        b'{"usage":{"total_tokens":7}}',
        b'{"model":"m","message":{"role":"assistant","content":"words"}}',
    ],
)
def test_a_chunk_without_choices_is_no_failure_by_itself(payload: bytes) -> None:
    look(payload).raise_for_failure(payload)


def test_half_of_a_chunk_is_not_kept_as_words() -> None:
    with pytest.raises(UpstreamBadResponse) as raised:
        look(b'{"choices":[{"delta":{"content":"a secret answer')
    assert raised.value.words is not None and raised.value.words.message is None
