"""Every scenario there is."""

from tests.conformance import errors, framing, polls, proxying, publishing, streams

SCENARIOS = [
    *proxying.SCENARIOS,
    *framing.SCENARIOS,
    *errors.SCENARIOS,
    *streams.SCENARIOS,
    *polls.SCENARIOS,
    *publishing.SCENARIOS,
]
