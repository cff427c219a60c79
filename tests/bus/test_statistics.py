"""What monitors are told, from records to packets on a real socket."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import zmq

from gripproxy.bus import statistics as statistics_module
from gripproxy.bus.host_traffic import HostTraffic
from gripproxy.bus.receipts import Receipts
from gripproxy.bus.statistics import Statistics
from gripproxy.bus.watches import Watches
from gripproxy.protocol.telemetry import (
    ConnEndRecord,
    ConnRecord,
    ReceiptRecord,
    SubsRecord,
    Traffic,
    TrafficRecord,
)
from gripproxy.scoreboard import Field, Watch
from gripproxy.settings import Settings
from tests.bus.bench import BusBench

Packet = tuple[str, dict[str, Any]]
CONN = ConnRecord("0-a-1", "http", "::1", is_tls=False, route="")


class Monitor:
    """Statistics with a socket, and one who is subscribed to it."""

    def __init__(self, bench: BusBench, *kinds: str, known_pids: tuple[int, ...] = (), **settings: Any) -> None:
        self.bench = bench
        self.spec = f"ipc://{bench.directory}/stats"
        self.row = bench.scoreboard.row(0)
        self.received = {"received": 100}
        self.traffic = HostTraffic(known_pids)
        made = Settings(stats_format="json", **{"stats_report_interval": 0, **settings})
        watches = Watches(self.row)
        self.statistics = Statistics(bench.loop, made, "me_1", watches, self.traffic, lambda: dict(self.received))
        bench.opened.callback(self.statistics.close)
        self.statistics.open_socket(bench.zmq_context, self.spec)
        self.sub = bench.socket(zmq.SUB)
        for kind in kinds:
            self.sub.setsockopt_string(zmq.SUBSCRIBE, f"{kind} ")
        self.sub.connect(self.spec)
        bench.run_until(lambda: bool(self.row[Field.WATCHED]))

    def packets(self, count: int) -> list[Packet]:
        """Wait for so many packets."""
        found: list[Packet] = []

        def receive() -> bool:
            while self.sub.poll(0):
                kind, _, body = self.sub.recv().decode().partition(" J")
                fields = json.loads(body)
                assert fields.pop("from") == "me_1"
                found.append((kind, fields))
            return len(found) >= count

        self.bench.run_until(receive)
        assert len(found) == count
        return found

    def tell_traffic(self, route: str = "", pid: int = 1, worker_index: int = 0, **columns: int) -> None:
        values = [0] * len(Traffic)
        for name, value in columns.items():
            values[Traffic[name.upper()]] = value
        self.statistics.take_traffic(TrafficRecord(worker_index, pid, {route: values}))


def subs(*counts: list[str | int], worker_index: int = 0) -> SubsRecord:
    return SubsRecord(worker_index, True, True, list(counts))


@pytest.fixture
def monitor(bench: BusBench) -> Callable[..., Monitor]:
    return lambda *kinds, **rest: Monitor(bench, *kinds, **rest)


@pytest.mark.parametrize(
    ("kind", "bits"),
    [
        ("conn", Watch.CONNS),
        ("sub", Watch.SUBS),
        ("message", Watch.MESSAGES),
        ("activity", Watch.ACTIVITY),
        ("counts", Watch.ACTIVITY),
        ("report", Watch.TRAFFIC),
    ],
)
def test_workers_are_asked_for_what_is_wanted_only(monitor: Callable[..., Monitor], kind: str, bits: Watch) -> None:
    """All else would cost them for nobody."""
    made = monitor(kind)
    assert made.row[Field.WATCHED] == bits
    made.sub.close(0)
    made.bench.run_until(lambda: not made.row[Field.WATCHED])


def test_connections_are_told_one_by_one(monitor: Callable[..., Monitor]) -> None:
    """With the time after which a monitor should forget them."""
    made = monitor("conn", stats_connection_ttl=77)
    made.statistics.take_conn(CONN)
    made.statistics.take_conn_end(ConnEndRecord("0-a-1", ""))
    expected = {"id": "0-a-1", "type": "http", "peer-address": "::1", "ttl": 77}
    assert made.packets(2) == [("conn", expected), ("conn", {"id": "0-a-1", "unavailable": True})]


def test_without_stats_connection_send_no_worker_tells_of_connections(monitor: Callable[..., Monitor]) -> None:
    """With a million of them nobody may want that."""
    made = monitor("conn", "sub", stats_connection_send=False)
    assert made.row[Field.WATCHED] == Watch.SUBS


def test_subscriptions_are_told_at_once_and_again_when_they_change(monitor: Callable[..., Monitor]) -> None:
    """The number of all workers."""
    made = monitor("sub")
    made.statistics.take_subs(subs(["stream", "news", 1]))
    made.statistics.take_subs(subs(["stream", "news", 2], worker_index=1))
    news = {"mode": "stream", "channel": "news", "ttl": 60}
    assert made.packets(2) == [("sub", news | {"subscribers": 1}), ("sub", news | {"subscribers": 3})]
    made.statistics.on_worker_gone(0)
    made.statistics.on_worker_gone(1)
    assert made.packets(1) == [("sub", {"mode": "stream", "channel": "news", "unavailable": True})]


def test_subscriptions_are_kept_over_a_change_of_monitors(
    monitor: Callable[..., Monitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that did not notice the moment without one goes on where it was."""
    made = monitor("sub")
    made.statistics.take_subs(subs(["stream", "news", 1]))
    made.packets(1)
    made.sub.setsockopt(zmq.UNSUBSCRIBE, b"sub ")
    made.bench.run_until(lambda: not made.row[Field.WATCHED])
    made.sub.setsockopt(zmq.SUBSCRIBE, b"sub ")
    made.bench.run_until(lambda: bool(made.row[Field.WATCHED]))
    made.statistics.take_subs(SubsRecord(0, False, False, [["stream", "news", 2]]))
    assert made.packets(1)[0][1]["subscribers"] == 2
    monkeypatch.setattr(statistics_module, "FORGET_SUBS_S", 0.0)
    made.sub.setsockopt(zmq.UNSUBSCRIBE, b"sub ")
    made.bench.run_until(lambda: not len(made.statistics._subscribers))


def test_activity_is_gathered_by_route_and_requests_over_all(monitor: Callable[..., Monitor]) -> None:
    """One packet per route and batch."""
    made = monitor("activity", "counts")
    made.tell_traffic(activity=2, requests=2)
    made.tell_traffic("main", activity=3, requests=1, worker_index=1)
    made.tell_traffic(activity=5, requests=3)
    expected = [
        ("activity", {"count": 5}),
        ("activity", {"count": 3, "route": "main"}),
        ("counts", {"requests-received": 4}),
    ]
    assert made.packets(3) == expected
    made.tell_traffic(activity=6, requests=3)
    assert made.packets(1) == [("activity", {"count": 1})]


def test_activity_from_before_the_monitor_came_is_not_told(monitor: Callable[..., Monitor]) -> None:
    """It would look like a moment in which all of the past happened."""
    made = monitor("sub")
    made.tell_traffic(activity=100, requests=100)
    made.sub.setsockopt(zmq.SUBSCRIBE, b"activity ")
    made.bench.run_until(lambda: bool(made.row[Field.WATCHED] & Watch.ACTIVITY))
    made.tell_traffic(activity=101, requests=100)
    assert made.packets(1) == [("activity", {"count": 1})]


def test_activity_that_an_earlier_hub_saw_is_not_told(monitor: Callable[..., Monitor]) -> None:
    """Its monitors had it from that one."""
    made = monitor("activity", known_pids=(5,))
    made.tell_traffic(activity=1000, requests=1000, pid=5)
    made.tell_traffic(activity=1001, requests=1000, pid=5)
    assert made.packets(1) == [("activity", {"count": 1})]


def test_item_is_told_by_each_format_that_found_receivers(monitor: Callable[..., Monitor]) -> None:
    """Before filters, and with its id if it has one."""
    made = monitor("message")
    receipts = Receipts(lambda: [0])
    receipts.on_published.append(made.statistics.tell_message)
    inquiry = receipts.inquire("news", "7", "pull")
    inquiry.blocks = {"http-response": 3, "http-stream": 1}
    inquiry.on_sent(1)
    receipts.take(ReceiptRecord(0, 1, 2, 5, 0, 7, 0, 0))
    receipts.inquire("nobody", None, "pull").on_sent(2)
    receipts.take(ReceiptRecord(0, 2, 0, 0, 0, 0, 0, 0))
    receipts.inquire("news", None, "pull").on_sent(3)
    receipts.take(ReceiptRecord(0, 3, 0, 0, 4, 4, 0, 0))
    of_news = {"channel": "news"}
    assert made.packets(3) == [
        ("message", of_news | {"item-id": "7", "transport": "http-response", "count": 2, "blocks": 6}),
        ("message", of_news | {"item-id": "7", "transport": "http-stream", "count": 5, "blocks": 5}),
        ("message", of_news | {"transport": "ws-message", "count": 4}),
    ]


def test_reports_come_for_routes_with_something_to_tell(
    monitor: Callable[..., Monitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first event on, until one said that there is no connection any more."""
    made = monitor("report")
    statistics = made.statistics
    statistics._on_report()
    made.tell_traffic("main", connections=2, connections_max=3, sent=7, responses_sent=2, blocks_sent=8)
    made.received = {"received": 104, "blocks-received": 0}
    statistics._received_before["blocks-received"] = 0
    statistics._on_report()
    (_, main), (_, rest) = made.packets(2)
    assert (main["route"], main["connections"], main["received"]) == ("main", 3, 0)
    assert (main["sent"], main["http-response-sent"], main["blocks-sent"]) == (7, 2, 8)
    assert ("route" in rest, rest["connections"], rest["received"], "blocks-received" in rest) == (False, 0, 4, False)
    statistics._on_report()
    assert [fields["connections"] for _, fields in made.packets(1)] == [2]
    made.tell_traffic("main", connections=0, connections_max=2, sent=7, responses_sent=2, blocks_sent=8)
    statistics._on_report()
    statistics._on_report()
    made.received = {"received": 104, "blocks-received": 6}
    statistics._on_report()
    statistics._on_report()
    counted = [
        (fields.get("route"), fields["connections"], fields.get("blocks-received")) for _, fields in made.packets(3)
    ]
    assert counted == [("main", 2, None), ("main", 0, None), (None, 0, 6)]


def test_reports_have_their_interval(monitor: Callable[..., Monitor]) -> None:
    """And say how long it was."""
    made = monitor("report", stats_report_interval=1)
    made.tell_traffic(connections=1, connections_max=1)
    first, second = made.packets(1) + made.packets(1)
    assert min(first[1]["duration"], second[1]["duration"]) > 900  # timers come a little early, too


def test_without_a_socket_intervals_end_all_the_same(bench: BusBench) -> None:
    """Prometheus reads the most connections of an interval."""
    traffic = HostTraffic()
    settings = Settings(stats_report_interval=1)
    statistics = Statistics(bench.loop, settings, "me_1", Watches(bench.scoreboard.row(0)), traffic, dict)
    bench.opened.callback(statistics.close)
    columns = [0] * len(Traffic)
    columns[Traffic.CONNECTIONS_MAX] = 5
    statistics.take_traffic(TrafficRecord(0, 1, {"": columns}))
    statistics.take_conn(CONN)
    bench.run_until(lambda: traffic.totals()[""][Traffic.CONNECTIONS_MAX] == 0)
