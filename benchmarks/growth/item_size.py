"""Cost against the size of an item, and how much memory large ones take while they are under way."""

import threading
import time

from benchmarks.growth.curve import LINEAR, CurveKind
from benchmarks.growth.dimension import Dimension
from benchmarks.growth.growth_server import name_of_group
from benchmarks.growth.session import Session, running
from benchmarks.growth.steps import Steps
from benchmarks.item_pump import UNDER_WAY_MAX_COUNT
from benchmarks.report import Column

MIB = 1 << 20
WORKERS = 2
UNDER_WAY_MAX_BYTES = 2_000_000  # more waits for clients: a backlog keeps 4 MB of an item's deliveries, then drops
PEAK_LOOK_S = 0.05


class PeakMemory:
    """Looks at the server's memory while a `with` block runs."""

    def __init__(self, session: Session) -> None:
        self.bytes = session.server.tree.memory().data_bytes
        self._session = session
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(PEAK_LOOK_S):
            self.bytes = max(self.bytes, self._session.server.tree.memory().data_bytes)


def measure(steps: Steps, size: int) -> dict[str, float]:
    """Publish to one subscriber and then to many, as far as the kernel can hold an item for all of them."""
    values: dict[str, float] = {}
    with running(f"item_size, {size:,} bytes", steps, WORKERS, max(steps.item_subscribers)) as session:
        for subscribers in steps.item_subscribers:
            if size * subscribers > steps.item_fan_out_max_bytes:
                continue
            with session.swarm(subscribers, 1) as swarm:
                swarm.open(subscribers, session.watch)
                time.sleep(steps.settle_s)
                before = session.usage.read().data_bytes
                under_way = min(UNDER_WAY_MAX_COUNT, max(1, UNDER_WAY_MAX_BYTES // size))
                with PeakMemory(session) as peak:
                    delivered = session.deliver(swarm, name_of_group(1), 1, subscribers, size, under_way)
            kind = "one" if subscribers == 1 else "many"
            values[f"{kind}_us"] = delivered.cpu_us
            if subscribers == 1:  # with many there are so few items that the hub's ticks are most of it
                values["one_hub_us"] = delivered.hub_us
            values[f"{kind}_ns_per_byte"] = delivered.cpu_us * 1000 / size
            values[f"{kind}_peak_mib"] = (peak.bytes - before) / MIB
            values[f"{kind}_missing"] = delivered.missing
    return values


ITEM_SIZE = Dimension(
    name="item_size",
    title=f"Size of an item, to 1 subscriber and to many, {WORKERS} workers",
    axis="bytes of an item",
    columns=(
        Column("one_us", "1 subscriber: CPU us per delivery", 1),
        Column("one_hub_us", "of which hub", 1),
        Column("one_ns_per_byte", "ns per byte", 2),
        Column("one_peak_mib", "MiB more at the peak", 1),
        Column("one_missing", "missing"),
        Column("many_us", "many subscribers: CPU us per delivery", 1),
        Column("many_ns_per_byte", "ns per byte", 2),
        Column("many_peak_mib", "MiB more at the peak", 1),
        Column("many_missing", "missing"),
    ),
    curves=(
        CurveKind("one_us", "1 subscriber: CPU us per delivery", LINEAR),
        CurveKind("one_hub_us", "1 subscriber: hub, CPU us per item", LINEAR),
        CurveKind("many_us", "many subscribers: CPU us per delivery", LINEAR),
        CurveKind("one_peak_mib", "1 subscriber: MiB more at the peak", LINEAR, floor=1),
        CurveKind("many_peak_mib", "many subscribers: MiB more at the peak", LINEAR, floor=1),
    ),
    values=lambda steps: steps.item_bytes,
    measure=measure,
)
