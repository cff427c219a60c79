"""What the hub hears of its workers and of its items, and who is told: monitors, metrics, logs, live pages."""

import asyncio
import os
import time
from collections.abc import Callable, Collection

from gripproxy.bus.host_traffic import HostTraffic
from gripproxy.bus.outlet import Outlet
from gripproxy.bus.receipts import Inquiry, Receipts, publish_record
from gripproxy.bus.statistics import Statistics
from gripproxy.bus.telemetry_intake import TelemetryIntake
from gripproxy.bus.watched_socket import AnyContext
from gripproxy.bus.watches import Watches
from gripproxy.event_log import EventLog
from gripproxy.protocol.telemetry import (
    ConnEndRecord,
    ConnRecord,
    PublishRecord,
    ReceiptRecord,
    SubsRecord,
    TrafficRecord,
)
from gripproxy.scoreboard import Field, Watch
from gripproxy.settings import Settings

SECOND_S = 1.0
LOG_FLUSH_S = 0.02  # lines of items that go out within it are written together


class Observation:
    """Made once for a hub, before the workers join. `known_pids` are the processes of workers that serve already.

    Whoever wants the records of items that went out adds himself to `on_published`, and asks by `watches` for them.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        zmq_context: AnyContext,
        settings: Settings,
        outlet: Outlet,
        row: memoryview,
        known_pids: Collection[int],
    ) -> None:
        self.watches = Watches(row)
        self.telemetry = TelemetryIntake(loop, zmq_context, settings.own_ipc_path("telemetry"), row)
        self.traffic = HostTraffic(known_pids)
        self.receipts = Receipts(lambda: outlet.joined)
        self.on_published: list[Callable[[PublishRecord], None]] = []
        self._loop = loop
        self._row = row
        self._has_blocks = False
        self._read_blocks: Callable[[], int] = int
        self._flush: asyncio.TimerHandle | None = None
        self._log = EventLog(settings, row)
        sender = f"gripproxy_{os.getppid()}"
        self.statistics = Statistics(loop, settings, sender, self.watches, self.traffic, self._received)
        self.telemetry.subscribe(ConnRecord, self.statistics.take_conn)
        self.telemetry.subscribe(ConnEndRecord, self.statistics.take_conn_end)
        self.telemetry.subscribe(SubsRecord, self.statistics.take_subs)
        self.telemetry.subscribe(TrafficRecord, self.statistics.take_traffic)
        self.telemetry.subscribe(ReceiptRecord, self.receipts.take)
        self.receipts.on_published.append(self._on_published)
        outlet.on_gone += [self.statistics.on_worker_gone, self.receipts.on_worker_gone]
        self._second = loop.call_later(SECOND_S, self._on_second)
        self._use(settings)

    def use_settings(self, settings: Settings) -> None:
        """Go by other settings from now on."""
        self._log.use_settings(settings)
        self._use(settings)
        self.statistics.use_settings(settings)

    def _use(self, settings: Settings) -> None:
        self._has_blocks = settings.message_block_size > 0
        is_logging = self._log.wants(PublishRecord.kind)
        self.watches.set("event log", Watch.MESSAGES if is_logging else Watch(0))
        if is_logging != (self._note in self.on_published):
            (self.on_published.append if is_logging else self.on_published.remove)(self._note)

    def count_blocks(self, read_blocks: Callable[[], int]) -> None:
        """Let reports tell of the blocks that items had until now, which `read_blocks` gives."""
        self._read_blocks = read_blocks

    def close(self) -> None:
        self._second.cancel()
        if self._flush is not None:
            self._flush.cancel()
        self._log.flush()
        self.statistics.close()
        self.telemetry.close()

    def _received(self) -> dict[str, int]:
        received = {"received": self._row[Field.ITEMS_SENT]}
        return received | {"blocks-received": self._read_blocks()} if self._has_blocks else received

    def _on_published(self, inquiry: Inquiry) -> None:
        self.statistics.tell_message(inquiry)
        if self.on_published:
            record = publish_record(inquiry, time.time())
            for consumer in self.on_published:
                consumer(record)

    def _note(self, record: PublishRecord) -> None:
        self._log.note(record)
        if self._flush is None:
            self._flush = self._loop.call_later(LOG_FLUSH_S, self._on_flush)

    def _on_flush(self) -> None:
        self._flush = None
        self._log.flush()

    def _on_second(self) -> None:
        self._second = self._loop.call_later(SECOND_S, self._on_second)
        self.receipts.expire(time.monotonic())
        self._log.flush()  # what could not be written before
