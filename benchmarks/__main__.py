"""The command: ``python -m benchmarks [NAME ...] --against pushpin,nchan,nginx --size full --save``."""

import argparse
import dataclasses
import sys

from benchmarks.accept_hold import ACCEPT_HOLD
from benchmarks.benchmark import RIVALS, Benchmark
from benchmarks.fan_out import FAN_OUT
from benchmarks.flood import FLOOD
from benchmarks.held_memory import HELD_MEMORY
from benchmarks.hostile import HOSTILE
from benchmarks.machine import describe_machine, raise_file_limit
from benchmarks.plain_proxy import PLAIN_PROXY
from benchmarks.publish_latency import PUBLISH_LATENCY
from benchmarks.publish_rate import PUBLISH_RATE
from benchmarks.sizes import SIZES
from benchmarks.slow_readers import SLOW_READERS
from benchmarks.waves import WAVES
from benchmarks.ws_broadcast import WS_BROADCAST
from benchmarks.ws_idle import WS_IDLE
from benchmarks.ws_messages import WS_MESSAGES

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        HELD_MEMORY,
        ACCEPT_HOLD,
        FAN_OUT,
        PLAIN_PROXY,
        PUBLISH_LATENCY,
        PUBLISH_RATE,
        FLOOD,
        SLOW_READERS,
        HOSTILE,
        WAVES,
        WS_IDLE,
        WS_BROADCAST,
        WS_MESSAGES,
    )
}


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Read the command line; wrong names end the program with the right ones."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all when none is named")
    parser.add_argument("--against", default="", metavar="LIST", help=f"measure these too: {','.join(RIVALS)}")
    parser.add_argument("--size", choices=SIZES, default="modest", help="how much to do (default: modest)")
    parser.add_argument("--client-processes", type=int, default=1, metavar="N", help="that hold streams (default: 1)")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/NAME.md and NAME.json")
    parser.add_argument("--without-gripproxy", action="store_true", help="measure only what --against names")
    parsed = parser.parse_args(arguments)
    parsed.against = tuple(name for name in parsed.against.split(",") if name)
    for given, known in ((parsed.names, tuple(BENCHMARKS)), (parsed.against, RIVALS)):
        if unknown := set(given) - set(known):
            parser.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(known)}")
    return parsed


def main(arguments: list[str]) -> int:
    """Run the benchmarks named; 1 when a server could not be measured."""
    parsed = parse_arguments(arguments)
    raise_file_limit()
    sizes = dataclasses.replace(SIZES[parsed.size], client_processes=parsed.client_processes)
    has_failed = False
    for name in parsed.names or BENCHMARKS:
        machine = describe_machine()
        report = BENCHMARKS[name].run(sizes, parsed.against, not parsed.without_gripproxy)
        print(f"{report.terminal_table()}\n", flush=True)
        if parsed.save:
            for path in report.save(machine):
                print(f"wrote {path}", file=sys.stderr)
        has_failed |= any(figure.failure for figure in report.figures)
    return int(has_failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
