"""How many clients the file descriptors allow, and what to say when they are too few."""

import pytest

from gripproxy.fd_limit import (
    RESERVE_MAX_FDS,
    allowed_connections,
    fd_limit,
    origin_connections,
    raise_fd_limit,
    shortage_hint,
)


@pytest.mark.parametrize(
    ("workers", "limit", "allowed"),
    [(2, 20_000, 2 * (20_000 - RESERVE_MAX_FDS)), (1, 1024, 512), (8, 10, 40)],
)
def test_each_worker_keeps_a_reserve(workers: int, limit: int, allowed: int) -> None:
    """Without descriptors for its origins a worker could hold clients but not answer them."""
    assert allowed_connections(workers, limit) == allowed


def test_no_hint_when_all_clients_fit() -> None:
    """The default of 50,000 on a usual server is not worth a warning."""
    assert shortage_hint(50_000, workers=2, limit=524_288) is None


def test_hint_gives_figures_that_are_enough() -> None:
    """Whoever follows the hint must not get the next one."""
    hint = shortage_hint(1_001_000, workers=2, limit=20_000)
    assert hint is not None
    assert "raise the fd limit to 501600" in hint
    assert shortage_hint(1_001_000, workers=2, limit=501_600) is None
    assert "or run 53 workers" in hint
    assert shortage_hint(1_001_000, workers=53, limit=20_000) is None


def test_origins_get_most_of_the_reserve() -> None:
    """A held client needs no origin connection, but every new one does."""
    assert origin_connections(20_000) == 1_000
    assert origin_connections(1_024) == 412
    assert origin_connections(64) == 1


def test_limit_is_raised_to_what_is_allowed() -> None:
    """The soft limit of a login shell is 1,024."""
    assert raise_fd_limit() == fd_limit()
