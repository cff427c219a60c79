"""Kernel settings that a run needs: raised before it, put back after it."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from benchmarks.c1m.plan import Plan
from benchmarks.errors import BenchmarkError
from benchmarks.hold_client import CONNECTIONS_PER_ADDRESS_COUNT

PROC_SYS = Path("/proc/sys")
PAGE_BYTES = 4096
BESIDE_FILES = 200_000  # open files of everything that is not a held connection
TCP_QUEUED_BYTES_PER_CONNECTION = 1024  # what may be on its way at once, on average over both ends
PORTS_SLACK = 2  # times as many client ports as are used: finding a free one stays quick


def needs(plan: Plan) -> dict[str, tuple[int, ...]]:
    """Give the least value of each setting; more numbers for a setting that has several."""
    ports = PORTS_SLACK * CONNECTIONS_PER_ADDRESS_COUNT // plan.listen_ports
    pages = plan.connections * TCP_QUEUED_BYTES_PER_CONNECTION // PAGE_BYTES
    return {
        "fs.file-max": (2 * plan.connections + BESIDE_FILES,),
        "fs.epoll.max_user_watches": (2 * plan.connections + BESIDE_FILES,),
        "net.core.somaxconn": (4096,),
        "net.ipv4.tcp_max_syn_backlog": (4096,),
        "net.ipv4.tcp_mem": (pages, pages + pages // 4, pages + pages // 2),
        "net.ipv4.ip_local_port_range": (ports,),
        "net.netfilter.nf_conntrack_max": (2 * plan.connections + BESIDE_FILES,),
    }


def raised(name: str, current: str, least: tuple[int, ...]) -> str | None:
    """Give the value to set, or None when the current one does."""
    numbers = [int(text) for text in current.split()]
    if name == "net.ipv4.ip_local_port_range":
        low, high = numbers
        return None if high - low + 1 >= least[0] else f"{max(1024, min(low, 65_000 - least[0]))}\t65000"
    wanted = [max(number, minimum) for number, minimum in zip(numbers, least, strict=True)]
    return None if wanted == numbers else "\t".join(str(number) for number in wanted)


class Sysctls:
    """Raises settings on entry and puts each back on exit, whatever happens in between but SIGKILL (see guardian)."""

    def __init__(
        self, wanted: dict[str, tuple[int, ...]], say: Callable[[str], None] | None = None, root: Path = PROC_SYS
    ) -> None:
        self._wanted = wanted
        self._say = say or _say
        self._root = root
        self.changed: dict[str, tuple[str, str]] = {}  # name -> before, during

    def __enter__(self) -> "Sysctls":
        """Raise what is too low.

        Raises:
            BenchmarkError: the kernel does not let us; gives the commands for somebody who may.
        """
        refused = []
        for name, least in self._wanted.items():
            path = self._path(name)
            if not path.exists():
                continue  # nf_conntrack is not loaded
            before = path.read_text().strip()
            value = raised(name, before, least)
            if value is None:
                continue
            try:
                path.write_text(value)
            except OSError:
                refused.append(f"sysctl -w {name}='{value}'")
                continue
            self.changed[name] = (before, value)
            self._say(f"{name} = {_spaced(value)} (was {_spaced(before)}; put back at the end)")
        if refused:
            self.restore()
            raise BenchmarkError(
                "kernel settings are too low and may not be changed here; as root: " + "; ".join(refused)
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.restore()

    def restore(self) -> None:
        """Put back what was raised."""
        for name, (before, value) in self.changed.items():
            try:
                if _spaced(self._path(name).read_text()) == _spaced(value):  # else somebody else has set it since
                    self._path(name).write_text(before)
            except OSError as error:
                self._say(f"could not put back {name} = {before}: {error}")
        self.changed = {}

    def _path(self, name: str) -> Path:
        return self._root / name.replace(".", "/")


def _spaced(value: str) -> str:
    return " ".join(value.split())


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)
