"""Curves of cost, and the judgement whether one is flat, linear, or grows faster than it may."""

import math
from dataclasses import dataclass, field
from enum import IntEnum

FIT_TOLERANCE = 0.10  # of the exponent over all steps: 0.1 is a factor of 1.26 for each factor of ten
STEP_TOLERANCE = 0.25  # of the exponent of the last step, which two noisy readings alone make
FLAT, LINEAR = 0, 1  # the exponents a curve may have


class Judgement(IntEnum):
    """What a curve is found to be."""

    FLAT = 0
    LINEAR = 1
    GROWS = 2
    TOO_SHORT = 3
    FALLS = 4


@dataclass(frozen=True, slots=True)
class CurveKind:
    """One curve of a dimension: the key of its values, what they are, and the exponent that they may have.

    `floor`: a value below it is taken for it, as it is smaller than what can be measured.
    """

    key: str
    heading: str
    expected: int = FLAT
    floor: float = 0.0


@dataclass(slots=True)
class Curve:
    """Points of one kind: steps of the dimension on x, cost on y."""

    kind: CurveKind
    points: list[tuple[float, float]] = field(default_factory=list)

    @property
    def fit_exponent(self) -> float:
        """Give the slope of the straight line through all points of the log-log plot; 0 for fewer than two points."""
        logs = self._logs()
        if len(logs) < 2:
            return 0.0
        mean_x = sum(x for x, _ in logs) / len(logs)
        mean_y = sum(y for _, y in logs) / len(logs)
        spread = sum((x - mean_x) ** 2 for x, _ in logs)
        return sum((x - mean_x) * (y - mean_y) for x, y in logs) / spread

    @property
    def last_exponent(self) -> float:
        """Give the slope between the last two points of the log-log plot; 0 for fewer than two points."""
        logs = self._logs()
        if len(logs) < 2:
            return 0.0
        (x0, y0), (x1, y1) = logs[-2:]
        return (y1 - y0) / (x1 - x0)

    @property
    def judgement(self) -> Judgement:
        """Compare both exponents with the one expected. What falls is a fixed cost that is shared by more."""
        if len(self._logs()) < 2:
            return Judgement.TOO_SHORT
        fit, last = self.fit_exponent, self.last_exponent
        if fit > self.kind.expected + FIT_TOLERANCE or last > self.kind.expected + STEP_TOLERANCE:
            return Judgement.GROWS
        if fit < -FIT_TOLERANCE:
            return Judgement.FALLS
        if self.kind.expected == FLAT or (fit <= FIT_TOLERANCE and last <= STEP_TOLERANCE):
            return Judgement.FLAT
        return Judgement.LINEAR

    def verdict(self) -> str:
        """Say it in a few words."""
        judgement = self.judgement
        if judgement is Judgement.TOO_SHORT:
            return "too short to judge"
        exponents = f"x^{self.fit_exponent:.2f}, last step x^{self.last_exponent:.2f}"
        if judgement is Judgement.GROWS:
            (first_x, first_y), (last_x, last_y) = self.points[0], self.points[-1]
            return f"GROWS: {first_y:,.4g} at {first_x:,g}, {last_y:,.4g} at {last_x:,g} ({exponents})"
        return f"{judgement.name.lower()} ({exponents})"

    def _logs(self) -> list[tuple[float, float]]:
        floored = [(x, max(y, self.kind.floor)) for x, y in self.points]
        return [(math.log(x), math.log(y)) for x, y in floored if x > 0 and y > 0]
