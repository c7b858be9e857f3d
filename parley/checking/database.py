"""Checks of the database, where DATABASE_URL names one (DB): what `flask db check` tells, topic by topic."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from parley.checking.probe import Probe
from parley.checking.report import Outcome, block, ok, warn

if TYPE_CHECKING:
    from parley.knowledge.database.examination import Topic


def servers(probe: Probe) -> Sequence[Probe]:
    """Return the examination as the one subject, none without a DATABASE_URL."""
    return [probe] if probe.settings.database_url else []


def about(topic: "Topic") -> Callable[[Probe], Iterator[Outcome]]:
    """Return the check of one topic. Behind an error the others would tell of the same fault."""

    def check(probe: Probe) -> Iterator[Outcome]:
        from parley.knowledge.database import address

        if fault := address.missing_package():
            yield block(fault, "pip install -r requirements-shared.txt")
            return
        # Here, because they need the packages.
        from parley.factories.knowledge import encoders_of
        from parley.knowledge.database import examination

        assert probe.settings.database_url
        encoders = encoders_of(probe.settings).labels()
        for one in examination.examine(probe.settings.database_url, encoders, [topic]):
            yield {"ok": ok, "warning": warn, "error": block}[one.severity](one.message)

    return check
