"""The package as a file: what Debian's tools say of it, and what is in it."""

import subprocess
from pathlib import Path

import pytest

from deploy.package.build import build
from deploy.package.prefix import SITE_PACKAGES, program_version
from deploy.package.wheels import ROOT
from tests.installed import require

pytestmark = pytest.mark.timeout(600)  # the first test that wants the package waits for it, and for the clean Debian


def listing(package: Path) -> dict[str, str]:
    """Give the mode and owner of each file in the package by its path."""
    command = ["dpkg-deb", "--contents", package]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    fields = [line.split(None, 5) for line in lines]
    return {line[5].partition(" -> ")[0].removeprefix("."): f"{line[0]} {line[1]}" for line in fields}


def test_lintian_finds_nothing(package: Path) -> None:
    """Not even a warning; what is overridden has its reason in the file that overrides it."""
    require("lintian")
    command = ["lintian", "--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0", package]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "")


def test_same_sources_make_the_same_bytes(package: Path, tmp_path: Path) -> None:
    """Whoever doubts a package can build it again."""
    assert build(tmp_path).read_bytes() == package.read_bytes()


def test_version_is_the_programs_own(package: Path) -> None:
    """The changelog of the package is written by hand, and would be forgotten."""
    assert package.name == f"gripproxy_{program_version()}_amd64.deb"
    assert (ROOT / "deploy/debian/changelog").read_text().startswith(f"gripproxy ({program_version()})")


def test_all_that_an_operator_looks_for_is_in_it(package: Path) -> None:
    """By the places where Debian has such things."""
    files = listing(package)
    for path in (
        "/usr/bin/gripproxy",
        "/usr/bin/gripproxy-publish",
        "/etc/gripproxy/gripproxy.conf",
        "/etc/gripproxy/routes",
        "/etc/gripproxy/runner/certs/",
        "/etc/logrotate.d/gripproxy",
        "/lib/systemd/system/gripproxy.service",
        "/usr/lib/sysctl.d/30-gripproxy.conf",
        "/usr/lib/tmpfiles.d/gripproxy.conf",
        "/usr/share/man/man8/gripproxy.8.gz",
        "/usr/share/man/man1/gripproxy-publish.1.gz",
        "/usr/share/man/man5/gripproxy.conf.5.gz",
        "/usr/share/man/man5/gripproxy-routes.5.gz",
        "/usr/share/bash-completion/completions/gripproxy-publish",
        "/usr/share/zsh/vendor-completions/_gripproxy",
        "/usr/share/doc/gripproxy/examples/million.conf",
    ):
        assert path in files, path
    assert {entry.partition(" ")[2] for entry in files.values()} == {"root/root"}


def test_configuration_files_survive_upgrades(package: Path) -> None:
    """Debian asks before it replaces what the administrator has changed."""
    command = ["dpkg-deb", "--info", package, "conffiles"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert lines == ["/etc/gripproxy/gripproxy.conf", "/etc/gripproxy/routes", "/etc/logrotate.d/gripproxy"]


def test_nothing_that_only_developers_read_is_in_it(package: Path) -> None:
    """Tests, caches and sources of C would double its size."""
    inside = [path for path in listing(package) if str(SITE_PACKAGES) in path]
    assert [path for path in inside if path.endswith((".pyc", ".pyx", ".c", ".h"))] == []
    assert [path for path in inside if "/tests/" in path] == []


def test_log_rotation_is_understood(package: Path, tmp_path: Path) -> None:
    """With logrotate's own eyes."""
    require("logrotate")
    subprocess.run(["dpkg-deb", "--extract", package, tmp_path], check=True)
    rules = (tmp_path / "etc/logrotate.d/gripproxy").read_text().replace("su gripproxy adm", "su root root")
    path = tmp_path / "rules"
    path.write_text(rules.replace("create 0640 gripproxy adm", "create 0640 root root"))
    result = subprocess.run(["logrotate", "--debug", path], capture_output=True, text=True, check=False)
    assert "error" not in result.stderr
    assert result.returncode == 0
