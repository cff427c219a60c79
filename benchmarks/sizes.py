"""How much each benchmark does: `tiny` to see that it works, `modest` on a shared machine, `full` for the record."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """Counts of connections, and seconds, for all four benchmarks."""

    memory_low_count: int  # the slope of memory is taken between these two
    memory_high_count: int
    accept_warm_count: int  # held before the clock starts
    accept_count: int
    fan_out_connections: int
    fan_out_subscribers: tuple[int, ...]  # per channel, each a case of its own
    fan_out_seconds: float  # publishing stops after so long
    fan_out_deliveries_max: int
    plain_connections: int
    plain_seconds: float
    client_processes: int = 1
    # Before each reading: work put off until after a response, and memory that only a request needs, are done with.
    settle_s: float = 1.0
    measure_limit_s: float = 100.0  # one server in one case


SIZES = {
    "tiny": Sizes(
        memory_low_count=20,
        memory_high_count=60,
        accept_warm_count=5,
        accept_count=40,
        fan_out_connections=40,
        fan_out_subscribers=(1, 40),
        fan_out_seconds=1.0,
        fan_out_deliveries_max=400,
        plain_connections=4,
        plain_seconds=1.0,
        settle_s=0.1,
        measure_limit_s=30.0,
    ),
    "modest": Sizes(
        memory_low_count=1000,
        memory_high_count=5000,
        accept_warm_count=200,
        accept_count=3000,
        fan_out_connections=3000,
        fan_out_subscribers=(1, 10, 1000),
        fan_out_seconds=4.0,
        fan_out_deliveries_max=100_000,
        plain_connections=32,
        plain_seconds=4.0,
        measure_limit_s=60.0,
    ),
    "full": Sizes(
        memory_low_count=2000,
        memory_high_count=15_000,
        accept_warm_count=1000,
        accept_count=10_000,
        fan_out_connections=15_000,
        fan_out_subscribers=(1, 10, 1000, 15_000),
        fan_out_seconds=10.0,
        fan_out_deliveries_max=600_000,
        plain_connections=64,
        plain_seconds=8.0,
        settle_s=2.0,
    ),
}
