"""A base that is searched in the database finds what the index in memory finds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from knowledge_folder import LetterEncoder, write_base
from searched_base import Both, equal_share, told
from structlog.testing import capture_logs

from parley.knowledge.database import statements
from parley.knowledge.database.address import DatabaseAddress
from parley.knowledge.database.connections import Connections
from parley.knowledge.database.publishing import drop
from parley.knowledge.index import Index, Query, SearchFailed
from parley.knowledge.prompt import select_excerpts
from parley.languages.english import SMALL_TALK_EXAMPLES

SAMPLE = Path(__file__).parents[3] / "kb_data"
TEXTS: dict[str, Any] = {
    "hours": {"title": "Opening hours", "text": "We open at nine and close at six.", "floor": 1, "open": True},
    "price": {"title": "Prices", "text": "A day with the MX-204B costs twelve euros.", "floor": 2, "open": True},
    "seat": {"title": "Child seats", "text": "A child seat is free of charge.", "floor": "1", "open": False},
    "lock": {"title": "Locks", "text": "Each bicycle comes with a lock, which is free, too.", "floor": 1},
}
FOLLOWING = Query("and how much is that", "I would like to hire a child seat")


@pytest.fixture
def connections(address: DatabaseAddress) -> Iterator[Connections]:
    made = Connections(address, 2)
    yield made
    made.close()


@pytest.fixture(params=["by meaning", "by words"])
def both(
    request: pytest.FixtureRequest, database: "psycopg.Connection[Any]", connections: Connections, tmp_path: Path
) -> Both:
    encoder = LetterEncoder(size=64) if request.param == "by meaning" else None
    return Both(database, connections, write_base(tmp_path, TEXTS), encoder)


def questions(both: Both) -> list[Query]:
    """Return titles, beginnings and endings of all passages as questions, every third behind another."""
    ways = (lambda one: one.title, lambda one: one.text[:70], lambda one: one.text[-50:])
    texts = [ways[at % 3](one) for at, one in enumerate(both.passages)]
    texts += ["when do you open", "how much is it", "tell me of quantum physics", "thank you bye"]
    return [Query(text, texts[at - 4] if at % 3 == 0 else "") for at, text in enumerate(texts)]


def test_the_sample_is_found_alike(both: Both) -> None:
    both.folder = SAMPLE
    both.publish()

    assert equal_share(both.held, both.searched, questions(both)) >= 0.95


QUERIES = [
    Query("when do you open"),
    FOLLOWING,
    Query("what does an m x two oh four b cost"),
    Query("when do you oben on sundays"),
    Query("is it free", filters={"floor": 1}),
    Query("is it free", filters={"floor": "1"}),
    Query("is it free", filters={"floor": 1, "open": True}),
    Query("is it free", filters={"floor": True}),
    Query("is it free", filters={"attic": "\0"}),
    Query("of the"),
    Query("..."),
    Query("\0'; DROP TABLE parley.base; --"),
    Query("lock " * 500),
]


def test_each_query_is_answered_alike(both: Both) -> None:
    both.publish()
    held, searched = both.held, both.searched

    # One database for all of them: each costs more than its question.
    for query in QUERIES:
        assert told(searched.rank(query, 4)) == told(held.rank(query, 4)), query
        assert told(searched.without_floor().rank(query, 4))[0] == told(held.without_floor().rank(query, 4))[0], query
        assert (searched.language, searched.folded(query)) == (held.language, held.folded(query))


def test_excerpts_hold_the_neighbours_of_a_hit(both: Both) -> None:
    long = "\n\n".join(
        f"Chapter {at} on subject{at}: " + " ".join(f"w{at}x{n}" for n in range(70)) + "." for at in range(12)
    )
    write_base(both.folder, {**TEXTS, "book": {"title": "Book", "text": long}})
    both.publish()
    found = [
        index.rank(Query("what does the chapter on subject5 say of w5x3"), 8).hits
        for index in (both.held, both.searched)
    ]

    excerpts = [select_excerpts(hits, 3) for hits in found]

    assert [one.text for one in excerpts[1]] == [one.text for one in excerpts[0]] and "subject5" in excerpts[1][0].text
    assert [[hit.passage.document for hit in one.hits] for one in excerpts[1]] == [
        [hit.passage.document for hit in one.hits] for one in excerpts[0]
    ]


def test_what_changed_is_found_with_the_statistics_of_before(both: Both) -> None:
    both.publish()
    before = both.searched
    write_base(both.folder, {**TEXTS, "helmet": {"title": "Helmets", "text": "A helmet costs two euros."}})
    both.publish()

    # A word that is new in the base is not known yet: by the others it is found.
    assert "helmet" in [hit.passage.id for hit in before.search(Query("how many euros does it cost"), 4)]
    assert told(both.searched.rank(FOLLOWING, 4)) == told(both.held.rank(FOLLOWING, 4))


def test_more_passages_than_are_looked_at_are_no_fault(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NEAREST", "SHARING"):
        monkeypatch.setattr(statements, name, 2)
    write_base(both.folder, {**TEXTS, **{f"p{at}": f"A bicycle of kind{at} has a lock." for at in range(60)}})
    both.publish()

    assert both.searched.search(Query("which lock has a bicycle of kind31"), 3)[0].passage.id == "p31"
    assert len(both.searched.search(Query("bicycle"), 9)) >= 2


def by_words_alone(searched: Index, query: str) -> bool:
    ranking = searched.rank(Query(query), 2)
    return ranking.measure == "coverage" and bool(ranking.hits)


def test_without_a_question_s_vector_words_find(
    database: "psycopg.Connection[Any]", connections: Connections, tmp_path: Path
) -> None:
    both = Both(database, connections, write_base(tmp_path, TEXTS), LetterEncoder(size=64)).publish()
    assert both.encoder
    searched = both.searched
    assert searched.rank(Query("when do you open"), 1).measure == "evidence"

    both.encoder.fails = True
    assert by_words_alone(searched, "when do you open") and both.factory.state == "out of order"
    both.encoder.fails, both.encoder.size = False, 32
    assert by_words_alone(searched, "when do you open") and "dimensions" in str(both.factory.state)
    both.encoder.size = 64
    assert searched.rank(Query("when do you open"), 1).measure == "evidence" and both.factory.state == "ok"


@pytest.mark.row("DB-10")
def test_vectors_of_another_encoder_are_not_compared(
    database: "psycopg.Connection[Any]", connections: Connections, tmp_path: Path
) -> None:
    Both(database, connections, write_base(tmp_path, TEXTS), LetterEncoder("theirs")).publish()
    both = Both(database, connections, tmp_path, LetterEncoder("ours"))

    with capture_logs() as logged:
        assert by_words_alone(both.searched, "when do you open") and both.searched.compared_by is None
    assert [line["event"] for line in logged].count("encoder_differs") == 1


def test_small_talk_is_told_by_meaning(
    database: "psycopg.Connection[Any]", connections: Connections, tmp_path: Path
) -> None:
    encoder = LetterEncoder(size=256)
    encoder.calibration = type(encoder.calibration)(0.2, 0.1, min_small_talk=0.9)
    both = Both(database, connections, write_base(tmp_path, TEXTS), encoder).publish()
    example = max(SMALL_TALK_EXAMPLES, key=len)
    searched, held = both.searched, both.held
    both.factory._learn_examples(encoder)

    expected = held.rank(Query(example), 4).small_talk
    assert expected and searched.rank(Query(example), 4).small_talk == pytest.approx(expected)
    assert searched.without_floor().rank(Query(example), 4).small_talk is None


def test_a_database_that_is_away_is_told(both: Both) -> None:
    both.publish()
    searched = both.searched
    both.connections.state = "down"

    with pytest.raises(SearchFailed, match="the database is down"):
        searched.search(Query("when do you open"), 1)


@pytest.mark.row("DB-08", "DB-14")
def test_a_base_without_its_terms_is_degraded_not_empty(both: Both) -> None:
    both.publish()
    searched = both.searched
    # As after it has shrunk: servers are to hold it from now on.
    both.resident = len(TEXTS)
    both.publish()

    if both.encoder:
        assert searched.search(Query("when do you open"), 1)[0].passage.id == "hours"
    else:
        with pytest.raises(SearchFailed, match="has no terms"):
            searched.search(Query("when do you open"), 1)
    drop(both.database, both.name)
    with pytest.raises(SearchFailed, match="has no terms"):
        searched.search(Query("when do you open"), 1)


def test_rows_of_others_without_terms_or_vectors_break_nothing(both: Both) -> None:
    both.publish()
    searched = both.searched
    both.database.execute("UPDATE parley.passage SET terms = NULL, words = NULL, grams = NULL WHERE id = 'seat'")
    both.database.execute("UPDATE parley.passage SET vector = '[1,2]'::halfvec, windows = NULL WHERE id = 'lock'")
    both.database.execute("UPDATE parley.passage SET vector = NULL WHERE id = 'price'")

    ranking = searched.without_floor().rank(Query("is a seat or a lock free, and what does an MX-204B cost"), 4)

    assert ranking.hits and all(np.isfinite(hit.score) for hit in ranking.hits)
