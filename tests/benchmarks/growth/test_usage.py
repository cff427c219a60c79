"""Differences between readings."""

from benchmarks.growth.usage import Usage


def test_difference_of_two_readings_is_what_was_used_between() -> None:
    """The memory of a worker is a level, not a growth."""
    before = Usage(1.0, 0.25, 0.5, 1000, 100, 7.0)
    after = Usage(3.0, 0.75, 2.0, 1500, 150, 8.0)
    assert after.minus(before) == Usage(2.0, 0.5, 1.5, 500, 50, 8.0)
