"""One row of the settings table: a field with its kind, default and meaning."""

import dataclasses
from typing import Any

from parley import setting_types as types


def row(
    kind: types.SettingType,
    default: str | None,
    meaning: str,
    *,
    aliases: tuple[str, ...] = (),
    secret: bool = False,
    shown: str | None = None,
) -> Any:
    """Return one row of the table.

    `default` is written as in the environment; `shown` replaces it in the documentation. `meaning` is Markdown. A
    `secret` does not appear in the repr.
    """
    value = None if default is None else kind.parse(default)
    metadata = {"kind": kind, "default": default, "meaning": meaning, "aliases": aliases, "shown": shown}
    if isinstance(value, dict):
        return dataclasses.field(default_factory=dict, repr=not secret, metadata=metadata)
    return dataclasses.field(default=value, repr=not secret, metadata=metadata)
