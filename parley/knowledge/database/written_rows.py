"""The rows that a publish writes: the columns of passages, with the vectors that no row of the base has yet."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pgvector import HalfVector
from psycopg.types.json import Jsonb

from parley.knowledge.database.rows import digest, document_of
from parley.knowledge.database.sparse import Columns
from parley.knowledge.documents import Passage
from parley.knowledge.postings import Floats
from parley.knowledge.semantic import STEPS, Encoder, encode
from parley.knowledge.vector_cache import Vectors

BATCH = 500
"""Passages that are encoded and written in one step."""
WRITTEN = (
    "id, ord, revision, title, body, file, metadata, part, parts_of, digest, content_key, vector, windows,"
    " words, grams, terms"
)
"""Columns that are written."""


def vectors_to_write(
    passages: Sequence[Passage],
    encoder: Encoder | None,
    keys: Sequence[bytes | None],
    known: frozenset[bytes],
    write: Sequence[int],
    cache: Vectors,
) -> Iterator[tuple[int, Floats | None]]:
    """Yield the positions to write, each with its vectors unless a row has them. Raises EncoderFailed."""
    made: dict[bytes, Floats] = {}
    for start in range(0, len(write), BATCH):
        batch = write[start : start + BATCH]
        wanted = {key: at for at in batch if (key := keys[at]) and key not in known and key not in made}
        made |= cache.get(list(wanted))
        if encoder:
            made |= _encoded(passages, encoder, {k: at for k, at in wanted.items() if k not in made}, cache)
        # In the order of the passages, so that rows lie on disk as they are read.
        for at in batch:
            key = keys[at]
            yield at, made.get(key) if key else None
    cache.close()


def _encoded(
    passages: Sequence[Passage], encoder: Encoder, wanted: Mapping[bytes, int], cache: Vectors
) -> dict[bytes, Floats]:
    made: dict[bytes, Floats] = {}
    keys = list(wanted)
    # Kept at once: a publish that is ended has not encoded in vain.
    for start in range(0, len(keys), encoder.batch):
        portion = keys[start : start + encoder.batch]
        rows = encode(encoder, [passages[wanted[key]] for key in portion])
        fresh = dict(zip(portion, rows, strict=True))
        cache.put(fresh)
        made |= fresh
    return made


def values_of(
    passage: Passage, at: int, revision: int, key: bytes | None, vectors: Floats | None, terms: Columns | None
) -> tuple[Any, ...]:
    """Return the values of a row, in the order of `WRITTEN`."""
    whole = windows = None
    if vectors is not None:
        whole = HalfVector(vectors[0])
        # One byte a number, as in memory.
        windows = np.rint(vectors[1:] * STEPS).astype(np.int8).tobytes()
    return (
        passage.id,
        at,
        revision,
        passage.title,
        passage.text,
        passage.file,
        Jsonb(passage.metadata),
        passage.part,
        document_of(passage),
        digest(passage),
        key,
        whole,
        windows,
        terms and terms.words,
        terms and terms.grams,
        terms and terms.terms,
    )
