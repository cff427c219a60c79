"""What it costs two workers' engines to hand a held connection over: ``python -m benchmarks.handed_holds``.

No sockets: holds are made in one engine, go to another one in batches as they do in an upgrade, and are forgotten in
the first. The workers' own part, with descriptors and the bus, is not in it.
"""

import argparse
import gc
import sys
import time
import tracemalloc
from collections.abc import Callable

from benchmarks.machine import describe_machine
from benchmarks.report import OURS, Column, Figure, Report
from gripproxy.engine.arrivals import Installer
from gripproxy.engine.core import Core
from gripproxy.engine.departures import Packer
from gripproxy.engine.events import OriginAnswered, OriginBodyCollected, OriginFramesCame, RequestArrived
from gripproxy.protocol.handed_batch import decode_batch, encode_batch
from gripproxy.protocol.http1 import BodyFraming, Headers, ResponseHead, check_response
from gripproxy.protocol.last_ids import LastIds
from gripproxy.protocol.origin_request import OriginRequests
from gripproxy.protocol.routes import parse_routes
from gripproxy.protocol.websocket_frame import TEXT, Frame
from gripproxy.protocol.websocket_handshake import accept_of
from gripproxy.settings import Settings
from gripproxy_worker.request_reader import read_head

BATCH_COUNT = 500  # connections, as workers have it
MEMORY_COUNT = 2_000  # holds whose memory is measured: tracing is slow
NOW = 1000.0
FIRST_ID = 8
HEAD = (
    b"GET %b HTTP/1.1\r\nHost: app.test\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Firefox/128.0\r\n"
    b"Accept: */*\r\nAccept-Language: en\r\nCookie: session=%d"
)
UPGRADE = (
    b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
)
NEXT = (b"Grip-Link", b"</next>; rel=next; timeout=30")
STREAM: Headers = [(b"Grip-Hold", b"stream"), (b"Grip-Keep-Alive", b"ping; timeout=30")]
COLUMNS = (
    Column("total_us", "CPU us in all", 1),
    Column("pack_us", "us to pack", 1),
    Column("install_us", "to install", 1),
    Column("release_us", "to forget", 1),
    Column("sent_bytes", "bytes sent"),
    Column("moved_bytes", "bytes of memory, moved"),
    Column("native_bytes", "and begun here"),
)

Hold = Callable[[Core, int], None]


def new_core() -> Core:
    """Make a worker's engine with one route."""
    settings = Settings()
    routes, _ = parse_routes("* origin:80", "routes")
    requests = OriginRequests(settings, {}, time.time)
    return Core(settings, routes, requests, NOW, lambda: 0.0, LastIds())


def hold_by(headers: Headers) -> Hold:
    """Give the act of holding one more client as these headers say."""

    def hold(core: Core, conn_id: int) -> None:
        head, _ = read_head(HEAD % (b"/events", conn_id))
        core.handle(RequestArrived(conn_id, head, "10.0.0.9"), NOW)
        core.handle(OriginAnswered(conn_id, check_response(200, b"OK", list(headers), is_head=False)), NOW)
        core.handle(OriginBodyCollected(conn_id, b"begin\n"), NOW)

    return hold


def hold_socket(core: Core, conn_id: int) -> None:
    """Hold a WebSocket client that has one channel."""
    head, _ = read_head(HEAD % (b"/socket", conn_id) + UPGRADE)
    core.handle(RequestArrived(conn_id, head, "10.0.0.9"), NOW)
    accept = accept_of(b"AAAAAAAAAAAAAAAAAAAAAA==")
    headers = [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Accept", accept)]
    answer = ResponseHead(101, b"", [*headers, (b"Sec-WebSocket-Extensions", b"grip")], BodyFraming.NONE)
    core.handle(OriginAnswered(conn_id, answer), NOW)
    core.handle(OriginFramesCame(conn_id, [Frame(TEXT, b'c:{"type": "subscribe", "channel": "news"}')]), NOW)


CASES: dict[str, Hold] = {
    "stream": hold_by([*STREAM, (b"Grip-Channel", b"news")]),
    "stream that follows ids": hold_by([*STREAM, (b"Grip-Channel", b"news; prev-id=1"), NEXT]),
    "long-poll": hold_by([(b"Grip-Hold", b"response"), (b"Grip-Channel", b"news")]),
    "WebSocket": hold_socket,
}


def crowd(hold: Hold, count: int) -> Core:
    """Make an engine with many clients that are held alike."""
    core = new_core()
    for conn_id in range(FIRST_ID, FIRST_ID + count):
        hold(core, conn_id)
    assert sum(each is not None for each in core.holds.holds) == count
    return core


class Move:
    """All holds of one engine go to another one. Times are seconds of CPU."""

    def __init__(self, old: Core) -> None:
        self.new = new_core()
        self.pack_s = self.install_s = self.release_s = 0.0
        self.sent_bytes = self.count = 0
        self._old = old
        self._installer = Installer(self.new)
        for first in range(FIRST_ID, len(old.holds.holds), BATCH_COUNT):
            self._move(range(first, min(first + BATCH_COUNT, len(old.holds.holds))))

    def _move(self, conn_ids: range) -> None:
        begun = time.process_time()
        packer = Packer(self._old, NOW)
        records = [packer.pack(conn_id) for conn_id in conn_ids]
        message = encode_batch((packer.tables(), records))
        packed = time.process_time()
        tables, taken = decode_batch(message)
        self._installer.begin(tables, NOW)
        for conn_id, record in zip(conn_ids, taken, strict=True):
            self._installer.install(record, conn_id, NOW)
        installed = time.process_time()
        for conn_id in conn_ids:
            packer.release(conn_id)
        self.release_s += time.process_time() - installed
        self.pack_s += packed - begun
        self.install_s += installed - packed
        self.sent_bytes += len(message)
        self.count += len(conn_ids)


def traced_bytes(make: Callable[[], Core]) -> int:
    """Measure what an engine takes."""
    gc.collect()
    tracemalloc.start()
    core = make()
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert core.holds.holds
    return size


def measure(case: str, hold: Hold, count: int) -> Figure:
    """Let many go, and weigh some."""
    old = crowd(hold, count)
    gc.collect()
    gc.disable()
    move = Move(old)
    gc.enable()
    few = crowd(hold, MEMORY_COUNT)
    us = 1e6 / move.count
    return Figure(
        OURS,
        case,
        {
            "total_us": (move.pack_s + move.install_s + move.release_s) * us,
            "pack_us": move.pack_s * us,
            "install_us": move.install_s * us,
            "release_us": move.release_s * us,
            "sent_bytes": move.sent_bytes / move.count,
            "moved_bytes": traced_bytes(lambda: Move(few).new) / MEMORY_COUNT,
            "native_bytes": traced_bytes(lambda: crowd(hold, MEMORY_COUNT)) / MEMORY_COUNT,
        },
    )


def main(arguments: list[str]) -> int:
    """Measure and print; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.handed_holds", description=__doc__)
    parser.add_argument("--holds", type=int, default=50_000, help="of each kind")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/handed-holds.md and .json")
    parsed = parser.parse_args(arguments)
    settings = {"holds of each kind": f"{parsed.holds:,}", "batches of": str(BATCH_COUNT)}
    report = Report("handed_holds", "Handing a held connection over, engines only", COLUMNS, settings)
    for case, hold in CASES.items():
        report.figures.append(measure(case, hold, parsed.holds))
    print(report.terminal_table())
    if parsed.save:
        for path in report.save(describe_machine()):
            print(f"wrote {path}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
