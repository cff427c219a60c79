"""What the kernel says about a process: its children, title, memory and sockets."""

import os
import re
from pathlib import Path

ESTABLISHED = "01"


def children(pid: int) -> list[int]:
    """Give the ids of a process's children."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(path.parent.name))
    return sorted(found)


def is_gone(pid: int) -> bool:
    """Say whether a process has ended and its sockets are closed, be it reaped or not.

    The main thread of a killed process is a zombie first; the sockets are closed when its last thread has ended.
    """
    try:
        is_zombie = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        return is_zombie and len(os.listdir(f"/proc/{pid}/task")) == 1
    except OSError:
        return True


def title(pid: int) -> str:
    """Give the command line, which is where a process title is written; empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def private_memory_bytes(pid: int) -> int:
    """Give the memory that only this process has."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * sum(int(size) for size in re.findall(r"^Private_\w+: +(\d+) kB", text, re.MULTILINE))


def _socket_ports() -> dict[str, tuple[int, int]]:
    """Give local and remote port of every established TCP socket by its inode."""
    ports = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == ESTABLISHED:
                ports[fields[9]] = (int(fields[1].rpartition(":")[2], 16), int(fields[2].rpartition(":")[2], 16))
    return ports


def fd_targets(pid: int) -> list[str]:
    """Give what each open file descriptor points at."""
    targets = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            targets.append(os.readlink(path))
        except OSError:
            continue
    return targets


def established(pid: int, local_port: int) -> int:
    """Count the established connections to a local port that the process has."""
    ports = _socket_ports()
    inodes = (target[len("socket:[") : -1] for target in fd_targets(pid) if target.startswith("socket:["))
    return sum(ports.get(inode, (0, 0))[0] == local_port for inode in inodes)


def has_peer(pid: int, remote_port: int) -> bool:
    """Say whether the process has an established connection from this port."""
    ports = _socket_ports()
    inodes = (target[len("socket:[") : -1] for target in fd_targets(pid) if target.startswith("socket:["))
    return any(ports.get(inode, (0, 0))[1] == remote_port for inode in inodes)


def fd_count_without(pid: int, remote_port: int) -> int:
    """Count the open file descriptors, connections to a remote port (pooled ones to the origin) left out."""
    ports = _socket_ports()
    targets = fd_targets(pid)
    inodes = (target[len("socket:[") : -1] for target in targets if target.startswith("socket:["))
    return len(targets) - sum(ports.get(inode, (0, 0))[1] == remote_port for inode in inodes)
