"""The command: ``python -m benchmarks.chaos --minutes 10``."""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.chaos.trial import Trial
from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe_machine
from benchmarks.report import RESULTS

SHOWN_COUNT = 20


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, metavar="N", help="of chaos (default: 10)")
    parser.add_argument("--clients", type=int, default=240, metavar="N", help="that are held (default: 240)")
    parser.add_argument("--seed", type=int, default=None, metavar="N", help="to do the same things again")
    parser.add_argument("--without-hangs", action="store_true", help="of 20 s each")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/chaos.md")
    return parser.parse_args(arguments)


def describe(trial: Trial, minutes: float, seed: int) -> str:
    """Give the page that is kept in `results/`."""
    crowd, publishers = trial.crowd, trial.publishers
    lines = ["# Processes killed and stopped at random, under load", ""]
    lines += ["| what | times | well again after, median (worst) |", "|---|---:|---:|"]
    for name, count in sorted(trial.counts().items()):
        times = trial.recoveries_s.get(name)
        shown = "-" if not times else f"{statistics.median(times):.1f} s ({max(times):.1f} s)"
        lines.append(f"| {name} | {count} | {shown} |")
    published = sum(number + 1 for number in publishers.sent.values())
    lines += [
        "",
        "Well: ready, every client held, and an item of each publisher has reached every stream and WebSocket. Times "
        "are of faults that came alone.",
        "",
        f"{minutes:g} minutes, {len(crowd.clients)} clients (streams, long-polls, WebSockets) that connected "
        f"{crowd.connects_count:,} times and got {crowd.items_count:,} items; {published:,} were published on PUSH, "
        f"PUB, HTTP and command sockets, {publishers.failed_count} without an answer. {crowd.unheard_count} "
        "long-polls were cut before anything had come, with who had them or would have accepted them. gripproxy was "
        f"started {trial.service.starts_count} times. Seed {seed}.",
        "",
    ]
    lines += [f"Wrong: {text}." for text in trial.wrong[:SHOWN_COUNT]] or ["Nothing was wrong."]
    machine = ", ".join(f"{key} {value}" for key, value in describe_machine().items())
    return "\n".join([*lines, "", f"Machine: {machine}.", ""])


def main(arguments: list[str]) -> int:
    """Run a trial; 1 when something was wrong."""
    parsed = parse_arguments(arguments)
    seed = random.randrange(2**31) if parsed.seed is None else parsed.seed
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gp-chaos-", dir="/tmp") as directory:
        trial = Trial(Path(directory), parsed.clients, seed, not parsed.without_hangs)
        try:
            asyncio.run(trial.run(parsed.minutes * 60, lambda text: print(text, file=sys.stderr, flush=True)))
        except BenchmarkError as error:
            trial.wrong.append(str(error))
        finally:
            trial.service.clean_up()
            if trial.wrong:
                print(trial.service.output_path.read_text(errors="replace")[-8000:], file=sys.stderr)
        page = describe(trial, parsed.minutes, seed)
    print(page)
    print(f"took {time.monotonic() - began:.0f} s", file=sys.stderr)
    if parsed.save:
        (RESULTS / "chaos.md").write_text(page)
    return int(bool(trial.wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
