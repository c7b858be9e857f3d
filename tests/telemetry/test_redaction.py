"""Secrets are taken out of text in every form in which they are likely to be quoted."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.telemetry.redaction import Redactor

KEY = "hunter/2+\"quoted'-canary"
ADDRESSES = Redactor([], hosts=["api.ours.example", "vllm-9", "ollama"])


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        json.dumps(KEY),
        quote(KEY, safe=""),
        KEY.encode().hex(),
        KEY.encode().hex().upper(),
        "\n".join(KEY),
        KEY[:9] + '" + "' + KEY[9:],
        *(base64.b64encode(before + KEY.encode() + b" and more").decode() for before in (b"", b"u", b"u:", b"Basic ")),
        base64.urlsafe_b64encode(b"u:" + KEY.encode()).decode(),
    ],
)
def test_a_known_secret_goes_in_all_its_forms(text: str) -> None:
    redacted = Redactor([KEY]).redact(f"before {text} behind")

    assert "***" in redacted
    assert redacted.startswith("before ") and redacted.endswith(" behind")
    assert "canary" not in redacted and KEY.encode().hex()[8:] not in redacted.lower()
    assert base64.b64encode(b"u:" + KEY.encode()).decode()[8:20] not in redacted


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Incorrect API key provided: sk-abcd****wxyz.", "Incorrect API key provided: sk-***"),
        ("gsk_0123456789 or xai-abcdefgh", "gsk_*** or xai-***"),
        ("authorization: bearer whatever-it-is", "authorization: bearer ***"),
        ("Bearer x", "Bearer x"),
        ("the desk-lamp of a task-manager", "the desk-lamp of a task-manager"),
    ],
)
def test_what_looks_like_a_key_goes_too(text: str, told: str) -> None:
    assert Redactor([]).redact(text) == told


def test_a_short_key_is_no_secret_and_costs_no_words() -> None:
    assert Redactor(["door"]).redact("out of doors") == "out of doors"


PRIVATE = [
    "10.1.2.3",
    "10.1.2.3:8000",
    "172.31.255.255",
    "192.168.0.1/24",
    "127.0.0.53:53",
    "169.254.169.254",
    "100.64.1.1",
    "[::1]:8080",
    "::1",
    "[fd12:3456:789a::1]",
    "fe80::1%eth0",
    "::ffff:10.0.0.1",
    "vllm.prod.svc",
    "vllm-7.prod.svc.cluster.local:8000",
    "a.b.svc.k8s.example",
    "node.internal",
    "NODE.LAN",
    "printer.local.",
    "my_service.test:80",
    "ip-10-0-1-5.ec2.internal",
    "ip-10-0-1-5",
    "localhost",
    "llama-server:8080",
    "gpu1:443",
    "http://model/v1",
    "https://10.0.0.1/secret?path=1",
    "redis://:password@cache:6379/0",
    "https://" + "user:password@api.acme.ai/v1",
    "ws://[fd00::7]:8000/v1",
    "api.ours.example",
    "https://api.ours.example:8443",
    "vllm-9",
    "ollama:11434",
]
PUBLIC = [
    "https://platform.openai.com/docs/guides/error-codes.",
    "https://docs.api.ours.example/errors",
    "docs.api.ours.example",
    "api.ours.example.org",
    "8.8.8.8:53",
    "172.32.0.1",
    "203.0.113.7",
    "2001:db8::1",
    "[2001:db8::1]:80",
    "10.1.2.3.4",
    "version 1.2.3",
    "std::vector",
    "at 12:30:45",
    "gpt-oss:20b",
    "max_tokens:4096",
    "error:404",
    "status_code:1211",
    "server.py:1234",
    "bob@example.com",
    "the ollama engine",
    "locally.internals",
    "messages[0]: no",
]


@pytest.mark.row("RE-08")
@pytest.mark.parametrize("form", ["{}", "at {} now", "({}), no", '"{}"', "dial {}: refused"])
@pytest.mark.parametrize("private", PRIVATE)
def test_private_addresses_are_removed(private: str, form: str) -> None:
    redacted = ADDRESSES.redact(form.format(private))
    assert private.rstrip(".").partition("/")[0] not in redacted and "***" in redacted
    assert not any(part in redacted for part in ("secret", "password", "8000", "8080"))


@pytest.mark.row("RE-08")
@pytest.mark.parametrize("public", PUBLIC)
def test_public_links_and_other_words_stay(public: str) -> None:
    assert ADDRESSES.redact(f"see {public} there") == f"see {public} there"


@given(st.text(max_size=80))
def test_any_text_is_redacted_without_an_error(text: str) -> None:
    assert "10.1.2.3" not in ADDRESSES.redact(f"{text} 10.1.2.3:8000 {text}")


def test_addresses_stay_where_they_are_not_asked_for() -> None:
    assert Redactor(["secret-value"]).redact("10.1.2.3 secret-value") == "10.1.2.3 ***"


def test_only_known_secrets_go_where_a_service_is_quoted() -> None:
    redactor = Redactor(["t0ken-of-orders"])
    text = "bearer certificates, sk-learning-for-all, t0ken-of-orders"
    assert redactor.redact_known(text) == "bearer certificates, sk-learning-for-all, ***"
    assert Redactor([]).redact_known(text) == text
