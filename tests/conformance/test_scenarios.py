"""The same conversation with Debian's pushpin and with gripproxy: the same bytes, or a written-down difference."""

import pytest

from tests.conformance.agreement import with_table
from tests.conformance.collection import SCENARIOS
from tests.conformance.differences import COMPATIBILITY_PATH, documented, in_scenarios, translate
from tests.conformance.pairs import ServerPairs
from tests.conformance.scenario import Scenario, Subscribed


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_clients_and_origin_see_the_same(scenario: Scenario, pairs: ServerPairs) -> None:
    """An origin or a client that works with the one works with the other."""
    reference, ours = pairs.play(scenario)
    assert ours.text().splitlines() == translate(reference.text(), scenario).splitlines()


def test_every_difference_is_documented_and_proved() -> None:
    """A user who changes over finds each difference, and each is one that a run has shown."""
    assert set(documented()) == in_scenarios()


def test_scenario_names_are_unique() -> None:
    """A name says which scenario failed."""
    names = [scenario.name for scenario in SCENARIOS]
    assert len(names) == len(set(names))


def test_warm_channels_belong_to_one_scenario() -> None:
    """A channel that is held all the time tells no other scenario when its own hold is in place."""
    warm = [channel for scenario in SCENARIOS for channel in scenario.warm]
    awaited = [step.channel for each in SCENARIOS for step in each.steps if isinstance(step, Subscribed)]
    assert len(warm) == len(set(warm))
    assert not set(warm) & set(awaited)


def test_table_of_agreement_is_up_to_date() -> None:
    """The document says how much is shown; `python -m tests.conformance.agreement` writes it."""
    document = COMPATIBILITY_PATH.read_text()
    assert document == with_table(document)
