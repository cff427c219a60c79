"""What limits processes: file descriptors of each and of all, epoll's watches, tasks, cores."""

from gripproxy.doctor.finding import Finding, Load, Sysctl, Verdict, grouped, round_up, unknown, verdict_of
from gripproxy.doctor.machine import LIMITS, Machine, sysctl_path
from gripproxy.fd_limit import RESERVE_MAX_FDS, fullest_share, needed_limit, needed_workers
from gripproxy.settings import WORKERS_MAX_COUNT

FD_STEP = 1_000
FILE_STEP = 100_000
# Hub and worker: one thread of their own, two of ZeroMQ, four of the loop for names of origins.
TASKS_PER_PROCESS = 7

NR_OPEN = "fs.nr_open"
FILE_MAX = "fs.file-max"
EPOLL_WATCHES = "fs.epoll.max_user_watches"


def process_findings(load: Load, machine: Machine) -> list[Finding]:
    """Judge what limits processes."""
    return [
        *_client_maxconn(load),
        _fd_limit(load, machine),
        _nr_open(load, machine),
        _file_max(load, machine),
        _epoll_watches(load, machine),
        _tasks(load, machine),
        _cores(load, machine),
    ]


def safe_fd_limit(load: Load) -> int:
    """Give the limit to set: with it the clients of a worker that died also fit into those that are left."""
    after_a_death = load.connections + -(-load.connections // load.workers)
    return round_up(min(needed_limit(after_a_death, load.workers), needed_limit(load.connections, 1)), FD_STEP)


def _client_maxconn(load: Load) -> list[Finding]:
    if load.client_maxconn >= load.connections:
        return []
    return [
        Finding(
            name="client_maxconn",
            verdict=Verdict.CHANGE if load.config_path else Verdict.NOTE,
            found=grouped(load.client_maxconn),
            needed=grouped(load.connections),
            why="gripproxy itself refuses clients above it",
            advice=(f"in [runner] of {load.config_path or 'the configuration'}: client_maxconn={load.connections}",),
        )
    ]


def _fd_limit(load: Load, machine: Machine) -> Finding:
    name, needed = "fd limit per process", needed_limit(load.connections, load.workers)
    if machine.fd_limit is None:
        return unknown(name, grouped(needed), f"/{LIMITS}")
    safe, is_enough = safe_fd_limit(load), machine.fd_limit >= needed
    why = f"{grouped(fullest_share(load.connections, load.workers))} clients in the fullest worker, and its own"
    advice: tuple[str, ...] = ()
    if not is_enough:
        advice = _fd_advice(load, machine.fd_limit, safe)
    elif machine.fd_limit < safe:
        advice = (f"enough, but {grouped(safe)} would also take the clients of a worker that dies at once",)
    return Finding(
        name=name,
        verdict=verdict_of(is_enough),
        found=grouped(machine.fd_limit),
        needed=grouped(needed),
        why=why,
        advice=advice,
    )


def _fd_advice(load: Load, limit: int, safe: int) -> tuple[str, ...]:
    workers = needed_workers(load.connections, limit)
    by_workers = f"- more workers: workers={workers} in the configuration, or --workers {workers}"
    return (
        "one of",
        *([by_workers] if workers <= WORKERS_MAX_COUNT else []),
        f"- in the [Service] section of the systemd unit: LimitNOFILE={safe}",
        "- for a login, in /etc/security/limits.d/gripproxy.conf, and log in again:",
        f"      *     hard  nofile  {safe}",
        f"      root  hard  nofile  {safe}",
    )


def _nr_open(load: Load, machine: Machine) -> Finding:
    needed = needed_limit(load.connections, load.workers)
    if machine.nr_open is None:
        return unknown(NR_OPEN, grouped(needed), f"/{sysctl_path(NR_OPEN)}")
    # More workers within the present limit do without it.
    is_enough = machine.nr_open >= needed or (machine.fd_limit or 0) >= needed
    value = max(safe_fd_limit(load), machine.nr_open)
    return Finding(
        name=NR_OPEN,
        verdict=verdict_of(is_enough),
        found=grouped(machine.nr_open),
        needed=grouped(needed),
        why="no process's fd limit can be set above it",
        sysctls=(Sysctl(key=NR_OPEN, value=str(value), reason="Bounds the fd limit that a process may be given."),),
    )


def _file_max(load: Load, machine: Machine) -> Finding:
    wanted = load.connections + load.workers * RESERVE_MAX_FDS
    if machine.file_max is None or machine.files_count is None:
        return unknown(FILE_MAX, grouped(wanted), f"/{sysctl_path(FILE_MAX)}")
    needed = machine.files_count + wanted
    value = max(round_up(needed * 1.1, FILE_STEP), machine.file_max)
    return Finding(
        name=FILE_MAX,
        verdict=verdict_of(machine.file_max >= needed),
        found="unlimited" if machine.file_max >= 2**62 else grouped(machine.file_max),
        needed=grouped(needed),
        why=f"a connection is an open file; {grouped(machine.files_count)} are open now",
        sysctls=(Sysctl(key=FILE_MAX, value=str(value), reason="A connection is an open file of the system."),),
    )


def _epoll_watches(load: Load, machine: Machine) -> Finding:
    needed = load.connections + load.workers * RESERVE_MAX_FDS
    if machine.epoll_watches_max is None:
        return unknown(EPOLL_WATCHES, grouped(needed), f"/{sysctl_path(EPOLL_WATCHES)}")
    value = max(round_up(needed * 1.1, FILE_STEP), machine.epoll_watches_max)
    return Finding(
        name=EPOLL_WATCHES,
        verdict=verdict_of(machine.epoll_watches_max >= needed),
        found=grouped(machine.epoll_watches_max),
        needed=grouped(needed),
        why="each connection is watched, and the limit is per user",
        sysctls=(
            Sysctl(key=EPOLL_WATCHES, value=str(value), reason="Each connection is watched by a worker's epoll."),
        ),
    )


def _tasks(load: Load, machine: Machine) -> Finding:
    needed = 1 + (load.workers + 1) * TASKS_PER_PROCESS
    room = machine.tasks_cgroup_count
    is_enough = room is None or room >= needed
    advice = () if is_enough else (f"in the [Service] section of the systemd unit: TasksMax={needed}",)
    return Finding(
        name="tasks in the cgroup",
        verdict=verdict_of(is_enough),
        found="no limit" if room is None else grouped(room),
        needed=grouped(needed),
        why="supervisor, hub and workers with their threads",
        advice=advice,
    )


def _cores(load: Load, machine: Machine) -> Finding:
    is_equal = load.workers == machine.cpus_count
    advice: tuple[str, ...] = ()
    if load.workers > machine.cpus_count:
        advice = (
            "more workers than cores take memory and CPU and make nothing faster: only the fd limit asks for them",
        )
    elif not is_equal:
        advice = ("a core without a worker serves no clients; leave one to an origin on this machine",)
    return Finding(
        name="CPU cores",
        verdict=Verdict.OK if is_equal else Verdict.NOTE,
        found=grouped(machine.cpus_count),
        needed=grouped(load.workers),
        why="one worker per core is best",
        advice=advice,
    )
