"""How much memory is used of what there is: of the limits of the process's cgroups, the machine's, and our own."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gripproxy.scoreboard import Field, Scoreboard

KERNEL_BYTES = 3_900  # for our end of an idle connection, see `doctor.memory_checks`
UNLIMITED_BYTES = 2**60  # what cgroup v1 says instead of nothing is more


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Shares of a limit: at `full` nobody more is taken, until it is `calm` again."""

    full: float
    calm: float


OURS = Thresholds(0.90, 0.85)
# What others on the machine use is in it, too: a large cache of a database beside us must not keep clients out.
MACHINES = Thresholds(0.95, 0.92)


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """One limit, and what is used of it."""

    used_bytes: int
    limit_bytes: int
    limit_name: str
    thresholds: Thresholds = OURS

    @property
    def share(self) -> float:
        return self.used_bytes / self.limit_bytes

    @property
    def is_full(self) -> bool:
        return self.share >= self.thresholds.full

    @property
    def is_calm(self) -> bool:
        return self.share < self.thresholds.calm

    def __str__(self) -> str:
        used, limit = self.used_bytes / 1e6, self.limit_bytes / 1e6
        return f"{used:,.0f} of {limit:,.0f} MB of {self.limit_name} are used"


@dataclass(frozen=True, slots=True)
class _Cgroup:
    """The files of one cgroup. `cache_key` is the line of `stat_path` that says what the kernel gives up first."""

    limit_paths: tuple[Path, ...]
    used_path: Path
    stat_path: Path
    cache_key: str


class MemoryGauge:
    """Reads them; 30 us a time.

    Args:
        root: / but in tests.
    """

    def __init__(self, scoreboard: Scoreboard, root: Path = Path("/")) -> None:
        self._scoreboard = scoreboard
        self._meminfo_path = root / "proc/meminfo"
        self._cgroups = list(_find_cgroups(root))

    def read(self, own_limit_bytes: int) -> list[MemoryUse]:
        """Give the limits that there are. With `own_limit_bytes`, which is not 0, no other counts."""
        if own_limit_bytes:
            return [MemoryUse(self._own_bytes(), own_limit_bytes, "memory_limit")]
        uses = [use for use in map(_read_cgroup, self._cgroups) if use is not None]
        machine = self._read_machine()
        return uses if machine is None else [*uses, machine]

    def _own_bytes(self) -> int:
        """Give what all processes have resident, and what the kernel needs for their connections.

        Pages that they share are counted for each.
        """
        scoreboard = self._scoreboard
        rows = [scoreboard.row(index) for index in range(scoreboard.rows_count)]
        return sum([row[Field.RSS_BYTES] + row[Field.CONNECTIONS] * KERNEL_BYTES for row in rows])

    def _read_machine(self) -> MemoryUse | None:
        text = _text(self._meminfo_path)
        total, available = _line(text, "MemTotal:"), _line(text, "MemAvailable:")
        if not total or available is None:
            return None
        return MemoryUse((total - available) * 1024, total * 1024, "the machine", MACHINES)


def _read_cgroup(cgroup: _Cgroup) -> MemoryUse | None:
    """Give a cgroup's use; files that were read once and are not used any more are given up before anything else."""
    limits = [limit for limit in map(_number, cgroup.limit_paths) if limit is not None and limit < UNLIMITED_BYTES]
    used = _number(cgroup.used_path)
    if not limits or used is None or min(limits) <= 0:
        return None
    cached = _line(_text(cgroup.stat_path), cgroup.cache_key) or 0
    return MemoryUse(max(0, used - cached), min(limits), "the cgroup")


def _find_cgroups(root: Path) -> Iterator[_Cgroup]:
    """Find those of this process that may have a limit, up to the root."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        parts = [part for part in path.split("/") if part]
        if number == "0" and not controllers:
            for mount in ("sys/fs/cgroup", "sys/fs/cgroup/unified"):
                for depth in range(len(parts) + 1):
                    folder = Path(root / mount, *parts[:depth])
                    if (folder / "memory.current").exists():
                        limits = (folder / "memory.max", folder / "memory.high")
                        yield _Cgroup(limits, folder / "memory.current", folder / "memory.stat", "inactive_file")
        elif "memory" in controllers.split(","):
            for depth in range(len(parts) + 1):
                folder = Path(root / "sys/fs/cgroup/memory", *parts[:depth])
                if (folder / "memory.usage_in_bytes").exists():
                    yield _Cgroup(
                        (folder / "memory.limit_in_bytes",),
                        folder / "memory.usage_in_bytes",
                        folder / "memory.stat",
                        "total_inactive_file",
                    )


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    word = _text(path).strip()
    return int(word) if word.isdecimal() else None


def _line(text: str, key: str) -> int | None:
    """Give the number behind `key` at the beginning of a line."""
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == key and words[1].isdecimal():
            return int(words[1])
    return None
