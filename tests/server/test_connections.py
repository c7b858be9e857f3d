"""The worker's table of connections: which one ends, and when."""

import gevent
import pytest
from gevent.event import Event

from parley.client_connection import ClientConnection
from parley.server import connections
from parley.server.connections import ConnectionTable


class Client:
    """A connection of the table, in a greenlet of its own, as under gunicorn."""

    def __init__(self, table: ConnectionTable, *, known: bool = False, busy: bool = False, head: bool = False) -> None:
        self.table = table
        self.known, self.busy, self.head = known, busy, head
        self.leave = Event()
        self.is_open = True
        self.greenlet = gevent.spawn(self._run)
        gevent.sleep(0)

    def _run(self) -> None:
        self.table.opened()
        connection = ClientConnection(self.table)
        if self.known:
            connection.accepted()
        if self.busy:
            self.leave.wait()
        else:
            with connection.silence():
                if self.head:
                    connection.receiving()
                    connection.receiving()
                self.leave.wait()
        self.table.closed()
        self.is_open = False


def table_of(limit: int, idle_seconds: float = 95) -> ConnectionTable:
    return ConnectionTable(limit, idle_seconds)


def open_among(clients: list[Client]) -> list[bool]:
    gevent.sleep(0.01)
    return [client.is_open for client in clients]


def test_above_the_limit_the_oldest_silent_connection_ends() -> None:
    table = table_of(3)
    clients = [Client(table) for _ in range(5)]
    assert open_among(clients) == [False, False, True, True, True]


def test_strangers_end_before_those_that_had_an_accepted_request() -> None:
    table = table_of(3)
    clients = [Client(table, known=True), Client(table), Client(table), Client(table)]
    assert open_among(clients) == [True, False, True, True]


def test_a_connection_that_is_being_answered_never_ends() -> None:
    table = table_of(2)
    clients = [Client(table, busy=True) for _ in range(4)]
    assert open_among(clients) == [True] * 4


def test_some_slots_are_kept_for_connections_accepted_meanwhile() -> None:
    table = table_of(20)
    clients = [Client(table) for _ in range(20)]
    assert open_among(clients).count(True) == 18


def test_an_incomplete_head_ends_before_an_idle_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.0)
    table = table_of(10)
    idle, in_head = Client(table), Client(table, head=True)
    table.end_overdue()
    assert open_among([idle, in_head]) == [True, False]


def test_a_silence_longer_than_the_limit_ends_the_connection() -> None:
    table = table_of(10, idle_seconds=0.0)
    silent, busy = Client(table), Client(table, busy=True)
    table.end_overdue()
    assert open_among([silent, busy]) == [False, True]


def test_a_connection_that_became_busy_in_time_goes_on() -> None:
    table = table_of(1)
    first = Client(table)
    Client(table)  # the first is to end, at the loop's next pass
    # Its request has come in the same moment.
    first.leave.set()
    gevent.sleep(0.01)
    assert first.greenlet.successful()
