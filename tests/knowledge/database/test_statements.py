"""The statements of a search: only numbers stand in them, everything else is a parameter."""

import re

from parley.knowledge.database.statements import MANY, Shape, columns_of, settings, terms_of, texts_of


def test_each_turn_has_its_sets_of_candidates() -> None:
    by_meaning = Shape(7, 384, turns=2, vectors=2, filtered=False).candidates
    by_words = Shape(7, 0, turns=2, vectors=0, filtered=True).candidates

    assert by_meaning.count("LIMIT 100") == 4 and by_meaning.count(" UNION ") == 3
    assert "grams_of" not in by_meaning and "grams_of1" in by_words and "vector" not in by_words
    assert "metadata" not in by_meaning and by_words.count("metadata @> %(filter)s") == 4


def test_no_text_of_a_caller_stands_in_a_statement() -> None:
    statements = [Shape(7, 384, 1, 1, True).candidates, terms_of(7), columns_of(7), texts_of(7)]

    assert not any("'" in statement for statement in statements)
    assert set(re.findall(r"%\((\w+)\)s", statements[0])) == {
        *("filter", "vector0", "words0", "grams0", "stop", "words_of0")
    }


def test_nothing_of_a_search_stays_behind_its_transaction() -> None:
    told = settings(280, MANY, filtered=True).split("; ")

    assert told[0] == "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
    assert all(one.startswith("SET LOCAL ") for one in told[1:]) and "SET LOCAL statement_timeout = 280" in told
    assert "SET LOCAL hnsw.ef_search = 400" in told and "ef_search = 200" in settings(280, 1, False)
