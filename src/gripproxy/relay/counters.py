"""What a relay counts, and the page that shows it to Prometheus."""

import time
from dataclasses import dataclass

from gripproxy import __version__

PREFIX = "gripproxy_relay_"


@dataclass(slots=True)
class Counters:
    """Totals since the start, and how much there is now."""

    items: int = 0
    bytes: int = 0
    overflows: int = 0
    waits: int = 0
    subscriptions: int = 0
    publishers: int = 0
    hosts: int = 0
    unauthorized: int = 0


# Counter, metric, kind, help.
_METRICS = (
    ("items", "items_total", "counter", "Items taken from publishers and passed on"),
    ("bytes", "bytes_total", "counter", "Bytes of these items, each once however many hosts got it"),
    ("overflows", "overflows_total", "counter", "Times that a host's queue was full, so that it missed items"),
    ("waits", "waits_total", "counter", "Times that the relay stopped reading for a moment to let a queue empty"),
    ("subscriptions", "subscriptions", "gauge", "Channels that hosts have subscribed to"),
    ("publishers", "publishers", "gauge", "Connections of publishers"),
    ("hosts", "hosts", "gauge", "Connections of hosts"),
    ("unauthorized", "unauthorized_total", "counter", "Connections turned away for their keys"),
)


def encode_page(counters: Counters) -> bytes:
    """Render the page (text format 0.0.4)."""
    lines = [
        f"# HELP {PREFIX}build_info Always 1.\n# TYPE {PREFIX}build_info gauge",
        f'{PREFIX}build_info{{version="{__version__}"}} 1',
        f"# HELP {PREFIX}cpu_seconds_total CPU time taken.\n# TYPE {PREFIX}cpu_seconds_total counter",
        f"{PREFIX}cpu_seconds_total {time.process_time():.3f}",
    ]
    for field, metric, kind, text in _METRICS:
        lines.append(f"# HELP {PREFIX}{metric} {text}.\n# TYPE {PREFIX}{metric} {kind}")
        lines.append(f"{PREFIX}{metric} {getattr(counters, field)}")
    return "\n".join(lines).encode() + b"\n"
