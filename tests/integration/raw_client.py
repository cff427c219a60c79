"""An HTTP client that hides nothing: exact bytes out, exact bytes in, every wait with a deadline."""

import contextlib
import socket
import struct
import time
from collections.abc import Iterator
from types import TracebackType

from tests.integration.readiness import is_readable

RECEIVE_BYTES = 65536
TCP_REPAIR = 19  # Linux: a socket closed in this mode goes without FIN or RST, like a host that lost its power


class RawClient:
    """One TCP connection; `received` is everything that has come, untouched."""

    def __init__(self, port: int, host: str = "127.0.0.1", source: str | None = None) -> None:
        self.socket = socket.create_connection(
            (host, port), timeout=10.0, source_address=(source, 0) if source else None
        )
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.is_ended = False  # FIN or RST has come
        self.is_reset = False  # it was a RST

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        """Send everything; a connection that the server has ended swallows it, as `received` tells the story."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def get(self, target: str, *headers: str, host: str = "localhost", version: str = "1.1") -> None:
        """Send a GET request."""
        lines = [f"GET {target} HTTP/{version}", f"Host: {host}", *headers, "", ""]
        self.send("\r\n".join(lines).encode("latin-1"))

    def poll(self, timeout_s: float) -> bool:
        """Take what has come within `timeout_s`; say whether anything did (an end counts)."""
        if self.is_ended or not is_readable(self.socket, timeout_s):
            return False
        try:
            data = self.socket.recv(RECEIVE_BYTES)
        except ConnectionResetError:
            self.is_reset, data = True, b""
        self.received += data
        self.is_ended = not data
        return True

    def receive_until(self, marker: bytes, timeout_s: float = 10.0, count: int = 1) -> bytes:
        """Wait until `marker` has come `count` times and give everything received.

        Raises:
            AssertionError: it has not come in time, or the server ended the connection before.
        """
        deadline = time.monotonic() + timeout_s
        while self.received.count(marker) < count:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or self.is_ended:
                why = "the connection ended" if self.is_ended else f"nothing more within {timeout_s:g} s"
                raise AssertionError(f"{marker!r} did not come {count} time(s), {why}; got {self.received!r}")
            self.poll(left_s)
        return self.received

    def receive_all(self, timeout_s: float = 10.0) -> bytes:
        """Wait for the server's end of the connection and give everything received."""
        deadline = time.monotonic() + timeout_s
        while not self.is_ended:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise AssertionError(f"the connection was not ended within {timeout_s:g} s; got {self.received!r}")
            self.poll(left_s)
        return self.received

    def receive_for(self, quiet_s: float) -> bytes:
        """Take what comes until nothing has come for `quiet_s` seconds."""
        while self.poll(quiet_s):
            pass
        return self.received

    def close(self) -> None:
        """Leave with a FIN (a RST when unread bytes are left, as the kernel has it)."""
        self.socket.close()

    def reset(self) -> None:
        """Leave with a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def vanish(self) -> None:
        """Leave without a word: no FIN, no RST. Needs CAP_NET_ADMIN."""
        self.socket.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        self.socket.close()


def fetch(port: int, target: str = "/", *headers: str, host: str = "localhost", timeout_s: float = 10.0) -> bytes:
    """Send one GET with ``Connection: close`` and give the whole answer."""
    with RawClient(port) as client:
        client.get(target, "Connection: close", *headers, host=host)
        return client.receive_all(timeout_s)


@contextlib.contextmanager
def open_streams(port: int, count: int) -> Iterator[list[RawClient]]:
    """Open so many streams at `/stream`, which begin with ``[open]``. With a few, each worker most likely has some."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawClient(port)) for _ in range(count)]
        for client in clients:
            client.get("/stream", version="1.0")
        for client in clients:
            client.receive_until(b"[open]\n")
        yield clients
