"""One screen of `gripproxy top`, from the document of ``GET /stats``. Pure: values in, lines out."""

import time
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

Document = Mapping[str, Any]

LATENCIES = (
    ("origin", "origin: request to response head"),
    ("bus", "bus: hub to worker"),
    ("fan_out", "fan-out: first write to last"),
    ("write", "publish to last write"),
    ("loop", "event loop late by"),
)
DROPS = ("slow", "waiting", "unfit", "gone", "rate")
HEARTBEAT_LATE_S = 2.0  # processes turn their loops twice a second at least
ROUTES_SHOWN_COUNT = 10  # at most, so that channels have room too
TABLE_MIN_COUNT = 3  # lines of a table that is cut to fit the screen: its head, a row, and how many more there are
# Columns of the table of processes, with their widths; and those that a narrow screen goes without, from the first on.
PROCESS_COLUMNS = {
    "pid": 9,
    "cpu": 6,
    "memory": 10,
    "clients": 10,
    "streams": 10,
    "polls": 9,
    "sockets": 9,
    "req/s": 9,
    "deliv/s": 9,
    "loop p99": 9,
    "restarts": 10,
}
PROCESS_COLUMNS_SPARE = ("pid", "restarts", "polls", "sockets", "streams", "memory", "req/s")


class Style(Enum):
    """How a terminal shows a line."""

    PLAIN = ""
    TITLE = "\x1b[1m"
    HEAD = "\x1b[7m"
    ALERT = "\x1b[1;31m"


@dataclass(slots=True)
class FrameLine:
    """A line of the screen."""

    text: str
    style: Style = Style.PLAIN


def render(document: Document, width: int, height: int | None = None) -> list[FrameLine]:
    """Lay out the screen; without `height` it is as long as it comes out, else tables are cut until all have room.

    Raises:
        KeyError: the document is of another version.
    """
    fixed = [_title(document), _summary(document), _latencies(document["total"])]
    tables = [_processes(document, width), _routes(document["routes"]), _channels(document["channels"])]
    lines = [line for block in (*fixed, *tables) if block for line in (*block, FrameLine(""))][:-1]
    if height is not None and len(lines) > height:
        _shorten(tables, height - sum(map(len, fixed)))
        lines = [line for block in (*fixed, *tables) for line in block][:height]
    return [FrameLine(cut(line.text, width), line.style) for line in lines]


def printable(text: str) -> str:
    """Escape what would move a terminal's cursor, or worse: names come from clients and publishers."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def cut(text: str, width: int) -> str:
    """Cut a line to `width` columns, of which East Asian characters take two each."""
    columns = 0
    for index, char in enumerate(text):
        columns += 0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        if columns > width:
            return text[:index]
    return text


def rate(value: float | None) -> str:
    """Lay out a number per second."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def duration(seconds: float | None) -> str:
    """Lay out a short time in the unit that suits it."""
    if seconds is None:
        return "-"
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def age(seconds: float | None) -> str:
    """Lay out a long time."""
    if seconds is None:
        return "-"
    minutes, rest_s = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days} d {hours:02}:{minutes:02}" if days else f"{hours:02}:{minutes:02}:{rest_s:02}"


def _title(document: Document) -> list[FrameLine]:
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(document["at"]))
    text = f"gripproxy {document['version']}   up {age(document['uptime_s'])}   {moment}"
    return [FrameLine(text, Style.TITLE)]


def _summary(document: Document) -> list[FrameLine]:
    total, hub = document["total"], document["hub"]
    now, per_s, items = total["now"], total["per_s"], hub["per_s"]
    answers = {name: f"{name} {_of(per_s, 'responses_' + name)}" for name in ("2xx", "3xx", "4xx", "5xx", "cut")}
    drops = {cause: per_s.get(f"dropped_{cause}", 0.0) for cause in DROPS}
    drop_texts = ", ".join(f"{cause} {rate(value)}" for cause, value in drops.items())
    inputs = "   ".join(f"{name} {_of(items, 'items_' + name)}" for name in ("http", "pull", "sub", "command"))
    return [
        FrameLine(
            f"clients      {now['connections']:,} open   {now['held_streams']:,} streams"
            f"   {now['held_responses']:,} long-polls   {now['held_websockets']:,} WebSockets"
            f"   {now.get('exchanges', 0):,} requests under way"
        ),
        FrameLine(
            f"requests/s   {_of(per_s, 'requests')}   {answers['2xx']}   {answers['4xx']}   {answers['5xx']}"
            f"   refused {_of(per_s, 'refused')}   origin errors {_of(per_s, 'origin_errors')}"
            f"   {answers['cut']}   {answers['3xx']}   accepts {_of(per_s, 'accepted')}"
        ),
        FrameLine(
            f"items/s      {_of(items, 'items_received')}   refused {_of(items, 'items_refused')}"
            f"   turned away {_of(items, 'items_turned_away')}   {inputs}   twice {_of(items, 'items_duplicate')}"
        ),
        FrameLine(
            f"deliveries/s {_of(per_s, 'deliveries')}   filtered {_of(per_s, 'filtered')}"
            f"   under way {now['pending']:,}   slow clients {_of(per_s, 'slow_clients')}"
        ),
        FrameLine(
            f"dropped/s    {rate(sum(drops.values()))}   {drop_texts}",
            Style.ALERT if any(drops.values()) else Style.PLAIN,
        ),
    ]


def _of(figures: Mapping[str, float], name: str) -> str:
    return rate(figures.get(name))


def _latencies(total: Document) -> list[FrameLine]:
    lines = [FrameLine(f"{'latency':<34}{'p50':>10}{'p90':>10}{'p99':>10}{'count':>12}", Style.HEAD)]
    for name, label in LATENCIES:
        latency = total["latency"].get(name)
        if latency is not None:
            times = "".join(f"{duration(latency[quantile]):>10}" for quantile in ("p50_s", "p90_s", "p99_s"))
            lines.append(FrameLine(f"{label:<34}{times}{latency['count']:>12,}"))
    return lines


def _shorten(tables: list[list[FrameLine]], height: int) -> None:
    """Cut tables to `height` lines together, the longest ones first. Rows in trouble go last."""
    sizes = [len(table) for table in tables]
    while sum(sizes) > height and max(sizes) > TABLE_MIN_COUNT:
        sizes[sizes.index(max(sizes))] -= 1
    for table, size in zip(tables, sizes, strict=True):
        if size == len(table):
            continue
        head, *rows = table
        rows.sort(key=lambda row: row.style is not Style.ALERT)
        table[:] = [head, *rows[: size - 2], FrameLine(f"... and {len(rows) - size + 2} more")]


def _processes(document: Document, width: int) -> list[FrameLine]:
    columns = dict(PROCESS_COLUMNS)
    for title in PROCESS_COLUMNS_SPARE:
        if 20 + sum(columns.values()) > width:
            del columns[title]
    titles = "".join(f"{title:>{size}}" for title, size in columns.items())
    lines = [FrameLine(f"{'process':<11}{'state':<9}{titles}", Style.HEAD)]
    for process in (document["hub"], *document["workers"]):
        is_late = process["heartbeat_age_s"] > HEARTBEAT_LATE_S
        state = (
            f"hung {process['heartbeat_age_s']:.0f} s" if is_late and process["state"] == "ready" else process["state"]
        )
        style = Style.PLAIN if state == "ready" else Style.ALERT
        cells = "".join(
            f"{cell:>{columns[title]}}" for title, cell in _process_cells(process).items() if title in columns
        )
        lines.append(FrameLine(f"{process['name']:<11}{state:<9}{cells}", style))
    return lines


def _process_cells(process: Document) -> dict[str, str]:
    now, per_s, cpu = process["now"], process["per_s"], process["cpu_cores"]
    gauges = [
        f"{now[name]:,}" if name in now else ""
        for name in ("connections", "held_streams", "held_responses", "held_websockets")
    ]
    rates = [rate(per_s[name]) if name in per_s else "" for name in ("requests", "deliveries")]
    loop = process["latency"].get("loop")
    cells = [
        str(process["pid"]),
        "-" if cpu is None else f"{cpu * 100:.0f}%",
        f"{now.get('rss_bytes', 0) / 2**20:,.0f} MiB",
        *gauges,
        *rates,
        "-" if loop is None else duration(loop["p99_s"]),
        str(process["counts"]["restarts"]),
    ]
    return dict(zip(PROCESS_COLUMNS, cells, strict=True))


def _routes(routes: Sequence[Document]) -> list[FrameLine]:
    if not routes:
        return []
    lines = [FrameLine(f"{'connections':>12}{'req/s':>10}{'sent/s':>12}   route", Style.HEAD)]
    busiest = sorted(routes, key=lambda route: (-route["connections"], -route["per_s"].get("requests", 0.0)))
    for route in busiest[:ROUTES_SHOWN_COUNT]:
        per_s, name = route["per_s"], printable(route["route"]) or "(without id)"
        lines.append(
            FrameLine(f"{route['connections']:>12,}{_of(per_s, 'requests'):>10}{_of(per_s, 'sent'):>12}   {name}")
        )
    return lines


def _channels(channels: Sequence[Document]) -> list[FrameLine]:
    if not channels:
        return [FrameLine("no items in the last seconds")]
    lines = [FrameLine(f"{'listeners':>12}{'items/s':>10}{'deliv/s':>12}   busiest channels", Style.HEAD)]
    for busy in channels:
        listeners = "-" if busy["listeners"] is None else f"{busy['listeners']:,}"
        rates = f"{rate(busy['items_per_s']):>10}{rate(busy['deliveries_per_s']):>12}"
        lines.append(FrameLine(f"{listeners:>12}{rates}   {printable(busy['channel'])}"))
    return lines
