"""The life of the package on a clean Debian: installed, run as the unit says, upgraded, removed, purged."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.package.debian_root import DebianRoot
from deploy.package.prefix import program_version
from tests.integration.deadline import wait_until
from tests.package.conftest import NEWER_VERSION, repack
from tests.package.service import InstalledService

pytestmark = pytest.mark.timeout(600)  # the first test that wants the clean Debian waits for it

USER_FILES = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow")
# What dpkg and adduser keep for themselves. The user stays.
KEPT_BY_DEBIAN = ("/var/lib/dpkg/", "/var/log/", "/var/cache/", "/run/adduser", *USER_FILES)
HELD_COUNT = 200
# Debian's scripts ask it whether the unit is enabled, and whether it runs.
SYSTEMCTL = """\
#!/bin/sh
echo "$*" >> /var/log/systemctl
case "$*" in
    *is-enabled*) echo enabled ;;
    *is-active*) exit 3 ;;
esac
"""


@contextlib.contextmanager
def installed(debian: DebianRoot, package: Path) -> Iterator[InstalledService]:
    """Have the package installed, on ports of its own, and purge it then."""
    debian.install(package)
    try:
        service = InstalledService(debian)
        service.configure()
        yield service
    finally:
        debian.run("dpkg", "--purge", "gripproxy")


def left_over(debian: DebianRoot, before: set[str]) -> list[str]:
    """Name what is there and was not before, but for what is Debian's own."""
    root = str(debian.path)
    return sorted(path for path in debian.files() - before if not path.removeprefix(root).startswith(KEPT_BY_DEBIAN))


def test_installed_run_reloaded_removed_and_purged(debian: DebianRoot, package: Path, tmp_path: Path) -> None:
    """All that an administrator does with it in the years, in one go."""
    before = debian.files()
    log_path = tmp_path / "log"
    with installed(debian, package) as service:
        assert debian.run("gripproxy", "--version").stdout == f"gripproxy {program_version()}\n"
        assert "errors: 0" in debian.run("gripproxy", "check").stdout
        certificates = debian.run("stat", "-c", "%U:%G %a", "/etc/gripproxy/runner/certs").stdout
        assert certificates == "root:gripproxy 750\n"
        with debian.service(log_path) as process:
            service.wait_until_ready(process, log_path)
            assert (debian.path / f"proc/{process.pid}").exists() is False  # nothing stays mounted
            (client,) = service.hold(1)
            service.publish("hello")
            client.receive_until(b"hello\n")
            os.kill(service.pid(), signal.SIGHUP)
            service.publish("still here")
            client.receive_until(b"still here\n")
            users = {os.stat(f"/proc/{pid}").st_uid for pid in debian.pids()}
            assert users == {int(debian.run("id", "-u", "gripproxy").stdout)}
            os.kill(service.pid(), signal.SIGTERM)
            assert process.wait(30) == 0
            client.receive_all()
            assert client.is_ended
        assert debian.pids() == []
        debian.run("dpkg", "--remove", "gripproxy")
        assert (debian.path / "etc/gripproxy/gripproxy.conf").exists()
        assert not (debian.path / "usr/lib/gripproxy").exists()
    assert left_over(debian, before) == []


def test_upgrade_of_the_package_drops_nobody(
    debian: DebianRoot, package: Path, newer_package: Path, tmp_path: Path
) -> None:
    """dpkg hands the running service over to the new version: streams stay open and go on."""
    log_path = tmp_path / "log"
    with installed(debian, package) as service, debian.service(log_path) as process:
        service.wait_until_ready(process, log_path)
        clients = service.hold(HELD_COUNT)
        service.publish("before")
        old_pid = service.pid()
        conf = (debian.path / "etc/gripproxy/gripproxy.conf").read_text()
        said = debian.install(newer_package)
        assert service.pid() != old_pid, said + log_path.read_text()
        assert debian.run("gripproxy", "--version").stdout == f"gripproxy {NEWER_VERSION}\n"
        assert (debian.path / "etc/gripproxy/gripproxy.conf").read_text() == conf
        assert f"gripproxy {NEWER_VERSION}" in log_path.read_text()
        service.publish("after")
        for client in clients:
            client.receive_until(b"after\n")
            assert client.received.count(b"before\n") == client.received.count(b"after\n") == 1
            assert not client.is_ended
        wait_until(lambda: service.held_count() == HELD_COUNT, "the new version counts all of them as its own")
        os.kill(service.pid(), signal.SIGTERM)
        wait_until(lambda: debian.pids() == [], "the new version and all of the old one have ended", 30.0)


def test_upgrade_to_a_version_that_does_not_start_changes_nothing(
    debian: DebianRoot, package: Path, tmp_path: Path
) -> None:
    """The package is installed then, and says that the version of before serves on."""
    log_path = tmp_path / "log"
    broken = repack(package, tmp_path, "99.1", "def main() -> int:\n    raise SystemExit('gripproxy: error: broken')\n")
    with installed(debian, package) as service, debian.service(log_path) as process:
        service.wait_until_ready(process, log_path)
        (client,) = service.hold(1)
        said = debian.install(broken)
        assert "gripproxy: error: broken" in said
        assert "the version of before serves on" in said
        assert service.pid() == process.pid
        # Its own control port, as the command is broken.
        service.publish("hello")
        client.receive_until(b"hello\n")


def test_removal_stops_what_runs(debian: DebianRoot, package: Path, tmp_path: Path) -> None:
    """Also where no systemd does it: its files are about to go."""
    log_path = tmp_path / "log"
    with installed(debian, package) as service, debian.service(log_path) as process:
        service.wait_until_ready(process, log_path)
        debian.run("dpkg", "--remove", "gripproxy")
        assert process.wait(10) == 0
        assert debian.pids() == []


def test_systemd_is_asked_to_start_and_to_stop(debian: DebianRoot, package: Path, newer_package: Path) -> None:
    """As far as it shows without systemd: one that writes down what it is told is in its place."""
    program = debian.path / "usr/bin/systemctl"
    told = debian.path / "var/log/systemctl"
    mark = debian.path / "run/systemd/system"
    mark.mkdir(parents=True)
    program.write_text(SYSTEMCTL)
    program.chmod(0o755)
    try:
        with installed(debian, package):
            assert "start gripproxy.service" in told.read_text()
            assert "preset gripproxy.service" in told.read_text()  # which enables it
            told.write_text("")
            debian.install(newer_package)
            # Nothing runs here; one that does is told by the new version itself.
            assert "restart gripproxy.service" not in told.read_text()
            assert "start gripproxy.service" in told.read_text()
            debian.run("dpkg", "--remove", "gripproxy")
            assert "stop gripproxy.service" in told.read_text()
    finally:
        program.unlink()
        mark.rmdir()
