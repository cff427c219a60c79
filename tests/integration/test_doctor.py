"""`gripproxy doctor` as a process on the machine that runs the tests, whatever that allows."""

import subprocess
from pathlib import Path

from gripproxy.doctor.sysctl_file import FIRST_LINE, parse_sysctl_file
from tests.integration.server import program_argv, source_env

RUN_MAX_S = 30.0
VERDICTS = ("change", "cannot", "ok", "note")


def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [*program_argv("gripproxy", "gripproxy.cli"), "doctor", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=RUN_MAX_S, env=source_env())


def rows(output: str) -> list[str]:
    """Give the lines of the table, below its heading."""
    lines = output.splitlines()
    return lines[3 : lines.index("", 3)]


def test_real_machine_gets_a_verdict_on_everything() -> None:
    """Few clients fit anywhere, and the kernel's files are what the reader expects."""
    run = doctor("--connections", "100", "--workers", "1")
    assert run.stderr == ""
    assert run.returncode == 0
    assert {row.split()[0] for row in rows(run.stdout)} <= set(VERDICTS)
    for name in ("fd limit per process", "fs.file-max", "net.core.somaxconn", "memory"):
        assert any(name in row for row in rows(run.stdout)), run.stdout


def test_status_is_that_of_the_verdicts(tmp_path: Path) -> None:
    """A hundred million fit nowhere; what can be written is, and nothing is changed."""
    before = Path("/proc/sys/net/ipv4/tcp_mem").read_text()
    path = tmp_path / "60-gripproxy.conf"
    run = doctor("--connections", "100000000", "--workers", "1", "--write-sysctl", str(path))
    assert run.returncode == 1
    assert rows(run.stdout)[0].startswith("change ")
    text = path.read_text()
    assert text.startswith(FIRST_LINE)
    for key, value, _ in parse_sysctl_file(text):
        present = Path("/proc/sys", key.replace(".", "/")).read_text().split()
        assert all(int(new) >= int(old) for new, old in zip(value.split(), present, strict=True)), key
    assert Path("/proc/sys/net/ipv4/tcp_mem").read_text() == before


def test_wrong_usage_ends_with_two() -> None:
    """As every other command's."""
    run = doctor("--connections", "many")
    assert (run.returncode, run.stdout) == (2, "")
    assert "not 'many'" in run.stderr


def test_output_that_cannot_be_written_is_no_verdict() -> None:
    """Neither a traceback nor the status that means that something must change."""
    argv = [*program_argv("gripproxy", "gripproxy.cli"), "doctor", "--connections", "100"]
    for arguments in ([], ["--write-sysctl", "-"]):
        with open("/dev/full", "w") as full:
            run = subprocess.run(
                [*argv, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=RUN_MAX_S, env=source_env()
            )
        assert run.returncode == 2
        assert run.stderr.endswith("gripproxy doctor: error: cannot write the output: No space left on device\n")
