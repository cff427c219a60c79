"""The known differences: rows of docs/compatibility.md, and texts in the transcripts that prove them."""

import re
from collections.abc import Sequence
from pathlib import Path

from tests.conformance.collection import SCENARIOS
from tests.conformance.features import FEATURES, REFERENCE_FEATURES
from tests.conformance.scenario import Difference, Scenario

COMPATIBILITY_PATH = Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"
ROW = re.compile(r"^\| `([a-z0-9-]+)` \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)
SECTION = "## Differences that the conformance run shows"

# What differs in every request that reaches an origin.
EVERYWHERE = (
    Difference(id="accept-added", reference="\nAccept: */*\n", ours="\n"),
    Difference(id="accept-encoding-added", reference="\nAccept-Encoding: deflate, gzip, br, zstd\n", ours="\n"),
    Difference(
        id="grip-feature",
        reference=f"\nGrip-Feature: {REFERENCE_FEATURES}\n",
        ours=f"\nGrip-Feature: {FEATURES}\n",
    ),
)


def documented() -> dict[str, tuple[str, str, str]]:
    """Give the rows of the document's table by id: what pushpin does, what gripproxy does, why."""
    _, _, section = COMPATIBILITY_PATH.read_text().partition(f"{SECTION}\n")
    rows = ROW.findall(section.partition("\n## ")[0])
    return {name: (reference, ours, reason) for name, reference, ours, reason in rows}


def differences_of(scenario: Scenario) -> Sequence[Difference]:
    """Give the differences that a scenario shows."""
    if scenario.difference is None:
        return ()
    return (scenario.difference,) if isinstance(scenario.difference, Difference) else scenario.difference


def in_scenarios() -> set[str]:
    """Give the ids of the differences that scenarios prove."""
    own = {difference.id for scenario in SCENARIOS for difference in differences_of(scenario)}
    return own | {difference.id for difference in EVERYWHERE}


def translate(reference_text: str, scenario: Scenario) -> str:
    """Give the reference's transcript with every known difference taken over.

    Raises:
        AssertionError: the reference no longer does what the difference says.
    """
    for everywhere in EVERYWHERE[1:] if scenario.is_accept_ours else EVERYWHERE:
        reference_text = reference_text.replace(everywhere.reference, everywhere.ours)
    for difference in differences_of(scenario):
        assert difference.reference in reference_text, f"{difference.id}: the reference did\n{reference_text}"
        reference_text = reference_text.replace(difference.reference, difference.ours)
    return reference_text
