"""One item to many WebSockets, held over HTTP, and to as many SSE streams: what a delivery costs to either.

Both are held at the same time, and get the same text in turn, so what else the machine does meets both.
"""

import time
from contextlib import closing
from dataclasses import dataclass

from benchmarks.benchmark import CaseBenchmark
from benchmarks.errors import BenchmarkError
from benchmarks.hold_client import Counter, HoldTarget
from benchmarks.hold_swarm import HoldSwarm
from benchmarks.item_publisher import ItemPublisher
from benchmarks.item_pump import ItemPump
from benchmarks.report import Column
from benchmarks.servers.server import Server, ServerOptions
from benchmarks.sizes import Sizes
from benchmarks.watch import Watch

STREAM_CHANNEL, SOCKET_CHANNEL = 0, 1


def cases(sizes: Sizes) -> tuple[str, ...]:
    """One case; a server that cannot hold so many gets what it can."""
    return (f"{sizes.ws_broadcast.connections:,} of each",)


@dataclass(slots=True)
class OneChannel:
    """Publishes to one channel, whichever is asked for."""

    publisher: ItemPublisher
    channel: int

    def publish(self, channel: int, at_ns: int = 0) -> None:
        """Publish."""
        self.publisher.publish(self.channel, at_ns)

    def close(self) -> None:
        """Close the publisher."""
        self.publisher.close()


class Audience:
    """The subscribers of one kind, and what their deliveries have cost so far."""

    def __init__(self, server: Server, target: HoldTarget, processes: int) -> None:
        self._server = server
        self.swarm = HoldSwarm(target, processes)
        self._publisher = OneChannel(server.publisher(2, is_websocket=target.is_websocket), target.first_channel)
        self._count = 0
        self.deliveries, self.missing, self.cpu_s, self.elapsed_s = 0, 0, 0.0, 0.0

    def open(self, count: int, watch: Watch) -> None:
        """Connect so many."""
        self.swarm.open(count, watch)
        self._count = count

    def publish(self, items: int, limit_s: float, watch: Watch) -> None:
        """Publish, wait for all deliveries, and add up what they cost."""
        pump = ItemPump(self._publisher, self.swarm, 1, self._count)
        cpu_before, before = self._server.tree.cpu_s(), time.monotonic()
        pump.publish(items * self._count, limit_s, watch)
        self.cpu_s += self._server.tree.cpu_s() - cpu_before
        self.elapsed_s += max(0.0, pump.last_delivery_at - before)
        self.deliveries += pump.received
        self.missing += pump.due - pump.received

    def reset(self) -> None:
        """Forget what came so far, as having been for warming up."""
        self.deliveries, self.missing, self.cpu_s, self.elapsed_s = 0, 0, 0.0, 0.0

    @property
    def cpu_us(self) -> float:
        """CPU time of the server per delivery."""
        return self.cpu_s / self.deliveries * 1e6

    def close(self) -> None:
        """End clients and publisher."""
        self._publisher.close()
        self.swarm.close()


def measure(server: Server, sizes: Sizes, case: str, watch: Watch) -> dict[str, float]:
    """Hold both kinds, then publish to one and the other in turns, each being first as often as the other."""
    size = sizes.ws_broadcast
    count = min(size.connections, server.connections_max // 2)
    stream_target = HoldTarget((server.http_port,), server.hold_path(), 1, first_channel=STREAM_CHANNEL)
    path = server.socket_path(is_over_http=True)
    socket_target = HoldTarget((server.http_port,), path, 1, first_channel=SOCKET_CHANNEL, is_websocket=True)
    processes = sizes.client_processes
    with (
        closing(Audience(server, stream_target, processes)) as streams,
        closing(Audience(server, socket_target, processes)) as sockets,
    ):
        for audience in (streams, sockets):
            audience.open(count, watch)
        time.sleep(sizes.settle_s)
        for audience in (streams, sockets):
            audience.publish(1, sizes.limit_s, watch)
            audience.reset()
        for turn in range(size.rounds):
            for audience in (streams, sockets) if turn % 2 else (sockets, streams):
                audience.publish(size.items, sizes.limit_s, watch)
        lost = sum(audience.swarm.count(Counter.LOST) for audience in (streams, sockets))
        if not streams.deliveries or not sockets.deliveries:
            raise BenchmarkError(f"nothing was delivered to one kind; {lost} connections were lost")
        return {
            "socket_us": sockets.cpu_us,
            "stream_us": streams.cpu_us,
            "ratio": sockets.cpu_us / streams.cpu_us,
            "socket_rate": sockets.deliveries / sockets.elapsed_s,
            "stream_rate": streams.deliveries / streams.elapsed_s,
            "deliveries": sockets.deliveries,
            "subscribers": count,
            "missing": sockets.missing + streams.missing,
            "lost": lost,
        }


WS_BROADCAST = CaseBenchmark(
    name="ws_broadcast",
    title="Broadcast: one item to all WebSockets, and to as many SSE streams",
    columns=(
        Column("socket_us", "CPU us per delivery to a WebSocket", 2),
        Column("stream_us", "to a stream", 2),
        Column("ratio", "WebSocket / stream", 3),
        Column("socket_rate", "deliveries/s to WebSockets"),
        Column("stream_rate", "to streams"),
        Column("deliveries", "deliveries of each kind"),
        Column("subscribers", "subscribers"),
        Column("missing", "missing"),
        Column("lost", "connections lost"),
    ),
    servers=("gripproxy", "pushpin", "nchan"),
    cases=cases,
    measure=measure,
    options=ServerOptions(has_sockets=True, workers=2),
)
