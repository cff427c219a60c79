"""A worker's driver in the test's own process, with clients and an origin that the test speaks for, over loopback."""

import asyncio
import random
import socket
import time
from collections.abc import Callable
from typing import Any, cast

import uvloop

from gripproxy.engine.core import Core
from gripproxy.protocol.bus_message import pack_item
from gripproxy.protocol.last_ids import LastIds
from gripproxy.protocol.origin_request import OriginRequests
from gripproxy.protocol.publish_format import HttpStreamFormat
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.protocol.routes import parse_routes
from gripproxy.scoreboard import Field, Scoreboard
from gripproxy.settings import Settings
from gripproxy.signing_keys import read_signing_keys
from gripproxy_worker.driver import Driver

WAIT_MAX_S = 10.0  # for what never comes: a test that waits so long has failed


class Client:
    """A client's socket. `received` fills while the bench waits, unless `is_reading` is off."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.received = bytearray()
        self.is_closed = False
        self.is_reading = True

    def send(self, payload: bytes) -> None:
        self.sock.sendall(payload)

    def close(self) -> None:
        self.sock.close()
        self.is_closed = True

    def pump(self) -> None:
        while self.is_reading and not self.is_closed:
            try:
                data = self.sock.recv(65_536)
            except BlockingIOError:
                return
            except ConnectionResetError:
                data = b""
            self.received += data
            self.is_closed = not data


class OriginSide(asyncio.Protocol):
    """One connection as the origin sees it; the test writes the answers."""

    def __init__(self, bench: "WorkerBench") -> None:
        self.bench = bench
        self.received = bytearray()
        self.is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.bench.origins.append(self)

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.bench.answer is not None:
            count = self.received.count(b"\r\n\r\n")
            self.received = bytearray()
            self.send(self.bench.answer * count)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True

    def send(self, payload: bytes) -> None:
        self.transport.write(payload)


class WorkerBench:
    """A driver and its surroundings. `answer`: what the origin says to every request without a body."""

    def __init__(self, routes: str = "* {origin}", connections_max: int = 10, **settings: Any) -> None:
        self.loop = uvloop.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.scoreboard = Scoreboard(1)
        self.row = self.scoreboard.row(1)
        self.settings = Settings(**settings)
        self.origins: list[OriginSide] = []
        self.clients: list[Client] = []
        self.answer: bytes | None = None
        self.server = self.run(self.loop.create_server(lambda: OriginSide(self), "127.0.0.1", 0))
        self.origin_port = self.server.sockets[0].getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as unused:
            dead_port = unused.getsockname()[1]
        text = routes.format(origin=f"127.0.0.1:{self.origin_port}", dead=f"127.0.0.1:{dead_port}")
        table, warnings = parse_routes(text, "test")
        assert not warnings
        keys, _ = read_signing_keys(self.settings, table.routes)
        requests = OriginRequests(self.settings, keys, time.time)
        self.core = Core(self.settings, table, requests, self.loop.time(), random.random, LastIds())
        self.driver = Driver(self.settings, self.core, self.loop, self.row, connections_max)
        self.listener = socket.create_server(("127.0.0.1", 0))

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    def turn(self) -> None:
        """Let the loop serve what is ready, and the clients read."""
        self.run(asyncio.sleep(0))
        for client in self.clients:
            client.pump()

    def until(self, condition: Callable[[], Any]) -> None:
        """Turn the loop until `condition` holds."""
        deadline = time.monotonic() + WAIT_MAX_S
        while not condition():
            assert time.monotonic() < deadline, [bytes(client.received[-300:]) for client in self.clients]
            self.turn()

    def client(self, payload: bytes = b"", receive_bytes: int | None = None) -> Client:
        """Connect a client, which sends `payload`. `receive_bytes` makes its kernel take little."""
        sock = socket.socket()
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.connect(self.listener.getsockname())
        served, address = self.listener.accept()
        served.setblocking(False)
        if receive_bytes is not None:
            served.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, receive_bytes)
        client = Client(sock)
        self.clients.append(client)
        self.driver.accept(served.detach(), address[0])
        client.send(payload)
        return client

    def origin(self, index: int = 0, ends: bytes = b"\r\n\r\n") -> OriginSide:
        """Give the origin's connection `index`, once what it received ends with `ends`."""
        self.until(lambda: len(self.origins) > index and self.origins[index].received.endswith(ends))
        return self.origins[index]

    def exchange(self, client: Client, request: bytes, ends: bytes) -> bytes:
        """Send a request and give what comes back, up to `ends`."""
        client.received = bytearray()
        client.send(request)
        self.until(lambda: client.received.endswith(ends))
        return bytes(client.received)

    def publish(self, item: PublishItem) -> None:
        """Let an item come over the bus, in the form that the hub gives it."""
        stream = item.http_stream
        if stream is not None and item == PublishItem(
            item.channel, http_stream=HttpStreamFormat(content=stream.content)
        ):
            self.driver.on_item(item.channel, stream.content)
        else:
            self.driver.on_item(item.channel, pack_item(item))

    def check_nothing_left(self) -> None:
        """Once every client and origin has left, nothing of them may be kept: no deadline, no count, no exchange."""
        for client in self.clients:
            client.close()
        self.clients.clear()
        self.until(lambda: self.driver.sockets.count == 0)
        for origin in self.origins:
            origin.transport.abort()
        pool = self.driver.pool
        web_sockets = self.driver.web_sockets
        self.until(lambda: not pool._open and not pool._tasks and not web_sockets.origins and not web_sockets._turns)
        assert pool._sockets_count == web_sockets.origin_fds_count == web_sockets._kept_bytes == 0
        assert not web_sockets._clients and not web_sockets._kept and not web_sockets._awaited
        assert not web_sockets.origin_outbox
        assert not any(pool._idle.values()) and not pool._line
        assert [record for slot in self.driver.wheel._slots.values() for record in slot] == []
        assert len(pool.zhttp) == 0
        assert self.driver.sockets.backlogs == {}
        assert self.driver.sockets.tls == {} and self.driver.sockets.tls.ended == set()
        assert self.driver.sockets._early == {} and self.driver.sockets.limited == {}
        assert not self.driver.outbox and not pool.outbox
        assert [record for record in self.driver.sockets.records if record is not None] == []
        assert self.core.exchanges == {}
        assert self.core.sockets.mid_message == set() and self.core.sockets.over_http._openings._by_conn == {}
        assert self.core.sessions.requests._handlers == {}
        assert self.driver.held.early_input == {}
        assert not self.driver.links and self.driver.sockets.room_waits == {}
        assert self.row[Field.INTERNAL_ERRORS] == 0

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.driver.close()
        self.server.close()
        self.listener.close()
        for origin in self.origins:
            origin.transport.abort()
        self.run(asyncio.sleep(0))
        self.run(asyncio.sleep(0))
        asyncio.set_event_loop(None)
        self.loop.close()
