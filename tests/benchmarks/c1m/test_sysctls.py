"""Kernel settings are raised only when they must be, and put back whatever happens."""

from pathlib import Path

import pytest

from benchmarks.c1m.sysctls import Sysctls, needs, raised
from benchmarks.errors import BenchmarkError
from tests.benchmarks.c1m.test_plan import plan_of

BEFORE = {"fs.file-max": "1000", "net.core.somaxconn": "4096", "net.ipv4.tcp_mem": "100\t200\t300"}
WANTED = {"fs.file-max": (5000,), "net.core.somaxconn": (4096,), "net.ipv4.tcp_mem": (150, 150, 150)}


@pytest.fixture(name="root")
def fixture_root(tmp_path: Path) -> Path:
    """Make a tree like /proc/sys."""
    for name, value in BEFORE.items():
        path = tmp_path / name.replace(".", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    return tmp_path


def values(root: Path) -> dict[str, str]:
    """Read all settings."""
    return {name: (root / name.replace(".", "/")).read_text().strip() for name in BEFORE}


def test_what_is_too_low_is_raised_and_put_back(root: Path) -> None:
    """The machine must be afterwards as it was before."""
    said: list[str] = []
    with Sysctls(WANTED, said.append, root) as sysctls:
        assert values(root) == {**BEFORE, "fs.file-max": "5000", "net.ipv4.tcp_mem": "150\t200\t300"}
        assert list(sysctls.changed) == ["fs.file-max", "net.ipv4.tcp_mem"]
    assert values(root) == BEFORE
    assert len(said) == 2 and "fs.file-max = 5000 (was 1000" in said[0]


def test_an_interrupted_run_puts_them_back_too(root: Path) -> None:
    """Ctrl-C is the usual end of a run that takes long."""
    with pytest.raises(KeyboardInterrupt), Sysctls(WANTED, lambda text: None, root):
        raise KeyboardInterrupt
    assert values(root) == BEFORE


def test_what_somebody_else_has_set_since_is_left_alone(root: Path) -> None:
    """The administrator's word counts more than what we found."""
    with Sysctls(WANTED, lambda text: None, root):
        (root / "fs/file-max").write_text("9000\n")
    assert values(root)["fs.file-max"] == "9000"


def test_without_leave_it_names_the_commands_and_changes_nothing(root: Path) -> None:
    """Half of the settings raised would be no use and nobody would put them back."""
    path = root / "net/ipv4/tcp_mem"

    class Refusing(Sysctls):
        def _path(self, name: str) -> Path:
            return _ReadOnly(path) if name == "net.ipv4.tcp_mem" else super()._path(name)

    with (
        pytest.raises(BenchmarkError, match="as root: sysctl -w net.ipv4.tcp_mem="),
        Refusing(WANTED, lambda text: None, root),
    ):
        pass
    assert values(root) == BEFORE


class _ReadOnly(type(Path())):  # type: ignore[misc]  # before Python 3.12 `Path` itself cannot be derived from
    """A file that root cannot write either."""

    def write_text(self, *args: object, **options: object) -> int:
        raise PermissionError(13, "Permission denied")


def test_a_setting_that_this_kernel_lacks_is_passed_by(root: Path) -> None:
    """nf_conntrack is a module."""
    with Sysctls({"net.netfilter.nf_conntrack_max": (5,)}, lambda text: None, root) as sysctls:
        assert sysctls.changed == {}


def test_the_client_port_range_is_widened_to_what_is_needed() -> None:
    """It is a range, not a number: the first value goes down."""
    assert raised("net.ipv4.ip_local_port_range", "32768\t60999", (10_000,)) is None
    assert raised("net.ipv4.ip_local_port_range", "60000\t60999", (10_000,)) == "55000\t65000"


def test_two_files_are_wanted_for_each_connection() -> None:
    """Both ends are on this machine."""
    wanted = needs(plan_of("--connections", "2000000"))
    assert wanted["fs.file-max"][0] > 4_000_000
    assert wanted["fs.epoll.max_user_watches"][0] > 4_000_000
