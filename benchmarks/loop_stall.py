"""The longest turn of a worker's loop while it holds very many connections: ``python -m benchmarks.loop_stall``.

A process here may not have half a million descriptors, so this is the worker's own driver, engine and loop with that
many holds, whose connection ids are mapped onto some thousand real TCP connections to a process that reads.
"""

import argparse
import asyncio
import gc
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import uvloop

from benchmarks.machine import describe_machine, raise_file_limit
from benchmarks.report import OURS, Column, Figure, Report
from gripproxy.engine.client_request import ClientRequest
from gripproxy.engine.core import Core
from gripproxy.engine.holds import ResponseHold
from gripproxy.engine.timer_wheel import TICK_S
from gripproxy.protocol.bus_message import pack_item
from gripproxy.protocol.http1 import BodyFraming, RequestHead
from gripproxy.protocol.instruct import HoldMode, Instruct, KeepAlive
from gripproxy.protocol.last_ids import LastIds
from gripproxy.protocol.origin_request import OriginRequests
from gripproxy.protocol.publish_format import HttpResponseFormat, HttpStreamFormat
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.protocol.routes import parse_routes
from gripproxy.scoreboard import Field, Scoreboard
from gripproxy.settings import Settings
from gripproxy_worker import client_sockets, garbage
from gripproxy_worker.client_sockets import HELD
from gripproxy_worker.driver import Driver

KEEP_ALIVE_S = 55
CROWD = "crowd"  # the channel with very many subscribers; the others share the rest
CHANNEL_COUNT = 500
COLUMNS = (
    Column("cpu_ms", "longest turn, CPU ms", 2),
    Column("wall_ms", "longest turn, ms", 2),
    Column("turns", "turns"),
    Column("writes", "writes, with the keep-alives of the others"),
)


class Parked:
    """A worker without listeners that holds `streams` streams, `crowd` of them on one channel."""

    def __init__(self, streams: int, crowd: int, sockets: int) -> None:
        self.loop = uvloop.new_event_loop()
        asyncio.set_event_loop(self.loop)
        settings = Settings()
        routes, _ = parse_routes("* test", "benchmark")
        self.row = Scoreboard(1).row(1)
        core = Core(settings, routes, OriginRequests(settings, {}, time.time), self.loop.time(), lambda: 0.5, LastIds())
        self.driver = Driver(settings, core, self.loop, self.row, 1)
        self.holds = core.holds
        head = RequestHead(b"GET", b"/", True, [], b"bench", BodyFraming.NONE, 0, True)
        self._request = ClientRequest(head, "127.0.0.1", False, routes.routes[0], is_debug=False)
        self._fds, self.reader_pid = _connections(sockets)
        count = streams + sockets + max(self._fds) + 1
        if streams:
            self.driver.sockets.records += [HELD] * count
            self._map_writes(count)
            self._hold_streams(streams, crowd)

    def _map_writes(self, count: int) -> None:
        write, fds = os.write, [self._fds[number % len(self._fds)] for number in range(count)]

        def write_mapped(conn_id: int, payload: bytes) -> int:
            return write(fds[conn_id], payload)

        replaced = SimpleNamespace(**vars(os))
        replaced.write = write_mapped
        _write_through(replaced)

    def _hold_streams(self, streams: int, crowd: int) -> None:
        instruct = Instruct(200, b"OK", [], b"", HoldMode.STREAM, [], 0, KeepAlive(b"\n", KEEP_ALIVE_S))
        started = self.loop.time()
        for conn_id in range(streams):
            channel = CROWD if conn_id < crowd else f"c{conn_id % CHANNEL_COUNT}"
            at = started - KEEP_ALIVE_S * conn_id / streams  # as if they had come evenly
            since = max(at, started - KEEP_ALIVE_S + 2)
            self.holds.hold_stream(conn_id, [channel], instruct, self._request, b"", since)

    def measure(self, case: str, act: Callable[["Parked"], None], seconds: float) -> Figure:
        """Let the loop call `act`, turn it for `seconds` and until all is done, and time each turn."""
        loop, before = self.loop, self._writes()
        longest_cpu, longest_wall, turns = 0.0, 0.0, 0
        cpu, wall, started = time.thread_time(), time.monotonic(), time.monotonic()

        def on_turn() -> None:
            nonlocal cpu, wall, longest_cpu, longest_wall, turns
            now_cpu, now_wall = time.thread_time(), time.monotonic()
            longest_cpu = max(longest_cpu, now_cpu - cpu)
            longest_wall = max(longest_wall, now_wall - wall)
            turns += 1
            cpu, wall = now_cpu, now_wall
            if wall - started < seconds or self.holds.is_unfinished:
                loop.call_soon(on_turn)
            else:
                loop.stop()

        loop.call_soon(act, self)
        loop.call_soon(on_turn)
        loop.run_forever()
        values: dict[str, float] = {
            "cpu_ms": longest_cpu * 1000,
            "wall_ms": longest_wall * 1000,
            "turns": turns,
            "writes": self._writes() - before,
        }
        return Figure(OURS, case, values)

    def _writes(self) -> int:
        return int(self.row[Field.DELIVERIES] + self.row[Field.KEEP_ALIVES])

    def publish(self, item: PublishItem) -> None:
        self.driver.on_item(item.channel, pack_item(item))

    def hold_polls(self) -> None:
        """Hold a long-poll on each real connection; without streams they are their own."""
        for fd in self._fds:
            self.driver.sockets.add(fd, HELD)
            hold = ResponseHold(fd, (), self._request, 200, b"OK", [], b"")
            self.holds.hold_response(hold, ["polls"], 55, self.loop.time())
        _write_through(os)

    def close(self) -> None:
        """End the process that reads, and the connections."""
        _write_through(os)
        os.kill(self.reader_pid, signal.SIGKILL)
        os.waitpid(self.reader_pid, 0)
        for fd in self._fds:
            os.close(fd)


def _write_through(module: Any) -> None:
    """Let the worker's client sockets use this module in place of `os`, whose `write` knows real fds only."""
    vars(client_sockets)["os"] = module


def _connections(count: int) -> tuple[list[int], int]:
    """Connect to a child process that reads all that comes; give our fds and its pid."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        pid = os.fork()
        if pid == 0:
            _read_all(listener, count)
        fds = []
        for _ in range(count):
            client = socket.create_connection(listener.getsockname())
            client.setblocking(False)
            fds.append(client.detach())
    return fds, pid


def _read_all(listener: socket.socket, count: int) -> None:
    epoll = select.epoll()
    for _ in range(count):
        accepted, _ = listener.accept()
        epoll.register(accepted.detach(), select.EPOLLIN)
    while True:
        for fd, _ in epoll.poll():
            if not os.read(fd, 65_536):
                os._exit(0)


def keep_all_due(parked: Parked) -> None:
    """Put the keep-alives of the whole crowd off to one tick, as an item to it does."""
    holds = parked.holds
    at = parked.loop.time() + 2 * TICK_S
    channel = holds.subscriptions.channels[CROWD]
    channel.sent_at = 0.0
    for conn_id in sorted(channel.chunked or ()):
        holds.wheel.schedule(holds.holds[conn_id], at)


def publishing(channel: str, content: bytes) -> Callable[[Parked], None]:
    """Give the act of publishing one item."""
    item = PublishItem(
        channel, http_response=HttpResponseFormat(body=content), http_stream=HttpStreamFormat(content=content)
    )
    return lambda parked: parked.publish(item)


def collect_garbage(parked: Parked) -> None:
    gc.collect()


def run(streams: int, crowd: int, sockets: int, seconds: float) -> Report:
    """Measure every case."""
    settings = {"held streams": f"{streams:,}", "channel": f"{crowd:,}", "real connections": f"{sockets:,}"}
    report = Report("loop_stall", "Longest turn of a worker's loop", COLUMNS, settings)
    garbage.begin()
    print(f"  holding {streams:,} streams", file=sys.stderr)
    parked = Parked(streams, crowd, sockets)
    parked.driver.tick()

    def measure(case: str, act: Callable[[Parked], None]) -> None:
        print(f"  {case}", file=sys.stderr)
        report.figures.append(parked.measure(case, act, seconds))

    measure(f"keep-alives of {streams:,}", lambda parked: None)
    measure("full garbage collection", collect_garbage)
    measure(f"item for {crowd:,} streams", publishing(CROWD, b"data: hello\n\n"))
    measure(f"10 KB for {crowd:,} streams", publishing(CROWD, b"x" * 10_000))
    keep_all_due(parked)
    measure(f"keep-alives of {crowd:,} due at once", lambda parked: None)
    parked.close()
    parked = Parked(0, 0, sockets)
    parked.hold_polls()
    measure(f"item for {sockets:,} long-polls", publishing("polls", b"news"))
    parked.close()
    return report


def main(arguments: list[str]) -> int:
    """Measure and print; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loop_stall", description=__doc__)
    parser.add_argument("--streams", type=int, default=500_000)
    parser.add_argument("--crowd", type=int, default=100_000, help="subscribers of one channel")
    parser.add_argument("--sockets", type=int, default=10_000, help="real connections")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each case")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/loop-stall.md and .json")
    parsed = parser.parse_args(arguments)
    raise_file_limit()
    machine = describe_machine()
    report = run(parsed.streams, parsed.crowd, parsed.sockets, parsed.seconds)
    print(report.terminal_table())
    if parsed.save:
        for path in report.save(machine):
            print(f"wrote {path}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
