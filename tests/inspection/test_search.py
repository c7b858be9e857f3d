"""A search explained: the hits and their reasons, and what it came near to where it found nothing."""

from pathlib import Path

import pytest

from parley.errors import NotFound
from parley.inspection.search import NEAREST, conversation, explain, shared_words
from parley.services import Services
from parley.settings import Settings

KB = Path(__file__).parents[2] / "kb_data"


@pytest.fixture(scope="module")
def services() -> Services:
    services = Services(Settings(kb_dir=KB, rag_tier="lexical", rag_min_coverage=0.5))
    services.knowledge.require("")
    return services


def test_a_search_tells_its_hits_and_what_is_sent(services: Services) -> None:
    told = explain(services, conversation("How much is a tune-up?", "", "", {}))

    assert told["hits"][0]["sent"] and told["hits"][0]["words"]
    assert told["hits"][0]["text"] in told["sent"] and told["refusal"] == ""
    assert "nearest" not in told


def test_where_nothing_is_found_the_nearest_are_told(services: Services) -> None:
    told = explain(services, conversation("Which guarantee covers zebras, quasars and volcanoes?", "", "", {}))

    assert told["hits"] == [] and told["best_cosine"] is None
    assert 0 < told["coverage"] < told["floor"] == 0.5
    assert 0 < len(told["nearest"]) <= NEAREST and not any(hit["sent"] for hit in told["nearest"])


def test_small_talk_is_looked_up_nowhere(services: Services) -> None:
    told = explain(services, conversation("Hello!", "", "", {}))

    assert (told["looked_up"], told["hits"], told["sent"]) == (None, [], "Hello!")
    assert "nearest" not in told


def test_an_unknown_base_is_not_found(services: Services) -> None:
    with pytest.raises(NotFound):
        explain(services, conversation("Hello?", "", "", {}), "nowhere")


def test_shared_words_go_by_their_beginnings() -> None:
    assert shared_words("How much is tuning, Tuning?", "The tunings cost much.") == ["much", "tuning"]
