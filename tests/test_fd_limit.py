"""How many clients the file descriptors allow, and what to say when they are too few."""

import pytest

from gripproxy.fd_limit import (
    RESERVE_MAX_FDS,
    allowed_connections,
    fd_limit,
    fullest_share,
    needed_limit,
    needed_workers,
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


def test_share_of_the_fullest_worker_has_a_margin() -> None:
    """A hash deals clients out: a million over 56 workers has been seen to differ by hundreds."""
    assert fullest_share(1_000_000, 56) == 18_520  # 17,857 and 5 times 133
    assert fullest_share(1_000_000, 1) == 1_000_000  # nothing to spread
    assert fullest_share(3, 2) == 3  # never more than there are


@pytest.mark.parametrize(
    ("connections", "workers"), [(1, 1), (512, 1), (1_100, 1), (1_101, 1), (50_000, 7), (10**6, 56)]
)
def test_needed_limit_is_just_enough(connections: int, workers: int) -> None:
    """One less is too few: the reserve of a low limit is half of it, and must be counted as the worker counts it."""
    limit, share = needed_limit(connections, workers), fullest_share(connections, workers)
    assert allowed_connections(1, limit) >= share
    assert allowed_connections(1, limit - 1) < share


@pytest.mark.parametrize("limit", [1, 64, 1_024, 20_000])
@pytest.mark.parametrize("connections", [1, 500, 20_000, 1_001_000])
def test_needed_workers_are_just_enough(connections: int, limit: int) -> None:
    """One less is too few."""
    workers = needed_workers(connections, limit)
    assert needed_limit(connections, workers) <= limit
    assert workers == 1 or needed_limit(connections, workers - 1) > limit


def test_no_hint_when_all_clients_fit() -> None:
    """The default of 50,000 on a usual server is not worth a warning."""
    assert shortage_hint(50_000, workers=2, limit=524_288) is None


def test_hint_gives_figures_that_are_enough() -> None:
    """Whoever follows the hint must not get the next one."""
    hint = shortage_hint(1_001_000, workers=2, limit=20_000)
    assert hint is not None
    assert hint.startswith("client_maxconn=1001000 cannot be reached, only 37800: ")
    assert "raise the fd limit to 504102 or run 55 workers" in hint
    assert "`gripproxy doctor`" in hint
    assert shortage_hint(1_001_000, workers=2, limit=504_102) is None
    assert shortage_hint(1_001_000, workers=55, limit=20_000) is None


def test_hint_comes_also_when_only_even_shares_would_fit() -> None:
    """The fullest worker would refuse clients that the others have room for."""
    hint = shortage_hint(1_001_000, workers=53, limit=20_000)
    assert allowed_connections(53, 20_000) >= 1_001_000
    assert hint is not None
    assert "leaves no room for uneven shares" in hint


def test_origins_get_most_of_the_reserve() -> None:
    """A held client needs no origin connection, but every new one does."""
    assert origin_connections(20_000) == 1_000
    assert origin_connections(1_024) == 412
    assert origin_connections(64) == 1


def test_limit_is_raised_to_what_is_allowed() -> None:
    """The soft limit of a login shell is 1,024."""
    assert raise_fd_limit() == fd_limit()
