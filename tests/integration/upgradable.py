"""A gripproxy that is upgraded while it serves: who it is now, what publishers send meanwhile, what clients got."""

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path

import zmq

from tests.integration.deadline import wait_until
from tests.integration.load_clients import body_of
from tests.integration.process_view import children, title
from tests.integration.raw_client import RawClient
from tests.integration.server import Server, ServerPlan, program_argv, source_env

UPGRADE_MAX_S = 60
# Between two lots of items, and how many these are: what few hundred clients can be sent on a busy machine.
PAUSE_S = 0.02
ITEMS_COUNT = 4


class Upgradable(Server):
    """A server whose supervisor changes with each upgrade."""

    def __init__(self, plan: ServerPlan, directory: Path) -> None:
        super().__init__(plan, directory)
        self._pids: list[int] = []

    @property
    def supervisor_pid(self) -> int:
        """The supervisor of the version that serves."""
        return int((self.directory / "t-gripproxy.pid").read_text())

    def start_upgrade(self) -> "subprocess.Popen[str]":
        """Begin an upgrade."""
        argv = [*program_argv("gripproxy", "gripproxy.cli"), "upgrade", "--config", str(self.config_path)]
        env = {**os.environ, **source_env()}
        return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def upgrade(self) -> str:
        """Upgrade; give what the command said.

        Raises:
            AssertionError: it failed.
        """
        self._pids.append(self.supervisor_pid)
        with self.start_upgrade() as command:
            said, _ = command.communicate(timeout=UPGRADE_MAX_S)
            assert command.returncode == 0, f"{said}\n{self.output()}"
        return said

    def processes(self, name: str) -> list[int]:
        """Give the processes of all versions whose title holds `name`."""
        pids = {*self._pids, self.supervisor_pid}
        return [pid for parent in pids for pid in children(parent) if name in title(pid)]

    def stop(self) -> int | None:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
            pid = self.supervisor_pid
            if self.process is None or pid != self.process.pid:
                os.kill(pid, signal.SIGTERM)
                wait_until(lambda: not is_alive(pid), "the newest version has stopped", 20)
        return super().stop()


def is_alive(pid: int) -> bool:
    """Say whether a process runs, which need not be a child of ours."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class CountingPublisher(ABC):
    """Sends numbered lines to a channel, all the time, from `start` to `stop`; `count` were sent."""

    def __init__(self, channel: str) -> None:
        self.count = 0
        self._channel = channel
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> int:
        """Send no more; give how many were sent."""
        self._is_stopping.set()
        self._thread.join()
        return self.count

    def _run(self) -> None:
        while not self._is_stopping.wait(PAUSE_S):
            numbers = range(self.count, self.count + ITEMS_COUNT)
            self.send([{"channel": self._channel, "http-stream": {"content": f"{number}\n"}} for number in numbers])
            self.count += ITEMS_COUNT

    @abstractmethod
    def send(self, items: list[dict[str, object]]) -> None:
        """Publish these, in order."""


class HttpPublisher(CountingPublisher):
    """Posts them, and waits for each answer."""

    def __init__(self, server: Server, channel: str) -> None:
        super().__init__(channel)
        self._server = server

    def send(self, items: list[dict[str, object]]) -> None:
        self._server.publish(*items)


class PushPublisher(CountingPublisher):
    """Sends them through a PUSH socket, which may keep some for a while."""

    def __init__(self, server: Server, channel: str) -> None:
        super().__init__(channel)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.PUSH)
        self._socket.setsockopt(zmq.LINGER, 10_000)
        self._socket.connect(f"tcp://127.0.0.1:{server.push_port}")

    def stop(self) -> int:
        super().stop()
        self._socket.close()
        self._context.term()
        return self.count

    def send(self, items: list[dict[str, object]]) -> None:
        for item in items:
            formats = {name: value for name, value in item.items() if name != "channel"}
            self._socket.send(b"J" + json.dumps({"channel": item["channel"], "formats": formats}).encode())


def numbers_of(client: RawClient) -> list[int]:
    """Give the numbers that a streaming client got."""
    return [int(line) for line in re.findall(rb"^(\d+)$", body_of(client.received), re.MULTILINE)]


def read_up_to(clients: list[RawClient], number: int, timeout_s: float = 30.0) -> None:
    """Read until each client has this number, or has been let go."""
    deadline = time.monotonic() + timeout_s
    marker = b"\n%d\n" % number
    waiting = list(clients)
    while waiting and time.monotonic() < deadline:
        for client in waiting:
            client.poll(0.01)
        waiting = [
            client
            for client in waiting
            if not client.is_ended and marker not in client.received[-64:].replace(b"\r\n", b"\n")
        ]
