"""The words of upstreams' errors, in the forms that they are sent in."""

import gzip
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.errors import ErrorWords
from parley.wire.error_forms import MAX_READ_BYTES, MESSAGE_NAMES, page_title, read_error, read_refusal

FORMS: dict[str, tuple[Any, ErrorWords]] = {
    "OpenAI": (
        {"error": {"message": "no", "type": "t", "param": "p", "code": "c"}},
        ErrorWords("no", "t", "p", "c"),
    ),
    "Anthropic": ({"type": "error", "error": {"type": "t", "message": "no"}}, ErrorWords("no", "t")),
    "Gemini": ([{"error": {"code": 400, "message": "no"}}], ErrorWords("no", code="400", status=400)),
    "Azure": (
        {"error": {"message": "no", "code": "c", "status": 400, "innererror": {"code": "deep"}}},
        ErrorWords("no", code="c", status=400),
    ),
    "OpenRouter": (
        {"error": {"message": "Provider returned error", "code": 429, "metadata": {"raw": '{"error":"busy"}'}}},
        ErrorWords("Provider returned error: busy", code="429", status=429),
    ),
    "Ollama": ({"error": "no"}, ErrorWords("no")),
    "Hugging Face": ({"error": ["one", "two", "one"]}, ErrorWords("one; two")),
    "TGI": ({"error": "no", "error_type": "validation"}, ErrorWords("no", "validation", status=422)),
    "vLLM": (
        {"object": "error", "message": "no", "type": "BadRequestError", "code": 400},
        ErrorWords("no", "BadRequestError", code="400", status=400),
    ),
    "Mistral": (
        {"object": "error", "message": {"detail": [{"loc": ["body", "model"], "msg": "bad"}]}, "type": "t"},
        ErrorWords("model: bad", "t", "model"),
    ),
    "FastAPI": ({"detail": "no"}, ErrorWords("no")),
    "pydantic": (
        {"detail": [{"type": "missing", "loc": ["body", "messages", 0], "msg": "Field required", "input": "secret"}]},
        ErrorWords("messages.0: Field required", param="messages.0"),
    ),
    "Cloudflare": ({"success": False, "errors": [{"code": 7, "message": "no"}]}, ErrorWords("no", code="7")),
    "ASP.NET": ({"title": "t", "status": 400, "errors": {"Field": ["no"]}}, ErrorWords("Field: no", status=400)),
    "AWS": (
        {"__type": "com.amazon#ThrottlingException", "Message": "slow"},
        ErrorWords("slow", "ThrottlingException", status=429),
    ),
    "problem+json": (
        {"type": "https://e.example/t", "title": "T", "status": 422, "detail": "no"},
        ErrorWords("no", status=422),
    ),
    "Apigee": ({"fault": {"faultstring": "no", "detail": {"errorcode": "c"}}}, ErrorWords("no")),
    "MiniMax": ({"base_resp": {"status_code": 1004, "status_msg": "no"}}, ErrorWords("no", code="1004")),
    "OAuth": ({"error": "invalid_grant", "error_description": "no"}, ErrorWords("no")),
    "Spring": ({"status": 400, "error": "Bad Request", "message": "no"}, ErrorWords("no", status=400)),
    "JSON in a text": ({"error": {"message": '{"error": {"message": "no", "type": "t"}}'}}, ErrorWords("no", "t")),
    "braces in a text": ({"error": "{x} is unknown"}, ErrorWords("{x} is unknown")),
    "WeChat": ({"errcode": 40001, "errmsg": "no"}, ErrorWords("no", code="40001")),
    "a wrapper": ({"response": {"error": {"message": "no"}}}, ErrorWords("no")),
    "gRPC": ({"code": 3, "message": "no", "details": []}, ErrorWords("no", code="3")),
    "a code alone": ({"error": {"code": "c"}}, ErrorWords(code="c")),
    "a text": ("no", ErrorWords("no")),
    "a name of a status": (
        {"error": {"message": "no", "code": "UNAVAILABLE"}},
        ErrorWords("no", code="UNAVAILABLE", status=503),
    ),
}


@pytest.mark.row("RA-02")
@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_read(form: str) -> None:
    value, words = FORMS[form]
    assert read_error(json.dumps(value).encode()) == words
    assert read_error(b"\xef\xbb\xbf" + json.dumps(value, indent=1).encode() + b"\n") == words


@pytest.mark.row("RA-02")
@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_read_from_an_event(form: str) -> None:
    value, words = FORMS[form]
    payload = json.dumps(value).encode()
    for stream in (b"data: %b\n\n", b"event: error\r\ndata:%b\r\n\r\n", b": hello\n\nid: 1\ndata: %b"):
        assert read_error(stream % payload) == words


@pytest.mark.row("RA-02")
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"404 page not found\n", "404 page not found"),
        (b"upstream connect error or disconnect/reset before headers", None),
        ("Modèle introuvable".encode("latin-1"), "Modèle introuvable"),
        (b"a <b>bold</b> word", "a bold word"),
        (b"the token <|im_start|> is special", "the token <|im_start|> is special"),
        (b"error code: 1020", "error code: 1020"),
    ],
)
def test_a_line_of_text_is_read(body: bytes, message: str | None) -> None:
    assert read_error(body).message == (message or body.decode())


@pytest.mark.row("RA-02")
def test_compressed_words_are_read() -> None:
    assert read_error(gzip.compress(b'{"detail":"no"}')).message == "no"
    assert read_error(gzip.compress(b"x" * 10_000_000)).message is None
    assert read_error(gzip.compress(b'{"detail":"no"}')[:9]).message is None


@pytest.mark.row("RA-02")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"42",
        b"null",
        b"true",
        b"{}",
        b"[]",
        b"...",
        b"\xff\xfe\x00",
        b"one\ntwo",
        b"x " * 300,
        b"[" * 100_000,
        b"9" * 5000,
        b"<html>no</html>",
        b"<?xml version='1.0'?><Error>no</Error>",
        b"no <BODY>",
        b'{"error":{"message":"half',
        b'{"error":{"message":"<!doctype html>no"}}',
        b'{"message":{"role":"assistant","content":"words of a model"}}',
        b"data: [DONE]\n\n",
        b"data:",
    ],
)
def test_what_are_no_words_is_not_read(body: bytes) -> None:
    assert read_error(body).message is None


def test_a_page_has_a_title() -> None:
    assert page_title(b"<html><TITLE lang='en'>\n 502 Bad\tGateway\n</TITLE>") == "502 Bad Gateway"
    assert page_title(b"<html>") == page_title(b"<title></title>") == ""


NO = "max_tokens must be positive"
LOOSE: dict[str, bytes] = {
    "another name": json.dumps({"failure": NO}).encode(),
    "deep": json.dumps({"ok": False, "error": {"issues": [{"path": ["max_tokens"], "text": NO}]}}).encode(),
    "a list under another name": json.dumps({"validation_errors": [{"message": NO}]}).encode(),
    "beside the request": json.dumps({"path": "/v1/a b", "input": "what is asked", "why": NO}).encode(),
    "more behind it": json.dumps({"error": {"message": NO}}).encode() + b"\ndata: [DONE]\n\n",
    "twice": 2 * json.dumps({"error": {"message": NO}}).encode(),
    "a raw line break": b'{"note":"a\nb","error":{"message":"' + NO.encode() + b'"}}',
    "broken off": b'{"detail":[{"msg":"' + NO.encode() + b'","input":"' + MAX_READ_BYTES * b"x" + b'"}]}',
    "Python's": b"{'error': {'message': '" + NO.encode() + b"'}}",
    "XML": b"<?xml version='1.0'?><Error><Code>Bad</Code><Message>" + NO.encode() + b"</Message></Error>",
}


@pytest.mark.row("RA-02")
@pytest.mark.parametrize("form", LOOSE)
def test_the_words_of_a_refusal_may_stand_anywhere(form: str) -> None:
    assert read_refusal(LOOSE[form]).message == NO


@pytest.mark.row("RA-02")
@pytest.mark.parametrize("start", ["[400] ", "id: ", '"', "{a} ", "400 "])
def test_a_refusals_line_may_begin_with_anything(start: str) -> None:
    assert read_refusal((start + NO).encode()).message == start + NO


@pytest.mark.row("RA-02")
def test_an_object_in_the_metadata_tells_what_a_provider_said() -> None:
    metadata = {"raw": {"error": {"message": NO}}}
    error = {"message": "Provider returned error", "metadata": metadata}
    assert read_refusal(json.dumps({"error": error}).encode()).message == f"Provider returned error: {NO}"


@pytest.mark.row("RA-02")
@pytest.mark.parametrize(
    "body", [b'{"id":"a","ok":false}', b'{"error":{"message":"half', b"<html><p>a b</p></html>", b""]
)
def test_a_refusal_may_have_no_words(body: bytes) -> None:
    assert read_refusal(body).message is None


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*MESSAGE_NAMES, "type", "loc", "x"]), inner)
    ),
    max_leaves=20,
)


@pytest.mark.slow
@given(NESTED)
def test_any_json_is_read_without_an_error(value: Any) -> None:
    words = read_error(json.dumps(value).encode())
    assert words.message is None or (words.message.strip() and "<html" not in words.message.lower())
    assert words.status is None or 400 <= words.status <= 599


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_an_error(body: bytes) -> None:
    for words in (read_error(body), read_refusal(body)):
        assert words.message is None or not words.message.startswith("<html")


@pytest.mark.parametrize(
    "body",
    [
        b"data:" * 12_000,
        b"data:\r" * 9_000,
        b'{"error":' * 9_000,
        json.dumps({"a": "[" * 50_000}).encode(),
        b"<a " * 20_000,
    ],
    ids=["events", "lines", "objects", "brackets", "tags"],
)
def test_a_body_of_bad_will_is_given_up_soon(body: bytes) -> None:
    started = time.process_time()
    assert read_error(body).message is None
    read_refusal(body)
    read_error(json.dumps({"error": body.decode()}).encode())
    assert time.process_time() - started < 1
