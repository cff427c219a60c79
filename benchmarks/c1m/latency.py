"""Quantiles of a list of measured times."""

import math
from collections.abc import Sequence


def quantile(values: Sequence[float], fraction: float) -> float | None:
    """Give the value that `fraction` of `values` do not exceed (nearest rank); None when there are none."""
    if not values:
        return None
    rank = max(1, math.ceil(round(fraction * len(values), 9)))
    return sorted(values)[rank - 1]
