"""Fan-out: CPU time per delivery, from 1 subscriber per channel to all of them, beside a bare loop of write(2)."""

import time

from benchmarks.benchmark import CaseBenchmark
from benchmarks.errors import BenchmarkError
from benchmarks.hold_client import Counter, HoldTarget
from benchmarks.hold_swarm import HoldSwarm
from benchmarks.item_pump import ItemPump
from benchmarks.report import Column
from benchmarks.servers.server import Server
from benchmarks.sizes import Sizes
from benchmarks.watch import Watch


def cases(sizes: Sizes) -> tuple[str, ...]:
    """One case for each number of subscribers."""
    return tuple(f"{count:,} per channel" for count in sizes.fan_out.subscribers)


def measure(server: Server, sizes: Sizes, case: str, watch: Watch) -> dict[str, float]:
    """Hold all connections, publish once to each channel, then take the time of going round and round over them.

    A delivery that never comes counts as missing; one that comes twice counts as missing minus one.
    """
    subscribers = sizes.fan_out.subscribers[cases(sizes).index(case)]
    channels = sizes.fan_out.connections // subscribers
    connections = channels * subscribers
    target = HoldTarget((server.http_port,), server.hold_path(), channels)
    with HoldSwarm(target, sizes.client_processes) as swarm:
        swarm.open(connections, watch)
        time.sleep(sizes.settle_s)
        publisher = server.publisher(channels)
        pump = ItemPump(publisher, swarm, channels, subscribers)
        pump.publish(connections, sizes.fan_out.load_s, watch)
        time.sleep(sizes.settle_s)
        received_before = pump.received
        cpu_before, before = server.tree.cpu_s(), time.monotonic()
        pump.publish(sizes.fan_out.deliveries_max, sizes.fan_out.load_s, watch)
        elapsed = pump.last_delivery_at - before
        deliveries = pump.received - received_before
        publisher.close()
        time.sleep(sizes.settle_s)
        cpu = server.tree.cpu_s() - cpu_before
        missing, lost = pump.due - pump.received, swarm.count(Counter.LOST)
    if not deliveries:
        raise BenchmarkError(f"nothing was delivered; {lost} of {connections:,} connections were lost")
    return {
        "cpu_us": cpu / deliveries * 1e6,
        "rate": deliveries / elapsed,
        "cores": cpu / elapsed,
        "deliveries": deliveries,
        "missing": missing,
        "lost": lost,
    }


FAN_OUT = CaseBenchmark(
    name="fan_out",
    title="Fan-out: one item to all subscribers of a channel",
    columns=(
        Column("cpu_us", "CPU us per delivery", 2),
        Column("rate", "deliveries/s"),
        Column("cores", "cores used", 2),
        Column("deliveries", "deliveries"),
        Column("missing", "missing"),
        Column("lost", "connections lost"),
    ),
    servers=("write loop", "gripproxy", "pushpin", "nchan"),
    cases=cases,
    measure=measure,
)
