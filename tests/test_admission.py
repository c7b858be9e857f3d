"""Who is let in, and how many at once."""

import pytest
from structlog.testing import capture_logs

from parley.admission import Admission, Keyring
from parley.errors import InvalidApiKey, ServerOverloaded
from parley.turn import Turn
from parley.turn_record import TurnRecord


def turn() -> Turn:
    return Turn(TurnRecord("chat", "r"))


@pytest.mark.parametrize("keys", [None, [], ()])
def test_without_keys_the_door_stands_open(keys: list[str] | None) -> None:
    keyring = Keyring(keys)

    keyring.check([])
    assert keyring.is_open
    assert keyring.holder([]) == keyring.holder(["anything"]) == "anybody"


@pytest.mark.parametrize("presented", [["one"], ["two"], ["wrong", "two"], ["one", "wrong"]])
def test_any_of_the_keys_opens_the_door(presented: list[str]) -> None:
    keyring = Keyring(["one", "two"])

    keyring.check(presented)
    assert keyring.holder(presented) in ("key-1", "key-2")
    assert not keyring.is_open


@pytest.mark.parametrize(
    "presented",
    [
        [],
        [""],
        ["wrong"],
        ["on"],
        ["onee"],
        ["One"],
        [" one"],
        ["one,two"],
        ["clé"],
        ["\udcff"],
        ["\0"],
        ["k" * 100_000],
    ],
)
def test_nothing_else_opens_it(presented: list[str]) -> None:
    keyring = Keyring(["one", "two"])

    assert keyring.holder(presented) is None
    with pytest.raises(InvalidApiKey):
        keyring.check(presented)


@pytest.mark.parametrize("key", ["clé-ключ-鍵", "\udcff", "\N{KEY}"])
def test_a_key_of_any_characters_is_compared_and_never_fails(key: str) -> None:
    keyring = Keyring([key])

    assert keyring.holder([key]) == "key-1"
    assert keyring.holder([key + "x"]) is None


def test_an_empty_key_does_not_open_the_door_to_all() -> None:
    keyring = Keyring([""])

    assert not keyring.is_open
    assert keyring.holder([]) is None


def test_who_is_kept_out_is_told_how_to_come_in() -> None:
    with pytest.raises(InvalidApiKey) as raised:
        Keyring(["hunter2"]).check(["wrong"])

    error = raised.value
    assert (error.status, error.type, error.code) == (401, "authentication_error", "invalid_api_key")
    assert error.headers == {"www-authenticate": "Bearer"}
    assert error.message == "a valid API key is needed: Authorization: Bearer KEY, or x-api-key: KEY"


def test_the_keys_themselves_are_not_kept() -> None:
    assert "hunter2" not in repr(vars(Keyring(["hunter2"])))


def test_as_many_as_the_limit_are_let_in_and_no_more() -> None:
    admission, first, second = Admission(2), turn(), turn()
    admission.admit(first)
    admission.admit(second)

    with pytest.raises(ServerOverloaded) as raised:
        admission.admit(turn())

    assert set(admission.running) == {first, second}
    assert (raised.value.status, raised.value.code) == (503, "server_overloaded")
    assert raised.value.headers == {"retry-after": "1"}


def test_a_place_given_back_is_free_at_once() -> None:
    admission, first, second = Admission(1), turn(), turn()
    admission.admit(first)

    admission.release(first)
    admission.admit(second)

    assert set(admission.running) == {second}


def test_a_place_is_given_back_once() -> None:
    admission, first = Admission(1), turn()
    admission.admit(first)
    admission.release(first)

    with pytest.raises(KeyError):
        admission.release(first)


def test_a_turn_gives_its_place_back_when_it_closes() -> None:
    admission, first = Admission(1), turn()
    first.admit(admission, "anybody")

    with capture_logs() as logged:
        first.close()
        first.close()

    assert not admission.running
    assert [line["event"] for line in logged] == ["request_end"]
