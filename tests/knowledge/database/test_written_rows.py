"""The rows of a publish: a value for each column, vectors only of what no row has."""

from typing import Any

import numpy as np
from knowledge_folder import LetterEncoder

from parley.knowledge.database.sparse import Columns
from parley.knowledge.database.written_rows import WRITTEN, values_of, vectors_to_write
from parley.knowledge.documents import Passage
from parley.knowledge.vector_cache import VectorCache

PASSAGES = [Passage(str(at), "", f"text {at // 2}", "a.json", {}) for at in range(6)]


def test_there_is_a_value_for_each_column() -> None:
    rows = np.ones((2, 3), np.float32)
    values: dict[str, Any] = dict(
        zip(
            WRITTEN.split(", "),
            values_of(PASSAGES[1], 1, 5, b"key", rows, Columns("{1:2}/9", "{}/9", "{1}")),
            strict=True,
        )
    )

    assert (values["id"], values["ord"], values["revision"], values["body"]) == ("1", 1, 5, "text 0")
    assert (values["words"], values["terms"], values["content_key"]) == ("{1:2}/9", "{1}", b"key")
    assert values["windows"] == b"\x7f\x7f\x7f" and values["vector"].to_list() == [1, 1, 1]
    assert values_of(PASSAGES[1], 1, 5, None, None, None)[-5:] == (None,) * 5


def test_texts_that_are_known_are_not_encoded() -> None:
    encoder = LetterEncoder()
    keys: list[bytes | None] = [passage.text.encode() for passage in PASSAGES]

    made = dict(vectors_to_write(PASSAGES, encoder, keys, frozenset({b"text 0"}), range(6), VectorCache(None)))

    assert encoder.encoded == 2 and [at for at, rows in made.items() if rows is None] == [0, 1]
