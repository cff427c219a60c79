"""The command: ``python -m benchmarks.upgrade --connections 100000 --rounds 2 --save``."""

import argparse
import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

from benchmarks.c1m.__main__ import CONNECTS_PER_S_MIN
from benchmarks.c1m.plan import CHANNEL_SUBSCRIBERS_COUNT, Plan, client_capacity, worker_count
from benchmarks.c1m.run import check_memory
from benchmarks.errors import BenchmarkError
from benchmarks.machine import raise_file_limit
from benchmarks.report import RESULTS
from benchmarks.upgrade.checking_client import PHASES_MAX_COUNT
from benchmarks.upgrade.report import save, terminal
from benchmarks.upgrade.trial import Terms, run
from gripproxy.fd_limit import fd_limit

DELIVERIES_PER_S = 30_000  # by default: about half of what two cores deliver beside the clients that read it
ROUND_LIMIT_S = 400.0


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.upgrade", description=__doc__)
    add = parser.add_argument
    add("--connections", type=int, default=100_000, metavar="N", help="held streams (default: 100,000)")
    add("--rounds", type=int, default=2, metavar="N", help="upgrades (default: 2); with --kill one more, without")
    add("--publish-rate", type=float, metavar="N", help="items a second (default: 30,000 deliveries a second)")
    add("--kill", choices=("new", "old", "both", "none"), default="none", help="side of which a process is killed")
    add("--workers", type=int, metavar="N", help="of gripproxy (default: what the fd limit asks for)")
    add("--channels", type=int, metavar="N", help="default: one for 1,000 connections")
    add("--newcomers", type=float, default=100.0, metavar="N", help="new clients a second (default: 100)")
    add("--quiet", type=float, default=15.0, metavar="S", help="before each upgrade (default: 15)")
    add("--seed", type=int, default=0, metavar="N", help="of the moments of kills (default: 0)")
    add("--memory-floor-mib", type=int, default=1024, metavar="N", help="stop when less is left (default: 1024)")
    add("--limit-minutes", type=float, metavar="N", help="stop after so long")
    add("--save", action="store_true", help="write benchmarks/results/upgrade-[kill-]CONNECTIONS.md, ...")
    add("--output", type=Path, default=RESULTS, metavar="DIR", help="where --save writes")
    add("--without-picture", action="store_true", help="--save without matplotlib")
    return parser


def make_plan(options: argparse.Namespace, limit_fds: int, cores: int) -> Plan:
    """Fill in what was not given.

    Raises:
        BenchmarkError: the numbers do not fit together.
    """
    connections = options.connections
    if connections < 1 or not 1 <= options.rounds < PHASES_MAX_COUNT // 2:
        raise BenchmarkError(f"--connections is at least 1, --rounds 1 to {PHASES_MAX_COUNT // 2 - 1}")
    processes = -(-connections // client_capacity(limit_fds))
    return Plan(
        connections=connections,
        workers=worker_count(options.workers, connections, limit_fds, cores),
        channels=options.channels or max(2, connections // CHANNEL_SUBSCRIBERS_COUNT),
        client_processes=max(processes, min(2, connections)),
        rooms=0,
        room_members=0,
        opening_processes=min(4, processes),
        opening_max_count=256,
    )


def make_terms(options: argparse.Namespace, plan: Plan) -> Terms:
    """Give what is asked for beside the plan."""
    sides = {"none": (), "both": ("new", "old")}.get(options.kill, (options.kill,))
    return Terms(
        rounds=options.rounds,
        publish_rate=options.publish_rate or max(2.0, DELIVERIES_PER_S / (plan.connections / plan.channels)),
        newcomers_per_s=options.newcomers,
        quiet_s=options.quiet,
        kills=sides,
        seed=options.seed,
    )


def main(arguments: list[str]) -> int:
    """Run, report, save; 1 when something happened that must not, 130 when interrupted."""
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
        check_memory(plan, floor_bytes)
        limit_s = 600 + 2 * plan.connections / CONNECTS_PER_S_MIN + (options.rounds + 1) * ROUND_LIMIT_S
        result = run(plan, make_terms(options, plan), floor_bytes, (options.limit_minutes or limit_s / 60) * 60)
    except BenchmarkError as error:
        print(f"upgrade: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nupgrade: interrupted; all processes are stopped and settings put back", file=sys.stderr)
        return 130
    print(terminal(result))
    if options.save:
        for path in save(result, options.output, has_picture):
            print(f"wrote {path}", file=sys.stderr)
    return 0 if result.is_good else 1


def _interrupt(number: int, frame: FrameType | None) -> None:
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)  # a second Ctrl-C must not leave processes behind
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
