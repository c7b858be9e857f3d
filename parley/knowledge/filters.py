"""Filters on metadata: equality with the values that a query names, as a mask over all passages.

Each key is a column of codes, one for each passage. Ranking the passages that remain lives in `lexical.py`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

FilterValue = str | int | bool


class Filters:
    """The metadata of all passages. Call `add` for each, then `finish`; only after that `mask` may be called."""

    def __init__(self) -> None:
        self._passages = 0
        # The type belongs to the key: `1` and `True` are equal in Python, and different in JSON.
        self._codes: dict[str, dict[tuple[type, FilterValue], int]] = {}
        # While passages are added, a key costs memory only for those that have it: positions and their codes.
        self._sparse: dict[str, tuple[list[int], list[int]]] = {}
        self._columns: dict[str, NDArray[np.int32]] = {}

    def add(self, metadata: Mapping[str, Any]) -> None:
        """Add the next passage's metadata. Only strings, integers and booleans can be filtered by."""
        for key, value in metadata.items():
            if isinstance(value, str | int):
                codes = self._codes.setdefault(key, {})
                positions, values = self._sparse.setdefault(key, ([], []))
                positions.append(self._passages)
                values.append(codes.setdefault((type(value), value), len(codes)))
        self._passages += 1

    def finish(self) -> "Filters":
        """Return these filters, ready for `mask`; no passage may be added any more."""
        for key, (positions, values) in self._sparse.items():
            column = np.full(self._passages, -1, np.int32)
            column[positions] = values
            self._columns[key] = column
        self._sparse.clear()
        return self

    def mask(self, wanted: Mapping[str, FilterValue]) -> NDArray[np.bool_] | None:
        """Return True for each passage that has all the wanted values, or None if none is wanted."""
        mask: NDArray[np.bool_] | None = None
        for key, value in wanted.items():
            code = self._codes.get(key, {}).get((type(value), value))
            if code is None:
                return np.zeros(self._passages, np.bool_)
            equal = self._columns[key] == code
            mask = equal if mask is None else mask & equal
        return mask
