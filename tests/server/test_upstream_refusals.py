"""Errors of upstreams in every form: the words that reach callers and the log, and the upstream that is asked next."""

import contextlib
import gzip
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import requests
from early_upstream import MANNERS, EarlyUpstream
from fake_upstream import (
    END,
    HANG,
    FakeUpstream,
    Step,
    chunk,
    chunks,
    encode,
    event,
    events,
    head,
    http_chunk,
    refusal,
    reset,
    whole,
)
from heard import DIFFERENT, ask, fallback_to, says
from running_server import RunningServer, free_port
from waiting import wait_until

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]
every_way = pytest.mark.parametrize("way", DIFFERENT)
NO = "The tune is unknown"
QUESTION = {"messages": [{"role": "user", "content": "Well?"}], "stream": True}
TEXT = {"content-type": "text/plain"}
PAGE = {"content-type": "text/html"}
ROLE, *_ = chunks("One two")

FORMS: dict[str, Any] = {
    "OpenAI": {"error": {"message": NO, "type": "t", "code": "c"}},
    "Gemini": [{"error": {"code": 400, "message": NO, "status": "INVALID_ARGUMENT"}}],
    "FastAPI": {"detail": NO},
    "FastAPI's list": {"detail": [{"type": "missing", "loc": ["body", "x"], "msg": NO, "input": {"secret": "s3cret"}}]},
    "Mistral": {"object": "error", "message": {"detail": [{"loc": ["body", "x"], "msg": NO}]}, "type": "t"},
    "Cloudflare": {"success": False, "errors": [{"code": 5006, "message": NO}], "messages": [], "result": None},
    "a list of texts": {"errors": [NO]},
    "AWS": {"__type": "com.amazon.coral.service#ValidationException", "Message": NO},
    "Azure": {"error": {"code": "BadRequest", "message": NO, "innererror": {"code": "Inner", "message": "deeper"}}},
    "Ollama": {"error": NO},
    "TGI": {"error": NO, "error_type": "validation"},
    "vLLM": {"object": "error", "message": NO, "type": "BadRequestError", "param": None, "code": 400},
    "problem+json": {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": NO},
    "a message in a message": {"error": {"message": {"message": NO}}},
    "a detail in an error": {"detail": {"error": {"message": NO}}},
    "Spring": {"timestamp": 1, "status": 400, "error": "Bad Request", "message": NO, "path": "/v1/chat"},
    "ASP.NET": {"title": "One or more errors", "status": 400, "errors": {"Tune": [NO]}},
    "MiniMax": {"base_resp": {"status_code": 2013, "status_msg": NO}},
    "a message": {"message": NO},
}


def log_lines(server: RunningServer, event_name: str) -> list[dict[str, Any]]:
    """Return the lines of the log with this event."""
    return [json.loads(line) for line in server.lines() if f'"{event_name}"' in line]


# --- words ---


@pytest.mark.row("RA-02")
@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("form", FORMS)
def test_a_refusal_of_any_form_keeps_its_words(
    single: RunningServer, first: FakeUpstream, form: str, status: int
) -> None:
    first.script = whole(encode(FORMS[form]), status)
    heard = ask(single)
    error = json.loads(heard.body)["error"]
    assert (heard.status, error["message"].endswith(NO), heard.end["reason"]) == (status, True, error["message"])
    assert error["type"] and b"s3cret" not in heard.body and len(first.calls) == 1


@pytest.mark.row("RA-02")
@pytest.mark.parametrize(
    "body",
    [NO.encode(), NO.encode() + b"\r\n", b"\xef\xbb\xbf" + NO.encode(), f'data: {{"error":"{NO}"}}\n\n'.encode()],
    ids=["a line", "CRLF", "BOM", "an event"],
)
@every_way
def test_a_refusal_in_plain_text_keeps_its_words(
    single: RunningServer, first: FakeUpstream, body: bytes, way: str
) -> None:
    first.script = whole(body, 400, TEXT)
    assert ask(single, way).failed(400, "upstream_error")["message"] == NO


@pytest.mark.row("RA-02")
@pytest.mark.parametrize(
    "body",
    [
        b"<html><title>400 Bad Request</title><body>inside</body></html>",
        b"  <!DOCTYPE html>\n<p>inside",
        b'{"error":{"message":"<html><body>inside</body></html>"}}',
        b"inside <body>",
        b"one inside\ntwo",
        b"inside " * 100,
        b'{"error":{"message":"inside',
    ],
    ids=["a page", "a doctype", "a page in JSON", "a body", "two lines", "too long", "half"],
)
def test_a_page_is_never_passed_on(single: RunningServer, first: FakeUpstream, body: bytes) -> None:
    first.script = whole(body, 400, PAGE)
    heard = ask(single)
    assert heard.failed(400, "upstream_error")["message"] == "the upstream refused the request with status 400"
    assert "inside" not in heard.end["reason"] and "<" not in heard.end["reason"]


IN_STREAM: dict[str, tuple[bytes, int]] = {
    "with a status": (encode({"error": {"message": NO, "code": 400}}), 400),
    "with a type": (encode({"error": {"message": NO, "type": "invalid_request_error"}}), 400),
    "Gemini's": (encode(FORMS["Gemini"]), 400),
    "vLLM's": (encode(FORMS["vLLM"]), 400),
    "TGI's": (encode(FORMS["TGI"]), 422),
    "of a limit": (encode({"error": {"message": NO, "type": "rate_limit_error"}}), 429),
    "Anthropic's": (encode({"type": "error", "error": {"type": "invalid_request_error", "message": NO}}), 400),
}


@pytest.mark.row("RA-02")
@pytest.mark.parametrize("begun", [[], [ROLE]], ids=["at once", "behind the role"])
@pytest.mark.parametrize("form", IN_STREAM)
@pytest.mark.parametrize("way", ["chat", "waited"])
def test_a_refusal_inside_a_stream_keeps_words_and_status(
    single: RunningServer, first: FakeUpstream, form: str, begun: list[bytes], way: str
) -> None:
    payload, status = IN_STREAM[form]
    first.script = [head(), *map(event, begun), http_chunk(b"event: error\ndata: " + payload + b"\n\n"), END]
    heard = ask(single, way)
    error = json.loads(heard.body)["error"] if way == "chat" else json.loads(heard.payloads[-1])["error"]
    assert error["message"] == heard.end["reason"] == NO
    assert heard.status == (status if way == "chat" else 200)


@pytest.mark.row("RA-02", "RE-07")
@pytest.mark.parametrize(
    "payload",
    [*map(encode, [{"error": NO}, {"detail": NO}, {"errors": [{"message": NO}]}, {"message": NO}]), NO.encode()],
    ids=["error", "detail", "errors", "message", "text"],
)
def test_a_failure_inside_a_stream_tells_the_log_alone(
    single: RunningServer, first: FakeUpstream, payload: bytes
) -> None:
    first.script = [*events(chunks("One two")[:2]), http_chunk(b"event: error\ndata: " + payload + b"\n\n"), END]
    heard = ask(single)
    assert (heard.end["outcome"], heard.end["reason"]) == ("error_mid", NO) and NO.encode() not in heard.body
    first.script = [head(), event(payload), END]
    heard = ask(single)
    assert (heard.status, heard.end["reason"]) == (502, NO) and NO.encode() not in heard.body


@pytest.mark.row("RE-11")
@pytest.mark.parametrize("status", [400, 404, 413, 422, 429])
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("BadRequestError", "BadRequestError"), ("tokens", "tokens"), (None, None), ("", None), ("about:blank", None)],
)
def test_the_upstreams_own_type_is_kept(
    single: RunningServer, first: FakeUpstream, status: int, theirs: str | None, ours: str | None
) -> None:
    first.script = refusal(status, {"message": NO, "type": theirs}, {"retry-after": "60"})
    gap = "rate_limit_error" if status == 429 else "invalid_request_error"
    assert json.loads(ask(single).body)["error"]["type"] == (ours or gap)


# --- private addresses ---

PRIVATE = (
    "10.1.2.3:8000",
    "http://172.20.1.9:8000/v1/models",
    "192.168.7.7",
    "127.0.0.1",
    "169.254.169.254",
    "[fd12:3456::1]:8080",
    "[::1]",
    "fe80::1ff:fe23:4567:890a",
    "vllm-7.prod.svc.cluster.local",
    "http://vllm.prod.svc:8000",
    "GPU-7.lan",
    "node.internal:11434",
    "printer.local",
    "model.test",
    "llama-server:8080",
    "localhost",
)
PUBLIC = "see https://platform.openai.com/docs/errors, 8.8.8.8, api.acme.ai, max_tokens:4096, error:4040 at 12:30"


@pytest.mark.row("RE-08")
@pytest.mark.parametrize("private", PRIVATE)
@pytest.mark.parametrize("form", ["{} failed", "no route to {}.", "({})", '"{}"', "dial {}: refused"])
def test_private_addresses_are_taken_out(single: RunningServer, first: FakeUpstream, private: str, form: str) -> None:
    first.script = refusal(400, {"message": f"{form.format(private)} {PUBLIC}", "code": "c"})
    heard = ask(single)
    message = heard.failed(400, "c", logged="upstream_error")["message"]
    assert private not in message and message.endswith(PUBLIC) and "***" in message
    assert private not in heard.end["reason"] and "***" in heard.end["reason"]


# --- the operator's faults ---

MODEL_FAULTS: dict[str, tuple[int, dict[str, Any]]] = {
    "OpenAI": (404, {"message": "The model `m` does not exist or you do not have access to it.", "code": "x"}),
    "a route": (404, {"message": "Not Found"}),
    "Groq": (400, {"message": "The model `m` has been decommissioned", "code": "model_decommissioned"}),
    "OpenRouter": (400, {"message": "m is not a valid model ID", "code": 400}),
    "DeepSeek": (400, {"message": "Model Not Exist", "type": "invalid_request_error"}),
    "Mistral": (400, {"message": "Invalid model: m", "type": "invalid_model", "code": "1500"}),
    "Hugging Face": (400, {"message": "The requested model 'm' is not supported by any provider you have enabled."}),
    "a code": (400, {"message": "No.", "code": "MODEL_RETIRED"}),
    "a field": (400, {"message": "No.", "param": "model"}),
    "Zhipu": (400, {"message": "模型不存在，请检查模型代码。", "code": "1211"}),
}
ACCOUNT_FAULTS: dict[str, tuple[int, dict[str, Any]]] = {
    "no credit": (402, {"message": "Insufficient Balance"}),
    "a key": (401, {"message": "Incorrect API key"}),
    "a country": (403, {"message": "Country not supported"}),
    "Gemini's key": (400, {"message": "API key not valid. Please pass a valid API key."}),
    "Anthropic's credit": (400, {"message": "Your credit balance is too low to access the API."}),
}
CALLERS: dict[str, tuple[int, dict[str, Any]]] = {
    "length": (
        400,
        {"message": "This model's maximum context length is 8192 tokens.", "code": "context_length_exceeded"},
    ),
    "parameter": (400, {"message": "'temperature' is not supported with this model.", "code": "unsupported_value"}),
    "value": (400, {"message": "Invalid value: 'robot'", "param": "messages[0].role"}),
    "picture": (400, {"message": "This model does not support image input"}),
    "size": (413, {"message": "Request too large"}),
    "field": (422, {"message": "messages.0.role: Field required"}),
}


@pytest.fixture
def paired(first: FakeUpstream, second: FakeUpstream, quick_servers: Servers) -> Callable[[str], RunningServer]:
    """Return a factory of servers with a fallback, each with breakers of its own."""
    return lambda name: quick_servers(alone=name, LLM_FALLBACKS=fallback_to(second))


@pytest.mark.row("RA-03")
@pytest.mark.parametrize("fault", [*MODEL_FAULTS, *ACCOUNT_FAULTS])
def test_a_fault_of_the_operators_goes_to_the_next_upstream(
    paired: Callable[[str], RunningServer], first: FakeUpstream, second: FakeUpstream, fault: str
) -> None:
    status, error = {**MODEL_FAULTS, **ACCOUNT_FAULTS}[fault]
    server = paired(f"ra_03 {fault if status in (401, 403) else ''}")
    first.script, second.script = refusal(status, error), says("From the second")
    for way in DIFFERENT:
        heard = ask(server, way)
        heard.answered("From the second")
        assert heard.end["reason"] in (error["message"], None)
    events_of_faults = (
        "upstream_auth_failed",
        "upstream_credit_refused",
        "upstream_model_refused",
        "upstream_not_found",
    )
    told = [line for name in events_of_faults for line in log_lines(server, name)]
    assert told and all(line["level"] == "error" and line["reason"] and line["upstream"] == "primary" for line in told)


@pytest.mark.row("RA-03")
@pytest.mark.parametrize("fault", CALLERS)
def test_a_fault_of_the_callers_stays_the_callers(
    paired: Callable[[str], RunningServer], first: FakeUpstream, second: FakeUpstream, fault: str
) -> None:
    status, error = CALLERS[fault]
    first.script, second.script = refusal(status, error), says("From the second")
    for way in DIFFERENT:
        assert ask(paired("ra_03 callers"), way).end["attempts"] == 1
    assert second.calls == []


@pytest.mark.row("RA-03")
@pytest.mark.parametrize("fault", [*MODEL_FAULTS, *ACCOUNT_FAULTS])
def test_with_nobody_left_a_fault_ends_as_without_fallbacks(
    single: RunningServer, first: FakeUpstream, fault: str
) -> None:
    status, error = {**MODEL_FAULTS, **ACCOUNT_FAULTS}[fault]
    first.script = refusal(status, error)
    heard = ask(single)
    if fault in MODEL_FAULTS:
        assert heard.status == status and json.loads(heard.body)["error"]["message"] == error["message"]
    else:
        assert heard.status == 502 and error["message"].encode() not in heard.body
    assert len(first.calls) == 1 and heard.end["reason"] == error["message"]


@pytest.mark.row("RA-03")
@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_the_callers_own_key_is_no_reason_to_ask_elsewhere(
    quick_servers: Servers, first: FakeUpstream, second: FakeUpstream, status: int
) -> None:
    server = quick_servers(LLM_API_KEY="", LLM_FALLBACKS=fallback_to(second))
    first.script, second.script = refusal(status, {"message": NO, "code": "c"}), says("For nothing")
    for way in DIFFERENT:
        heard = ask(server, way, {"authorization": "Bearer theirs"})
        heard.failed(status, "c", logged="upstream_error")
    assert second.calls == [] and not log_lines(server, "upstream_auth_failed")


# --- the reason ---


def failing(status: int, body: bytes, headers: Mapping[str, str] = TEXT) -> list[Step]:
    return whole(body, status, headers)


PACKED = gzip.compress(b'{"error":{"message":"asleep"}}')
REASONS: dict[str, tuple[list[Step], str]] = {
    "OpenAI's": (refusal(500, {"message": "boom at 10.0.0.1 for sk-other-0123456789"}), "boom at *** for sk-***"),
    "several lines": (refusal(502, {"message": "boom\r\nat\tnight"}), "boom at night"),
    "text": (failing(503, b"no healthy upstream"), "no healthy upstream"),
    "a page": (failing(502, b"<html><title>502 Bad Gateway</title>", PAGE), "502 Bad Gateway"),
    "nothing": (failing(500, b""), "the upstream answered with status 500"),
    "long": (refusal(500, {"message": "boom " * 100}), "boom boom"),
    "a teapot": (failing(418, b"short and stout"), "short and stout"),
    "a place": (whole(b"", 302, {"location": "http://10.0.0.1"}), "the upstream redirects elsewhere"),
    "half": ([head(500, {"content-length": "99"}), b"asleep", HANG], "asleep"),
    "broken off": ([head(502, {"content-length": "99"}), b"asleep", reset], "asleep"),
    "compressed": (whole(PACKED, 500, {"content-encoding": "gzip"}), "asleep"),
    "success": (whole(encode({"error": {"message": "boom", "code": 500}})), "boom"),
}


@pytest.mark.row("RE-07")
@pytest.mark.parametrize("form", REASONS)
@every_way
def test_the_log_names_the_reason_and_the_answer_does_not(
    single: RunningServer, first: FakeUpstream, form: str, way: str
) -> None:
    first.script, reason = REASONS[form]
    heard = ask(single, way)
    assert reason in heard.end["reason"] and len(heard.end["reason"]) <= 200
    assert (
        heard.end["reason"].isprintable()
        and b"boom" not in heard.body
        and not any(word in heard.body for word in (b"healthy", b"asleep"))
    )


@pytest.mark.row("RE-07")
def test_an_upstream_that_is_not_there_is_a_reason(quick_servers: Servers, refusing: str) -> None:
    heard = ask(quick_servers(LLM_BASE_URL=refusing))
    assert heard.end["reason"] == "the upstream can't be reached"


@pytest.mark.row("RE-07")
def test_an_answer_behind_a_failover_names_the_reason(
    paired: Callable[[str], RunningServer], first: FakeUpstream, second: FakeUpstream
) -> None:
    first.script, second.script = refusal(503, {"message": "asleep"}), says("From the second")
    heard = ask(paired("re_07"))
    heard.answered("From the second")
    assert heard.end["reason"] == "asleep"


# --- breakers ---


@pytest.mark.row("RF-08")
@pytest.mark.parametrize("kind", ["status", "page", "cut", "reset"])
def test_one_callers_poison_opens_no_breaker(
    quick_servers: Servers, first: FakeUpstream, second: FakeUpstream, kind: str
) -> None:
    server = quick_servers(alone=f"rf_08 {kind}", LLM_FALLBACKS=fallback_to(second), API_KEYS="one-key-123,two-key-456")
    bad = {
        "status": refusal(500, {"message": "boom"}),
        "page": whole(b"<html>", 200, PAGE),
        "cut": [*events([ROLE]), END],
        "reset": [reset],
    }[kind]
    first.script = lambda call: bad if b"poison" in call.body else says("From the first")(call)
    second.script = says("From the second")
    poison = [{"role": "user", "content": "poison"}]
    for _ in range(8):
        ask(server, headers={"authorization": "Bearer one-key-123"}, messages=poison).answered("From the second")
    for _ in range(3):
        ask(server, headers={"authorization": "Bearer two-key-456"}).answered("From the first")
    for number in range(12):
        poison = [{"role": "user", "content": f"poison {number}"}]
        ask(server, headers={"authorization": "Bearer one-key-123"}, messages=poison).answered("From the second")
        ask(server, headers={"authorization": "Bearer two-key-456"}).answered("From the first")


@pytest.mark.row("RF-08")
def test_a_body_that_fails_everywhere_opens_no_breaker(
    quick_servers: Servers, first: FakeUpstream, second: FakeUpstream
) -> None:
    server = quick_servers(alone="rf_08 both", LLM_FALLBACKS=fallback_to(second))
    for fake in (first, second):
        fake.script = lambda call: refusal(500, {"message": "boom"}) if b"poison" in call.body else says("Well")(call)
    for number in range(8):
        assert ask(server, messages=[{"role": "user", "content": f"poison {number}"}]).status == 502
    second.script = says("From the second")
    ask(server).answered("Well")


@pytest.mark.row("RF-08")
def test_failures_of_several_bodies_are_an_outage(
    quick_servers: Servers, first: FakeUpstream, second: FakeUpstream
) -> None:
    server = quick_servers(alone="rf_08 out", LLM_FALLBACKS=fallback_to(second), API_KEYS="one-key-123")
    first.script, second.script = refusal(500, {"message": "boom"}), says("From the second")
    for number in range(8):
        said = [{"role": "user", "content": f"question {number}"}]
        ask(server, headers={"x-api-key": "one-key-123"}, messages=said).answered("From the second")
    assert len(first.calls) == 5


# --- answers before the request has left ---


@pytest.fixture(scope="module")
def early_port() -> int:
    """Return a port for upstreams that come and go behind one server."""
    return free_port()


@pytest.mark.row("RF-25")
@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("size", [100_000, 1_900_000])
@pytest.mark.parametrize(("status", "told"), [(413, 413), (401, 502), (429, 429), (503, 503)])
def test_an_answer_before_the_body_was_read_is_passed_on(
    quick_servers: Servers, early_port: int, manner: str, size: int, status: int, told: int
) -> None:
    refused = [step for step in refusal(status, {"message": NO}) if isinstance(step, bytes)]
    with EarlyUpstream(refused, manner, port=early_port) as early:
        server = quick_servers(LLM_BASE_URL=early.base_url)
        heard = ask(server, messages=[{"role": "user", "content": "x" * size}])
        assert (heard.status, heard.end["reason"]) == (told, NO)
        # One upload an attempt, and one attempt where the answer is final.
        assert early.uploads == heard.end["attempts"] and (early.uploads == 1 or status in (429, 503))


@pytest.mark.row("RF-17")
def test_a_probe_that_is_capped_or_left_is_followed_by_another(
    quick_servers: Servers, first: FakeUpstream, second: FakeUpstream
) -> None:
    server = quick_servers(alone="rf_17", LLM_FALLBACKS=fallback_to(second))
    first.script, second.script = refusal(401, {"message": NO}), says("From the second")
    ask(server).answered("From the second")

    def state() -> str:
        return str(requests.get(f"{server.url}/ready", timeout=30).json()["details"]["upstreams"]["primary"])

    wait_until(lambda: state() == "half_open", timeout=20)
    empty = chunk({"role": "assistant", "content": ""}, padding="x" * 100_000)
    first.script = [head(), *[event(empty)] * 60, END]
    # A cap before the first word is no answer: the next upstream is asked.
    ask(server).answered("From the second")
    assert state() == "half_open"
    first.script = [head(), event(empty), HANG]
    with contextlib.suppress(requests.Timeout):
        requests.post(f"{server.url}/chat/completions", json=QUESTION, timeout=0.2)
    first.wait_until(lambda: first.open_calls == 0)
    first.script = says("From the first")
    ask(server).answered("From the first")
    assert state() == "closed"
