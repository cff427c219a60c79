"""Which ids are connections: the hub asks the workers that are named in them, and waits for no other."""

import pytest

from gripproxy.bus import conn_check
from gripproxy.bus.conn_check import ConnCheck
from gripproxy.bus.feed import Feed
from gripproxy.protocol.connection_id import ConnectionIds
from gripproxy.protocol.telemetry import LiveConnsRecord
from tests.bus.bench import BusBench, reader_of


class Asker:
    """Two workers on a bus, which tell what they are asked; their answers are the test's."""

    def __init__(self, bench: BusBench) -> None:
        self.asked: dict[int, list[tuple[int, list[str]]]] = {0: [], 1: []}
        self.answers: list[list[str] | None] = []
        outlet = bench.hub().outlet
        self.check = ConnCheck(bench.loop, outlet, outlet.has_joined)
        bench.opened.callback(self.check.close)
        for index, asked in self.asked.items():
            reader = reader_of(set(), lambda *_: None)
            feed = Feed(bench.bus_path, index, bench.loop, reader, bench.scoreboard.row(index + 1))
            bench.opened.callback(feed.close)
            feed.on_conn_refresh = lambda query, ids, asked=asked: asked.append((-query, ids))  # type: ignore[misc]  # of a default
            feed.on_conn_check = lambda query, ids, asked=asked: asked.append((query, ids))  # type: ignore[misc]  # of a default
            bench.run(feed.join(10.0))

    def ask(self, *ids: str, is_refresh: bool = False) -> None:
        self.check.ask(ids, self.answers.append, is_refresh)


def test_workers_that_are_named_answer(bench: BusBench) -> None:
    """Every worker hears the question, but only those that are named are waited for."""
    asker = Asker(bench)
    asker.ask("0-5-a", "1-6-b", "0-7-c", "0-5-a", "7-1-1", "", "x", "-1-2", "²-1-1")
    bench.run_until(lambda: bool(asker.asked[0] and asker.asked[1]))
    query = asker.asked[0][0][0]
    assert asker.asked[0] == asker.asked[1] == [(query, ["0-5-a", "0-7-c", "1-6-b"])]
    asker.check.on_record(LiveConnsRecord(1, query, ["1-6-b"]))
    asker.check.on_record(LiveConnsRecord(1, query, ["1-6-b"]))
    asker.check.on_record(LiveConnsRecord(0, query - 1, ["0-5-a"]))  # to another hub's question
    assert asker.answers == []
    asker.check.on_record(LiveConnsRecord(0, query, ["0-7-c"]))
    assert asker.answers == [["1-6-b", "0-7-c"]]
    asker.check.on_record(LiveConnsRecord(0, query, ["0-7-c"]))
    assert len(asker.answers) == 1


def test_sockets_ids_name_their_worker_too(bench: BusBench) -> None:
    """They are UUIDs, for the origin's sake."""
    asker = Asker(bench)
    text = ConnectionIds(1, 2).encode(3, 4)
    asker.ask(text, ConnectionIds(9, 2).encode(3, 4))
    bench.run_until(lambda: bool(asker.asked[0] and asker.asked[1]))
    query, asked = asker.asked[1][0]
    assert asked == [text]
    asker.check.on_record(LiveConnsRecord(1, query, [text]))
    assert asker.answers == [[text]]


def test_refreshing_is_asking_and_more(bench: BusBench) -> None:
    """Workers do it when they are asked which ids they know."""
    asker = Asker(bench)
    text = ConnectionIds(1, 2).encode(3, 4)
    asker.ask(text, is_refresh=True)
    bench.run_until(lambda: bool(asker.asked[0] and asker.asked[1]))
    query, asked = asker.asked[1][0]
    assert (query < 0, asked) == (True, [text])
    asker.check.on_record(LiveConnsRecord(1, -query, []))
    assert asker.answers == [[]]


def test_channel_is_refreshed_by_every_worker(bench: BusBench) -> None:
    """Nobody answers: a channel may well have no WebSocket."""
    outlet = bench.hub().outlet
    reader = reader_of(set(), lambda *_: None)
    feed = Feed(bench.bus_path, 0, bench.loop, reader, bench.scoreboard.row(1))
    bench.opened.callback(feed.close)
    bench.run(feed.join(10.0))
    refreshed: list[list[str]] = []
    feed.on_refresh = refreshed.append
    outlet.tell_refresh("news")
    bench.run_until(lambda: bool(refreshed))
    assert refreshed == [["news"]]


def test_nobody_is_asked_about_ids_of_no_worker(bench: BusBench) -> None:
    """They are no connections, and that is known at once."""
    asker = Asker(bench)
    asker.ask()
    asker.ask("2-5-a", "hello", "00000-1-1")
    assert asker.answers == [[], []]


def test_worker_that_does_not_answer_is_not_waited_for_for_ever(
    bench: BusBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client is told that it could not be found out. An answer that comes too late is for nobody."""
    monkeypatch.setattr(conn_check, "TIMEOUT_S", 0.05)
    asker = Asker(bench)
    asker.ask("0-5-a", "1-6-b")
    bench.run_until(lambda: bool(asker.asked[0] or asker.answers))
    query = asker.asked[0][0][0]
    asker.check.on_record(LiveConnsRecord(1, query, ["1-6-b"]))
    bench.run_until(lambda: bool(asker.answers))
    assert asker.answers == [None]
    asker.check.on_record(LiveConnsRecord(0, query, ["0-5-a"]))
    assert asker.answers == [None]


def test_questions_under_way_are_bounded(bench: BusBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each keeps its ids in memory until the workers have answered."""
    monkeypatch.setattr(conn_check, "OPEN_MAX_COUNT", 1)
    asker = Asker(bench)
    asker.ask("0-5-a")
    asker.ask("0-5-a")
    assert asker.answers == [None]


def test_all_workers_are_asked_where_connections_may_have_moved(bench: BusBench) -> None:
    """An id names the worker that made it, which may be gone."""
    asker = Asker(bench)
    asker.check._has_moved = True
    asker.ask("7-1-1")
    bench.run_until(lambda: bool(asker.asked[0] and asker.asked[1]))
    query = asker.asked[0][0][0]
    asker.check.on_record(LiveConnsRecord(0, query, []))
    assert asker.answers == []
    asker.check.on_record(LiveConnsRecord(1, query, ["7-1-1"]))
    assert asker.answers == [["7-1-1"]]
