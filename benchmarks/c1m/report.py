"""The results as text for the terminal, as Markdown and as JSON."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.c1m.proxy import MUST_BE_ZERO
from benchmarks.c1m.run import Result

MIB = 1 << 20
Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `key` is the figure that `goal` is for; None when there is no goal."""

    label: str
    text: Callable[[Figures], str]
    keys: tuple[str, ...]  # the row is left out unless all are there
    goal: float | None = None
    unit: str = ""
    scale: float = 1

    def goal_text(self, figures: Figures) -> str:
        """Give goal and verdict."""
        if self.goal is None:
            return ""
        is_met = figures[self.keys[0]] / self.scale <= self.goal
        return f"{self.goal:g}{self.unit}: {'met' if is_met else 'MISSED'}"


def _row(label: str, template: str, *keys: str, goal: float | None = None, unit: str = "", scale: float = 1) -> Row:
    """Make a row whose `template` takes the figures in the order of `keys`, each divided by `scale`."""
    return Row(label, lambda figures: template.format(*(figures[key] / scale for key in keys)), keys, goal, unit, scale)


ROWS = (
    _row("connections held", "{:,.0f}", "connections"),
    _row("connections that failed", "{:,.0f}", "failures", goal=0),
    _row("connections lost, all phases", "{:,.0f}", "lost", goal=0),
    _row(
        "gripproxy's memory (PSS), all processes",
        "{:,.0f} MiB, {:,.0f} MiB with none",
        "user_bytes",
        "base_user_bytes",
        scale=MIB,
    ),
    _row(
        "... per connection (slope between a quarter and all)",
        "{:,.0f} bytes",
        "user_slope_bytes_per_connection",
        goal=300,
        unit=" bytes",
    ),
    _row(
        "... per connection (slope between a quarter and all)",
        "{:,.0f} bytes",
        "user_slope_bytes_per_websocket",
        goal=500,
        unit=" bytes",
    ),
    _row("... per connection, over what there was with none", "{:,.0f} bytes", "user_bytes_per_connection"),
    _row("... per connection, all of it", "{:,.0f} bytes", "user_all_bytes_per_connection"),
    _row(
        "base memory per worker (PSS)",
        "{:.1f} MiB, the largest {:.1f}",
        "base_worker_bytes",
        "base_worker_max_bytes",
        scale=MIB,
        goal=14,
        unit=" MiB",
    ),
    _row("kernel memory per connection, both ends", "{:,.0f} bytes", "kernel_bytes_per_connection"),
    _row("... of it slab", "{:,.0f} bytes", "slab_bytes_per_connection"),
    _row("connections per worker", "{:,.0f} to {:,.0f}", "worker_connections_min", "worker_connections_max"),
    _row("accept rate, clients and origin on the same cores", "{:,.0f}/s", "accepts_per_s"),
    _row(
        "CPU per accept + proxy + hold",
        "{:,.0f} us ({:,.0f} user, {:,.0f} system)",
        "accept_cpu_us",
        "accept_cpu_user_us",
        "accept_cpu_system_us",
    ),
    _row("... beside it: client, origin", "{:,.0f} us, {:,.0f} us", "connect_client_cpu_us", "connect_origin_cpu_us"),
    _row(
        "idle CPU per 100,000 connections",
        "{:.3f} cores ({:.3f} user, {:.3f} system)",
        "idle_cores_per_100k",
        "idle_user_cores_per_100k",
        "idle_system_cores_per_100k",
    ),
    _row(
        "keep-alives written, received while idle",
        "{:,.0f}, {:,.0f} in {:.0f} s",
        "idle_keep_alives",
        "idle_keep_alives_received",
        "idle_s",
    ),
    _row(
        "bare write(2) of a keep-alive to the same readers",
        "{:.1f} us ({:.1f} user, {:.1f} system)",
        "bare_write_us",
        "bare_write_user_us",
        "bare_write_system_us",
    ),
    _row(
        "idle CPU per 1,000,000 beyond the bare writes",
        "{:.3f} cores (the writes: {:.3f}; without what no connection costs: {:.3f})",
        "idle_beyond_cores_per_million",
        "idle_writes_cores_per_million",
        "idle_beyond_base_cores_per_million",
        goal=0.25,
        unit=" cores",
    ),
    _row(
        "plain request p99, new connection each",
        "{:.1f} ms (p50 {:.1f}, max {:.1f}; {:,.0f} requests, {:.0f} failed)",
        "plain_new_p99_ms",
        "plain_new_p50_ms",
        "plain_new_max_ms",
        "plain_new_requests",
        "plain_new_failed",
        goal=35,
        unit=" ms",
    ),
    _row(
        "plain request p99, kept connection",
        "{:.1f} ms (p50 {:.1f}, max {:.1f}; {:,.0f} requests, {:.0f} failed)",
        "plain_kept_p99_ms",
        "plain_kept_p50_ms",
        "plain_kept_max_ms",
        "plain_kept_requests",
        "plain_kept_failed",
        goal=35,
        unit=" ms",
    ),
    _row("one item to one channel", "{:,.0f} subscribers, {:.0f} rounds", "channel_subscribers", "channel_rounds"),
    _row(
        "... first delivery", "{:.1f} ms median, {:.1f} ms worst", "channel_first_median_ms", "channel_first_worst_ms"
    ),
    _row("... last delivery", "{:.1f} ms median, {:.1f} ms worst", "channel_last_median_ms", "channel_last_worst_ms"),
    _row("... deliveries missing", "{:,.0f} of {:,.0f}", "channel_missing", "channel_deliveries", goal=0),
    _row(
        "chat rooms that publish at once",
        "{:,.0f} with {:,.0f} members, {:.0f} rounds",
        "rooms",
        "room_members",
        "room_rounds",
    ),
    _row(
        "... publish to client",
        "p50 {:.1f} ms, p99 {:.1f} ms, max {:.1f} ms",
        "room_p50_ms",
        "room_p99_ms",
        "room_max_ms",
    ),
    _row("... CPU per delivery: gripproxy, client", "{:,.1f} us, {:,.1f} us", "room_cpu_us", "room_client_cpu_us"),
    _row(
        "... all rooms of a round", "{:.0f} ms median, {:.0f} ms worst", "room_round_median_ms", "room_round_worst_ms"
    ),
    _row("... deliveries missing", "{:,.0f} of {:,.0f}", "room_missing", "room_deliveries", goal=0),
    _row("reads that were cut or held what nobody sent", "{:,.0f}", "damaged_reads", goal=0),
    _row("plain requests that failed, all phases", "{:,.0f}", "plain_all_failed", goal=0),
    *(_row(f"gripproxy's counter {name}", "{:,.0f}", f"gripproxy_{name}", goal=0) for name in MUST_BE_ZERO),
    _row("all clients leave", "{:.1f} s, {:,.0f} us CPU each", "leave_s", "leave_cpu_us"),
    _row("... still held by gripproxy", "{:,.0f}", "left_behind", goal=0),
    _row("... its memory then (PSS)", "{:,.0f} MiB", "left_user_bytes", scale=MIB),
)


def rows(figures: Figures) -> list[tuple[str, str, str]]:
    """Lay out what there is: label, value, goal."""
    found = []
    for row in ROWS:
        if all(key in figures for key in row.keys):
            found.append((row.label, row.text(figures), row.goal_text(figures)))
    return found


def is_good(result: Result) -> bool:
    """Tell whether the run went through with nothing failed, lost or missing; slowness is not a failure."""
    zero = [row.keys[0] for row in ROWS if row.goal == 0]
    return result.stopped is None and not any(result.figures.get(key, 1) for key in zero)


def title(result: Result) -> str:
    """Name the run."""
    plan = result.plan
    kind = "WebSockets" if plan["is_websocket"] else "connections"
    return (
        f"{plan['connections']:,.0f} held {kind}, {plan['workers']:,.0f} workers, "
        f"{plan['channels']:,.0f} channels, clients and origin on the same machine"
    )


def terminal(result: Result) -> str:
    """Give the table with aligned columns."""
    table = rows(result.figures)
    widths = [max((len(row[column]) for row in table), default=0) for column in (0, 1)]
    lines = [title(result)]
    lines += [f"  {label:<{widths[0]}}  {value:<{widths[1]}}  {goal}".rstrip() for label, value, goal in table]
    return "\n".join(lines + [f"  {note}" for note in _notes(result)])


def markdown(result: Result, picture: str | None = None) -> str:
    """Give the page that is kept."""
    lines = [f"# {title(result)}", ""]
    if picture:
        lines += [f"![connections, memory and latency over time]({picture})", ""]
    lines += ["| what | value | goal |", "| --- | --- | --- |"]
    lines += [f"| {label} | {value} | {goal} |" for label, value, goal in rows(result.figures)]
    for note in _notes(result):
        lines += ["", note]
    lines += ["", f"Settings: {_listing(result.plan)}.", "", f"Machine: {_listing(result.machine)}."]
    if result.sysctls:
        lines += ["", f"Kernel settings raised for the run: {_listing(result.sysctls)}."]
    lines += [
        "",
        "Memory per connection is data (heap, stacks, shared anonymous) over what gripproxy had before the first one. "
        "Kernel memory is the growth of all that is neither free, cache nor a process's own (MemTotal - MemFree - "
        "Buffers - Cached - AnonPages), for both ends and epoll. CPU is that of gripproxy's processes; on loopback it "
        "contains the client side's TCP work for what gripproxy sends. Latencies run from just before the publisher's "
        "send to the client's read.",
    ]
    return "\n".join(lines) + "\n"


def save(result: Result, directory: Path, has_picture: bool) -> list[Path]:
    """Write ``c1m-CONNECTIONS.md``, ``.json`` and, unless told not to, ``.png``; ``c1m-websockets-...`` of these."""
    directory.mkdir(parents=True, exist_ok=True)
    stem = f"c1m-{'websockets-' if result.plan['is_websocket'] else ''}{result.plan['connections']:.0f}"
    page, data, picture = (directory / f"{stem}.{ending}" for ending in ("md", "json", "png"))
    page.write_text(markdown(result, picture.name if has_picture else None))
    data.write_text(encode(result))
    if not has_picture:
        return [page, data]
    from benchmarks.c1m.picture import draw  # matplotlib: not before the run, whose processes would inherit it

    draw(json.loads(data.read_text()), picture)
    return [page, data, picture]


def encode(result: Result) -> str:
    """Give the JSON: everything, the timeline included, so that the picture can be drawn again."""
    content = {
        "benchmark": "c1m",
        "machine": result.machine,
        "settings": result.plan,
        "sysctls": result.sysctls,
        "stopped": result.stopped,
        "log": result.log,
        "figures": {name: round(value, 6) for name, value in result.figures.items()},
    }
    columns = ",\n".join(
        f"    {json.dumps(name)}: {json.dumps(values, separators=(',', ':'))}"
        for name, values in result.timeline.encode().items()
    )
    return json.dumps(content, indent=2).removesuffix("\n}") + f',\n  "timeline": {{\n{columns}\n  }}\n}}\n'


def _notes(result: Result) -> list[str]:
    notes = [f"Stopped early: {result.stopped}"] if result.stopped else []
    return notes + [f"gripproxy says: {line}" for line in result.log]


def _listing(facts: dict[str, str] | dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {' '.join(str(value).split())}" for name, value in facts.items())
