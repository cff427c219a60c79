"""How much CPU time a process took, and how old it is, by /proc. None where it cannot be read."""

import os
import time

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Places in /proc/PID/stat behind the name, which is in brackets and may hold anything.
_USER, _SYSTEM, _STARTED = 11, 12, 19


def read_cpu_s(pid: int) -> float | None:
    """Give the CPU seconds that a process took so far, all threads."""
    fields = _read_fields(pid)
    return None if fields is None else (int(fields[_USER]) + int(fields[_SYSTEM])) / _TICKS_PER_S


def read_age_s(pid: int) -> float | None:
    """Give the seconds since a process was started."""
    fields = _read_fields(pid)
    return None if fields is None else time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[_STARTED]) / _TICKS_PER_S


def _read_fields(pid: int) -> list[bytes] | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return None
