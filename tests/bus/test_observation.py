"""What the hub hears goes where somebody waits for it: to monitors, to the log, to those who asked."""

import os

import pytest
import zmq

from gripproxy.bus.observation import Observation
from gripproxy.bus.outlet import Outlet
from gripproxy.bus.worker_notice import ALL_ITEMS, SUBSCRIBE, encode_join_topic
from gripproxy.protocol.telemetry import (
    ConnRecord,
    PublishRecord,
    ReceiptRecord,
    Record,
    SubsRecord,
    Traffic,
    TrafficRecord,
    encode_records,
)
from gripproxy.scoreboard import Field, Watch
from gripproxy.settings import Settings
from tests.bus.bench import BusBench


class Observed:
    """An observation with one worker's ends of the bus and of the telemetry."""

    def __init__(self, bench: BusBench, *log_events: str) -> None:
        self.bench = bench
        self.row = bench.scoreboard.row(0)
        self.outlet: Outlet = bench.outlet()
        settings = Settings(rundir=str(bench.directory), ipc_prefix="", log_events=log_events, stats_format="json")
        self.observation = Observation(bench.loop, bench.zmq_context, settings, self.outlet, self.row, ())
        bench.opened.callback(self.observation.close)
        self.push = bench.socket(zmq.PUSH)
        self.push.connect(f"ipc://{settings.ipc_path('telemetry')}")
        self.worker = bench.socket(zmq.XSUB)
        self.worker.connect(f"ipc://{bench.bus_path}")
        self.worker.send(SUBSCRIBE + ALL_ITEMS)
        self.worker.send(SUBSCRIBE + encode_join_topic(0, 5))
        bench.run_until(lambda: len(self.outlet.joined) == 1)

    def tell(self, *records: Record) -> None:
        self.push.send(encode_records(records))


def test_receipts_become_records_of_items(bench: BusBench) -> None:
    """Logs and live pages get them, if they asked."""
    observed, found = Observed(bench), list[PublishRecord]()
    observation = observed.observation
    observation.on_published.append(found.append)
    inquiry = observation.receipts.inquire("news", "7", "sub")
    inquiry.on_sent(3)
    observed.tell(ReceiptRecord(0, 3, 1, 2, 0, 3, 0, 0))
    bench.run_until(lambda: bool(found))
    assert (found[0].channel, found[0].item_id, found[0].source, found[0].receivers) == ("news", "7", "sub", 3)


def test_without_a_log_of_items_nobody_is_asked(bench: BusBench) -> None:
    """Each answer costs the worker some microseconds."""
    assert Observed(bench, "request", "hold").row[Field.WATCHED] == 0


def test_log_asks_for_every_item(bench: BusBench, capfd: pytest.CaptureFixture[str]) -> None:
    """One line each, on the stream of all lines."""
    observed = Observed(bench, "publish")
    assert observed.row[Field.WATCHED] == Watch.MESSAGES
    observed.observation.receipts.inquire("news", None, "pull").on_sent(1)
    observed.tell(ReceiptRecord(0, 1, 0, 2, 0, 2, 0, 0))
    written: list[str] = []

    def is_written() -> bool:
        written.append(capfd.readouterr().err)
        return "publish channel=news receivers=2" in "".join(written)

    bench.run_until(is_written)


def test_worker_that_leaves_is_forgotten_everywhere(bench: BusBench) -> None:
    """Its connections, its subscribers, and its answers."""
    observed = Observed(bench)
    observation = observed.observation
    columns = [0] * len(Traffic)
    columns[Traffic.CONNECTIONS] = 4
    observed.tell(SubsRecord(0, True, True, [["stream", "news", 1]]), TrafficRecord(0, 5, {"": columns}))
    bench.run_until(lambda: bool(observation.traffic.totals()))
    assert len(observation.statistics._subscribers) == 1
    observation.receipts.inquire("news", None, "pull").on_sent(1)
    observed.worker.close(0)
    bench.run_until(lambda: len(observation.receipts) == 0)
    assert len(observation.statistics._subscribers) == 0
    assert observation.traffic.totals()[""][Traffic.CONNECTIONS] == 0


def test_packets_name_this_instance(bench: BusBench) -> None:
    """By the supervisor's process id, which outlives a hub."""
    observed = Observed(bench)
    observed.observation.statistics.open_socket(bench.zmq_context, f"ipc://{bench.directory}/stats")
    sub = bench.socket(zmq.SUB)
    sub.setsockopt(zmq.RCVTIMEO, 10_000)
    sub.setsockopt(zmq.SUBSCRIBE, b"conn ")
    sub.connect(f"ipc://{bench.directory}/stats")
    bench.run_until(lambda: observed.row[Field.WATCHED] == Watch.CONNS)
    observed.tell(ConnRecord("0-a-1", "http", "::1", False, ""))
    bench.run_until(lambda: bool(sub.poll(0)))
    assert b'"from":"gripproxy_%d"' % os.getppid() in sub.recv()


def test_reports_count_what_went_out(bench: BusBench) -> None:
    """Items on the bus, and their blocks only if there are any to count."""
    observed = Observed(bench)
    observed.row[Field.ITEMS_SENT] = 9
    observation = observed.observation
    assert observation._received() == {"received": 9}
    observation.count_blocks(lambda: 4)
    observation._has_blocks = True
    assert observation._received() == {"received": 9, "blocks-received": 4}
