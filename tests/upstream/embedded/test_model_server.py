"""The parameters of the embedded model's server; the server itself runs in tests/server/test_readme_server.py."""

import sys
import types
from unittest.mock import MagicMock

import pytest

from parley.upstream.embedded import model_server


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    """Return the parameters that are set, on a stand-in for the engine, which need not be installed."""
    engine = types.SimpleNamespace(CommonParams=MagicMock)
    monkeypatch.setitem(sys.modules, "xllamacpp", engine)
    parameters: MagicMock = model_server.parameters(8123, "/models/small.gguf", "local-demo", "secret")
    return parameters


def test_it_listens_on_loopback_alone_and_wants_the_key(chosen: MagicMock) -> None:
    assert (chosen.hostnames, chosen.port, chosen.reuse_port) == (["127.0.0.1"], 8123, True)
    assert (chosen.api_keys, chosen.ui, chosen.endpoint_slots) == (["secret"], False, False)


def test_it_serves_the_model_under_its_name(chosen: MagicMock) -> None:
    assert (chosen.model.path, chosen.model_alias) == ("/models/small.gguf", {"local-demo"})


def test_it_is_quiet_greedy_and_brief(chosen: MagicMock) -> None:
    assert (chosen.verbosity, chosen.sampling.temp, chosen.n_predict) == (1, 0.0, model_server.MAX_TOKENS)
