"""A relay in a process of its own, on socket files, with publishers and hosts made by hand."""

import re
import urllib.request
from pathlib import Path

import zmq

from tests.integration.deadline import wait_until
from tests.integration.ports import free_ports
from tests.integration.process import Process
from tests.integration.server import program_argv, source_env

ZmqSocket = zmq.Socket[bytes]


class RunningRelay:
    """Start it, stop it, start it again at the same addresses."""

    def __init__(
        self,
        directory: Path,
        context: "zmq.Context[ZmqSocket]",
        name: str = "r",
        *options: str,
        source: str | None = None,  # where it connects to for its items, instead of an address of its own
    ) -> None:
        self.in_spec = f"ipc://{directory}/{name}-in"
        self.out_spec = f"ipc://{directory}/{name}-out"
        [self.metrics_port] = free_ports(1)
        self._context = context
        self._output_path = directory / f"{name}.output"
        sides = ("--in", self.in_spec) if source is None else ("--in-connect", source)
        sides += ("--out", self.out_spec)
        self._options = [*sides, "--metrics", f"127.0.0.1:{self.metrics_port}", *options]
        self.process: Process | None = None
        self._seen_count = 0

    def launch(self) -> Process:
        argv = [*program_argv("gripproxy", "gripproxy.cli"), "relay", *self._options]
        self._seen_count = len(self.output())
        self.process = Process("relay", argv, self._output_path, source_env())
        return self.process

    def start(self) -> None:
        """Start it and wait until it lets publishers in."""
        process = self.launch()

        def is_ready() -> bool:
            assert process.is_running(), self.output()
            return "[relay] ready" in self.output()[self._seen_count :]

        wait_until(is_ready, f"the relay is ready; it said {self.output()}", 20.0)

    def stop(self) -> int | None:
        process, self.process = self.process, None
        return process.stop() if process else None

    def output(self) -> str:
        return self._output_path.read_text(errors="replace") if self._output_path.exists() else ""

    def host(self, *channels: bytes, receive_max_count: int = 1000) -> ZmqSocket:
        """Connect as a host that wants these channels."""
        sub = self._context.socket(zmq.SUB)
        sub.setsockopt(zmq.RCVHWM, receive_max_count)
        for channel in channels:
            sub.setsockopt(zmq.SUBSCRIBE, channel)
        sub.connect(self.out_spec)
        return sub

    def publisher(self) -> ZmqSocket:
        """Connect as a publisher that sees subscriptions."""
        xpub = self._context.socket(zmq.XPUB)
        xpub.setsockopt(zmq.SNDHWM, 100_000)
        xpub.connect(self.in_spec)
        return xpub

    def page(self, path: str = "/metrics") -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def metric(self, name: str) -> int:
        """Read one of the relay's metrics."""
        found = re.search(rf"^gripproxy_relay_{name} (\d+)$", self.page(), re.MULTILINE)
        assert found, name
        return int(found[1])


def received(sub: ZmqSocket, timeout_s: float = 20.0) -> list[bytes]:
    """Give the next message.

    Raises:
        AssertionError: none came in time.
    """
    assert sub.poll(int(timeout_s * 1000)), f"nothing within {timeout_s:g} s"
    return sub.recv_multipart()


def wait_for_notice(xpub: ZmqSocket, notice: bytes) -> None:
    """Wait for a subscription or its end."""
    assert received(xpub) == [notice]
