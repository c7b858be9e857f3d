"""DATABASE_URL: what may stand in it, what of it is shown, and what is risky."""

import pytest

from parley.knowledge.database import address
from parley.knowledge.database.address import parse

CANARY = "canary%2Fpw"


@pytest.mark.parametrize(
    ("url", "shown", "mode"),
    [
        (f"postgres://u:{CANARY}@db.example:6432/kb", "db.example/kb", "require"),
        (
            f"postgresql://u:{CANARY}@10.0.0.1,10.0.0.2:5433/kb?target_session_attrs=any",
            "10.0.0.1,10.0.0.2/kb",
            "require",
        ),
        (f"postgresql://u:{CANARY}@[fd00::1]:5432/kb?sslmode=verify-full", "fd00::1/kb", "verify-full"),
        (f"postgresql://u:{CANARY}@[::1]/kb", "::1/kb", "prefer"),
        ("postgresql://localhost/kb", "localhost/kb", "prefer"),
        ("postgresql:///kb?host=/run/postgresql", "/run/postgresql/kb", "prefer"),
        ("postgresql://%2Frun%2Fpg/kb", "/run/pg/kb", "prefer"),
        (f"postgresql://127.0.0.1/kb?user=u&password={CANARY}", "127.0.0.1/kb", "prefer"),
    ],
    ids=["a host", "several", "ipv6", "loopback", "a name", "a socket", "a socket as host", "login in the query"],
)
def test_hosts_and_database_are_shown_and_nothing_else(url: str, shown: str, mode: str) -> None:
    found = parse(url)

    assert (found.shown, found.parameters["sslmode"]) == (shown, mode)
    assert found.secrets == (["canary/pw"] if CANARY in url else [])
    assert "canary" not in f"{found!r}{found}{found.warnings}"


@pytest.mark.parametrize(
    "url",
    [
        "mysql://h/db",
        "h/db",
        "postgresql://h:0/db",
        "postgresql://h:99999/db",
        "postgresql://h:x/db",
        "postgresql://h/a/b",
        "postgresql://h/db#x",
        "postgresql://h/db?sslmode=yes",
        "postgresql://h/db?connect_timeout=9",
        "postgresql://h/db?options=-c",
        "postgresql://h/db?sslmode=require&sslmode=disable",
        "postgresql://h/db?host=other",
        "postgresql://h/d b",
        "postgresql://h/db?sslmode",
        "postgresql://h/db?target_session_attrs=best",
    ],
)
def test_what_cannot_work_is_refused(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(url)

    assert url not in str(caught.value)


@pytest.mark.row("DB-13")
@pytest.mark.parametrize(
    ("query", "host", "warnings"),
    [("", "db", 1), ("?sslmode=disable", "db", 1), ("?sslmode=verify-full", "db", 0), ("?sslmode=disable", "::1", 0)],
    ids=["not verified", "plain", "verified", "this machine"],
)
def test_a_connection_that_others_can_read_is_told(query: str, host: str, warnings: int) -> None:
    place = f"[{host}]" if ":" in host else host

    assert len(parse(f"postgresql://{place}/db{query}").warnings) == warnings


def test_a_missing_package_names_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "find_spec", lambda name: None)

    assert "requirements-shared.txt" in address.missing_package() and "\n" not in address.missing_package()
