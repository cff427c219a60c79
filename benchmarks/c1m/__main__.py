"""The command: ``python -m benchmarks.c1m --connections 1000000 --workers 56 --channels 1000 --save``."""

import argparse
import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

from benchmarks.c1m.board import ROUNDS_MAX_COUNT
from benchmarks.c1m.plan import (
    CHANNEL_SUBSCRIBERS_COUNT,
    OPENING_MIN_COUNT,
    OPENING_PER_WORKER_COUNT,
    Plan,
    client_capacity,
    room_sizes,
    worker_count,
)
from benchmarks.c1m.report import is_good, save, terminal
from benchmarks.c1m.run import check_memory, run
from benchmarks.errors import BenchmarkError
from benchmarks.machine import raise_file_limit
from benchmarks.report import RESULTS
from gripproxy.fd_limit import fd_limit

CONNECTS_PER_S_MIN = 1000  # slower is given up: for the time guard


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.c1m", description=__doc__)
    add = parser.add_argument
    add("--connections", type=int, default=1_000_000, metavar="N", help="held streams (default: 1,000,000)")
    add("--websockets", action="store_true", help="hold WebSockets, by WebSocket-over-HTTP, in place of streams")
    add("--workers", type=int, metavar="N", help="of gripproxy (default: what the fd limit asks for)")
    add("--channels", type=int, metavar="N", help="default: one for 1,000 connections")
    add("--rooms", type=int, default=250, metavar="N", help="chat rooms that publish at once (default: 250)")
    add("--room-members", type=int, default=100, metavar="N", help="subscribers of each (default: 100)")
    add("--keep-alive", type=int, default=55, metavar="S", help="seconds without traffic (default: 55)")
    add("--idle", type=float, metavar="S", help="how long to measure idling (default: two keep-alive periods)")
    add("--rounds", type=int, default=20, metavar="N", help="of publishing, each kind (default: 20)")
    add("--plain-requests", type=int, default=1000, metavar="N", help="timed, each way (default: 1,000)")
    add("--settle", type=float, default=5.0, metavar="S", help="before memory is read (default: 5)")
    add("--listen-ports", type=int, default=4, metavar="N", help="of gripproxy (default: 4)")
    add("--origin-processes", type=int, default=1, metavar="N", help="(default: 1)")
    add("--opening", type=int, metavar="N", help="connections under way at once (default: 1024, or 32 per worker)")
    add("--memory-floor-mib", type=int, default=1024, metavar="N", help="stop when less is left (default: 1024)")
    add("--without-memory-check", action="store_true", help="start although it may not fit; the floor still stops it")
    add("--limit-minutes", type=float, metavar="N", help="stop after so long (default: by the number of connections)")
    add("--save", action="store_true", help="write benchmarks/results/c1m-[websockets-]CONNECTIONS.md, ...")
    add("--output", type=Path, default=RESULTS, metavar="DIR", help="where --save writes")
    add("--without-picture", action="store_true", help="--save without matplotlib")
    return parser


def make_plan(options: argparse.Namespace, limit_fds: int, cores: int) -> Plan:
    """Fill in what was not given.

    Raises:
        BenchmarkError: the numbers do not fit together.
    """
    connections = options.connections
    if connections < 1 or options.keep_alive < 1:
        raise BenchmarkError("--connections and --keep-alive are at least 1")
    if not 1 <= options.rounds <= ROUNDS_MAX_COUNT // 2:
        raise BenchmarkError(f"--rounds is 1 to {ROUNDS_MAX_COUNT // 2}")
    processes = -(-connections // client_capacity(limit_fds))
    processes = max(processes, min(4, -(-connections // 100)))
    opening_processes = min(4, processes)
    workers = worker_count(options.workers, connections, limit_fds, cores)
    opening = options.opening or max(OPENING_MIN_COUNT, OPENING_PER_WORKER_COUNT * workers)
    rooms, members = room_sizes(connections, options.rooms, options.room_members)
    return Plan(
        connections=connections,
        workers=workers,
        channels=options.channels or max(1, connections // CHANNEL_SUBSCRIBERS_COUNT),
        client_processes=processes,
        rooms=rooms,
        room_members=members,
        listen_ports=options.listen_ports,
        origin_processes=options.origin_processes,
        opening_processes=opening_processes,
        opening_max_count=max(1, opening // opening_processes),
        keep_alive_s=options.keep_alive,
        settle_s=options.settle,
        base_s=options.settle,
        idle_s=2.0 * options.keep_alive if options.idle is None else options.idle,
        plain_requests=options.plain_requests,
        channel_rounds=options.rounds,
        room_rounds=options.rounds,
        is_websocket=options.websockets,
    )


def limit_s_of(plan: Plan, minutes: float | None) -> float:
    """Give the time guard: what is asked for, or what a slow run may take."""
    return minutes * 60 if minutes else 600 + plan.idle_s + 2 * plan.connections / CONNECTS_PER_S_MIN


def main(arguments: list[str]) -> int:
    """Run, report, save; 1 when the run was stopped or something was lost, 130 when interrupted."""
    options = build_parser().parse_args(arguments)
    raise_file_limit()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    floor_bytes = options.memory_floor_mib << 20
    has_picture = options.save and not options.without_picture
    try:
        if has_picture and find_spec("matplotlib") is None:
            raise BenchmarkError("the picture needs matplotlib: pip install -e '.[bench]', or --without-picture")
        plan = make_plan(options, fd_limit(), os.cpu_count() or 1)
        if not options.without_memory_check:
            check_memory(plan, floor_bytes)
        result = run(plan, floor_bytes, limit_s_of(plan, options.limit_minutes))
    except BenchmarkError as error:
        print(f"c1m: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nc1m: interrupted; all processes are stopped and settings put back", file=sys.stderr)
        return 130
    print(terminal(result))
    if options.save:
        for path in save(result, options.output, has_picture):
            print(f"wrote {path}", file=sys.stderr)
    return 0 if is_good(result) else 1


def _interrupt(number: int, frame: FrameType | None) -> None:
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)  # a second Ctrl-C must not leave processes behind
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
