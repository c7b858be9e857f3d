"""The way to an upstream: the faults of each step, found at the thing itself."""

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_tls_upstream import Certificates, FakeTlsUpstream
from fake_upstream import FakeUpstream, Script, answer, models, refusal, whole
from running_server import free_port

from parley.checking import examination
from parley.checking.probe import Probe
from parley.checking.report import Finding
from parley.setting_types import UpstreamSetting
from parley.settings import Settings

Examine = Callable[..., dict[str, Finding]]


def test_a_good_upstream_is_well(ask: Examine) -> None:
    found = ask()

    assert {name: one.status for name, one in found.items()} == {
        "UP-a": "ok",
        "UP-b": "ok",
        "UP-c": "skip",
        "UP-d": "ok",
        "UP-e": "ok",
    }
    assert found["UP-d"].detail == "key accepted; fake-model is listed"


def test_a_name_that_nobody_knows_ends_the_checks(ask: Examine) -> None:
    found = ask(llm_base_url="https://api.nowhere.invalid/v1")

    assert found["UP-a"].status == "fail" and "not known" in found["UP-a"].detail
    assert found["UP-e"].detail.endswith("needs UP-a")


def test_a_port_without_a_listener_is_told(ask: Examine) -> None:
    found = ask(llm_base_url=f"http://127.0.0.1:{free_port()}/v1")
    assert found["UP-b"].status == "fail" and "nobody listens" in found["UP-b"].detail


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        (refusal(401, {"message": "Incorrect API key"}), "fail", "key is not accepted (status 401): Incorrect API key"),
        (refusal(403, {"message": "No access"}), "fail", "key is not accepted"),
        (whole(b"<html>Hi</html>", headers={"content-type": "text/html"}), "fail", "a web page"),
        (whole(b"", 301, {"location": "https://api.example/v1/models"}), "fail", "redirects"),
        (models(["fake-modell", "other"]), "warn", "there are fake-modell"),
        (models(["models/fake-model"]), "ok", "is listed"),
        (refusal(404, {"message": "Not found"}), "ok", "no list of models"),
        (refusal(500, {"message": "Oops"}), "warn", "status 500, Oops"),
    ],
    ids=["401", "403", "page", "redirect", "model", "google", "404", "500"],
)
def test_what_the_list_of_models_tells(
    ask: Examine, upstream: FakeUpstream, script: Script, status: str, said: str
) -> None:
    upstream.models_script = script
    found = ask()["UP-d"]
    assert found.status == status and said in found.detail and bool(found.fix) == (status != "ok")


def test_a_redirect_is_not_followed_with_the_key(ask: Examine, upstream: FakeUpstream) -> None:
    upstream.models_script = whole(b"", 302, {"location": f"{upstream.base_url}/elsewhere"})
    ask()
    assert [call.path for call in upstream.calls] == ["/v1/models"]


def test_a_clock_that_is_wrong_is_told(ask: Examine, upstream: FakeUpstream) -> None:
    upstream.models_script = models(["fake-model"], {"date": "Sat, 28 Nov 2020 01:00:00 GMT"})
    found = ask(("UP", "CL"))["CL-1"]
    assert found.status == "fail" and "ahead of" in found.detail


def test_keys_never_go_to_the_default_in_place_of_a_bad_address(tmp_path: Path) -> None:
    probe = Probe(Settings(llm_api_key="sk-0123456789"), tmp_path, ["LLM_BASE_URL: expected a base URL"])
    found = list(examination.examine(probe, ["UP"]))
    assert {one.status for one in found} == {"skip"} and "ST-1" in found[0].detail


def test_another_fault_keeps_nobody_from_being_asked(upstream: FakeUpstream, tmp_path: Path) -> None:
    faults = ["TTFT_TIMEOUT: expected seconds", "API_KEY is no setting; API_KEYS? Without API_KEYS the server is open"]
    probe = Probe(Settings(llm_base_url=upstream.base_url, llm_model="fake-model"), tmp_path, faults)
    assert [one.status for one in examination.examine(probe, ["UP"])] == ["ok", "ok", "skip", "ok", "ok"]


def test_each_fallback_is_looked_at(ask: Examine, upstream: FakeUpstream) -> None:
    entries = tuple(UpstreamSetting(upstream.base_url, f"sk-of-fallback-{n}", "fake-model") for n in range(4))
    ask(llm_fallbacks=entries)

    asked = [call for call in upstream.calls if call.method == "POST"]
    listed = [call.headers["authorization"] for call in upstream.calls if call.method == "GET"]
    assert len(asked) == 3 and len(listed) == 5 and len(set(listed)) == 5


def test_headers_and_query_are_those_of_the_server(ask: Examine, upstream: FakeUpstream) -> None:
    found = ask(
        llm_base_url=f"{upstream.base_url}/deployments/d?api-version=1&code=canary-code-1",
        llm_headers={"api-key": "canary-of-a-header"},
        llm_params={"temperature": 0.2, "max_completion_tokens": 5},
    )
    call = upstream.calls[-1]
    assert call.path == "/v1/deployments/d/chat/completions?api-version=1&code=canary-code-1"
    assert call.headers["api-key"] == "canary-of-a-header" and call.json["temperature"] == 0.2
    assert "max_tokens" not in call.json and "canary" not in repr(found)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def trusting(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[Certificates]:
    """Have this process trust the authority of the tests."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    yield certificates


@pytest.mark.slow
@pytest.mark.parametrize(
    ("which", "said"),
    [("expired", "expired"), ("wrong_host", "another name"), ("self_signed", "signed by itself")],
)
def test_a_bad_certificate_is_told(ask: Examine, trusting: Certificates, which: str, said: str) -> None:
    with FakeTlsUpstream(getattr(trusting, which)) as tls:
        found = ask(llm_base_url=tls.base_url)
    assert found["UP-c"].status == "fail" and said in found["UP-c"].detail and found["UP-c"].fix
    assert found["UP-d"].status == found["UP-e"].status == "skip"


@pytest.mark.slow
def test_a_good_certificate_is_trusted_as_the_server_does(ask: Examine, trusting: Certificates) -> None:
    with FakeTlsUpstream(trusting.good) as tls:
        tls.script, tls.models_script = answer("one two"), models(["fake-model"])
        found = ask(llm_base_url=tls.base_url)
    # Two days are few.
    assert found["UP-c"].status == "warn" and "for 2 days" in found["UP-c"].detail
    assert found["UP-d"].status == found["UP-e"].status == "ok"
    assert ssl.create_default_context().get_ca_certs()


@pytest.mark.slow
def test_http_and_https_exchanged_is_told(ask: Examine, trusting: Certificates) -> None:
    with FakeTlsUpstream(None) as plain:
        assert "write http://" in ask(llm_base_url=plain.base_url)["UP-c"].fix
    with FakeTlsUpstream(trusting.good) as tls:
        assert "write https://" in ask(llm_base_url=tls.base_url.replace("https", "http"))["UP-d"].fix


def test_a_proxy_of_the_environment_is_what_is_tried(
    ask: Examine, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{upstream.port}")
    found = ask(llm_base_url="http://models.example/v1")
    assert "through the proxy 127.0.0.1" in found["UP-a"].detail and found["UP-b"].status == "ok"
    assert upstream.calls[0].path == "http://models.example/v1/models"
