"""The file for /etc/sysctl.d: whole or not at all, and nobody else's."""

import os
from pathlib import Path

import pytest

from gripproxy.doctor.finding import Sysctl
from gripproxy.doctor.sysctl_file import parse_sysctl_file, render_sysctl_file, write_sysctl_file
from gripproxy.errors import ConfigError
from tests.doctor.debian import MILLION

TCP_MEM = Sysctl(key="net.ipv4.tcp_mem", value="1 2 3", reason="Pages.")
CONNTRACK = Sysctl(key="net.netfilter.nf_conntrack_max", value="9", reason="Firewall.", is_optional=True)


def test_text_says_why_for_each_value() -> None:
    """Whoever finds the file in a year must know whether it is still needed."""
    assert render_sysctl_file(MILLION, [TCP_MEM, CONNTRACK]).splitlines()[3:] == [
        "",
        "# Pages.",
        "net.ipv4.tcp_mem = 1 2 3",
        "",
        "# Firewall.",
        "-net.netfilter.nf_conntrack_max = 9",
    ]


def test_what_is_written_can_be_read_back(tmp_path: Path) -> None:
    """With the mode of the other files there, and no scrap left beside it."""
    path = tmp_path / "60-gripproxy.conf"
    assert write_sysctl_file(path, MILLION, [TCP_MEM, CONNTRACK])
    assert parse_sysctl_file(path.read_text()) == [
        ("net.ipv4.tcp_mem", "1 2 3", False),
        ("net.netfilter.nf_conntrack_max", "9", True),
    ]
    assert path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path) == [path.name]


def test_values_of_an_earlier_run_stay(tmp_path: Path) -> None:
    """They are in force, so they look as if they need not change; without the file they are gone after a boot."""
    path = tmp_path / "a.conf"
    write_sysctl_file(path, MILLION, [TCP_MEM, CONNTRACK])
    newer = Sysctl(key="net.ipv4.tcp_mem", value="4 5 6", reason="Pages.")
    assert write_sysctl_file(path, MILLION, [newer])
    assert parse_sysctl_file(path.read_text()) == [
        ("net.ipv4.tcp_mem", "4 5 6", False),
        ("net.netfilter.nf_conntrack_max", "9", True),
    ]


def test_nothing_to_change_touches_nothing(tmp_path: Path) -> None:
    """The same: an empty file would undo the one before."""
    path = tmp_path / "a.conf"
    assert not write_sysctl_file(path, MILLION, [])
    assert not path.exists()


@pytest.mark.parametrize("text", ["net.core.somaxconn = 1\n", ""])
def test_file_of_somebody_else_is_refused(tmp_path: Path, text: str) -> None:
    """A mistyped name must not cost a configuration."""
    path = tmp_path / "99-sysctl.conf"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"99-sysctl\.conf is not from gripproxy doctor"):
        write_sysctl_file(path, MILLION, [TCP_MEM])
    assert path.read_text() == text


@pytest.mark.parametrize("kind", ["directory", "pipe"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    """As root a rename over /dev/null would succeed."""
    path = tmp_path / "it"
    os.mkfifo(path) if kind == "pipe" else path.mkdir()
    with pytest.raises(ConfigError, match="is not from gripproxy doctor"):
        write_sysctl_file(path, MILLION, [TCP_MEM])


@pytest.mark.parametrize(
    ("name", "reason"), [("none/a.conf", "No such file or directory"), ("x" * 300, "File name too long")]
)
def test_failure_names_the_file_and_the_reason(tmp_path: Path, name: str, reason: str) -> None:
    """Not the name of a temporary file, and no traceback."""
    with pytest.raises(ConfigError, match=f"cannot write {tmp_path / name}: {reason}"):
        write_sysctl_file(tmp_path / name, MILLION, [TCP_MEM])


def test_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither half a file nor a temporary one, which sysctl would read too if it ended in .conf."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(ConfigError, match="No space left on device"):
        write_sysctl_file(tmp_path / "a.conf", MILLION, [TCP_MEM])
    assert os.listdir(tmp_path) == []


def test_binary_file_is_refused(tmp_path: Path) -> None:
    """Any file may be named by mistake."""
    (tmp_path / "a").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="it is not text"):
        write_sysctl_file(tmp_path / "a", MILLION, [TCP_MEM])


def test_link_stays_a_link(tmp_path: Path) -> None:
    """A system's files are often links into a directory under version control."""
    path, link = tmp_path / "real.conf", tmp_path / "60-gripproxy.conf"
    link.symlink_to(path)
    for _ in range(2):
        assert write_sysctl_file(link, MILLION, [TCP_MEM])
        assert link.is_symlink()
        assert path.read_text().startswith("# Written by gripproxy doctor")


def test_what_is_no_assignment_is_not_kept(tmp_path: Path) -> None:
    """Somebody edited the file by hand; `sysctl -p` would stumble over it again and again."""
    path = tmp_path / "a.conf"
    write_sysctl_file(path, MILLION, [TCP_MEM])
    with path.open("a") as file:
        file.write(" = 5\na b = 1\nfs.x =\n; fs.y = 1\nfs.file-max = 7\n")
    assert parse_sysctl_file(path.read_text()) == [("net.ipv4.tcp_mem", "1 2 3", False), ("fs.file-max", "7", False)]
