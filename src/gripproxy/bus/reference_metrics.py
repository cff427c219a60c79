"""The five metrics that Pushpin has: its names, its words, its order, no labels."""

from collections.abc import Mapping, Sequence

from gripproxy.protocol.telemetry import Traffic
from gripproxy.scoreboard import HUB_ROW, Field

_MASK = 0xFFFF_FFFF  # it counts in 32 bits

_METRICS = (
    ("request_received", "counter", "Number of requests received"),
    ("connection_connected", "gauge", "Number of concurrent connections"),
    ("connection_minute", "counter", "Number of minutes clients have been connected"),
    ("message_received", "counter", "Number of messages received by the publish API"),
    ("message_sent", "counter", "Number of messages sent to clients"),
)


def reference_lines(
    rows: Sequence[Sequence[int]], routes: Mapping[str, Sequence[int]], prefix: str = "", has_reports: bool = True
) -> list[str]:
    """Give the lines for a page. `rows`: the scoreboard's, the hub's first. `routes`: traffic by route id.

    Connections are the most at once in each route's present interval, so they fall only when it ends. Without
    reports no interval ends, and they are those of now.
    """
    connections = Traffic.CONNECTIONS_MAX if has_reports else Traffic.CONNECTIONS
    worker_rows = rows[HUB_ROW + 1 :]
    values = (
        sum(row[Field.REQUESTS] for row in worker_rows),
        sum(traffic[connections] for traffic in routes.values()),
        sum(traffic[Traffic.MINUTES] for traffic in routes.values()),
        rows[HUB_ROW][Field.ITEMS_SENT],
        sum(row[Field.RECEPTIONS] for row in worker_rows),
    )
    lines: list[str] = []
    for (name, kind, text), value in zip(_METRICS, values, strict=True):
        metric = prefix + name
        lines += (f"# HELP {metric} {text}", f"# TYPE {metric} {kind}", f"{metric} {value & _MASK}")
    return lines
