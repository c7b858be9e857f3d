"""Advice on settings, by group: the sentences that the settings table does not hold."""

from typing import NamedTuple


class Advice(NamedTuple):
    """Whole sentences about one setting: what it does (with its unit), and when to change it."""

    effect: str
    when: str


class Group(NamedTuple):
    """Settings that one task of the operator needs, by name in capitals."""

    title: str
    about: str
    settings: dict[str, Advice]
