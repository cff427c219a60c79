"""One page of numbers shared by every process: counters, states and heartbeats, one row per process.

The supervisor makes it before it forks. Each process writes its own row only, with plain stores, and anybody may
read any row: no message, no lock, and what a killed process counted is still there. Values are unsigned 64-bit.
"""

import mmap
from bisect import bisect_left
from collections.abc import Sequence
from enum import IntEnum, IntFlag


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
    BUS_GAPS = 17  # worker: items that the bus lost, by their numbers; also those that a killed hub took with it
    DELIVERIES = 18  # receptions whose bytes are all with the kernel, or whose action was done
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
    # A worker's books: every reception ends in DELIVERIES or in one of FILTERED, REFETCHED, DROPPED_*.
    RECEPTIONS = 34  # receivers that items found in this worker; on the way still: PENDING
    FILTERED = 35  # kept back by a hold's filters, or nothing for it to do
    REFETCHED = 36  # not sent, as the origin is asked for what is missing
    DROPPED_GONE = 37  # the client left before it had all of it
    DROPPED_RATE = 38  # over `message_hwm`
    PENDING = 39  # gauge: receptions that wait for their turn, or for their client to read
    ITEMS_WANTED = 40  # worker: items from the bus that found a receiver in it
    ITEMS_PULL = 41  # hub: items by input, these four
    ITEMS_SUB = 42
    ITEMS_HTTP = 43
    ITEMS_COMMAND = 44
    ITEMS_TURNED_AWAY = 45  # hub: items of publishers that were told to come again (503)
    RESPONSES_2XX = 46  # to clients, by status; also what ends a hold
    RESPONSES_3XX = 47
    RESPONSES_4XX = 48
    RESPONSES_5XX = 49
    RESPONSES_CUT = 50  # clients that left, or were cut off, before their response was whole
    EXCHANGES = 51  # gauge: requests on their way, not held
    RSS_BYTES = 52  # gauge: resident memory of the process
    WATCHED = 53  # hub: what somebody looks at, bits of `Watch`; workers tell of nothing else
    TELEMETRY_DROPPED = 54  # records that were not told, as the hub did not take them
    PACED_SLOT = 55  # worker: begin of the window that PACED_COUNT is of, in monotonic microseconds
    PACED_COUNT = 56  # worker: twice what `message_rate` let go in the window, and 1 if more waits
    LOG_DROPPED = 57  # log lines that could not be written
    UNAUTHORIZED = 58  # hub: requests and publishers turned away for want of a key
    HOLDS_STREAM = 59  # holds that began; also streams that got other channels
    HOLDS_RESPONSE = 60
    ITEMS_LOST = 61  # hub: items that a hub had in hand when it was killed
    ITEMS_MISSED = 62  # worker: items that were sent while nobody was on the bus in its place
    ITEMS_UNREAD = 63  # hub: items on SUB whose channel nobody on this host had, and only the topic's beginning
    HELD_WEBSOCKETS = 64  # gauge: WebSocket clients
    HOLDS_WEBSOCKET = 65  # WebSocket clients that were accepted
    HANDED_OVER = 66  # client connections given to a worker of a new version, each once
    TAKEN_OVER = 67  # client connections taken from a worker of the version before
    HANDED_ITEMS = 68  # receptions that went with them, unread: they end in the other worker's books
    DRAINED = 69  # client connections that were ended since this process stops
    MEMORY_PAUSES = 70  # times that accepting stopped for want of memory
    MEMORY_REFUSED = 71  # gauge: 1 while nobody is accepted for want of memory
    SUCCEEDED = 72  # gauge: 1 once this process of a new version has all that it was to take over
    FIELD_COUNT = 73


class Watch(IntFlag):
    """What somebody looks at right now: workers tell the hub of these things, and only of these."""

    CONNS = 1  # `conn` packets of the stats socket
    SUBS = 2
    MESSAGES = 4  # how many receivers each item found
    ACTIVITY = 8
    TRAFFIC = 16  # bytes for reports; connections and messages are always counted
    EVENTS = 32  # requests and holds, for `gripproxy tail` and the dashboard


class Histogram(IntEnum):
    """Distributions of times, one set of buckets each, behind a row's counters."""

    ORIGIN = 0  # worker: from asking an origin to its response head
    BUS = 1  # worker: from the hub's taking an item to the worker's
    WRITE = 2  # worker: from the hub's taking an item to the last write to its receivers
    FAN_OUT = 3  # worker: from the first write of an item to the last
    LOOP = 4  # how late the loop's timers are


# Upper bounds of the buckets in seconds; one more bucket has no bound.
BOUNDS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_BUCKETS_COUNT = len(BOUNDS_S) + 1
_HISTOGRAM_CELLS = _BUCKETS_COUNT + 1  # and the sum, in microseconds
_FIRST_CELL = int(Field.FIELD_COUNT)  # to look an IntEnum's member up costs as much as the rest of `observe`
ROW_CELLS = _FIRST_CELL + len(Histogram) * _HISTOGRAM_CELLS

HUB_ROW = 0  # the hub's; worker N has row N + 1


def observe(row: memoryview, histogram: int, seconds: float, count: int = 1) -> None:
    """Count `count` times that took `seconds` each. Negative ones count as 0: clocks of two processes may differ."""
    start = _FIRST_CELL + histogram * _HISTOGRAM_CELLS
    row[start + bisect_left(BOUNDS_S, seconds)] += count
    row[start + _BUCKETS_COUNT] += max(0, int(seconds * 1e6)) * count


def read_histogram(row: memoryview | Sequence[int], histogram: int) -> tuple[list[int], float]:
    """Give the counts by bucket, the unbounded one last (not cumulative), and the sum in seconds."""
    start = _FIRST_CELL + histogram * _HISTOGRAM_CELLS
    return list(row[start : start + _BUCKETS_COUNT]), row[start + _BUCKETS_COUNT] / 1e6


class Scoreboard:
    """Rows of `ROW_CELLS` values, counters and then histograms, in memory that all see, also after `fork`."""

    def __init__(self, workers_count: int) -> None:
        self.rows_count = workers_count + 1
        size_bytes = self.rows_count * ROW_CELLS * 8
        self._map = mmap.mmap(-1, size_bytes)
        self._cells = memoryview(self._map).cast("Q")

    def row(self, index: int) -> memoryview:
        """Give row `index`; ``row[Field.REQUESTS] += 1`` counts."""
        start = index * ROW_CELLS
        return self._cells[start : start + ROW_CELLS]

    def worker_rows(self) -> list[memoryview]:
        return [self.row(index) for index in range(1, self.rows_count)]

    def total(self, field: Field) -> int:
        """Add up one column over the workers."""
        return sum(self._cells[index * ROW_CELLS + field] for index in range(1, self.rows_count))
