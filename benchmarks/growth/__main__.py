"""The command: ``python -m benchmarks.growth [DIMENSION ...] --size full --save``."""

import argparse
import sys
from dataclasses import asdict

from benchmarks.growth.channels import CHANNELS
from benchmarks.growth.connections import CONNECTIONS
from benchmarks.growth.dimension import run_dimension
from benchmarks.growth.item_size import ITEM_SIZE
from benchmarks.growth.picture import draw
from benchmarks.growth.steps import STEPS
from benchmarks.growth.subscriptions import SUBSCRIPTIONS
from benchmarks.growth.worker_processes import WORKERS
from benchmarks.machine import describe_machine, raise_file_limit

DIMENSIONS = {one.name: one for one in (CONNECTIONS, CHANNELS, SUBSCRIPTIONS, WORKERS, ITEM_SIZE)}


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Read the command line; wrong names end the program with the right ones."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="DIMENSION", help=f"of {', '.join(DIMENSIONS)}; all without any")
    parser.add_argument("--size", choices=STEPS, default="modest", help="how far to go (default: modest)")
    parser.add_argument(
        "--save", action="store_true", help="write benchmarks/results/growth-*.md, .json and growth.png"
    )
    parsed = parser.parse_args(arguments)
    if unknown := set(parsed.names) - set(DIMENSIONS):
        parser.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(DIMENSIONS)}")
    return parsed


def main(arguments: list[str]) -> int:
    """Run the dimensions named; 1 when a step could not be measured, or a curve grows."""
    parsed = parse_arguments(arguments)
    raise_file_limit()
    steps = STEPS[parsed.size]
    settings = {"size": parsed.size, **{name: str(value) for name, value in asdict(steps).items()}}
    reports = []
    for name in parsed.names or DIMENSIONS:
        machine = describe_machine()
        report = run_dimension(DIMENSIONS[name], steps, settings)
        print(f"{report.terminal_table()}\n", flush=True)
        reports.append(report)
        if parsed.save:
            for path in report.save(machine):
                print(f"wrote {path}", file=sys.stderr)
    if parsed.save:
        print(f"wrote {draw(reports)}", file=sys.stderr)
    has_failed = any(figure.failure for report in reports for figure in report.figures)
    return int(has_failed or any(report.grows for report in reports))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
