"""A worker's bench with zhttp routes, and a hub that the test speaks for."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import tnetstring  # type: ignore[import-untyped]

from gripproxy.bus.zhttp_wire import CLOSE, DECLARE, HELLO, OPEN, PACKET, REFUSED, SEND, MessageReader, encode_message
from gripproxy.protocol.zhttp import encode_packet
from tests.worker.bench import WorkerBench

INSTANCE = b"proxy"


class HubSide(asyncio.Protocol):
    """The connection of the worker as the hub sees it. Messages wait in `messages`."""

    def __init__(self, hub: "Hub") -> None:
        self.hub = hub
        self.reader = MessageReader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.hub.sides.append(self)
        if self.hub.is_greeting:
            self.say(HELLO, INSTANCE)

    def data_received(self, data: bytes) -> None:
        for message in self.reader.feed(data):
            if message[0] == DECLARE:
                self.hub.declared.append(message[1])
            else:
                self.hub.messages.append(message)

    def say(self, kind: int, *values: object) -> None:
        self.transport.write(encode_message(kind, *values))


class Hub:
    """The hub's socket; what workers declare is in `declared`. `origin_says` numbers the packets of each request."""

    def __init__(self, bench: WorkerBench) -> None:
        self.bench = bench
        self.sides: list[HubSide] = []
        self.messages: list[list[Any]] = []
        self.declared: list[list[Any]] = []
        self.is_greeting = True
        self.server: asyncio.AbstractServer | None = None
        self._seqs: dict[bytes, int] = {}

    def listen(self) -> None:
        path = self.bench.settings.ipc_path("zhttp")
        self.server = self.bench.run(self.bench.loop.create_unix_server(lambda: HubSide(self), path))

    def close(self) -> None:
        if self.server is not None:
            self.server.close()
        for side in self.sides:
            side.transport.abort()

    def receive(self, kind: int) -> list[Any]:
        """Wait for the next message and give what is in it."""
        self.bench.until(lambda: self.messages)
        message = self.messages.pop(0)
        assert message[0] == kind, message
        return message[1:]

    def opened(self) -> dict[bytes, Any]:
        """Give a request's first packet."""
        spec, is_zhttpreq, name, message = self.receive(OPEN)
        packet: dict[bytes, Any] = tnetstring.loads(message[1:])
        assert packet[b"id"] == name and packet[b"from"] == INSTANCE
        return packet

    def sent(self) -> dict[bytes, Any]:
        """Give a further packet."""
        packet: dict[bytes, Any] = tnetstring.loads(self.receive(SEND)[1][1:])
        return packet

    def closed(self, name: bytes) -> bool:
        """Say whether the origin is to be told of a request's end, which must come next."""
        closed_name, is_cancel = self.receive(CLOSE)
        assert closed_name == name
        return bool(is_cancel)

    def origin_says(self, name: bytes, **values: object) -> None:
        seq = self._seqs.get(name, 0)
        self._seqs[name] = seq + 1
        self.sides[-1].say(PACKET, encode_packet({"from": b"wk", "id": name, "seq": seq, **values}))

    def refuse(self, name: bytes, reason: str, is_untaken: bool = True) -> None:
        self.sides[-1].say(REFUSED, name, reason, is_untaken)


@contextmanager
def zhttp_bench(routes: str, is_listening: bool = True, **settings: object) -> Iterator[tuple[WorkerBench, Hub]]:
    """Make a bench and its hub; at the end nothing of any request may be left in the worker."""
    with tempfile.TemporaryDirectory(prefix="zhttp") as directory:
        bench = WorkerBench(routes, rundir=directory, **settings)
        hub = Hub(bench)
        try:
            if is_listening:
                hub.listen()
            yield bench, hub
            bench.check_nothing_left()
        finally:
            hub.close()
            bench.close()
