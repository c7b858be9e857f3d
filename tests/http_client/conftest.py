"""For the tests of the HTTP client: no proxy from the environment, an upstream, certificates."""

from collections.abc import Iterator

import pytest
from fake_tls_upstream import Certificates
from fake_upstream import FakeUpstream, whole

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the proxies of the machine that runs the tests."""
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    """Yield an upstream that answers every request with `hello`."""
    with FakeUpstream() as fake:
        fake.script = whole(b"hello")
        yield fake


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Return an authority and its certificates."""
    return Certificates(tmp_path_factory.mktemp("certificates"))
