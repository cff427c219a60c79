"""What one more idle TLS client costs, by ways of doing TLS in Python: ``python -m benchmarks.tls_memory``.

Each way is a process that accepts TLS clients, answers a request of each with the head of a stream, and keeps them. The
clients are in the measuring process. Memory is the slope between a fifth of the clients and all of them; CPU times are
the server's own.
"""

import argparse
import asyncio
import contextlib
import os
import random
import select
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import uvloop

from benchmarks.machine import describe_machine, raise_file_limit
from benchmarks.process_tree import ProcessTree
from benchmarks.report import OURS, Column, Figure, Report
from gripproxy.engine.core import Core
from gripproxy.protocol.last_ids import LastIds
from gripproxy.protocol.origin_request import OriginRequests
from gripproxy.protocol.routes import parse_routes
from gripproxy.scoreboard import Scoreboard
from gripproxy.settings import Settings
from gripproxy_worker.acceptor import Acceptor, WorkerLimit
from gripproxy_worker.certificates import load_pair
from gripproxy_worker.client_sockets import HELD
from gripproxy_worker.driver import Driver
from gripproxy_worker.handshakes import Handshakes

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
REQUEST = b"GET /stream HTTP/1.1\r\nHost: a.test\r\n\r\n"
ITEM = b"64\r\n" + b"x" * 100 + b"\r\n"
ROUNDS = 5  # items for every client
READ_BYTES = 65_536
ASYNCIO_DIVISOR = 10  # transports of asyncio's kind take so much memory that a tenth of the clients must do
SETTLE_S = 0.5
ANSWER_MAX_S = 20.0  # from a server that has not failed
PLAIN = "no TLS"
VERSIONS = (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2)
COLUMNS = (
    Column("bytes_per_client", "bytes per client"),
    Column("virtual_bytes", "of address space"),
    Column("handshake_us", "CPU us per handshake and request"),
    Column("write_us", "CPU us per item of 106 bytes", 1),
)


class Way(ABC):
    """A server in a process of its own. Commands come on a socket: one byte each, and each is answered by one."""

    def __init__(self, listener: socket.socket, control: socket.socket, context: ssl.SSLContext) -> None:
        self.listener = listener
        self.control = control
        self.context = context
        listener.setblocking(False)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @abstractmethod
    def run(self) -> None:
        """Serve for ever."""

    @abstractmethod
    def write_all(self) -> None:
        """Write ITEM to every client."""

    def on_command(self) -> None:
        """Do what is asked; the end of the socket is that of the process."""
        if not self.control.recv(1):
            os._exit(0)
        self.write_all()
        self.control.send(b".")


class Transports(Way):
    """asyncio's protocols on a loop's own TLS transports."""

    def __init__(self, *args: Any, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        super().__init__(*args)
        self._new_loop = new_loop
        self._transports: list[asyncio.Transport] = []

    def run(self) -> None:
        loop = self._new_loop()
        way = self

        class Client(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                self.transport = transport
                way._transports.append(transport)

            def data_received(self, data: bytes) -> None:
                self.transport.write(HEAD)

        loop.add_reader(self.control.fileno(), self.on_command)
        loop.run_until_complete(loop.create_server(Client, sock=self.listener, ssl=self.context))
        loop.run_forever()

    def write_all(self) -> None:
        for transport in self._transports:
            transport.write(ITEM)


class Streams(Way):
    """TLS streams in an epoll loop. What makes one, and how bytes get to it and from it, is the subclass's."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.streams: dict[int, Any] = {}

    def run(self) -> None:
        epoll = select.epoll()
        epoll.register(self.listener.fileno(), select.EPOLLIN)
        epoll.register(self.control.fileno(), select.EPOLLIN)
        while True:
            for fd, _ in epoll.poll():
                if fd == self.control.fileno():
                    self.on_command()
                elif fd == self.listener.fileno():
                    client, _ = self.listener.accept()
                    client.setblocking(False)
                    epoll.register(client.fileno(), select.EPOLLIN)
                    self.begin(client)
                else:
                    with contextlib.suppress(ssl.SSLWantReadError):
                        self.serve(fd)

    @abstractmethod
    def begin(self, client: socket.socket) -> None:
        """Take a new client."""

    @abstractmethod
    def serve(self, fd: int) -> None:
        """Go on with the handshake, or answer."""


class Sockets(Streams):
    """`ssl.SSLSocket` around the client's socket."""

    def begin(self, client: socket.socket) -> None:
        stream = self.context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
        self.streams[stream.fileno()] = stream

    def serve(self, fd: int) -> None:
        stream = self.streams[fd]
        if stream.version() is None or not stream.cipher():
            stream.do_handshake()
        if stream.read(READ_BYTES):
            stream.write(HEAD)

    def write_all(self) -> None:
        for stream in self.streams.values():
            stream.write(ITEM)


@dataclass(slots=True)
class Buffers:
    """What a stream in memory reads from and writes to."""

    incoming: ssl.MemoryBIO = field(default_factory=ssl.MemoryBIO)
    outgoing: ssl.MemoryBIO = field(default_factory=ssl.MemoryBIO)


class Objects(Streams):
    """`ssl.SSLObject` over memory, each with buffers of its own."""

    def begin(self, client: socket.socket) -> None:
        buffers = self.buffers()
        stream = self.context.wrap_bio(buffers.incoming, buffers.outgoing, server_side=True)
        self.streams[client.detach()] = (stream, buffers)

    def buffers(self) -> Buffers:
        """Give a new client's buffers."""
        return Buffers()

    def serve(self, fd: int) -> None:
        stream, buffers = self.streams[fd]
        buffers.incoming.write(os.read(fd, READ_BYTES))
        try:
            stream.do_handshake()
            if stream.read(READ_BYTES):
                stream.write(HEAD)
        finally:
            if buffers.outgoing.pending:
                os.write(fd, buffers.outgoing.read())

    def write_all(self) -> None:
        for fd, (stream, buffers) in self.streams.items():
            stream.write(ITEM)
            os.write(fd, buffers.outgoing.read())


class SharedObjects(Objects):
    """`ssl.SSLObject` over memory that all of them share."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._shared = Buffers()

    def buffers(self) -> Buffers:
        return self._shared


class Worker(Way):
    """gripproxy's own worker, with TLS or without."""

    def __init__(self, *args: Any, is_tls: bool) -> None:
        super().__init__(*args)
        self._is_tls = is_tls

    def run(self) -> None:
        loop = uvloop.new_event_loop()
        asyncio.set_event_loop(loop)
        settings = Settings(client_maxconn=1_000_000)
        routes, _ = parse_routes("* test", "benchmark")
        scoreboard = Scoreboard(1)
        core = Core(settings, routes, OriginRequests(settings, {}, time.time), loop.time(), random.random, LastIds())
        self.driver = Driver(settings, core, loop, scoreboard.row(1), 1)
        self.driver.use_routes(routes)
        self.driver.tick()
        welcome = Handshakes(self.driver, self.context).accept if self._is_tls else self.driver.accept
        Acceptor(self.listener, WorkerLimit(self.driver, scoreboard, 1_000_000), loop, welcome).start()
        loop.add_reader(self.control.fileno(), self.on_command)
        loop.run_forever()

    def write_all(self) -> None:
        sockets = self.driver.sockets
        sockets.deliver(ITEM, [fd for fd, record in enumerate(sockets.records) if record is HELD])


def _worker(is_tls: bool) -> Callable[..., Way]:
    return lambda *args: Worker(*args, is_tls=is_tls)


def _transports(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> Callable[..., Way]:
    return lambda *args: Transports(*args, new_loop=new_loop)


WAYS: dict[str, Callable[..., Way]] = {
    "asyncio transports": _transports(asyncio.new_event_loop),
    "uvloop transports": _transports(uvloop.new_event_loop),
    "SSLSocket": Sockets,
    "SSLObject, own BIOs": Objects,
    "SSLObject, shared BIOs": SharedObjects,
    OURS: _worker(is_tls=True),
    f"{OURS}, {PLAIN}": _worker(is_tls=False),
}


def new_server_context(directory: str) -> ssl.SSLContext:
    """Make a certificate and the context that serves it; gripproxy's own, so that all do the same work."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=a.test"
    files = ["-keyout", f"{directory}/a.key", "-out", f"{directory}/a.crt"]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    return load_pair(directory, "a")


class Served:
    """A way's process, and its clients. It is forked before there are any: what they leave free would be used again."""

    def __init__(self, way: Callable[..., Way], context: ssl.SSLContext) -> None:
        listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.address = listener.getsockname()
        self.control, theirs = socket.socketpair()
        self.control.settimeout(ANSWER_MAX_S)
        self.clients: list[socket.socket] = []
        pid = os.fork()
        if pid == 0:
            try:
                way(listener, theirs, context).run()
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        theirs.close()
        listener.close()
        self.tree = ProcessTree(pid)

    def measure(self, version: ssl.TLSVersion | None, clients_count: int) -> dict[str, float]:
        """Connect the clients, write to them, and give the figures. Without a version they are plain."""
        few_count = clients_count // 5
        added_count = clients_count - few_count
        self._connect(version, few_count)
        before = self._reading()
        self._connect(version, added_count)
        added = [after - earlier for after, earlier in zip(self._reading(), before, strict=True)]
        start_s = self.tree.cpu_s()
        for _ in range(ROUNDS):
            self.control.send(b"w")
            self.control.recv(1)
            for client in self.clients:
                _receive(client, len(ITEM))
        return {
            "bytes_per_client": added[0] / added_count,
            "virtual_bytes": added[1] / added_count,
            "handshake_us": 1e6 * added[2] / added_count,
            "write_us": 1e6 * (self.tree.cpu_s() - start_s) / (ROUNDS * clients_count),
        }

    def end(self) -> None:
        """End the process and its clients."""
        os.kill(self.tree.root_pid, signal.SIGKILL)
        os.waitpid(self.tree.root_pid, 0)
        self.control.close()
        for client in self.clients:
            client.close()

    def _reading(self) -> tuple[float, float, float]:
        time.sleep(SETTLE_S)
        return self.tree.memory().data_bytes, _virtual_bytes(self.tree.root_pid), self.tree.cpu_s()

    def _connect(self, version: ssl.TLSVersion | None, count: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        for _ in range(count):
            client = socket.create_connection(self.address, timeout=ANSWER_MAX_S)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if version is not None:
                context.maximum_version = version
                client = context.wrap_socket(client)
            client.sendall(REQUEST)
            received = b""
            while not received.endswith((b"\r\n\r\n", b"opened]\n\r\n")):
                received += client.recv(READ_BYTES)
            self.clients.append(client)


def _receive(client: socket.socket, count: int) -> None:
    while count > 0:
        data = client.recv(count)
        if not data:
            raise ConnectionError("the server closed a client")
        count -= len(data)


def _virtual_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def run(clients_count: int) -> Report:
    """Measure every way with TLS 1.3 and TLS 1.2."""
    counts = f"{clients_count:,} (asyncio {clients_count // ASYNCIO_DIVISOR:,})"
    settings = {"clients": counts, "openssl": ssl.OPENSSL_VERSION}
    report = Report("tls_memory", "TLS clients that wait: memory of the server and its CPU time", COLUMNS, settings)
    with tempfile.TemporaryDirectory(prefix="gripproxy-bench-") as directory:
        context = new_server_context(directory)
        cases = [(version, name) for version in VERSIONS for name in WAYS]
        served = [Served(WAYS[name], context) for _, name in cases]
        try:
            for version, name in cases:
                count = clients_count // ASYNCIO_DIVISOR if name.startswith("asyncio") else clients_count
                values = served[0].measure(None if PLAIN in name else version, count)
                report.figures.append(Figure(name, version.name, values))
                served.pop(0).end()
        finally:
            for one in served:
                one.end()
    return report


def main(arguments: list[str]) -> int:
    """Measure and print; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tls_memory", description=__doc__)
    parser.add_argument("--clients", type=int, default=5000)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/tls-memory.md and .json")
    parsed = parser.parse_args(arguments)
    raise_file_limit()
    machine = describe_machine()
    report = run(parsed.clients)
    print(report.terminal_table())
    if parsed.save:
        for path in report.save(machine):
            print(f"wrote {path}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
