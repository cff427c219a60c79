"""What every measured server has in common: start, wait until it answers, read its figures, stop it."""

import os
import random
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.item_mark import ITEM_BYTES
from benchmarks.item_publisher import ItemPublisher
from benchmarks.process_tree import ProcessTree

START_LIMIT_S = 20.0
STOP_LIMIT_S = 6.0  # Pushpin kills its children after 4 s
CONNECTIONS_MAX_COUNT = 18_000  # what fits in a process that may open 20,000 files


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What a benchmark needs beside plain HTTP, of servers that have it."""

    has_sockets: bool = False  # WebSockets, and an origin for them
    has_tls: bool = False
    workers: int | None = None  # of gripproxy; None is its default, one per core


class Server(ABC):
    """One server program. Subclasses write its configuration and say where its paths are."""

    name: str
    has_origin = False  # asks the nginx origin about each request

    def __init__(self, directory: Path, origin_port: int) -> None:
        self.directory = directory
        self.origin_port = origin_port
        self.http_port = free_port()
        self.tls_port = free_port()
        self.options = ServerOptions()
        self.socket_origin_port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Write what the server reads into `directory` and give its command line."""

    @abstractmethod
    def ready_path(self) -> str:
        """Name a path that is answered with status 200 as soon as the server works."""

    def environment(self) -> dict[str, str]:
        """Give the server's environment."""
        return dict(os.environ)

    def hold_path(self) -> str:
        """Name the path that is held, with ``{}`` where the channel goes."""
        raise BenchmarkError(f"{self.name} holds no connections")

    def socket_path(self, is_over_http: bool) -> str:
        """Name the path of WebSockets that are held, with ``{}`` where the channel goes.

        The origin is asked over HTTP, or by a WebSocket.
        """
        raise BenchmarkError(f"{self.name} has no WebSockets")

    def plain_path(self) -> str:
        """Name the path that is answered at once."""
        raise BenchmarkError(f"{self.name} proxies nothing")

    def publisher(self, channel_count: int, size_bytes: int = ITEM_BYTES, is_websocket: bool = False) -> ItemPublisher:
        """Open the way in for items with a text of `size_bytes` to the channels c0, c1, ... of this server.

        They are for streams, or for WebSockets.
        """
        raise BenchmarkError(f"{self.name} has no publisher")

    def dropped_count(self) -> int | None:
        """Give the deliveries that the server says it dropped for slow clients; None when it does not say."""
        return None

    @property
    def connections_max(self) -> int:
        """How many connections it can hold."""
        return CONNECTIONS_MAX_COUNT

    @property
    def tree(self) -> ProcessTree:
        """The server's processes."""
        if self._process is None:
            raise BenchmarkError(f"{self.name} is not running")
        return ProcessTree(self._process.pid)

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            BenchmarkError: the program is not installed, ended, or did not answer in START_LIMIT_S; with its last line.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with open(self.directory / "output.log", "wb") as output:
            try:
                self._process = subprocess.Popen(
                    self.command(),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=self.environment(),
                    start_new_session=True,
                )
            except OSError as error:
                raise BenchmarkError(f"{self.name} cannot be started: {error}") from error
        deadline = time.monotonic() + START_LIMIT_S
        while not answers_ok(self.http_port, self.ready_path()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                log = (self.directory / "output.log").read_text(errors="replace").strip()
                self.stop()
                raise BenchmarkError(f"{self.name} did not start: {log.splitlines()[-1] if log else 'no output'}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server and every process it started, in order if it can, by force if it does not."""
        if self._process is None:
            return
        pids = self.tree.pids()
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pid in pids[1:]:
            end_orphan(pid, group=os.getpgid(pid) if Path(f"/proc/{pid}").exists() else 0)
        self._process = None


def end_orphan(pid: int, group: int) -> None:
    """Kill a process that outlived the server that started it."""
    if not group:
        return
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def free_port() -> int:
    """Find a port that nobody listens on, below the range the kernel takes client ports from."""
    for _ in range(200):
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
            return port
    raise BenchmarkError("no free port between 20000 and 32000")


def answers_ok(port: int, path: str) -> bool:
    """Tell whether a GET of `path` is answered with status 200 within a second."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as probe:
            probe.sendall(request)
            return probe.recv(64).split(b" ")[1:2] == [b"200"]
    except OSError:
        return False
