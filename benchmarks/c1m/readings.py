"""Memory and CPU as /proc tells them."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.process_tree import TICKS_PER_S, Memory, ProcessTree, decode_rollup

MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class MachineMemory:
    """The whole machine, in bytes. `kernel_bytes` is all that is neither free, nor cache, nor a process's own."""

    available_bytes: int
    kernel_bytes: int
    slab_bytes: int


def decode_meminfo(text: str) -> MachineMemory:
    """Decode the text of /proc/meminfo."""
    fields = {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in text.splitlines() if ":" in line}
    user_and_cache = sum(fields[name] for name in ("MemFree", "Buffers", "Cached", "SwapCached", "AnonPages"))
    return MachineMemory(fields["MemAvailable"], fields["MemTotal"] - user_and_cache, fields["Slab"])


def machine_memory() -> MachineMemory:
    """Read the machine's memory."""
    return decode_meminfo(MEMINFO.read_text())


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU seconds of a process tree so far; the split is by ticks of 10 ms."""

    total_s: float = 0.0
    user_s: float = 0.0
    system_s: float = 0.0

    def __sub__(self, earlier: "Cpu") -> "Cpu":
        """Give what was used since, with the split scaled to the exact total."""
        total_s = self.total_s - earlier.total_s
        user_s, system_s = self.user_s - earlier.user_s, self.system_s - earlier.system_s
        share = user_s / (user_s + system_s) if user_s + system_s else 0.5
        return Cpu(total_s, total_s * share, total_s * (1 - share))


def tree_cpu(tree: ProcessTree) -> Cpu:
    """Read the CPU time of a process and its descendants."""
    user_ticks = system_ticks = 0
    for pid in tree.pids():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            continue
        fields = stat[stat.rindex(")") + 2 :].split()
        user_ticks += int(fields[11])
        system_ticks += int(fields[12])
    return Cpu(tree.cpu_s(), user_ticks / TICKS_PER_S, system_ticks / TICKS_PER_S)


def processes_cpu_s(pids: list[int]) -> float:
    """Give the CPU seconds of single processes, added up; one that has ended counts nothing."""
    return sum(ProcessTree(pid).cpu_s() for pid in pids)


class RollingMemory:
    """The memory of many processes, read a few at a time: reading all at once would show in their latencies."""

    def __init__(self, tree: ProcessTree, turns: int = 5) -> None:
        self._pids = tree.pids()
        self._turns = turns
        self._next = 0
        self._known: dict[int, Memory] = {}

    def read(self) -> int:
        """Read the next processes again; gives the sum of the last PSS of all, in bytes."""
        count = len(self._pids) if not self._known else -(-len(self._pids) // self._turns)
        for _ in range(count):
            pid = self._pids[self._next % len(self._pids)]
            self._next += 1
            try:
                self._known[pid] = decode_rollup(Path(f"/proc/{pid}/smaps_rollup").read_text())
            except OSError:
                self._known.pop(pid, None)
        return sum(memory.pss_bytes for memory in self._known.values())
