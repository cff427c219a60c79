"""What a server and all its descendants use: CPU seconds and proportional memory, read from /proc."""

import os
import time
from pathlib import Path

from benchmarks.errors import BenchmarkError

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_CPUCLOCK_SCHED = 2  # the kernel's number for "time on a CPU", user and system, of all the process's threads


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
                total += time.clock_gettime(((~pid) << 3) | _CPUCLOCK_SCHED)
                total += ended_children_cpu_s(Path(f"/proc/{pid}/stat").read_text())
            except OSError:
                continue  # ended in between: now in its parent's cutime
        return total

    def pss_bytes(self) -> int:
        """Sum the proportional set sizes: a page shared by n processes counts 1/n in each, so once in the sum.

        Raises:
            BenchmarkError: no process of the tree could be read.
        """
        total = 0
        for pid in self.pids():
            try:
                total += decode_pss_bytes(Path(f"/proc/{pid}/smaps_rollup").read_text())
            except OSError:
                continue
        if not total:
            raise BenchmarkError(f"no memory figure for process {self.root_pid}: it is gone or not ours")
        return total


def ended_children_cpu_s(stat: str) -> float:
    """Decode cutime + cstime, in seconds, from the text of /proc/PID/stat (fields 16 and 17 of proc(5))."""
    fields = stat[stat.rindex(")") + 2 :].split()  # the name in parentheses may hold spaces; field 3 comes first
    return (int(fields[13]) + int(fields[14])) / TICKS_PER_S


def decode_pss_bytes(rollup: str) -> int:
    """Decode the ``Pss:`` line of /proc/PID/smaps_rollup, in bytes.

    Raises:
        BenchmarkError: there is no such line.
    """
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise BenchmarkError("smaps_rollup has no Pss line")


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
