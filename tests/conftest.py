"""For all tests, and the options `--quick` of `make quick` and `--image` of `make image`."""

import gc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog

from parley.telemetry import logs

# On a busy machine an example may take any time, and so may drawing it.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")
hypothesis.settings.register_profile("quick", max_examples=10)
QUICK_CASES = 3
"""Cases of one parametrized test that `--quick` runs."""
TESTS = Path(__file__).parent
BLACK_BOX = TESTS / "server"
IMAGE = TESTS / "image"
LONGEST = (
    "server/test_reloads.py",
    "server/test_state_machine.py",
    "server/test_resource_leaks.py",
    "server/test_start.py",
    "server/test_shared_limits.py",
    "server/test_speech.py",
    "server/test_security_walk.py",
    "server/test_thoughts.py",
    "server/test_tools_in_turns.py",
    "server/test_request_logs.py",
    "server/test_upstream_before_first_word.py",
    "server/test_memory.py",
    "server/test_upstream_addresses.py",
    "server/test_hostile_clients.py",
    "test_soak.py",
    "page/test_try.py",
    "knowledge/database/test_served.py",
    "test_bench.py",
    "memory/test_policy.py",
    "blueprints/cli/test_kb.py",
)
"""The files that take longest, half a minute and more, the longest first."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--quick`: no server, no process, no model, few examples, and a few cases of each parametrized test.

    And `--image`: also the tests that build the image.
    """
    parser.addoption("--quick", action="store_true", help="the tests to run while one writes: see make quick")
    parser.addoption("--image", action="store_true", help="also build the image, and run it: see make image")


def pytest_configure(config: pytest.Config) -> None:
    """Draw few examples with `--quick`."""
    if config.getoption("--quick"):
        hypothesis.settings.load_profile("quick")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import the black-box tests with `--quick`, and those of the image without `--image`."""
    left_out = {BLACK_BOX if config.getoption("--quick") else None, None if config.getoption("--image") else IMAGE}
    return True if collection_path in left_out else None


@pytest.fixture(autouse=True)
def _same_logs() -> Iterator[None]:
    """Logs are written after a test as before it: a command, run in the tests' process, chooses a level of its own."""
    before, arguments = structlog.get_config(), logs._configured
    yield
    if logs._configured is not arguments:
        logs._configured = arguments
        structlog.configure(**before)
        # structlog keeps the logger of the other configuration.
        vars(logs.log).pop("bind", None)


@pytest.fixture
def no_collections() -> Iterator[None]:
    """No garbage is collected: what a test lets go of is freed by its reference count, or stays."""
    # Without a collection first: it would take half a second, and the tests look at their own objects only.
    gc.disable()
    yield
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the files that start servers first, or leave out what `--quick` does not run."""
    if config.getoption("--quick"):
        items[:] = quick_items(items)
    # `make test` hands out whole files: no process may begin a long one when the others are about to end.
    long = {item.path for item in items if item.get_closest_marker("server") or item.get_closest_marker("embedded")}
    ranks = {TESTS / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (ranks.get(item.path, len(ranks)), item.path not in long))


def pytest_collection_finish() -> None:
    """Spare the collections in tests, and pytest's own, a walk over everything that was imported (0.1 s each)."""
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Spare them what a file has left, too: with all of a process's files a collection would take a second."""
    if nextitem is not None and nextitem.path != item.path:
        gc.freeze()


def quick_items(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return the items that start no server, process or model: of one parametrized test the first few."""
    cases: Counter[str] = Counter()
    kept = []
    for item in items:
        if any(map(item.get_closest_marker, ("server", "embedded", "page", "slow"))):
            continue
        name = item.nodeid.split("[")[0]
        cases[name] += 1
        if cases[name] <= QUICK_CASES:
            kept.append(item)
    return kept
