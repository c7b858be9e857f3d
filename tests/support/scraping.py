"""The server's metrics, as a scraper reads them."""

from collections.abc import Mapping

import requests
from prometheus_client.parser import text_string_to_metric_families
from running_server import RunningServer

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def series(server: RunningServer, headers: Mapping[str, str] | None = None) -> Series:
    """Return Parley's own metrics now, by name and labels."""
    text = requests.get(f"{server.url}/metrics", headers=headers, timeout=30).text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("parley_") and not sample.name.endswith("_created")
    }


def total(found: Series, name: str, **labels: str) -> float:
    """Return the sum of a metric over all series that have these labels."""
    return sum(value for (of, has), value in found.items() if of == name and labels.items() <= dict(has).items())
