"""How soon a child that dies is started again."""

from gripproxy.supervisor.child_state import Child, ChildState


def test_delays_grow_with_quick_deaths_only() -> None:
    """One that served for long has proved that it can."""
    child = Child("worker 0", ChildState.READY, started_s=0.0)
    assert [child.take_restart_delay_s(1.0) for _ in range(9)] == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert child.take_restart_delay_s(10.0) == 0.0


def test_failed_start_is_never_repeated_at_once() -> None:
    """Whatever was in its way is still there in the same millisecond."""
    assert Child("hub", ChildState.FORKED).take_restart_delay_s(0.0) == 0.1
