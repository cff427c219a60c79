"""Hosts on one machine: network namespaces on a switch, each with its own addresses, ports and kernel tables.

Nothing of it has a name outside of the process that made it: namespaces live as long as its descriptors and the
processes in them, so nothing is left behind even if it is killed. Needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN).
"""

import contextlib
import ctypes
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from benchmarks.errors import BenchmarkError

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_OWN = "/proc/thread-self/ns/net"
_SWITCH = "switch0"
_LIBC = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """A network namespace. Sockets and processes that are made while it is `entered` belong to it."""

    def __init__(self) -> None:
        made: list[int] = []
        thread = threading.Thread(target=lambda: made.append(_new_namespace()))
        thread.start()
        thread.join()
        if made == [-1]:
            raise BenchmarkError("no network namespace could be made: it takes root")
        [self.fd] = made

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Put the calling thread into it, and at the end back where it came from."""
        home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(self.fd)
            yield
        finally:
            _enter(home)
            os.close(home)

    def ip(self, *arguments: str) -> None:
        """Run `ip` in it."""
        with self.entered():
            done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchmarkError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")

    def close(self) -> None:
        os.close(self.fd)


class Host(Namespace):
    """A machine with one cable to the switch."""

    def __init__(self, switch: Namespace, number: int) -> None:
        super().__init__()
        self.address = f"10.77.0.{number}"
        self._switch = switch
        self._port = f"port{number}"
        # By a path that `ip` opens again: it is another process.
        path = f"/proc/{os.getpid()}/fd/{self.fd}"
        switch.ip("link", "add", "name", self._port, "type", "veth", "peer", "name", "eth0", "netns", path)
        switch.ip("link", "set", "dev", self._port, "master", _SWITCH, "up")
        self.ip("link", "set", "dev", "lo", "up")
        self.ip("address", "add", f"{self.address}/24", "dev", "eth0")
        self.ip("link", "set", "dev", "eth0", "up")

    def plug(self, is_in: bool) -> None:
        """Put the cable into the switch or pull it out there. The host itself sees that its cable has no other end."""
        self._switch.ip("link", "set", "dev", self._port, "up" if is_in else "down")

    def received_bytes(self) -> int:
        """Count what has come over the cable so far."""
        return int(self._counters()[1])

    def sent_bytes(self) -> int:
        """Count what has gone over the cable so far."""
        return int(self._counters()[9])

    def _counters(self) -> list[str]:
        with self.entered():
            lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
        [words] = [line.split() for line in lines if line.strip().startswith("eth0:")]
        return words


class Network:
    """A switch and the hosts at it, all gone at the end of the `with` block."""

    def __init__(self) -> None:
        self.hosts: list[Host] = []
        self._switch = Namespace()
        self._switch.ip("link", "add", "name", _SWITCH, "type", "bridge")
        self._switch.ip("link", "set", "dev", _SWITCH, "up")

    def __enter__(self) -> "Network":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for host in self.hosts:
            host.close()
        self._switch.close()

    def add(self) -> Host:
        """Connect one more host."""
        host = Host(self._switch, len(self.hosts) + 1)
        self.hosts.append(host)
        return host


def _new_namespace() -> int:
    """Make one for the calling thread, which is to end soon, and give its descriptor."""
    if _LIBC.unshare(_CLONE_NEWNET):
        return -1
    return os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)


def _enter(fd: int) -> None:
    if _LIBC.setns(fd, _CLONE_NEWNET):
        raise BenchmarkError(f"setns: {os.strerror(ctypes.get_errno())}")
