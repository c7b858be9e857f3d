"""Which upstream the settings name, and what it is sent."""

from collections.abc import Iterator

import pytest
from fake_upstream import Call, FakeUpstream, completion

from parley.factories.model import upstream_of
from parley.settings import Settings
from parley.turn_record import TurnRecord
from parley.upstream.router import NoUpstream, Upstream, UpstreamRouter
from parley.wire.request import ChatRequest, Origin, parse

NOT_KEPT = {"connection": "close"}
QUESTION = b'{"messages":[{"role":"user","content":"Hi"}],"tenant":"acme","metadata":{}}'


def settings(**environ: str) -> Settings:
    return Settings.from_environ(environ)


def chat(token: str | None = None) -> ChatRequest:
    return parse(QUESTION, Origin("request-7", v1=True, token=token))


def record() -> TurnRecord:
    return TurnRecord("chat", "request-7")


@pytest.fixture
def fake() -> Iterator[FakeUpstream]:
    with FakeUpstream() as upstream:
        upstream.script = completion("Hello", NOT_KEPT)
        yield upstream


def call_of(upstream: Upstream, fake: FakeUpstream, token: str | None = "callers-own") -> Call:
    """The call that reaches the upstream where a caller with this token asks."""
    upstream.complete(chat(token), record())
    return fake.wait_for_calls(1)[-1]


def test_a_key_alone_means_openai() -> None:
    upstream = upstream_of(settings(LLM_API_KEY="k"))

    assert isinstance(upstream, UpstreamRouter)
    # Nothing but a call to OpenAI would show it from outside.
    assert upstream.candidates[0].upstream._secrets[0] == "https://api.openai.com/v1"


def test_key_and_base_url_go_together(fake: FakeUpstream) -> None:
    call = call_of(upstream_of(settings(LLM_API_KEY="ours", LLM_BASE_URL=fake.base_url)), fake)

    assert (call.method, call.path) == ("POST", "/v1/chat/completions")
    assert call.headers["authorization"] == "Bearer ours"
    assert call.headers["x-request-id"] == "request-7"


def test_a_base_url_alone_passes_the_callers_token_on(fake: FakeUpstream) -> None:
    call = call_of(upstream_of(settings(LLM_BASE_URL=fake.base_url)), fake)

    assert call.headers["authorization"] == "Bearer callers-own"


def test_without_a_token_nothing_is_passed_on(fake: FakeUpstream) -> None:
    call = call_of(upstream_of(settings(LLM_BASE_URL=fake.base_url)), fake, token=None)

    assert "authorization" not in call.headers


@pytest.mark.parametrize(
    ("environ", "sent"),
    [
        ({"API_KEYS": "callers-own"}, None),
        ({"API_KEYS": "other"}, None),
        ({"API_KEYS": "callers-own", "LLM_API_KEY": "ours"}, "Bearer ours"),
        ({"LLM_API_KEY": "ours"}, "Bearer ours"),
    ],
)
def test_the_callers_token_goes_nowhere_where_a_key_is_set(
    fake: FakeUpstream, environ: dict[str, str], sent: str | None
) -> None:
    call = call_of(upstream_of(settings(LLM_BASE_URL=fake.base_url, **environ)), fake)

    assert call.headers.get("authorization") == sent
    assert "callers-own" not in str(call.headers)


def test_models_are_never_listed_with_a_callers_token(fake: FakeUpstream) -> None:
    upstream = upstream_of(settings(LLM_BASE_URL=fake.base_url))

    assert upstream.models() == []
    assert fake.calls == []


def test_the_settings_choose_model_and_fields_that_go_upstream(fake: FakeUpstream) -> None:
    chosen = settings(LLM_BASE_URL=fake.base_url, LLM_MODEL="big", LLM_FORWARD_FIELDS="tenant")

    call = call_of(upstream_of(chosen), fake)

    assert call.json == {
        "messages": [{"role": "user", "content": "Hi"}],
        "tenant": "acme",
        "model": "big",
        "stream": False,
    }


@pytest.mark.parametrize("environ", [{}, {"API_KEYS": "one"}, {"LLM_MODEL": "big"}])
def test_without_key_and_base_url_there_is_no_upstream(environ: dict[str, str]) -> None:
    upstream = upstream_of(settings(**environ))

    assert isinstance(upstream, NoUpstream)
    assert upstream.models() == []
