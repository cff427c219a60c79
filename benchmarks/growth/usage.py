"""What gripproxy's processes use, apart for the hub and the workers, and the difference between two readings."""

from dataclasses import dataclass

from benchmarks.gripproxy_processes import hubs_and_workers
from benchmarks.process_tree import ProcessTree


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds so far and memory now.

    `data` is without file pages; `worker_pss_bytes` is with them, of one worker on average.
    """

    cpu_s: float
    hub_cpu_s: float
    workers_cpu_s: float
    data_bytes: int = 0
    hub_data_bytes: int = 0
    worker_pss_bytes: float = 0.0

    def minus(self, earlier: "Usage") -> "Usage":
        """Give what was used since `earlier`; the memory of a worker stays what it is now."""
        return Usage(
            self.cpu_s - earlier.cpu_s,
            self.hub_cpu_s - earlier.hub_cpu_s,
            self.workers_cpu_s - earlier.workers_cpu_s,
            self.data_bytes - earlier.data_bytes,
            self.hub_data_bytes - earlier.hub_data_bytes,
            self.worker_pss_bytes,
        )


class UsageReader:
    """Knows which process of the tree is what, by the titles that they give themselves."""

    __slots__ = ("_hubs", "_tree", "_workers")

    def __init__(self, tree: ProcessTree) -> None:
        self._tree = tree
        self._hubs, self._workers = hubs_and_workers(tree)

    def cpu(self) -> Usage:
        """Read CPU only, which takes no time even with many processes."""
        return Usage(
            self._tree.cpu_s(),
            sum(process.cpu_s() for process in self._hubs),
            sum(process.cpu_s() for process in self._workers),
        )

    def read(self) -> Usage:
        """Read CPU, then memory: reading a process's memory costs nobody but the reader."""
        cpu = self.cpu()
        workers = [process.memory() for process in self._workers]
        return Usage(
            cpu.cpu_s,
            cpu.hub_cpu_s,
            cpu.workers_cpu_s,
            self._tree.memory().data_bytes,
            sum(process.memory().data_bytes for process in self._hubs),
            sum(memory.pss_bytes for memory in workers) / max(1, len(workers)),
        )
