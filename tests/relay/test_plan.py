"""The plan of a relay."""

from gripproxy.relay.plan import QUEUE_MAX_COUNT, RelayPlan, SidePlan


def test_what_is_not_said() -> None:
    """No keys, no page, and a queue with an end."""
    side = SidePlan(name="in", noun="publisher")
    plan = RelayPlan(publishers=side, hosts=side)
    assert (side.server_key, side.client_keys) == (None, frozenset())
    assert (plan.secret_key, plan.metrics_spec, plan.queue_max_count) == (None, None, QUEUE_MAX_COUNT)
