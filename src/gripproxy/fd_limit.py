"""How many file descriptors a process may open, and how many client connections that allows."""

import resource

RESERVE_MAX_FDS = 1100  # per worker, not for clients: listeners, epoll, the bus, the log, and origin connections
OWN_FDS = 100  # of the reserve: all but the origin connections


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


def shortage_hint(wanted: int, workers: int, limit: int) -> str | None:
    """Say what to change so that `wanted` client connections fit, or None if they do."""
    allowed = allowed_connections(workers, limit)
    if wanted <= allowed:
        return None
    needed_limit = -(-wanted // workers) + RESERVE_MAX_FDS
    text = f"client_maxconn={wanted} cannot be reached, only {allowed}: raise the fd limit to {needed_limit}"
    text += " (ulimit -Hn, or LimitNOFILE= of a systemd unit)"
    return text + f" or run {-(-wanted // (limit - reserve_fds(limit)))} workers"
