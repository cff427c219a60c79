"""The same conversation with Debian's pushpin and with gripproxy: the same bytes, or a written-down difference."""

import pytest

from tests.conformance.collection import SCENARIOS
from tests.conformance.differences import documented, in_scenarios, translate
from tests.conformance.pairs import ServerPairs
from tests.conformance.scenario import Scenario


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_clients_and_origin_see_the_same(scenario: Scenario, pairs: ServerPairs) -> None:
    """An origin or a client that works with the one works with the other."""
    reference, ours = pairs.play(scenario)
    assert ours.text().splitlines() == translate(reference.text(), scenario.difference).splitlines()


def test_every_difference_is_documented_and_proved() -> None:
    """A user who changes over finds each difference, and each is one that a run has shown."""
    assert set(documented()) == in_scenarios()


def test_scenario_names_are_unique() -> None:
    """A name says which scenario failed."""
    names = [scenario.name for scenario in SCENARIOS]
    assert len(names) == len(set(names))
