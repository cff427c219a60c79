"""Which metrics there are: gripproxy's own, each with its name, kind, help, labels, and who has it.

Labels never count the same thing twice: the sum over all of a metric's samples is its figure for the whole.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from gripproxy.protocol.telemetry import Traffic
from gripproxy.scoreboard import ROW_CELLS, Field, Histogram


class Kind(StrEnum):
    """What Prometheus calls it."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Scope(StrEnum):
    """Whose rows have the metric."""

    HUB = "hub"
    WORKERS = "workers"
    ALL = "hub, workers"


class Derived(IntEnum):
    """Columns that are worked out, behind those of a row."""

    UP = ROW_CELLS
    IDLE = ROW_CELLS + 1  # connections between two requests
    HEARTBEAT_AGE_S = ROW_CELLS + 2
    CPU_S = ROW_CELLS + 3


@dataclass(frozen=True, slots=True)
class Family:
    """A metric of processes. `samples`: the labels beside the process, and the column that has the value."""

    name: str
    kind: Kind
    scope: Scope
    help: str
    samples: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class RouteFamily:
    """A metric of routes. `samples`: the labels beside the route, the column, and one to be taken from it if any."""

    name: str
    kind: Kind
    help: str
    samples: tuple[tuple[str, int, int | None], ...]


def _gauge(name: str, column: int, scope: Scope, text: str) -> Family:
    return Family(name, Kind.GAUGE, scope, text, (("", column),))


def _counter(name: str, column: int, scope: Scope, text: str) -> Family:
    return Family(name, Kind.COUNTER, scope, text, (("", column),))


def _labelled(name: str, kind: Kind, scope: Scope, text: str, label: str, columns: dict[str, int]) -> Family:
    return Family(name, kind, scope, text, tuple((f'{label}="{value}"', column) for value, column in columns.items()))


_PROCESSES = (
    _gauge("up", Derived.UP, Scope.ALL, "1 while the process serves"),
    _gauge("heartbeat_age_seconds", Derived.HEARTBEAT_AGE_S, Scope.ALL, "Time since the process last showed life"),
    _counter("restarts_total", Field.RESTARTS, Scope.ALL, "Times this process was replaced"),
    _counter("cpu_seconds_total", Derived.CPU_S, Scope.ALL, "CPU time of the process, user and system"),
    _gauge("resident_memory_bytes", Field.RSS_BYTES, Scope.ALL, "Memory in use, with what processes share"),
    _counter("internal_errors_total", Field.INTERNAL_ERRORS, Scope.ALL, "Errors of gripproxy's own"),
    _counter("log_lines_dropped_total", Field.LOG_DROPPED, Scope.ALL, "Log lines that could not be written"),
    _counter(
        "telemetry_dropped_total", Field.TELEMETRY_DROPPED, Scope.ALL, "Records for statistics and logs that were lost"
    ),
)

_CLIENTS = (
    _labelled(
        "connections",
        Kind.GAUGE,
        Scope.WORKERS,
        "Client connections by what they do",
        "state",
        {
            "idle": Derived.IDLE,
            "active": Field.EXCHANGES,
            "stream": Field.HELD_STREAMS,
            "response": Field.HELD_RESPONSES,
            "ws": Field.HELD_WEBSOCKETS,
        },
    ),
    _gauge("held_streams", Field.HELD_STREAMS, Scope.WORKERS, "Clients in a stream hold"),
    _gauge("held_responses", Field.HELD_RESPONSES, Scope.WORKERS, "Clients in a response hold"),
    _gauge("held_websockets", Field.HELD_WEBSOCKETS, Scope.WORKERS, "WebSocket clients"),
    _labelled(
        "holds_total",
        Kind.COUNTER,
        Scope.WORKERS,
        "Holds that began",
        "mode",
        {"response": Field.HOLDS_RESPONSE, "stream": Field.HOLDS_STREAM, "ws": Field.HOLDS_WEBSOCKET},
    ),
    _gauge("channels", Field.CHANNELS, Scope.WORKERS, "Channels with a subscriber in this worker"),
    _counter("connections_accepted_total", Field.ACCEPTED, Scope.WORKERS, "Client connections accepted"),
    _counter("connections_refused_total", Field.REFUSED, Scope.WORKERS, "Client connections over the limit"),
    _counter(
        "handed_over_total", Field.HANDED_OVER, Scope.WORKERS, "Client connections given to a worker of a new version"
    ),
    _counter("taken_over_total", Field.TAKEN_OVER, Scope.WORKERS, "Client connections taken from the version before"),
    _counter("drained_total", Field.DRAINED, Scope.WORKERS, "Client connections that a stop has ended"),
    _counter("memory_pauses_total", Field.MEMORY_PAUSES, Scope.WORKERS, "Times that memory was too short for clients"),
    _gauge("memory_refused", Field.MEMORY_REFUSED, Scope.WORKERS, "1 while memory is too short for new clients"),
    _counter("accept_pauses_total", Field.ACCEPT_PAUSES, Scope.WORKERS, "Times that no socket was left for a client"),
    _counter("tls_handshakes_total", Field.HANDSHAKES, Scope.WORKERS, "TLS handshakes finished"),
    _counter("tls_handshake_errors_total", Field.HANDSHAKE_ERRORS, Scope.WORKERS, "TLS handshakes given up"),
    _counter("requests_total", Field.REQUESTS, Scope.WORKERS, "Client requests"),
    _labelled(
        "responses_total",
        Kind.COUNTER,
        Scope.WORKERS,
        "Responses to clients by status",
        "status",
        {
            "2xx": Field.RESPONSES_2XX,
            "3xx": Field.RESPONSES_3XX,
            "4xx": Field.RESPONSES_4XX,
            "5xx": Field.RESPONSES_5XX,
        },
    ),
    _counter(
        "responses_cut_total", Field.RESPONSES_CUT, Scope.WORKERS, "Responses that did not get to their clients whole"
    ),
    _counter(
        "client_errors_total",
        Field.CLIENT_ERRORS,
        Scope.WORKERS,
        "Clients that broke HTTP or WebSocket, or were refused",
    ),
)

_ORIGINS = (
    _counter("origin_errors_total", Field.ORIGIN_ERRORS, Scope.WORKERS, "Requests that no origin answered well"),
    _counter("origin_unserved_total", Field.ORIGIN_UNSERVED, Scope.WORKERS, "Requests that got no origin connection"),
    _counter("zhttp_refused_total", Field.ZHTTP_REFUSED, Scope.HUB, "Requests that full or absent queues turned away"),
    _counter("zhttp_invalid_total", Field.ZHTTP_INVALID, Scope.HUB, "Packets of zhttp origins that were not valid"),
)

_ITEMS = (
    _labelled(
        "items_received_total",
        Kind.COUNTER,
        Scope.HUB,
        "Items from publishers by input",
        "input",
        {
            "pull": Field.ITEMS_PULL,
            "sub": Field.ITEMS_SUB,
            "http": Field.ITEMS_HTTP,
            "command": Field.ITEMS_COMMAND,
        },
    ),
    _counter("items_turned_away_total", Field.ITEMS_TURNED_AWAY, Scope.HUB, "Items whose publishers must come again"),
    _counter("items_unread_total", Field.ITEMS_UNREAD, Scope.HUB, "Items on SUB of channels that nobody subscribed to"),
    _counter("unauthorized_total", Field.UNAUTHORIZED, Scope.HUB, "Publishers and readers turned away without a key"),
    _counter("items_refused_total", Field.ITEMS_REFUSED, Scope.HUB, "Items that were not valid"),
    _counter("items_duplicate_total", Field.ITEMS_DUPLICATE, Scope.HUB, "Items dropped since their id was known"),
    _counter("items_unordered_total", Field.ITEMS_UNORDERED, Scope.HUB, "Items dropped for their place in the order"),
    _counter("items_lost_total", Field.ITEMS_LOST, Scope.HUB, "Items that a hub had in hand when it was killed"),
    _gauge("items_parked", Field.ITEMS_PARKED, Scope.HUB, "Items that wait for the one before them"),
    _counter("items_late_total", Field.ITEMS_LATE, Scope.HUB, "Items sent without the one before them"),
    _counter("items_sent_total", Field.ITEMS_SENT, Scope.HUB, "Items handed to the workers"),
    _counter("bus_items_received_total", Field.ITEMS_RECEIVED, Scope.WORKERS, "Items that came over the bus"),
    _counter("bus_items_wanted_total", Field.ITEMS_WANTED, Scope.WORKERS, "Items from the bus that found a receiver"),
    _counter("bus_gaps_total", Field.BUS_GAPS, Scope.WORKERS, "Items lost between hub and worker"),
    _counter("bus_missed_total", Field.ITEMS_MISSED, Scope.WORKERS, "Items sent while a worker was being replaced"),
)

_DELIVERIES = (
    _counter("receptions_total", Field.RECEPTIONS, Scope.WORKERS, "Receivers that items found"),
    _counter("deliveries_total", Field.DELIVERIES, Scope.WORKERS, "Receptions handed over to their clients' sockets"),
    _counter("deliveries_filtered_total", Field.FILTERED, Scope.WORKERS, "Receptions that a filter kept back"),
    _counter(
        "deliveries_handed_over_total", Field.HANDED_ITEMS, Scope.WORKERS, "Receptions that went on in an upgrade"
    ),
    _counter("deliveries_refetched_total", Field.REFETCHED, Scope.WORKERS, "Receptions that the origin is asked for"),
    _labelled(
        "deliveries_dropped_total",
        Kind.COUNTER,
        Scope.WORKERS,
        "Receptions dropped by cause",
        "cause",
        {
            "slow": Field.DROPPED_SLOW,
            "waiting": Field.DROPPED_WAITING,
            "unfit": Field.DROPPED_UNFIT,
            "gone": Field.DROPPED_GONE,
            "rate": Field.DROPPED_RATE,
        },
    ),
    _gauge("deliveries_pending", Field.PENDING, Scope.WORKERS, "Receptions under way"),
    _counter("slow_clients_total", Field.SLOW_CLIENTS, Scope.WORKERS, "Times a held client's socket was full"),
    _counter("keep_alives_total", Field.KEEP_ALIVES, Scope.WORKERS, "Keep-alives written to held clients"),
)

FAMILIES = (*_PROCESSES, *_CLIENTS, *_ORIGINS, *_ITEMS, *_DELIVERIES)


def _histogram(name: str, histogram: Histogram, scope: Scope, text: str) -> Family:
    return Family(name, Kind.HISTOGRAM, scope, text, (("", histogram),))


# Their columns are of `Histogram`.
HISTOGRAMS = (
    _histogram(
        "origin_response_seconds",
        Histogram.ORIGIN,
        Scope.WORKERS,
        "Time from a request to an origin to its response head",
    ),
    _histogram("bus_delay_seconds", Histogram.BUS, Scope.WORKERS, "Time from an item's intake to its worker"),
    _histogram(
        "fan_out_seconds", Histogram.FAN_OUT, Scope.WORKERS, "Time that an item took that was written in slices"
    ),
    _histogram(
        "publish_write_seconds", Histogram.WRITE, Scope.WORKERS, "Time from an item's intake to the last write of it"
    ),
    _histogram("loop_lag_seconds", Histogram.LOOP, Scope.ALL, "How late timers are"),
)

ROUTE_FAMILIES = (
    RouteFamily(
        "route_connections",
        Kind.GAUGE,
        "Requests and holds of a route under way",
        (("", Traffic.CONNECTIONS, None),),
    ),
    RouteFamily("route_requests_total", Kind.COUNTER, "Client requests of a route", (("", Traffic.REQUESTS, None),)),
    RouteFamily(
        "route_receptions_total",
        Kind.COUNTER,
        "Receivers that items found on a route",
        (
            ('mode="response"', Traffic.RESPONSES_SENT, None),
            ('mode="stream"', Traffic.SENT, Traffic.RESPONSES_SENT),
        ),
    ),
)
