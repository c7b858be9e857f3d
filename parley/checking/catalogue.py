"""The checks, in the order in which they are made: one table, which the command, docs/doctor.md and tests read."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from parley.checking import (
    configuration,
    database,
    files,
    machine,
    server,
    server_streams,
    server_way,
    shared,
    upstream,
    upstream_answer,
)
from parley.checking.probe import Probe
from parley.checking.report import Outcome


@dataclass(frozen=True)
class Check:
    """One check. `fix` is told where an outcome that is no success has none of its own.

    `asks` is true if it opens connections: with --offline it is skipped.
    """

    id: str
    name: str
    run: Callable[[Any], Iterator[Outcome]]
    fix: str
    asks: bool = False


@dataclass(frozen=True)
class Group:
    """Checks of one kind, made for each of some subjects; `title` is the heading of a subject."""

    id: str
    subjects: Callable[[Probe], Sequence[Any]]
    title: Callable[[Any], str]
    checks: tuple[Check, ...]


def itself(probe: Probe) -> Sequence[Probe]:
    """Return the examination as the one subject of a group."""
    return [probe]


GROUPS: tuple[Group, ...] = (
    Group(
        "ST",
        itself,
        lambda _: "Settings",
        (
            Check("ST-1", "settings can be parsed", configuration.parse, "correct the variable"),
            Check("ST-2", "no name is nearly a setting", configuration.misspelled, "correct the name"),
            Check("ST-3", ".env is read, by nobody else", configuration.env_file, "chmod 600 .env"),
            Check("ST-4", "keys are no placeholders", configuration.placeholders, "set the key itself"),
            Check("ST-5", "base URLs have the right form", configuration.addresses, "write the base of the API"),
            Check("ST-6", "callers need a good key", configuration.callers_keys, "API_KEYS=$(openssl rand -hex 24)"),
        ),
    ),
    Group(
        "PK",
        itself,
        lambda _: "Packages",
        (Check("PK-1", "Python, packages, authorities", machine.packages, "pip install -r requirements.txt"),),
    ),
    Group(
        "MA",
        itself,
        lambda _: "Machine",
        (Check("MA-1", "files, memory, cores, port", machine.resources, "see docs/deploying.md"),),
    ),
    Group(
        "KB",
        itself,
        lambda _: "Knowledge",
        (Check("KB-1", "the knowledge can be read", files.knowledge, "flask kb check"),),
    ),
    Group(
        "AU",
        itself,
        lambda _: "Recordings",
        (Check("AU-1", "the recordings can be played", files.sound, "flask audio check"),),
    ),
    Group(
        "UP",
        upstream.targets,
        lambda target: str(target.title),
        (
            Check("UP-a", "the name is known", upstream.name, "correct the base URL", asks=True),
            Check("UP-b", "it takes connections", upstream.connection, "correct the base URL", asks=True),
            Check("UP-c", "its certificate is good", upstream.tls, "renew the certificate", asks=True),
            Check("UP-d", "key and model are accepted", upstream.models, "correct key or model", asks=True),
            Check("UP-e", "a short answer comes", upstream_answer.answer, "read the upstream's words", asks=True),
        ),
    ),
    Group(
        "CL",
        itself,
        lambda _: "Clock",
        (Check("CL-1", "the clock is right", upstream.clock, "timedatectl set-ntp true", asks=True),),
    ),
    Group(
        "SH",
        shared.servers,
        lambda _: "Redis",
        (
            Check("SH-1", "Redis answers, and soon", shared.reach, "correct REDIS_URL", asks=True),
            Check("SH-2", "its user may do what is asked", shared.rights, "see docs/security.md", asks=True),
        ),
    ),
    Group(
        "DB",
        database.servers,
        lambda _: "Database",
        (
            Check(
                "DB-1",
                "the database answers",
                database.about("server"),
                "correct DATABASE_URL, or start PostgreSQL",
                asks=True,
            ),
            Check(
                "DB-2",
                "the way to it is closed to others",
                database.about("encryption"),
                "sslmode=verify-full in DATABASE_URL",
                asks=True,
            ),
            Check("DB-3", "its tables can be used", database.about("tables"), "flask db init, as its owner", asks=True),
            Check("DB-4", "the role may read, no more", database.about("rights"), "see docs/security.md", asks=True),
            Check("DB-5", "knowledge is published", database.about("bases"), "flask kb publish", asks=True),
        ),
    ),
    Group(
        "SV",
        server.servers,
        lambda one: str(one.title),
        (
            Check("SV-1", "Parley is reached, and ready", server.reach, "correct the address", asks=True),
            Check("SV-2", "keys arrive, strangers are refused", server.keys, "--key", asks=True),
            Check("SV-3", "sound flows", server_streams.sound, "turn off buffering on the way", asks=True),
            Check("SV-4", "words flow", server_streams.words, "turn off buffering on the way", asks=True),
            Check("SV-5", "headers arrive", server_way.headers, "have the proxy leave headers alone", asks=True),
            Check("SV-6", "large requests arrive", server_way.large_body, "raise the proxy's limit", asks=True),
            Check("SV-7", "answers have the right form", server_streams.shape, "see docs/api.md", asks=True),
            Check(
                "SV-8", "a caller who leaves is noticed", server_streams.barge_in, "see docs/deploying.md", asks=True
            ),
            Check("SV-9", "a long answer is not cut", server_streams.long_answer, "raise time limits", asks=True),
            Check("SV-10", "the way is short", server_way.distance, "move the server", asks=True),
            Check("SV-11", "https is seen as https", server_way.own_page, "TRUSTED_PROXIES=1", asks=True),
        ),
    ),
)
CHECKS = {check.id: check for group in GROUPS for check in group.checks}
"""All checks by their ids."""
