"""Secrets are taken out of text in every form in which they are likely to be quoted."""

import base64
import json
from urllib.parse import quote

import pytest

from parley.telemetry.redaction import Redactor

KEY = "hunter/2+\"quoted'-canary"


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
