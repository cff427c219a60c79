"""Makes the kernel's filters of system calls of a unit's settings, as systemd does. Runs with Debian's python3-seccomp.

Usage: service_filters.py UNIT_AS_JSON FOLDER
"""

import contextlib
import errno
import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import seccomp  # Debian's python3-seccomp: there is none on PyPI

ADDRESS_FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}
FAMILIES_COUNT = 46  # of Linux 6
PROT_WRITE, PROT_EXEC = 2, 4


def main() -> None:
    """Write the filters into the folder, in the order in which they are put in force."""
    unit, folder = json.loads(sys.argv[1]), Path(sys.argv[2])
    denied = seccomp.ERRNO(errno.EPERM)
    calls = seccomp.SyscallFilter(denied)
    for name in sorted(_allowed(unit["SystemCallFilter"])):
        with contextlib.suppress(OverflowError, RuntimeError, OSError):  # of other machines, or of newer kernels
            calls.add_rule(seccomp.ALLOW, name)
    memory = seccomp.SyscallFilter(seccomp.ALLOW)
    if unit["MemoryDenyWriteExecute"] == ["yes"]:
        both = PROT_WRITE | PROT_EXEC
        memory.add_rule(denied, "mmap", seccomp.Arg(2, seccomp.MASKED_EQ, both, both))
        memory.add_rule(denied, "mprotect", seccomp.Arg(2, seccomp.MASKED_EQ, PROT_EXEC, PROT_EXEC))
    families = seccomp.SyscallFilter(seccomp.ALLOW)
    allowed_families = {ADDRESS_FAMILIES[name] for name in unit["RestrictAddressFamilies"][0].split()}
    for number in set(range(FAMILIES_COUNT)) - allowed_families:
        refused = seccomp.ERRNO(errno.EAFNOSUPPORT)
        families.add_rule(refused, "socket", seccomp.Arg(0, seccomp.EQ, number))
    for number, rules in enumerate((families, memory, calls)):
        with (folder / f"{number}.bpf").open("wb") as file:
            rules.export_bpf(file)
    os.chmod(folder, 0o755)


def _allowed(lines: list[str]) -> set[str]:
    """Read SystemCallFilter: the first line is a list of what is allowed, ~ takes out, others add."""
    allowed: set[str] = set()
    for line in lines:
        names = {call for name in line.removeprefix("~").split() for call in _members(name)}
        allowed = allowed - names if line.startswith("~") else allowed | names
    # What systemd's executor itself needs is allowed always.
    return allowed | {"execve", "exit", "exit_group", "rt_sigreturn"}


@functools.cache
def _members(name: str) -> frozenset[str]:
    if not name.startswith("@"):
        return frozenset([name])
    output = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True)
    lines = [line.strip() for line in output.stdout.splitlines()[1:]]
    return frozenset(call for line in lines if line and not line.startswith("#") for call in _members(line))


if __name__ == "__main__":
    main()
