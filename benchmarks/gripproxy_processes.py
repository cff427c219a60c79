"""Which of gripproxy's processes is the hub and which are workers, and what an item costs each kind."""

from pathlib import Path

from benchmarks.process_tree import ProcessTree
from benchmarks.servers.server import Server


def title_of(pid: int) -> str:
    """Read the title that a process gave itself; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0 ").decode(errors="replace")
    except OSError:
        return ""


def hubs_and_workers(tree: ProcessTree) -> tuple[list[ProcessTree], list[ProcessTree]]:
    """Tell the processes of a server apart by their titles; of another server there are none of either."""
    titled = [(pid, title_of(pid)) for pid in tree.pids()]
    hubs = [ProcessTree(pid) for pid, title in titled if title == "gripproxy: hub"]
    return hubs, [ProcessTree(pid) for pid, title in titled if title.startswith("gripproxy: worker")]


class ItemCpu:
    """What a server's processes use from now on: all together and, of gripproxy, the hub and the least busy worker."""

    def __init__(self, server: Server) -> None:
        self._tree = server.tree
        self._hubs, self._workers = hubs_and_workers(self._tree)
        self._before = self._read()

    def per_item_us(self, items: float) -> dict[str, float]:
        """Give the CPU time since then, divided by the items."""
        total, hubs, workers = self._read()
        total_before, hubs_before, workers_before = self._before
        values = {"cpu_us": total - total_before}
        if self._workers:
            values["hub_us"] = hubs - hubs_before
            values["worker_us"] = min(now - before for now, before in zip(workers, workers_before, strict=True))
        return {key: value / items * 1e6 for key, value in values.items()}

    def _read(self) -> tuple[float, float, list[float]]:
        hubs = sum(process.cpu_s() for process in self._hubs)
        return self._tree.cpu_s(), hubs, [process.cpu_s() for process in self._workers]
