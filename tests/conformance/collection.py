"""Every scenario there is."""

from tests.conformance import errors, holds, proxying, publishing

SCENARIOS = [*proxying.SCENARIOS, *errors.SCENARIOS, *holds.SCENARIOS, *publishing.SCENARIOS]
