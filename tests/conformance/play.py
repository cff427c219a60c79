"""``python -m tests.conformance.play NAME...`` shows what both servers do in scenarios, and where they differ."""

import argparse
import difflib
import fnmatch
import tempfile
from pathlib import Path

from tests.conformance.collection import SCENARIOS
from tests.conformance.differences import translate
from tests.conformance.pairs import ServerPairs
from tests.conformance.runner import Outcome
from tests.conformance.scenario import Scenario
from tests.integration.server import GRIPPROXY, PUSHPIN, ServerKind


def spelled(outcome: Outcome | BaseException) -> str:
    """Give the transcript, or why there is none."""
    return outcome.text() if isinstance(outcome, Outcome) else f"failed: {outcome}"


def show(scenario: Scenario, outcomes: dict[ServerKind, Outcome | BaseException]) -> bool:
    """Print the reference's transcript and gripproxy's differences from it; say whether they agree."""
    reference = spelled(outcomes[PUSHPIN])
    ours = spelled(outcomes[GRIPPROXY]) if GRIPPROXY in outcomes else None
    try:
        expected = translate(reference, scenario)
    except AssertionError as error:
        print(error)
        expected = reference
    print(f"===== {scenario.name}: {scenario.why}\n{reference}")
    if ours is None:
        return True
    for line in difflib.unified_diff(expected.splitlines(), ours.splitlines(), "pushpin", "gripproxy", lineterm=""):
        print(f"    {line}")
    return expected.splitlines() == ours.splitlines()


def main() -> None:
    """Play the scenarios whose names match."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.play", description=__doc__)
    parser.add_argument("patterns", nargs="+", metavar="NAME", help="a scenario's name; * and ? stand for any text")
    parser.add_argument("--reference", action="store_true", help="play on pushpin only")
    options = parser.parse_args()
    patterns, kinds = options.patterns, (PUSHPIN,) if options.reference else (PUSHPIN, GRIPPROXY)
    chosen = [scenario for scenario in SCENARIOS if any(fnmatch.fnmatch(scenario.name, each) for each in patterns)]
    with tempfile.TemporaryDirectory(prefix="gp-c-", dir="/tmp") as directory:
        pairs = ServerPairs(Path(directory))
        try:
            failed = [scenario.name for scenario in chosen if not show(scenario, pairs.play_apart(scenario, kinds))]
        finally:
            pairs.close()
    print(f"{len(chosen) - len(failed)} agree, {len(failed)} differ: {' '.join(failed)}")


if __name__ == "__main__":
    main()
