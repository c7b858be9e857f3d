"""Hosts, pages, mail, files, folders, hashes and handles."""

import pytest
from reading import read


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("www.foo.org.", "foo dot org."),
        ("example.com/pricing", "example dot com slash pricing"),
        ("acme.store, foo.de, booking.com's", "acme dot store, foo dot DE, booking dot com's"),
        ("john.doe@mail.example.co.uk", "john dot doe at mail dot example dot co dot UK"),
        ("first.last+tag@gmail.com", "first dot last plus tag at gmail dot com"),
        ("192.168.0.1/admin", "one nine two dot one six eight dot zero dot one slash admin"),
        ("localhost:8000", "localhost colon eight zero zero zero"),
        ("example.com:8080/a", "example dot com colon eight zero eight zero slash a"),
        ("@acme #sale", "at acme hashtag sale"),
        ("It is the end.It goes", "It is the end.It goes"),
    ],
)
def test_addresses(written: str, said: str) -> None:
    assert read(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("report_2024.pdf", "report underscore twenty twenty-four dot PDF"),
        ("config.json, a.tar.gz", "config dot json, a dot tar dot GZ"),
        ("/etc/hosts", "slash etc slash hosts"),
        ("MAX_SIZE, snake_case_name", "MAX SIZE, snake case name"),
        ("--help or -v", "dash dash help or dash v"),
        ("commit 3f2a9bc", "commit three F two A, nine B C"),
        ("d41d8cd98f00", "D four one D, eight C D nine, eight F zero zero"),
        ("100feed or 20200101", "one hundred feed or two zero two zero zero one zero one"),
    ],
)
def test_names_of_machines(written: str, said: str) -> None:
    assert read(written) == said
