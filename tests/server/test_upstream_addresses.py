"""Settings as people paste them: quotes around values, routes behind base URLs, headers, parameters and queries."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
from fake_upstream import FakeUpstream, models, refusal
from heard import WAYS, ask, in_turn, says
from running_server import ServerDidNotStart, running_server

pytestmark = pytest.mark.server
KEY = "sk-azure-0123456789abcdef"
AZURE = {"LLM_API_KEY": "", "LLM_HEADERS": json.dumps({"api-key": KEY}), "LOG_LEVEL": "debug"}


def logged(output: str, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


# --- quotes and routes ---


@pytest.mark.row("RA-10")
@pytest.mark.parametrize(
    "written",
    [
        "{url}/chat/completions",
        "{url}/chat/completions/",
        '"{url}"',
        "'{url}/models'",
        " '{url}//' ",
        "{url}/completions//",
        "“{url}/Chat/Completions”",
    ],
)
def test_a_pasted_address_is_put_right(upstream: FakeUpstream, written: str) -> None:
    env = {"LLM_BASE_URL": written.format(url=upstream.base_url), "LLM_API_KEY": f'"{KEY}"', "LLM_MODEL": "'big'"}
    with running_server(env) as server:
        ask(server).answered("Hello there")
        assert [model["id"] for model in requests.get(f"{server.url}/models", timeout=30).json()["data"]]
        output = server.output()
    paths = [call.path for call in upstream.calls]
    assert paths == ["/v1/chat/completions", "/v1/models"]
    assert upstream.calls[0].headers["authorization"] == f"Bearer {KEY}" and upstream.calls[0].json["model"] == "big"
    cut = logged(output, "base_url_cut")
    assert [line["setting"] for line in cut] == ["LLM_BASE_URL"] * any(
        word in written.lower() for word in ("chat", "mod", "comp")
    )
    assert KEY not in output


@pytest.mark.row("RA-10")
def test_every_url_setting_loses_its_route(upstream: FakeUpstream) -> None:
    url = upstream.base_url
    env = {
        "OPENAI_BASE_URL": f"{url}/models",
        "EMBEDDINGS_BASE_URL": f"'{url}/embeddings'",
        "LLM_FALLBACKS": f"""'[{{"base_url": "{url}/chat/completions"}}]'""",
    }
    upstream.script = in_turn(refusal(500, {"message": "no"}), says("Fine"))
    with running_server({"LLM_BASE_URL": "", **env}) as server:
        ask(server).answered("Fine")
        cut = logged(server.output(), "base_url_cut")
    assert sorted(line["setting"] for line in cut) == sorted(env)
    assert {call.path for call in upstream.calls} == {"/v1/chat/completions"}


# --- addresses that look wrong ---


@pytest.mark.row("RF-16")
def test_an_address_without_its_path_is_told_at_the_start(upstream: FakeUpstream) -> None:
    root = upstream.base_url.removesuffix("/v1")
    with running_server({"LLM_BASE_URL": root}) as server:
        (line,) = logged(server.output(), "base_url_doubtful")
        assert (line["setting"], line["level"]) == ("LLM_BASE_URL", "warning") and f"{root}/v1" in line["hint"]
        hint = line["hint"].rpartition(" ")[2]
    with running_server({"LLM_BASE_URL": hint}) as server:
        ask(server).answered("Hello there")
        assert not logged(server.output(), "base_url_doubtful")
    assert upstream.calls[-1].path == "/v1/chat/completions"


@pytest.mark.row("RF-16")
@pytest.mark.parametrize(
    ("variable", "proxy"),
    [
        ("HTTPS_PROXY", "http://proxy.example:notaport"),
        ("HTTPS_PROXY", "http//proxy.example:3128"),
        ("https_proxy", "socks5h://proxy.example:1080"),
        ("ALL_PROXY", "https://proxy.example"),
        ("HTTP_PROXY", "socks5://proxy.example"),
    ],
)
def test_no_proxy_that_is_not_spoken_reaches_a_call(variable: str, proxy: str) -> None:
    # The voice's client reads all variables, those of the other scheme included.
    env = {"LLM_BASE_URL": "http://127.0.0.1:9/v1", "TTS_BASE_URL": "https://voice.example/v1", "AUDIO_MODE": "speech"}
    with pytest.raises(ServerDidNotStart) as caught, running_server({**env, variable: proxy}):
        pass
    (line,) = [line for line in caught.value.output.splitlines() if line.startswith("parley: ")]
    assert line.startswith(f"parley: {variable.upper()}: expected a proxy") and "Traceback" not in caught.value.output


# --- headers, parameters, queries ---


@pytest.mark.row("RA-11")
@pytest.mark.parametrize("way", [*WAYS, "models"])
def test_an_azure_deployment_gets_its_key_and_version(
    upstream: FakeUpstream, servers: Callable[..., Any], way: str
) -> None:
    base = upstream.base_url.replace("/v1", "/openai/deployments/d")
    server = servers(**AZURE, LLM_BASE_URL=f"{base}/chat/completions?api-version=2024-10-21")
    upstream.script = says("Hello there")
    if way == "models":
        upstream.models_script = models(["gpt"])
        listed = requests.get(f"{server.url}/models", headers={"authorization": "Bearer caller"}, timeout=30)
        assert "gpt" in listed.text
    else:
        ask(server, way, {"authorization": "Bearer caller"})
    route = "models" if way == "models" else "chat/completions"
    (call,) = upstream.calls
    assert call.path == f"/openai/deployments/d/{route}?api-version=2024-10-21"
    assert call.headers["api-key"] == KEY and "authorization" not in call.headers
    assert KEY not in server.output()


@pytest.mark.row("RA-11")
def test_params_fill_what_a_request_leaves_out(upstream: FakeUpstream, servers: Callable[..., Any]) -> None:
    params = {"temperature": 0.2, "max_tokens": 300, "chat_template_kwargs": {"enable_thinking": False}, "x": [1]}
    server = servers(LLM_PARAMS=json.dumps(params))
    upstream.script = says("Hello there")
    for way, fields, sent in (
        ("chat", {}, params),
        ("json", {"temperature": 1}, {**params, "temperature": 1}),
        ("rag", {"max_completion_tokens": 5}, {"max_completion_tokens": 5, "max_tokens": None}),
        ("chat", {"chat_template_kwargs": {}}, {"chat_template_kwargs": {}}),
    ):
        ask(server, way, **fields).answered("Hello there")
        body = upstream.calls[-1].json
        assert {name: body.get(name) for name in sent} == sent


@pytest.mark.row("RA-11")
def test_each_fallback_has_headers_and_params_of_its_own(
    first: FakeUpstream, second: FakeUpstream, servers: Callable[..., Any]
) -> None:
    entry = {
        "base_url": f"{second.base_url}/chat/completions?api-version=7",
        "headers": {"Api-Key": "sk-fallback-0123456789"},
        "params": {"seed": 7},
    }
    server = servers(
        LLM_FALLBACKS=json.dumps([entry]), LLM_HEADERS='{"X-Title": "Shop line"}', LLM_PARAMS='{"top_k": 3}'
    )
    first.script, second.script = refusal(500, {"message": "no"}), says("From the second")
    ask(server).answered("From the second")
    asked, then = first.calls[0], second.calls[0]
    assert (asked.headers["x-title"], asked.json["top_k"], "seed" in asked.json) == ("Shop line", 3, False)
    assert then.path == "/v1/chat/completions?api-version=7" and then.headers["api-key"] == "sk-fallback-0123456789"
    assert (then.json["seed"], "top_k" in then.json, "x-title" in then.headers) == (7, False, False)


@pytest.mark.row("RA-11")
def test_a_header_of_the_operators_replaces_the_key(upstream: FakeUpstream, servers: Callable[..., Any]) -> None:
    server = servers(LLM_HEADERS='{"Authorization": "Basic b3VyLXNlY3JldA=="}')
    ask(server).answered("Hello there")
    assert upstream.calls[0].headers["authorization"] == "Basic b3VyLXNlY3JldA=="


@pytest.mark.row("RA-11")
@pytest.mark.parametrize("status", [400, 401, 500])
def test_values_of_headers_and_queries_are_told_to_nobody(
    upstream: FakeUpstream, servers: Callable[..., Any], status: int
) -> None:
    secret = "q-9876543210"
    url = f"{upstream.base_url}?key={secret}&api-version=2024-10-21"
    server = servers(
        LLM_API_KEY="", LLM_HEADERS=json.dumps({"cf-aig-authorization": f"Bearer {KEY}"}), LLM_BASE_URL=url
    )
    upstream.script = refusal(status, {"message": f"bad {KEY} or {secret} for 2024-10-21", "type": "x"})
    heard = ask(server)
    assert upstream.calls[0].path.endswith(f"?key={secret}&api-version=2024-10-21")
    for told in (heard.body.decode(), str(heard.headers), server.output()):
        assert KEY not in told and secret not in told
    assert (b"2024-10-21" in heard.body) == (status == 400)
