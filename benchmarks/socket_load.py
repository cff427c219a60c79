"""WebSocket clients in another process, that send bursts of messages and wait for their echoes."""

import multiprocessing
import os
import select
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType

from benchmarks.errors import BenchmarkError
from benchmarks.latency_histogram import LatencyBoard, LatencyHistogram, LatencyRecorder
from benchmarks.socket_frames import ACCEPTED, TEXT, encode_from_client, encode_from_server, handshake_request
from benchmarks.watch import Watch

MESSAGE = ECHOED = b"x" * 64
READ_BYTES = 65536
CONNECT_LIMIT_S = 20.0
ECHO_LIMIT_S = 20.0  # a load that gets nothing for so long has failed
POLL_S = 0.05
_FORK = multiprocessing.get_context("fork")


@dataclass(slots=True)
class SocketLoadResult:
    """Messages that came back in `seconds`, and the latencies of whole bursts."""

    messages: int
    seconds: float
    latencies: LatencyHistogram


class SocketLoad:
    """The other process. It connects at once, and is gone when the `with` block ends."""

    def __init__(self, port: int, path: str, connections: int, burst: int) -> None:
        self._board = LatencyBoard(1)
        self._pipe, theirs = _FORK.Pipe()
        arguments = (port, path, connections, burst, self._board.recorder(0), theirs, self._pipe)
        self._process = _FORK.Process(target=_run, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> "SocketLoad":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pipe.close()
        self._process.join(5)
        self._process.kill()
        self._process.join()

    def run(self, seconds: float, watch: Watch) -> SocketLoadResult:
        """Let all clients send for so long, and wait until everything has come back.

        Raises:
            BenchmarkError: a client was refused or lost, or what came back is not what it sent.
        """
        before = self._board.read()
        self._pipe.send(seconds)
        try:
            while not self._pipe.poll(POLL_S):
                watch.check(f"messages for {seconds:g} s")
            found: tuple[int, float] | str = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise BenchmarkError("the process of the clients has ended") from error
        if isinstance(found, str):
            raise BenchmarkError(found)
        messages, elapsed_s = found
        return SocketLoadResult(messages, elapsed_s, self._board.read() - before)


class SocketLoadClients:
    """The clients, in their process."""

    def __init__(self, port: int, path: str, connections: int, burst: int, recorder: LatencyRecorder) -> None:
        self._burst = burst
        self._request = encode_from_client(TEXT, MESSAGE) * burst
        self._echo = encode_from_server(TEXT, ECHOED) * burst
        self._recorder = recorder
        self._epoll = select.epoll()
        self._clients = {}
        for _ in range(connections):
            client = connect_websocket(port, path)
            self._clients[client.fileno()] = client
            self._epoll.register(client, select.EPOLLIN)

    def run(self, seconds: float) -> tuple[int, float]:
        """Send for so long; gives the messages that came back, and the time until the last of them."""
        write, read, now_ns = os.write, os.read, time.monotonic_ns
        partial: dict[int, bytes] = {}
        sent_ns = {}
        bursts, start_ns = 0, now_ns()
        until_ns = start_ns + int(seconds * 1e9)
        for fd in self._clients:
            sent_ns[fd] = now_ns()
            write(fd, self._request)
        while sent_ns:
            events = self._epoll.poll(ECHO_LIMIT_S)
            if not events:
                raise BenchmarkError(f"{len(sent_ns)} clients got no echo in {ECHO_LIMIT_S:g} s")
            for fd, _ in events:
                data = partial.pop(fd, b"") + read(fd, READ_BYTES)
                if data != self._echo:
                    if not data or fd not in sent_ns or not self._echo.startswith(data):
                        raise BenchmarkError(f"no echo but {data[:80]!r}")
                    partial[fd] = data
                    continue
                now = now_ns()
                bursts += 1
                self._recorder.count(now - sent_ns.pop(fd))
                if now < until_ns:
                    sent_ns[fd] = now
                    write(fd, self._request)
        return bursts * self._burst, (now_ns() - start_ns) / 1e9


def connect_websocket(port: int, path: str) -> socket.socket:
    """Connect and shake hands.

    Raises:
        BenchmarkError: the answer is no 101.
    """
    client = socket.create_connection(("127.0.0.1", port), timeout=CONNECT_LIMIT_S)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.sendall(handshake_request(path))
    head = b""
    while b"\r\n\r\n" not in head:
        data = client.recv(READ_BYTES)
        if not data:
            break
        head += data
    if not head.startswith(ACCEPTED):
        raise BenchmarkError(f"a WebSocket was answered with {head[:120]!r}")
    client.settimeout(None)
    return client


def _run(
    port: int,
    path: str,
    connections: int,
    burst: int,
    recorder: LatencyRecorder,
    orders: Connection,
    other_end: Connection,
) -> None:
    other_end.close()  # inherited: while it is open here, nobody sees the parent close it
    try:
        clients = SocketLoadClients(port, path, connections, burst, recorder)
        while True:
            orders.send(clients.run(orders.recv()))
    except EOFError:
        pass
    except (BenchmarkError, OSError) as error:
        with suppress(OSError):  # the parent has gone
            orders.send(str(error))
    os._exit(0)
