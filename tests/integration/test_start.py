"""Starting the real program: what it says when all is well, and what when it cannot."""

import os
import signal
from pathlib import Path

import pytest

from tests.conftest import StartServer
from tests.integration.deadline import wait_until
from tests.integration.ports import can_connect, free_instance, free_ports
from tests.integration.process import Process
from tests.integration.server import Server, ServerPlan, program_argv, source_env

pytestmark = pytest.mark.gripproxy_only


def run_to_end(short_path: Path, *arguments: str) -> tuple[int, str]:
    """Run a gripproxy that is expected to end by itself. Gives its exit status and its output."""
    output_path = short_path / f"run-{len(list(short_path.iterdir()))}.output"
    process = Process("gripproxy", [*program_argv("gripproxy", "gripproxy.cli"), *arguments], output_path, source_env())
    try:
        return process.wait(), process.output()
    finally:
        process.stop()


def supervisor_of(server: Server) -> Process:
    assert server.process is not None
    return server.process


def test_start_says_what_listens_where_and_ends_with_ready(start_server: StartServer) -> None:
    """These lines are the first thing anybody looks at, and scripts wait for the last."""
    server = start_server(ServerPlan(routes=["* test"], workers=2))
    supervisor_of(server).wait_for_output("[supervisor] ready")
    output = server.output()
    for text in (
        f"using config: {server.config_path}",
        f"clients: http://0.0.0.0:{server.http_port}",
        f"publishers: tcp://127.0.0.1:{server.push_port} (ZeroMQ PULL)",
        f"publishers: {server.control_uri}/publish/",
        "routes loaded with 1 entries",
        "workers: 2",
        "client connections: at most",
    ):
        assert text in output


def test_supervisor_is_one_thread_without_a_loop(start_server: StartServer) -> None:
    """It has imported all that its children need; none of that may have started a thread or opened an epoll."""
    pid = supervisor_of(start_server(ServerPlan(routes=["* test"]))).pid
    links = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.exists() or entry.is_symlink()]
    assert len(os.listdir(f"/proc/{pid}/task")) == 1
    assert not [link for link in links if "eventpoll" in link or link.startswith("socket:")]


def test_second_instance_is_refused_and_the_first_stays(start_server: StartServer, short_path: Path) -> None:
    """Its workers would share the ports and get half of the clients."""
    server = start_server(ServerPlan(routes=["* test"]))
    status, output = run_to_end(short_path, "--config", str(server.config_path))
    assert status == 1
    assert "already runs here as process" in output and "--id N" in output
    assert can_connect(server.http_port)


def test_taken_port_ends_the_start_with_its_reason(start_server: StartServer, short_path: Path) -> None:
    """The same configuration in another directory gets past the lock, but not past the ports."""
    server = start_server(ServerPlan(routes=["* test"]))
    elsewhere = ["--config", str(server.config_path), "--rundir", str(short_path / "other")]
    status, output = run_to_end(short_path, *elsewhere)
    assert status == 1
    assert "http_port: cannot listen on " in output and str(server.http_port) in output
    status, output = run_to_end(short_path, *elsewhere, "--port", str(free_ports(1)[0]))
    assert status == 1
    assert "hub cannot start: " in output and str(server.push_port) in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--config", "/nonexistent/x.conf"], "failed to open config file: /nonexistent/x.conf"),
        (["--port", "0"], "port must be greater than or equal to 1"),
        (["--rundir", "/proc/nonexistent"], "cannot create the run directory /proc/nonexistent"),
        (["--logfile", "/nonexistent/log"], "/nonexistent/log: No such file or directory"),
    ],
)
def test_start_that_is_refused_says_why_in_one_line(short_path: Path, arguments: list[str], text: str) -> None:
    """A traceback would hide it."""
    status, output = run_to_end(short_path, *arguments)
    assert status == 1
    assert output.count("\n") == 1
    assert output.startswith("gripproxy: error: ") and text in output


def test_stale_files_of_a_killed_instance_do_not_block_the_next(start_server: StartServer) -> None:
    """Nobody has to clean up after a power cut."""
    server = start_server(ServerPlan(routes=["* test"]))
    killed = supervisor_of(server)
    killed.signal(signal.SIGKILL)
    killed.stop()
    assert (server.directory / "t-gripproxy.pid").exists()
    server.start()
    assert server.is_serving()


def test_logfile_takes_the_lines_of_all_processes(short_path: Path) -> None:
    """And nothing is left on standard error."""
    port = free_ports(1)[0]
    log_path = short_path / "log"
    arguments = ["--port", f"127.0.0.1:{port}", "--route", "* test", "--workers", "1", "--rundir", str(short_path)]
    arguments += ["--id", str(free_instance()), "--logfile", str(log_path), "--verbose"]
    argv = [*program_argv("gripproxy", "gripproxy.cli"), *arguments]
    process = Process("gripproxy", argv, short_path / "output", source_env())
    try:
        wait_until(lambda: log_path.exists() and "[supervisor] ready" in log_path.read_text(), "ready in the log file")
        assert "[hub] " in log_path.read_text()
    finally:
        assert process.stop() == 0
    assert process.output() == ""
