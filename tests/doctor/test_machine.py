"""Reading /proc and /sys: what is there becomes a number, and what is not becomes None."""

import dataclasses
import sys
from pathlib import Path

import pytest

from gripproxy.doctor.machine import KernelFiles, Machine, read_machine, sysctl_path
from tests.doctor import debian

SERVICE = "sys/fs/cgroup/system.slice/gripproxy.service"


def test_every_value_is_read(machine: Machine) -> None:
    """A value that is read from the wrong file would make a wrong verdict."""
    assert machine == Machine(
        cpus_count=8,
        page_bytes=4096,
        fd_limit=524_288,
        nr_open=1_048_576,
        file_max=2**63 - 1,
        files_count=1_184,
        epoll_watches_max=3_655_372,
        local_ports=(32_768, 60_999),
        somaxconn=4_096,
        syn_backlog_max=1_024,
        migrates_requests=0,
        syn_cookies=1,
        tcp_mem=(190_185, 253_582, 380_370),
        tcp_rmem=(4_096, 131_072, 6_291_456),
        tcp_wmem=(4_096, 16_384, 4_194_304),
        conntrack_max=262_144,
        conntrack_count=37,
        conntrack_buckets=262_144,
        memory_available_bytes=15_500_000 * 1024,
        memory_cgroup_bytes=None,
        tasks_cgroup_count=4_905,
    )


def test_what_cannot_be_read_is_none(tmp_path: Path) -> None:
    """In a container half of /proc/sys is not there, and that must not be a crash."""
    machine = read_machine(KernelFiles(tmp_path), cpus_count=1, page_bytes=4096)
    assert set(dataclasses.asdict(machine).values()) == {1, 4096, None}


@pytest.mark.parametrize("text", ["", "\n", "many", "-1", "1 x 3", "1 2"])
def test_text_that_is_no_value_is_none(root: Path, text: str) -> None:
    """A kernel may write what we do not know."""
    debian.set_sysctl(root, "net.ipv4.tcp_mem", text)
    assert debian.read(root).tcp_mem is None


def test_keys_with_a_dash_keep_it() -> None:
    """Only dots are slashes in a key."""
    assert sysctl_path("fs.file-max") == "proc/sys/fs/file-max"


def test_hard_limit_may_be_unlimited(root: Path) -> None:
    """The word stands where a number is looked for."""
    debian.write_file(root, "proc/self/limits", "Max open files            1024    unlimited    files\n")
    assert debian.read(root).fd_limit == sys.maxsize


@pytest.mark.parametrize(
    ("path", "limit", "used", "room"),
    [
        (SERVICE, "3000000000", "1000000000", 2_000_000_000),
        ("sys/fs/cgroup/system.slice", "2500000000", "1000000000", 1_500_000_000),  # of all services together
        ("sys/fs/cgroup", "900", "1000", 0),
        ("sys/fs/cgroup/unified", "900", "100", 800),  # beside cgroup v1
    ],
)
def test_narrowest_cgroup_on_the_way_up_counts(root: Path, path: str, limit: str, used: str, room: int) -> None:
    """A service is killed also for the limit of the slice that it is in."""
    debian.write_file(root, "sys/fs/cgroup/memory.max", "900000000000")
    debian.write_file(root, f"{path}/memory.max", limit)
    debian.write_file(root, f"{path}/memory.current", used)
    assert debian.read(root).memory_cgroup_bytes == room


def test_cgroup_at_the_root_is_that_of_a_container(root: Path) -> None:
    """With a cgroup namespace the container's own limits are at the root."""
    debian.write_file(root, "proc/self/cgroup", "12:pids:/x\n0::/\n")
    debian.write_file(root, "sys/fs/cgroup/pids.max", "100")
    assert debian.read(root).tasks_cgroup_count == 100


def test_cgroup_v1_alone_is_no_limit(root: Path) -> None:
    """Its files are elsewhere and are not read."""
    debian.write_file(root, "proc/self/cgroup", "4:memory:/x\n")
    assert debian.read(root).tasks_cgroup_count is None
