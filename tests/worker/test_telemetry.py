"""What a worker tells the hub, read from the hub's end of the socket."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest
import zmq

from gripproxy.protocol.bus_message import pack_item
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.protocol.receipt import Receipt
from gripproxy.protocol.telemetry import (
    AudienceRecord,
    ConnEndRecord,
    ConnRecord,
    HoldRecord,
    LiveConnsRecord,
    Outcome,
    ReceiptRecord,
    Record,
    RequestRecord,
    SubsRecord,
    Traffic,
    TrafficRecord,
    decode_records,
)
from gripproxy.scoreboard import HUB_ROW, Field, Watch
from gripproxy_worker import telemetry as telemetry_module
from gripproxy_worker.telemetry import Telemetry
from tests.worker.bench import WorkerBench
from tests.worker.held_clients import (
    LONG_POLL,
    SOCKET,
    STREAM,
    TEST_ANSWER,
    held,
    held_at,
    only_fd,
    response_item,
    stream_item,
)

Wanted = TypeVar("Wanted")


class Log:
    """Keeps the records that a log file would get."""

    def __init__(self) -> None:
        self.kinds: set[int] = set()
        self.records: list[Record] = []

    def wants(self, kind: int) -> bool:
        return kind in self.kinds

    def note(self, record: Record) -> None:
        self.records.append(record)

    def flush(self) -> None: ...


class Clock:
    """A loop whose time is that of a test."""

    def __init__(self, time: Callable[[], float]) -> None:
        self.time = time

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None: ...


class Watched:
    """A worker that is watched. `records` is what it has told so far."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.bench = WorkerBench(routes="* test", rundir=str(directory), **settings)
        bench = self.bench
        self.log = Log()
        self.hub_row = bench.scoreboard.row(HUB_ROW)
        rows = bench.row, self.hub_row
        log: Any = self.log
        self.telemetry = Telemetry(bench.settings, 3, rows, bench.core, bench.driver.sockets, bench.loop, log)
        bench.driver.observe(self.telemetry)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.pull = self.context.socket(zmq.PULL)
        self.pull.bind(f"ipc://{bench.settings.ipc_path('telemetry')}")
        self.telemetry.connect(self.context)
        self.records: list[Record] = []
        bench.driver.tick()

    def watch(self, watch: Watch) -> None:
        """Look at these things, and have the worker notice it."""
        self.hub_row[Field.WATCHED] = watch
        self.telemetry.tick()

    def told(self, kind: type[Wanted], count: int = 1) -> list[Wanted]:
        """Wait until so many records of a kind have come, and give all of them."""

        def found() -> list[Wanted]:
            while self.pull.poll(0):
                self.records += decode_records(self.pull.recv())
            return [record for record in self.records if isinstance(record, kind)]

        self.bench.until(lambda: len(found()) >= count)
        return found()

    def close(self) -> None:
        self.telemetry.close()
        self.bench.close()
        self.context.destroy(0)


@pytest.fixture
def watched(short_path: Path) -> Iterator[Watched]:
    watched = Watched(short_path, set_real_ip_from=("127.0.0.1",), accept_x_forwarded_protocol=True)
    yield watched
    watched.close()


def test_nothing_is_told_while_nobody_looks(watched: Watched) -> None:
    """But the traffic of routes, once a second."""
    held(watched.bench, STREAM).close()
    watched.bench.until(lambda: not watched.bench.core.holds.streams_count)
    watched.told(TrafficRecord)
    assert {type(record) for record in watched.records} == {TrafficRecord}
    assert watched.log.records == []


def test_connections_come_and_go(watched: Watched) -> None:
    """Also the address that a proxy in front gives."""
    watched.watch(Watch.CONNS)
    client = watched.bench.client(b"GET /stream?channel=a HTTP/1.1\r\nX-Forwarded-For: 7.7.7.7, 8.8.8.8\r\n\r\n")
    (conn,) = watched.told(ConnRecord)
    fd = only_fd(watched.bench)
    assert conn == ConnRecord(watched.telemetry.id_of(fd), "http", "8.8.8.8", False, "")
    assert conn.id.startswith(f"3-{fd:x}-")
    client.close()
    assert watched.told(ConnEndRecord) == [ConnEndRecord(conn.id, "")]
    assert watched.telemetry.id_of(fd) == conn.id, "the line that says why it ended needs it"


HTTPS_STREAM = b"GET /stream?channel=a HTTP/1.1\r\nX-Forwarded-Proto: https\r\n\r\n"


def test_connections_are_told_again(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """All to who begins to look, then each within its time to live, and no oftener than that needs."""
    held(watched.bench, STREAM)
    held(watched.bench, HTTPS_STREAM)
    watched.watch(Watch.CONNS)
    first = watched.told(ConnRecord, 2)
    assert sorted(record.is_tls for record in first) == [False, True]
    now = watched.bench.loop.time()
    monkeypatch.setattr(watched.telemetry, "_loop", Clock(lambda: now))
    watched.telemetry.tick()
    for _ in range(20):
        watched.telemetry.tick()
    assert watched.told(ConnRecord) == first, "none is due"
    for _ in range(61):
        now += 1.0
        watched.telemetry.tick()
    again = watched.told(ConnRecord, 4)[2:]
    assert len(again) == 2
    assert sorted(record.id for record in again) == sorted(record.id for record in first)
    assert sorted(record.is_tls for record in again) == [False, True]


def test_request_ids_tell_live_connections(watched: Watched) -> None:
    """Of other workers it knows nothing, and an id whose descriptor another client has now is not live."""
    client, fd = held_at(watched.bench, STREAM)
    live = watched.telemetry.id_of(fd)
    foreign = "4" + live[1:]
    asked = [live, foreign, "", "x", "3-zz-1", f"3-{fd:x}-0", f"3-{fd:x}-1", "3--1-1", "3-fffff-1", live.upper() + "0"]
    watched.telemetry.live(9, asked)
    assert watched.told(LiveConnsRecord) == [LiveConnsRecord(3, 9, [live])]
    client.close()
    watched.bench.until(lambda: not watched.bench.core.holds.streams_count)
    _, again = held_at(watched.bench, STREAM)
    watched.telemetry.live(10, [live])
    assert watched.told(LiveConnsRecord, 2)[1].ids == []
    assert again == fd, "the same descriptor, as the test means it"


def test_websocket_is_known_by_the_id_that_its_origin_has(watched: Watched) -> None:
    """From its request to its end: in packets, in the log, and when a command asks for it."""
    watched.watch(Watch.CONNS | Watch.EVENTS)
    client, fd = held_at(watched.bench, SOCKET)
    name = watched.telemetry.connection_id(fd).decode()
    assert UUID(name).version == 4
    assert watched.told(ConnRecord) == [ConnRecord(name, "ws", "127.0.0.1", False, "")]
    assert watched.telemetry.id_of(fd) == name
    (hold,) = watched.told(HoldRecord)
    assert (hold.id, hold.mode, hold.channels, hold.url) == (name, "ws", ["a"], "ws://d.test/ws?channel=a")
    (request,) = watched.told(RequestRecord)
    assert (request.id, request.status, request.outcome) == (name, 101, Outcome.HELD)
    assert (request.url, request.is_over_http) == ("ws://d.test/ws?channel=a", False)
    assert watched.bench.row[Field.HOLDS_WEBSOCKET] == 1
    assert watched.telemetry.socket_of(name) == fd
    watched.telemetry.live(7, [name, name[:-1] + ("0" if name[-1] != "0" else "1")])
    (live,) = watched.told(LiveConnsRecord)
    assert live.ids == [name]
    client.close()
    assert watched.told(ConnEndRecord) == [ConnEndRecord(name, "")]
    assert watched.telemetry.socket_of(name) is None
    assert watched.telemetry.id_of(fd) == name


def test_http_connection_is_no_websocket(watched: Watched) -> None:
    """What is asked of WebSockets must not reach it."""
    _, fd = held_at(watched.bench, STREAM)
    assert watched.telemetry.socket_of(watched.telemetry.connection_id(fd).decode()) is None
    assert watched.telemetry.socket_of(watched.telemetry.id_of(fd)) is None


def test_websockets_are_subscribers_of_a_mode_of_their_own(watched: Watched) -> None:
    watched.watch(Watch.SUBS)
    held(watched.bench, SOCKET)
    watched.bench.until(
        lambda: ["ws", "a", 1] in [count for record in watched.told(SubsRecord) for count in record.counts]
    )
    watched.telemetry.tell_audience(["a"])
    watched.telemetry.tick()
    assert watched.told(AudienceRecord)[0].counts == {"a": 1}


def test_requests_and_holds_are_logged_and_told(watched: Watched) -> None:
    """Both get the same."""
    watched.log.kinds = {RequestRecord.kind, HoldRecord.kind}
    watched.watch(Watch.EVENTS)
    plain = watched.bench.client(
        b"GET /?y=1 HTTP/1.1\r\nHost: h.test\r\nUser-Agent: ua\r\nReferer: re\r\nGrip-Last: a; last-id=5\r\n\r\n"
    )
    (request,) = watched.told(RequestRecord)
    assert (request.method, request.url, request.status, request.outcome) == ("GET", "http://h.test/?y=1", 200, 0)
    assert (request.target, request.route, request.body_bytes) == ("test", "", len(TEST_ANSWER))
    assert (request.client_ip, request.user_agent, request.referer) == ("127.0.0.1", "ua", "re")
    assert request.last_ids == [["a", "5"]] and 0 <= request.duration_s < 10
    plain.send(LONG_POLL)
    (hold,) = watched.told(HoldRecord)
    (_, accepted) = watched.told(RequestRecord, 2)
    assert (hold.mode, hold.channels, hold.is_retry) == ("response", ["a"], False)
    assert accepted.outcome == Outcome.HELD and accepted.id == hold.id != request.id
    assert watched.log.records == [record for record in watched.records if not isinstance(record, TrafficRecord)]


def test_subscribers_are_told_at_first_and_when_they_change(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who begins to look learns of all channels, a part in each tick."""
    monkeypatch.setattr(telemetry_module, "SUBS_MAX_COUNT", 1)
    held(watched.bench, STREAM)
    held(watched.bench, LONG_POLL)
    held(watched.bench, b"GET /stream?channel=b HTTP/1.0\r\n\r\n")
    watched.watch(Watch.SUBS)
    for _ in range(3):
        watched.telemetry.tick()
    first, second, last = watched.told(SubsRecord, 3)
    assert (first.is_first, second.is_first, last.is_first) == (True, False, False)
    assert (first.is_all, second.is_all, last.is_all) == (False, False, True)
    assert first.counts + second.counts == [
        ["stream", "a", 1],
        ["response", "a", 1],
        ["ws", "a", 0],
        ["stream", "b", 1],
        ["response", "b", 0],
        ["ws", "b", 0],
    ]
    client = held(watched.bench, b"GET /stream?channel=b HTTP/1.1\r\n\r\n")
    watched.telemetry.tick()
    assert watched.told(SubsRecord, 4)[3].counts == [["stream", "b", 2], ["response", "b", 0], ["ws", "b", 0]]
    client.close()
    watched.bench.until(lambda: watched.bench.core.holds.streams_count == 2)
    watched.telemetry.tick()
    assert watched.told(SubsRecord, 5)[4].counts == [["stream", "b", 1], ["response", "b", 0], ["ws", "b", 0]]
    watched.telemetry.retell()
    watched.telemetry.tick()
    assert watched.told(SubsRecord, 6)[5].is_first


def publish(watched: Watched, item: PublishItem, number: int) -> None:
    watched.bench.driver.on_item(item.channel, pack_item(item), Receipt(number))


def test_receipts_are_told_when_nothing_is_under_way(watched: Watched) -> None:
    """An item that nobody wants has one too: the hub waits for every worker's."""
    held(watched.bench, STREAM)
    held(watched.bench, LONG_POLL)
    watched.bench.driver.on_unwanted(Receipt(1))
    publish(watched, stream_item(b"x"), 2)
    publish(watched, response_item(b"y"), 3)
    assert watched.told(ReceiptRecord, 3) == [
        ReceiptRecord(3, 1, 0, 0, 0, 0, 0, 0),
        ReceiptRecord(3, 2, 0, 1, 0, 1, 0, 0),
        ReceiptRecord(3, 3, 1, 0, 0, 1, 0, 0),
    ]


def test_open_receipts_are_bounded(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is told as it is."""
    monkeypatch.setattr(telemetry_module, "RECEIPTS_MAX_COUNT", 1)
    unfinished, later = Receipt(1), Receipt(2)
    for receipt in (unfinished, later):
        receipt.open_count = 1
        watched.telemetry.expect(receipt)
    assert [record.number for record in watched.told(ReceiptRecord)] == [1]
    later.open_count = 0
    watched.telemetry.tick()
    assert [record.number for record in watched.told(ReceiptRecord, 2)] == [1, 2]


def test_bytes_are_counted_while_somebody_looks(watched: Watched) -> None:
    """As the report packets have them; see the metering's own tests for how much."""
    watched.watch(Watch.TRAFFIC)
    watched.bench.driver.tick()
    held(watched.bench, STREAM)
    watched.bench.publish(stream_item(b"12345"))
    values = watched.bench.core.accounts.traffic.of("").values
    assert values[Traffic.CLIENT_CONTENT_BYTES_SENT] >= 5
    assert values[Traffic.SENT] == values[Traffic.REQUESTS] == values[Traffic.CONNECTIONS] == 1
    watched.watch(Watch(0))
    watched.bench.driver.tick()
    before = values[Traffic.CLIENT_CONTENT_BYTES_SENT]
    watched.bench.publish(stream_item(b"12345"))
    assert (values[Traffic.SENT], values[Traffic.CLIENT_CONTENT_BYTES_SENT]) == (2, before)


def test_activity_is_told_soon(watched: Watched) -> None:
    """Not with the second's next tick."""
    watched.watch(Watch.ACTIVITY)
    watched.told(TrafficRecord)
    watched.bench.client(b"GET / HTTP/1.1\r\n\r\n")
    watched.bench.until(lambda: watched.told(TrafficRecord)[-1].by_route.get("", [0] * 20)[Traffic.ACTIVITY] == 1)


def test_what_the_hub_does_not_take_is_counted(watched: Watched) -> None:
    """And subscribers are told from the beginning, for some of them are unknown now."""
    watched.watch(Watch.SUBS | Watch.CONNS)
    watched.told(SubsRecord)
    watched.telemetry._socket.close(0)  # type: ignore[union-attr]
    watched.telemetry._socket = None
    held(watched.bench, STREAM)
    watched.telemetry.tick()
    assert watched.bench.row[Field.TELEMETRY_DROPPED] > 0
    watched.telemetry.connect(watched.context)
    watched.telemetry.tick()
    assert watched.told(SubsRecord, 2)[-1].is_first
