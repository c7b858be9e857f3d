"""Which passages a query's filters let through: equality of metadata, as a mask over all passages."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Value = str | int | bool


class Filters:
    """The passages' metadata by column: for each key the values that occur, and each passage's value in it."""

    def __init__(self) -> None:
        self._passages = 0
        self._codes: dict[str, dict[tuple[type, Value], int]] = {}
        self._sparse: dict[str, tuple[list[int], list[int]]] = {}
        self._columns: dict[str, NDArray[np.int32]] = {}

    def add(self, metadata: Mapping[str, Any]) -> None:
        """The next passage's metadata; what is not a string, a whole number, true or false can't be asked for."""
        for key, value in metadata.items():
            if isinstance(value, str | int):
                codes = self._codes.setdefault(key, {})
                positions, values = self._sparse.setdefault(key, ([], []))
                positions.append(self._passages)
                values.append(codes.setdefault((type(value), value), len(codes)))
        self._passages += 1

    def finish(self) -> "Filters":
        """The same filters, ready to be asked."""
        for key, (positions, values) in self._sparse.items():
            column = np.full(self._passages, -1, np.int32)
            column[positions] = values
            self._columns[key] = column
        self._sparse.clear()
        return self

    def mask(self, wanted: Mapping[str, Value]) -> NDArray[np.bool_] | None:
        """Which passages have all these values; None where all have, for want of a wish."""
        mask: NDArray[np.bool_] | None = None
        for key, value in wanted.items():
            code = self._codes.get(key, {}).get((type(value), value))
            if code is None:
                return np.zeros(self._passages, np.bool_)
            equal = self._columns[key] == code
            mask = equal if mask is None else mask & equal
        return mask
