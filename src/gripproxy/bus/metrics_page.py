"""The scoreboard as a page for Prometheus (text format 0.0.4)."""

from collections.abc import Sequence

from gripproxy.scoreboard import HUB_ROW, Field, ProcessState

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

_WORKERS, _HUB, _ALL = "workers", "hub", "all"

# Field, name, kind, rows that have it, help
_METRICS = (
    (Field.CONNECTIONS, "connections", "gauge", _WORKERS, "Open client connections"),
    (Field.HELD_STREAMS, "held_streams", "gauge", _WORKERS, "Clients in a stream hold"),
    (Field.HELD_RESPONSES, "held_responses", "gauge", _WORKERS, "Clients in a response hold"),
    (Field.CHANNELS, "channels", "gauge", _WORKERS, "Channels with a subscriber in this worker"),
    (Field.ITEMS_PARKED, "items_parked", "gauge", _HUB, "Items that wait for the one before them"),
    (Field.RESTARTS, "restarts_total", "counter", _ALL, "Times this process was replaced"),
    (Field.ACCEPTED, "connections_accepted_total", "counter", _WORKERS, "Client connections accepted"),
    (Field.REFUSED, "connections_refused_total", "counter", _WORKERS, "Client connections over the limit"),
    (Field.ACCEPT_PAUSES, "accept_pauses_total", "counter", _WORKERS, "Times that no socket was left for a client"),
    (Field.HANDSHAKES, "tls_handshakes_total", "counter", _WORKERS, "TLS handshakes finished"),
    (Field.HANDSHAKE_ERRORS, "tls_handshake_errors_total", "counter", _WORKERS, "TLS handshakes given up"),
    (Field.REQUESTS, "requests_total", "counter", _WORKERS, "Client requests"),
    (Field.CLIENT_ERRORS, "client_errors_total", "counter", _WORKERS, "Requests that broke HTTP or were refused"),
    (Field.ORIGIN_ERRORS, "origin_errors_total", "counter", _WORKERS, "Requests that no origin answered well"),
    (Field.ORIGIN_UNSERVED, "origin_unserved_total", "counter", _WORKERS, "Requests that got no origin connection"),
    (Field.ITEMS_RECEIVED, "items_received_total", "counter", _ALL, "Items from publishers, or from the bus"),
    (Field.ITEMS_REFUSED, "items_refused_total", "counter", _HUB, "Items that were not valid"),
    (Field.ITEMS_DUPLICATE, "items_duplicate_total", "counter", _HUB, "Items dropped since their id was known"),
    (Field.ITEMS_LATE, "items_late_total", "counter", _HUB, "Items sent without the one before them"),
    (Field.ITEMS_UNORDERED, "items_unordered_total", "counter", _HUB, "Items dropped for their place in the order"),
    (Field.ITEMS_SENT, "items_sent_total", "counter", _HUB, "Items handed to the workers"),
    (Field.BUS_GAPS, "bus_gaps_total", "counter", _WORKERS, "Items lost between hub and worker"),
    (Field.DELIVERIES, "deliveries_total", "counter", _WORKERS, "Items written or queued to a held client"),
    (Field.DROPPED_WAITING, "deliveries_unawaited_total", "counter", _WORKERS, "Items dropped behind a next part"),
    (Field.DROPPED_UNFIT, "deliveries_unfit_total", "counter", _WORKERS, "Items that did not fit a hold's filters"),
    (Field.DROPPED_SLOW, "deliveries_dropped_total", "counter", _WORKERS, "Items dropped for a slow client"),
    (Field.SLOW_CLIENTS, "slow_clients_total", "counter", _WORKERS, "Times a held client's socket was full"),
    (Field.KEEP_ALIVES, "keep_alives_total", "counter", _WORKERS, "Keep-alives written to held clients"),
    (Field.ZHTTP_REFUSED, "zhttp_refused_total", "counter", _HUB, "Requests that full or absent queues turned away"),
    (Field.ZHTTP_INVALID, "zhttp_invalid_total", "counter", _HUB, "Packets of zhttp origins that were not valid"),
    (Field.INTERNAL_ERRORS, "internal_errors_total", "counter", _ALL, "Errors of gripproxy's own"),
)


def encode_metrics(rows: Sequence[memoryview | Sequence[int]], prefix: str = "") -> bytes:
    """Render the rows: the hub's first, then the workers'. `prefix` goes before every name."""
    lines: list[str] = []
    names = ["hub", *(f"worker-{index}" for index in range(len(rows) - 1))]
    _add_metric(lines, f"{prefix}gripproxy_up", "gauge", "1 while the process serves")
    for name, row in zip(names, rows, strict=True):
        lines.append(f'{prefix}gripproxy_up{{process="{name}"}} {int(row[Field.STATE] == ProcessState.READY)}')
    for column, short_name, kind, scope, text in _METRICS:
        metric = f"{prefix}gripproxy_{short_name}"
        _add_metric(lines, metric, kind, text)
        for index, (name, row) in enumerate(zip(names, rows, strict=True)):
            if scope == _ALL or (scope == _HUB) == (index == HUB_ROW):
                lines.append(f'{metric}{{process="{name}"}} {row[column]}')
    return "\n".join(lines).encode() + b"\n"


def _add_metric(lines: list[str], metric: str, kind: str, text: str) -> None:
    lines.append(f"# HELP {metric} {text}.")
    lines.append(f"# TYPE {metric} {kind}")
