"""The whole command at a small size, with real processes."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.machine import REPOSITORY

COMMAND = [sys.executable, "-m", "benchmarks.c1m", "--connections", "200", "--workers", "2", "--channels", "4"]
SHORT = ["--keep-alive", "1", "--idle", "3", "--settle", "0.5", "--rounds", "2", "--plain-requests", "20"]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(
        [str(REPOSITORY / "src"), str(REPOSITORY / "workers"), os.environ.get("PYTHONPATH", "")]
    ),
}
READY_LIMIT_S = 60.0
SYSCTLS = ("net/ipv4/tcp_max_syn_backlog",)


def read_sysctl(name: str) -> str:
    """Read a kernel setting."""
    return (Path("/proc/sys") / name).read_text()


def processes_of(group: int) -> list[str]:
    """Name the live processes of a session."""
    found = subprocess.run(["ps", "-o", "stat=,args=", "-s", str(group)], capture_output=True, text=True, check=False)
    return [line for line in found.stdout.splitlines() if not line.startswith("Z")]


@pytest.mark.parametrize(("options", "stem"), [([], "c1m-200"), (["--websockets"], "c1m-websockets-200")])
def test_a_small_run_measures_everything_and_loses_nothing(options: list[str], stem: str, tmp_path: Path) -> None:
    """What is broken here would be found out after half an hour at full size."""
    done = subprocess.run(
        [*COMMAND, *SHORT, *options, "--save", "--output", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=ENVIRONMENT,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    data = json.loads((tmp_path / f"{stem}.json").read_text())
    figures = data["figures"]
    assert data["stopped"] is None and data["log"] == []
    assert (figures["connections"], figures["lost"], figures["failures"]) == (200, 0, 0)
    assert figures["channel_deliveries"] == 2 * 50 and figures["channel_missing"] == 0
    assert figures["room_deliveries"] == 2 * 2 * 100 and figures["room_missing"] == 0
    assert figures["gripproxy_deliveries_total"] == 100 + 400
    assert figures["idle_keep_alives"] > 0 and figures["idle_keep_alives_received"] > 0
    assert figures["bare_writes"] > 0 and figures["bare_write_us"] > 0
    assert figures["plain_new_requests"] == figures["plain_kept_requests"] == 20
    assert figures["left_behind"] == 0
    timeline = data["timeline"]
    assert [phase[0] for phase in timeline["phases"]] == [
        "base", "connect", "settle", "idle", "bare writes", "plain", "one channel", "rooms", "leave"
    ]  # fmt: skip
    assert max(timeline["connections"]) == 200 and len(timeline["plain_ms"]) >= 40
    assert (tmp_path / f"{stem}.png").stat().st_size > 10_000


@pytest.fixture(name="short_directory")
def fixture_short_directory() -> Iterator[Path]:
    """Give a directory whose path leaves room for the names of unix sockets."""
    with tempfile.TemporaryDirectory(prefix="c1m-") as directory:
        yield Path(directory)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_no_process(short_directory: Path, number: signal.Signals) -> None:
    """Fifty workers and as many clients would go on holding the machine's memory."""
    before = {name: read_sysctl(name) for name in SYSCTLS}
    environment = {**ENVIRONMENT, "TMPDIR": str(short_directory)}
    running = subprocess.Popen(
        [*COMMAND, *SHORT, "--idle", "100"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env=environment,
        start_new_session=True,
    )
    assert running.stderr is not None
    deadline = time.monotonic() + READY_LIMIT_S
    while not running.stderr.readline().startswith("idle"):
        assert time.monotonic() < deadline and running.poll() is None
    gripproxy = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(running.pid)], capture_output=True, text=True, check=True
    )
    children = [int(pid) for pid in gripproxy.stdout.split()]
    assert len(children) >= 4
    running.send_signal(number)
    _, rest = running.communicate()
    while any(Path(f"/proc/{pid}").exists() for pid in children) or processes_of(running.pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert list(short_directory.iterdir()) == []
    assert {name: read_sysctl(name) for name in SYSCTLS} == before
    if number == signal.SIGINT:
        assert running.returncode == 130, rest
        assert "interrupted" in rest
