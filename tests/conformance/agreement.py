"""``python -m tests.conformance.agreement`` writes the table of agreement into docs/compatibility.md."""

from tests.conformance.collection import AREAS
from tests.conformance.differences import COMPATIBILITY_PATH

SECTION = "## Agreement\n"
HEADING = "| what | scenarios | byte for byte alike | with a difference of the table below |\n|---|---|---|---|\n"


def table() -> str:
    """Count the scenarios of each area, and those that show a difference of their own."""
    rows = []
    totals = [0, 0]
    for area, scenarios in AREAS.items():
        counts = [len(scenarios), sum(scenario.difference is not None for scenario in scenarios)]
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        rows.append(f"| {area} | {counts[0]} | {counts[0] - counts[1]} | {counts[1]} |\n")
    rows.append(f"| all | {totals[0]} | {totals[0] - totals[1]} | {totals[1]} |\n")
    return HEADING + "".join(rows)


def with_table(document: str) -> str:
    """Put the table where the document's section has one."""
    before, section, after = document.partition(SECTION)
    intro, _, rest = after.partition(HEADING)
    _, blank, end = rest.partition("\n\n")
    return before + section + intro + table().rstrip("\n") + blank + end


if __name__ == "__main__":
    COMPATIBILITY_PATH.write_text(with_table(COMPATIBILITY_PATH.read_text()))
