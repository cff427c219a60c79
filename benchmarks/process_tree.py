"""What a server and all its descendants use: CPU seconds and proportional memory, read from /proc."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_CPUCLOCK_SCHED = 2  # the kernel's number for "time on a CPU", user and system, of all the process's threads


@dataclass(frozen=True, slots=True)
class Memory:
    """Proportional set size: all of it, and without file pages.

    A page of libpython or libc counts the less the more processes of the whole machine map it, so `pss_bytes`
    moves by megabytes when a stranger starts; what a connection needs is in `data_bytes`.
    """

    pss_bytes: int = 0
    data_bytes: int = 0  # heap, stacks, shared anonymous memory


class ProcessTree:
    """One process started by the benchmark, with its children, their children and so on, as they are now."""

    __slots__ = ("root_pid",)

    def __init__(self, root_pid: int) -> None:
        self.root_pid = root_pid

    def pids(self) -> list[int]:
        """List the live processes of the tree, the root first; empty once the root is gone."""
        if not _is_alive(self.root_pid):
            return []
        found = [self.root_pid]
        for pid in found:  # grows while it is walked
            found.extend(_children(pid))
        return found

    def cpu_s(self) -> float:
        """Give user + system CPU seconds of every process so far, children that have ended included.

        Live processes are read through their CPU clock, which has nanoseconds where /proc/PID/stat has ticks
        of 10 ms; ended ones from the parent's cutime + cstime.
        """
        total = 0.0
        for pid in self.pids():
            try:
                total += process_cpu_s(pid)
                total += ended_children_cpu_s(Path(f"/proc/{pid}/stat").read_text())
            except OSError:
                continue  # ended in between: now in its parent's cutime
        return total

    def file_count(self) -> int:
        """Count the open files of all processes: one for each connection, and some."""
        total = 0
        for pid in self.pids():
            try:
                total += len(os.listdir(f"/proc/{pid}/fd"))
            except OSError:
                continue
        return total

    def memory(self) -> "Memory":
        """Sum the proportional set sizes: a page shared by n processes counts 1/n in each, so once in the sum.

        Raises:
            BenchmarkError: no process of the tree could be read.
        """
        total = Memory()
        for pid in self.pids():
            try:
                one = decode_rollup(Path(f"/proc/{pid}/smaps_rollup").read_text())
            except OSError:
                continue
            total = Memory(total.pss_bytes + one.pss_bytes, total.data_bytes + one.data_bytes)
        if not total.pss_bytes:
            raise BenchmarkError(f"no memory figure for process {self.root_pid}: it is gone or not ours")
        return total


def process_cpu_s(pid: int) -> float:
    """Give user + system CPU seconds of one process so far, without its children.

    Raises:
        OSError: it has ended.
    """
    return time.clock_gettime(((~pid) << 3) | _CPUCLOCK_SCHED)


def ended_children_cpu_s(stat: str) -> float:
    """Decode cutime + cstime, in seconds, from the text of /proc/PID/stat (fields 16 and 17 of proc(5))."""
    fields = stat[stat.rindex(")") + 2 :].split()  # the name in parentheses may hold spaces; field 3 comes first
    return (int(fields[13]) + int(fields[14])) / TICKS_PER_S


def decode_rollup(rollup: str) -> Memory:
    """Decode the text of /proc/PID/smaps_rollup.

    Raises:
        BenchmarkError: a line is missing.
    """
    sizes: dict[str, int] = {}
    for line in rollup.splitlines():
        name, _, value = line.partition(":")
        if name.startswith("Pss"):
            sizes[name] = int(value.split()[0]) * 1024
    try:
        return Memory(sizes["Pss"], sizes["Pss_Anon"] + sizes["Pss_Shmem"])
    except KeyError as error:
        raise BenchmarkError(f"smaps_rollup has no line {error}") from error


def _is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat[stat.rindex(")") + 2] != "Z"


def _children(pid: int) -> list[int]:
    children: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            children.extend(int(child) for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    except OSError:
        return children  # ended while it was read
    return children
