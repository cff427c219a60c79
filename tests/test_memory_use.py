"""What is used of which memory: files as the kernel writes them, and counters."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from gripproxy.memory_use import KERNEL_BYTES, MACHINES, OURS, MemoryGauge, MemoryUse
from gripproxy.scoreboard import Field, Scoreboard

GB = 1_000_000_000


def gauge(root: Path, files: Mapping[str, str]) -> MemoryGauge:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return MemoryGauge(Scoreboard(2), root)


def test_machine(tmp_path: Path) -> None:
    """Others' memory is in it, so its bounds are not those of a limit of our own."""
    files = {"proc/meminfo": "MemTotal:       1000000 kB\nMemFree: 1 kB\nMemAvailable:    100000 kB\n"}
    (use,) = gauge(tmp_path, files).read(0)
    assert use == MemoryUse(900_000 * 1024, 1_000_000 * 1024, "the machine", MACHINES)
    assert not use.is_full


@pytest.mark.parametrize("mount", ["sys/fs/cgroup", "sys/fs/cgroup/unified"])
def test_cgroup_v2(tmp_path: Path, mount: str) -> None:
    """Its own limit and its parents'; and what the kernel keeps of files that nobody reads is as good as free."""
    own, slice_ = f"{mount}/system.slice/gripproxy.service", f"{mount}/system.slice"
    files = {
        "proc/self/cgroup": "0::/system.slice/gripproxy.service\n",
        f"{own}/memory.max": f"{2 * GB}\n",
        f"{own}/memory.high": "max\n",
        f"{own}/memory.current": "1900000000\n",
        f"{own}/memory.stat": "anon 5\ninactive_file 700000000\nactive_file 9\n",
        f"{slice_}/memory.max": "max\n",
        f"{slice_}/memory.high": f"{4 * GB}\n",
        f"{slice_}/memory.current": f"{3 * GB}\n",
        f"{slice_}/memory.stat": "anon 5\n",
    }
    assert gauge(tmp_path, files).read(0) == [
        MemoryUse(3 * GB, 4 * GB, "the cgroup"),
        MemoryUse(1_200_000_000, 2 * GB, "the cgroup"),
    ]


def test_cgroup_v1(tmp_path: Path) -> None:
    """Where no limit is a very large one."""
    root = "sys/fs/cgroup/memory"
    files = {
        "proc/self/cgroup": "9:name=systemd:/\n4:memory:/box\n0::/\n",
        f"{root}/memory.limit_in_bytes": "9223372036854771712\n",
        f"{root}/memory.usage_in_bytes": f"{3 * GB}\n",
        f"{root}/box/memory.limit_in_bytes": f"{2 * GB}\n",
        f"{root}/box/memory.usage_in_bytes": f"{GB}\n",
        f"{root}/box/memory.stat": "inactive_file 1\ntotal_inactive_file 400000000\n",
    }
    assert gauge(tmp_path, files).read(0) == [MemoryUse(600_000_000, 2 * GB, "the cgroup")]


def test_limit_that_changes_counts_at_once(tmp_path: Path) -> None:
    """An operator may raise it while we run."""
    root = "sys/fs/cgroup"
    files = {"proc/self/cgroup": "0::/\n", f"{root}/memory.current": "10\n", f"{root}/memory.max": "max\n"}
    looking = gauge(tmp_path, files)
    assert looking.read(0) == []
    (tmp_path / root / "memory.max").write_text("20\n")
    assert looking.read(0) == [MemoryUse(10, 20, "the cgroup")]


def test_our_own_limit_is_for_all_processes_and_the_kernels_part(tmp_path: Path) -> None:
    """And it is the only one then."""
    scoreboard = Scoreboard(2)
    for index in range(3):
        scoreboard.row(index)[Field.RSS_BYTES] = 1_000_000
    scoreboard.row(2)[Field.CONNECTIONS] = 1000
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 100 kB\nMemAvailable: 1 kB\n")
    (use,) = MemoryGauge(scoreboard, tmp_path).read(10_000_000)
    assert use == MemoryUse(3_000_000 + 1000 * KERNEL_BYTES, 10_000_000, "memory_limit")
    assert str(use) == "7 of 10 MB of memory_limit are used"


def test_machine_that_says_nothing_has_no_limits(tmp_path: Path) -> None:
    assert gauge(tmp_path, {"proc/meminfo": "nonsense\n", "proc/self/cgroup": "0::/gone\n"}).read(0) == []


def test_this_machine() -> None:
    """What tests with files of their own may have got wrong."""
    uses = MemoryGauge(Scoreboard(1)).read(0)
    assert uses[-1].limit_name == "the machine"
    assert all(0 < use.used_bytes < use.limit_bytes for use in uses)


def test_between_full_and_calm_nothing_changes() -> None:
    """Else clients would be let in and kept out in turns."""
    shares = [MemoryUse(used, 100, "x", OURS) for used in (84, 85, 89, 90)]
    assert [(use.is_full, use.is_calm) for use in shares] == [
        (False, True),
        (False, False),
        (False, False),
        (True, False),
    ]
