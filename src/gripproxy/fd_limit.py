"""How many file descriptors a process may open, and how many client connections that allows."""

import resource

# Per worker: listeners, epoll, the bus, the log, and the connections to origins, which every busy client needs too.
RESERVE_FDS = 256


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
    return workers * max(0, limit - RESERVE_FDS)


def shortage_hint(wanted: int, workers: int, limit: int) -> str | None:
    """Say what to change so that `wanted` client connections fit, or None if they do."""
    allowed = allowed_connections(workers, limit)
    if wanted <= allowed:
        return None
    needed_limit = -(-wanted // workers) + RESERVE_FDS
    text = f"client_maxconn={wanted} cannot be reached, only {allowed}: raise the fd limit to {needed_limit}"
    text += " (ulimit -Hn, or LimitNOFILE= of a systemd unit)"
    if limit > RESERVE_FDS:
        text += f" or run {-(-wanted // (limit - RESERVE_FDS))} workers"
    return text
