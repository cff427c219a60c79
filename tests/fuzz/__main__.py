"""The command: ``python -m tests.fuzz NAME --seconds 600``: looks for bytes that a target cannot take.

It begins with the files of `corpus/NAME/`, each of which is an input. What it finds is written to ``crash-...`` in the
present directory: once the fault is mended, that goes into the corpus under a name that says what it is.
"""

import argparse
import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import atheris

CORPUS_PATH = Path(__file__).with_name("corpus")
LENGTH_MAX_BYTES = 2048


def find_target(name: str) -> Callable[[bytes], None]:
    """Give the target of `TARGETS`, or that of ``MODULE:FUNCTION``, with its code made to tell where it has been."""
    with atheris.instrument_imports(include=["gripproxy", "gripproxy_worker"]):
        if ":" in name:
            module, _, function = name.partition(":")
            target: Callable[[bytes], None] = getattr(importlib.import_module(module), function)
            return target
        return importlib.import_module("tests.fuzz.targets").TARGETS[name]  # type: ignore[no-any-return]


def main() -> None:
    """Fuzz one target for a while; does not return. The exit status is 0 when nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", metavar="NAME", help="of tests.fuzz.targets, or MODULE:FUNCTION")
    parser.add_argument("--seconds", type=int, default=60, help="how long (default: 60)")
    parser.add_argument("--runs", type=int, default=-1, help="how many inputs at the most (default: no limit)")
    parser.add_argument("--seed", type=int, default=0, help="of chance; 0 takes another one each time (default)")
    given = parser.parse_args()
    target = find_target(given.target)
    options = [f"-max_total_time={given.seconds}", f"-runs={given.runs}", f"-seed={given.seed}", "-timeout=20"]
    seeds = ",".join(str(path) for path in sorted((CORPUS_PATH / given.target).glob("*")))
    if seeds:
        options.append(f"-seed_inputs={seeds}")
    atheris.Setup([sys.argv[0], f"-max_len={LENGTH_MAX_BYTES}", *options], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
