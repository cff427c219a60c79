"""What this machine allows, read once from /proc and /sys into plain values that the checks judge."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PROC_SYS = "proc/sys"
LIMITS = "proc/self/limits"
MEMINFO = "proc/meminfo"
OWN_CGROUP = "proc/self/cgroup"
# Where cgroup v2 is mounted: alone, or beside v1.
CGROUP_ROOTS = ("sys/fs/cgroup", "sys/fs/cgroup/unified")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Limits and sizes as found. None: not there, or not to be read by this user or in this container."""

    cpus_count: int
    page_bytes: int
    fd_limit: int | None = None  # hard RLIMIT_NOFILE: gripproxy raises its soft limit to it
    nr_open: int | None = None
    file_max: int | None = None
    files_count: int | None = None  # open now in the whole system
    epoll_watches_max: int | None = None  # of one user
    local_ports: tuple[int, ...] | None = None  # first and last
    somaxconn: int | None = None
    syn_backlog_max: int | None = None
    migrates_requests: int | None = None  # None: a kernel before 5.14
    syn_cookies: int | None = None
    tcp_mem: tuple[int, ...] | None = None  # pages: low, pressure, max
    tcp_rmem: tuple[int, ...] | None = None  # bytes: min, default, max
    tcp_wmem: tuple[int, ...] | None = None
    conntrack_max: int | None = None  # None: its module is not loaded
    conntrack_count: int | None = None
    conntrack_buckets: int | None = None
    memory_available_bytes: int | None = None
    memory_cgroup_bytes: int | None = None  # what the limits of the cgroups leave; None: no limit
    tasks_cgroup_count: int | None = None  # processes and threads that they leave


class KernelFiles:
    """Reads small text files under `root`, which is / but in tests."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def text(self, path: str) -> str | None:
        """Give a file's text, or None if it cannot be read."""
        try:
            return (self._root / path).read_text(errors="replace")
        except OSError:
            return None

    def numbers(self, path: str, count: int) -> tuple[int, ...] | None:
        """Give the first `count` whole numbers of a file, or None if it does not begin with so many."""
        words = (self.text(path) or "").split()[:count]
        return tuple(map(int, words)) if len(words) == count and all(map(str.isdecimal, words)) else None

    def number(self, path: str) -> int | None:
        """Give the whole number that a file begins with, or None."""
        numbers = self.numbers(path, 1)
        return numbers[0] if numbers else None


def read_machine(files: KernelFiles, cpus_count: int, page_bytes: int) -> Machine:
    """Read all that the checks look at."""

    def value(key: str) -> int | None:
        return files.number(sysctl_path(key))

    def values(key: str, count: int) -> tuple[int, ...] | None:
        return files.numbers(sysctl_path(key), count)

    return Machine(
        cpus_count=cpus_count,
        page_bytes=page_bytes,
        fd_limit=_hard_fd_limit(files),
        nr_open=value("fs.nr_open"),
        file_max=value("fs.file-max"),
        files_count=value("fs.file-nr"),
        epoll_watches_max=value("fs.epoll.max_user_watches"),
        local_ports=values("net.ipv4.ip_local_port_range", 2),
        somaxconn=value("net.core.somaxconn"),
        syn_backlog_max=value("net.ipv4.tcp_max_syn_backlog"),
        syn_cookies=value("net.ipv4.tcp_syncookies"),
        migrates_requests=value("net.ipv4.tcp_migrate_req"),
        tcp_mem=values("net.ipv4.tcp_mem", 3),
        tcp_rmem=values("net.ipv4.tcp_rmem", 3),
        tcp_wmem=values("net.ipv4.tcp_wmem", 3),
        conntrack_max=value("net.netfilter.nf_conntrack_max"),
        conntrack_count=value("net.netfilter.nf_conntrack_count"),
        conntrack_buckets=value("net.netfilter.nf_conntrack_buckets"),
        memory_available_bytes=_available_bytes(files),
        memory_cgroup_bytes=_cgroup_room(files, "memory"),
        tasks_cgroup_count=_cgroup_room(files, "pids"),
    )


def sysctl_path(key: str) -> str:
    """Give the file of a key like ``net.core.somaxconn``, without the leading slash."""
    return f"{PROC_SYS}/{key.replace('.', '/')}"


def _hard_fd_limit(files: KernelFiles) -> int | None:
    hard = _field(files.text(LIMITS), "Max open files", lambda words: words[1])
    if hard == "unlimited":
        return sys.maxsize
    return int(hard) if hard and hard.isdecimal() else None


def _available_bytes(files: KernelFiles) -> int | None:
    kibibytes = _field(files.text(MEMINFO), "MemAvailable:", lambda words: words[0])
    return int(kibibytes) * 1024 if kibibytes and kibibytes.isdecimal() else None


def _field(text: str | None, start: str, choose: Callable[[list[str]], str]) -> str | None:
    for line in (text or "").splitlines():
        words = line.removeprefix(start).split()
        if line.startswith(start) and len(words) > 1:
            return choose(words)
    return None


def _cgroup_room(files: KernelFiles, controller: str) -> int | None:
    """Give what the narrowest limit on the way from this process's cgroup to the root leaves, or None."""
    own = next((line[3:] for line in (files.text(OWN_CGROUP) or "").splitlines() if line.startswith("0::/")), None)
    if own is None:
        return None
    rooms = []
    for root in CGROUP_ROOTS:
        parts = own.strip("/").split("/") if own != "/" else []
        for depth in range(len(parts) + 1):
            folder = "/".join([root, *parts[:depth]])
            limit = files.number(f"{folder}/{controller}.max")  # "max" is no number: no limit
            if limit is not None:
                rooms.append(max(0, limit - (files.number(f"{folder}/{controller}.current") or 0)))
    return min(rooms, default=None)
