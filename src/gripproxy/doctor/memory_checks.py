"""Whether the memory is enough for the held connections, and for an item that is on its way to all of them.

Measured on Linux 6.18 (x86-64) with 18,000 idle loopback connections, from the slabs' growth: struct TCP 2,362 bytes,
inode 826, dentry 192, file 190, security 45 at each end, and 190 for epoll at ours. A write of 100 bytes that is not
read yet takes 1,090.
"""

from gripproxy.doctor.finding import Finding, Load, gigabytes, unknown, verdict_of
from gripproxy.doctor.machine import MEMINFO, Machine
from gripproxy.memory_use import KERNEL_BYTES

PROCESS_BASE_BYTES = 14_000_000  # a process before its first connection
USER_BYTES = 300  # of the worker, for each held connection
IN_FLIGHT_BYTES = 1_100  # for an item of one segment that has not been acknowledged


def memory_findings(load: Load, machine: Machine) -> list[Finding]:
    """Judge the memory that is available now, or what is left of a lower limit of the cgroups."""
    held, in_flight = held_bytes(load), load.connections * IN_FLIGHT_BYTES
    needed = held + in_flight
    if machine.memory_available_bytes is None:
        return [unknown("memory", gigabytes(needed), f"/{MEMINFO}")]
    limit = machine.memory_cgroup_bytes
    is_limited = limit is not None and limit < machine.memory_available_bytes
    room = limit if limit is not None and is_limited else machine.memory_available_bytes
    is_enough = room >= needed
    connections = _fitting_connections(load, room)
    advice = () if is_enough else (f"it is enough for {connections:,} connections; stop other programs or add memory",)
    if is_limited and not is_enough:
        advice = (f"the cgroup's limit: MemoryMax={needed // 1_000_000 + 1}M in the systemd unit, or the container's",)
    return [
        Finding(
            name="memory",
            verdict=verdict_of(is_enough),
            found=f"{gigabytes(room)} {'in the cgroup' if is_limited else 'available'}",
            needed=gigabytes(needed),
            why=f"{gigabytes(held)} idle, {gigabytes(in_flight)} while an item is on its way to all",
            advice=advice,
        )
    ]


def held_bytes(load: Load) -> int:
    """Give what supervisor, hub, workers and idle connections take, user and kernel memory."""
    return (load.workers + 2) * PROCESS_BASE_BYTES + load.connections * (USER_BYTES + KERNEL_BYTES)


def _fitting_connections(load: Load, room_bytes: int) -> int:
    free = room_bytes - (load.workers + 2) * PROCESS_BASE_BYTES
    return max(0, free // (USER_BYTES + KERNEL_BYTES + IN_FLIGHT_BYTES))
