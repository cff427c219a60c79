"""How many file descriptors a process may open, and how many client connections that allows."""

import bisect
import math
import resource

RESERVE_MAX_FDS = 1100  # per worker, not for clients: listeners, epoll, the bus, the log, and origin connections
OWN_FDS = 100  # of the reserve: all but the origin connections
# The kernel deals clients out to the workers by a hash, so their shares differ by chance: the fullest of a
# thousand workers is over its even share by more than this many standard deviations once in 3,000 starts.
SPREAD_DEVIATIONS = 5


def reserve_fds(limit: int) -> int:
    """Give how many of a worker's descriptors are not for clients; under a low limit it is half of them."""
    return min(RESERVE_MAX_FDS, limit // 2)


def origin_connections(limit: int) -> int:
    """Give how many connections to origins a worker may have."""
    return max(1, reserve_fds(limit) - OWN_FDS)


def raise_fd_limit() -> int:
    """Raise the soft limit to the hard one, which every user may; children inherit it. Gives the limit in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def fd_limit() -> int:
    """Give the number of file descriptors that this process may open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def allowed_connections(workers: int, limit: int) -> int:
    """Give how many client connections all workers together can hold with `limit` descriptors each."""
    return workers * (limit - reserve_fds(limit))


def fullest_share(connections: int, workers: int) -> int:
    """Give how many of `connections` the fullest worker must expect."""
    even = connections / workers
    margin = SPREAD_DEVIATIONS * math.sqrt(even * (1 - 1 / workers))
    return min(connections, math.ceil(even + margin))


def needed_limit(connections: int, workers: int) -> int:
    """Give the lowest limit of descriptors with which each worker can hold its share of `connections`."""
    share = fullest_share(connections, workers)
    return share + min(RESERVE_MAX_FDS, share - 1)


def needed_workers(connections: int, limit: int) -> int:
    """Give the lowest number of workers that can hold `connections` with `limit` descriptors each."""
    # With 30 times as many workers as connections even the fullest one expects no second connection.
    candidates = range(1, 30 * connections + 1)
    return candidates[
        bisect.bisect_left(candidates, True, key=lambda workers: needed_limit(connections, workers) <= limit)
    ]


def shortage_hint(wanted: int, workers: int, limit: int) -> str | None:
    """Say what to change so that `wanted` client connections fit, or None if they do."""
    needed = needed_limit(wanted, workers)
    if needed <= limit:
        return None
    allowed = allowed_connections(workers, limit)
    fault = f"cannot be reached, only {allowed}" if allowed < wanted else "leaves no room for uneven shares of workers"
    change = f"raise the fd limit to {needed} or run {needed_workers(wanted, limit)} workers"
    return f"client_maxconn={wanted} {fault}: {change}; `gripproxy doctor` says how"
