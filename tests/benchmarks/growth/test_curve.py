"""Which curves pass, and which are said to grow."""

import pytest

from benchmarks.growth.curve import LINEAR, Curve, CurveKind, Judgement

STEPS = (1000, 10_000, 100_000, 1_000_000)


def curve(*costs: float, expected: int = 0, floor: float = 0.0) -> Curve:
    return Curve(CurveKind("cost", "Cost", expected, floor), list(zip(STEPS, costs, strict=False)))


@pytest.mark.parametrize(
    "costs",
    [
        (10, 10, 10, 10),
        (10, 11, 10, 12),  # noise
        (10, 9, 9, 8),
    ],
)
def test_cost_of_each_that_stays_is_flat(costs: tuple[float, ...]) -> None:
    """Noise of some percent must not fail a run."""
    assert curve(*costs).judgement is Judgement.FLAT


def test_fixed_cost_that_is_shared_by_more_falls() -> None:
    """To call it flat would hide what the first step costs; to call it growth would fail every run."""
    assert curve(100, 20, 11, 10).judgement is Judgement.FALLS
    assert curve(100, 20, 11, 10, expected=LINEAR).judgement is Judgement.FALLS
    assert curve(100, 20, 11, 22).judgement is Judgement.GROWS  # falls over all, and rises in the end


@pytest.mark.parametrize(
    "costs",
    [
        (10, 20, 40, 80),  # the square root of the steps
        (10, 14, 20, 28),
        (10, 10, 10, 20),  # begins late: the fit alone would let it pass
    ],
)
def test_cost_of_each_that_rises_grows(costs: tuple[float, ...]) -> None:
    """A cost that doubles with the last step doubles again with the next one, which nobody measures."""
    assert curve(*costs).judgement is Judgement.GROWS


def test_total_may_be_linear_but_no_more() -> None:
    """Ten times as many workers may cost ten times as much."""
    assert curve(10, 100, 1000, 10_000, expected=LINEAR).judgement is Judgement.LINEAR
    assert curve(10, 10, 11, 10, expected=LINEAR).judgement is Judgement.FLAT
    assert curve(10, 100, 1000, 20_000, expected=LINEAR).judgement is Judgement.GROWS
    assert curve(10, 200, 4000, 80_000, expected=LINEAR).judgement is Judgement.GROWS


def test_values_below_the_floor_are_no_growth() -> None:
    """From 1 to 5 bytes is five times as much, and nothing."""
    assert curve(1, 2, 4, 5, floor=10).judgement is Judgement.FLAT
    assert curve(1, 2, 4, 50, floor=10).judgement is Judgement.GROWS


def test_zero_and_less_count_as_the_floor() -> None:
    """Memory that went back to the kernel makes a negative slope, which has no logarithm."""
    assert curve(-5, 0, 3, 4, floor=10).judgement is Judgement.FLAT


def test_one_point_is_no_curve() -> None:
    """A run of one step must not read as a proof."""
    assert curve(10).judgement is Judgement.TOO_SHORT
    assert curve().verdict() == "too short to judge"


def test_verdict_of_growth_names_both_ends() -> None:
    """The reader wants to know how much, and from where to where."""
    assert curve(10, 100).verdict() == "GROWS: 10 at 1,000, 100 at 10,000 (x^1.00, last step x^1.00)"
