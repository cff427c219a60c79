"""The examples of docs/examples, started as their README says: a page, a stream through gripproxy, a publish."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import StartServer
from tests.installed import require
from tests.integration.deadline import wait_until
from tests.integration.ports import can_connect, free_ports
from tests.integration.process import Process
from tests.integration.raw_client import RawClient, fetch
from tests.integration.server import SOURCE_ROOT, Server, ServerPlan

pytestmark = pytest.mark.gripproxy_only

EXAMPLES = SOURCE_ROOT / "docs" / "examples"
START_TIMEOUT_S = 30.0
INSTALL_TIMEOUT_S = 110.0
# By the first word of the command that starts it.
COMMANDS = {"php": "php", "django": "python django", "fastapi": "uvicorn", "express": "node"}


def command(beginning: str) -> str:
    """Give the line of the README that begins so."""
    (line,) = re.findall(rf"^{beginning}.*$", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    return str(line)


def argv_of(line: str, port: int) -> list[str]:
    """Give the command for this machine: Python's programs are this Python's."""
    program, *rest = shlex.split(line.replace("9000", str(port)))
    if program in ("python", "uvicorn"):
        return [sys.executable, *(["-m", "uvicorn"] if program == "uvicorn" else []), *rest]
    return [program, *rest]


def install_express() -> None:
    lockfile, installed = EXAMPLES / "express/package-lock.json", EXAMPLES / "express/node_modules/.package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lockfile.stat().st_mtime:
        return
    argv = [*shlex.split(command("npm ")), "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(argv, cwd=EXAMPLES, timeout=INSTALL_TIMEOUT_S, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"


@pytest.fixture(params=sorted(COMMANDS))
def server(request: pytest.FixtureRequest, start_server: StartServer, tmp_path: Path) -> Iterator[Server]:
    """gripproxy with the example behind it."""
    example: str = request.param
    require(*{"php": ("php",), "express": ("node", "npm")}.get(example, ()))
    if example == "express":
        install_express()
    (port,) = free_ports(1)
    server = start_server(ServerPlan(routes=[f"* localhost:{port}"]))
    env = {"GRIP_URL": server.control_uri, "PYTHONPATH": ""}
    output_path = tmp_path / "example.output"
    origin = Process(example, argv_of(command(COMMANDS[example]), port), output_path, env, cwd=EXAMPLES)
    try:

        def is_listening() -> bool:
            assert origin.is_running(), f"{example} ended at start:\n{origin.output()}"
            return can_connect(port, "localhost")

        wait_until(is_listening, f"{example} listens", START_TIMEOUT_S)
        yield server
    finally:
        origin.stop()


def post(server: Server, body: bytes) -> bytes:
    headers = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\nConnection: close"
    with RawClient(server.http_port) as client:
        client.send(f"POST /say HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n".encode() + body)
        return client.receive_all()


def test_what_one_visitor_says_all_see(server: Server) -> None:
    page = fetch(server.http_port, "/")
    assert page.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"new EventSource" in page
    with RawClient(server.http_port) as first, RawClient(server.http_port) as second:
        for client in (first, second):
            client.get("/events")
            opening = client.receive_until(b":\n\n")
            assert b"content-type: text/event-stream" in opening.lower()
            assert b"grip-hold" not in opening.lower(), "the instruct is for the proxy"
        assert post(server, b"text=hello+%E2%82%AC%0Atwo+lines").startswith(b"HTTP/1.1 204 No Content\r\n")
        for client in (first, second):
            client.receive_until("data: hello €\ndata: two lines\n\n".encode())


def test_requirements_are_those_that_are_tested() -> None:
    """What an example asks pip for is installed here; else the test above tests something else."""
    tested = (SOURCE_ROOT / "setup.cfg").read_text()
    for path in EXAMPLES.glob("*/requirements.txt"):
        for line in path.read_text().split():
            name = line.partition(">=")[0]
            assert re.search(rf"^    {name}>=", tested, re.MULTILINE), f"{path}: {name} is not among the tests' extras"
