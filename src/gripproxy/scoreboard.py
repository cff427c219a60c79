"""One page of numbers shared by every process: counters, states and heartbeats, one row per process.

The supervisor makes it before it forks. Each process writes its own row only, with plain stores, and anybody may
read any row: no message, no lock, and what a killed process counted is still there. Values are unsigned 64-bit.
"""

import mmap
from enum import IntEnum


class ProcessState(IntEnum):
    """What a row's process is doing."""

    STARTING = 0
    READY = 1
    STOPPING = 2
    DEAD = 3


class Field(IntEnum):
    """Columns of a row: gauges before RESTARTS and where it says so, else counters. These grow across restarts too."""

    STATE = 0
    PID = 1
    HEARTBEAT_MS = 2  # monotonic milliseconds at the last turn of the process's loop
    CONNECTIONS = 3  # open client connections
    HELD_STREAMS = 4
    HELD_RESPONSES = 5
    CHANNELS = 6  # channels with a subscriber in this worker
    RESTARTS = 7
    ACCEPTED = 8  # client connections accepted
    REFUSED = 9  # client connections over a limit: closed, those without TLS with a 503
    REQUESTS = 10
    CLIENT_ERRORS = 11  # requests answered by gripproxy with a 4xx or cut off for a breach of HTTP
    ORIGIN_ERRORS = 12  # requests that no origin answered, or answered badly
    ITEMS_RECEIVED = 13  # items that came over the bus (worker) or from publishers (hub)
    ITEMS_REFUSED = 14  # hub: items that publishers sent and that were not valid
    ITEMS_DUPLICATE = 15  # hub: items dropped by the id cache
    ITEMS_SENT = 16  # hub: items put on the bus
    BUS_GAPS = 17  # worker: items that the bus lost, by sequence number
    DELIVERIES = 18  # items written, or queued, to a held connection
    DROPPED_SLOW = 19  # deliveries dropped because the client's backlog was full
    SLOW_CLIENTS = 20  # times a held connection's socket was full
    KEEP_ALIVES = 21
    INTERNAL_ERRORS = 22
    ITEMS_PARKED = 23  # hub, gauge: items that wait for the one before them
    ITEMS_LATE = 24  # hub: parked items that went out without the one before them
    ITEMS_UNORDERED = 25  # hub: items dropped for their place in the order: it was taken, or too many waited
    ZHTTP_REFUSED = 26  # hub: requests that failed because no zhttp origin, or no worker of ours, had room for them
    ZHTTP_INVALID = 27  # hub: packets of zhttp origins that were not valid
    HANDSHAKES = 28  # of TLS clients, finished
    HANDSHAKE_ERRORS = 29  # given up: no TLS, no certificate for the name, too slow, or the client left
    ACCEPT_PAUSES = 30  # times a listener had to wait since the system had no socket left
    ORIGIN_UNSERVED = 31  # requests that got no connection to an origin in time, or found too many waiting for one
    DROPPED_WAITING = 32  # deliveries dropped because too many waited for a hold's next part, or for a filter's answer
    DROPPED_UNFIT = 33  # deliveries dropped because the item did not fit the hold's filters, or other ones were assumed
    FIELD_COUNT = 40


HUB_ROW = 0  # the hub's; worker N has row N + 1


class Scoreboard:
    """Rows of `Field.FIELD_COUNT` values in memory that survives `fork` and is seen by every process."""

    def __init__(self, workers_count: int) -> None:
        self.rows_count = workers_count + 1
        size_bytes = self.rows_count * Field.FIELD_COUNT * 8
        self._map = mmap.mmap(-1, size_bytes)
        self._cells = memoryview(self._map).cast("Q")

    def row(self, index: int) -> memoryview:
        """Give row `index`; ``row[Field.REQUESTS] += 1`` counts."""
        start = index * Field.FIELD_COUNT
        return self._cells[start : start + Field.FIELD_COUNT]

    def worker_rows(self) -> list[memoryview]:
        return [self.row(index) for index in range(1, self.rows_count)]

    def total(self, field: Field) -> int:
        """Add up one column over the workers."""
        return sum(self._cells[index * Field.FIELD_COUNT + field] for index in range(1, self.rows_count))
