"""The table of voice platforms: addresses as people paste them, URL forms, and what is said of unreachable ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.operators import platforms
from parley.operators.platforms import PLATFORMS, BadAddress, server_address


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("https://voice.example.com", "https://voice.example.com"),
        (" https://Voice.Example.com/ ", "https://voice.example.com"),
        ('"https://voice.example.com"', "https://voice.example.com"),
        ("HTTPS://voice.example.com", "https://voice.example.com"),
        ("voice.example.com", "https://voice.example.com"),
        ("voice.example.com:8443/v1", "https://voice.example.com:8443"),
        ("localhost:8000", "http://localhost:8000"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("192.168.1.5", "http://192.168.1.5"),
        ("https://voice.example.com/rag/chat/completions", "https://voice.example.com"),
        ("https://voice.example.com/rag/v1", "https://voice.example.com"),
        ("https://voice.example.com/v1/audio/chat/completions/", "https://voice.example.com"),
        ("https://voice.example.com/kb/north/rag/v1/chat/completions", "https://voice.example.com"),
        ("https://voice.example.com/v1/kb/north/rag", "https://voice.example.com"),
        ("https://voice.example.com/chat/completions?session_id=1", "https://voice.example.com"),
        ("https://example.com/parley", "https://example.com/parley"),
        ("https://example.com/parley//rag/chat/completions", "https://example.com/parley"),
    ],
)
def test_an_address_is_taken_as_people_paste_it(typed: str, address: str) -> None:
    assert server_address(typed) == address


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "https://",
        "ftp://example.com",
        "https://me:pw9@example.com",
        "https://a b",
        "http://x:99999",
        "http://[1",
    ],
)
def test_what_is_no_address_is_refused_without_quoting_it(typed: str) -> None:
    with pytest.raises(BadAddress) as refused:
        server_address(typed)
    assert "pw9" not in str(refused.value)


@pytest.mark.parametrize("platform", PLATFORMS.values(), ids=lambda platform: platform.name)
@given(endpoint=st.sampled_from(platforms.ENDPOINTS), prefix=st.sampled_from(["", "/parley", "/a/b"]))
def test_the_url_leads_back_to_the_address(platform: platforms.Platform, endpoint: str, prefix: str) -> None:
    address = f"https://voice.example.com{prefix}"
    url = platform.url(address, endpoint)

    assert url.endswith("/v1" if platform.appends else "/chat/completions")
    assert server_address(url) == address


def test_a_knowledge_base_is_named_in_the_path() -> None:
    assert PLATFORMS["vapi"].url("https://x.example", "rag", "north") == "https://x.example/kb/north/rag/v1"
    for endpoint, name in (("chat", "north"), ("rag", "../x"), ("rag", "a b"), ("audio", "a/b")):
        with pytest.raises(BadAddress):
            PLATFORMS["vapi"].url("https://x.example", endpoint, name)


@pytest.mark.parametrize(
    ("name", "address", "said"),
    [
        ("agora", "http://localhost:8000", "stay silent"),
        ("agora", "https://10.0.0.5", "stay silent"),
        ("agora", "https://parley.internal", "stay silent"),
        ("agora", "http://voice.example.com", "readably"),
        ("agora", "https://voice.example.com", ""),
        ("cartesia", "http://voice.example.com", "https only"),
        ("livekit", "http://localhost:8000", ""),
        ("curl", "http://127.0.0.1:8000", ""),
    ],
)
def test_what_a_platform_cannot_reach_is_told(name: str, address: str, said: str) -> None:
    told = platforms.warnings(PLATFORMS[name], address)
    assert said in " ".join(told) and bool(told) == bool(said)
