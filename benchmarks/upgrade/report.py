"""The results as text for the terminal, as Markdown and as JSON."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.upgrade.trial import Result, Round

MIB = 1 << 20
Row = tuple[str, Callable[[Round], str]]


def _moved_rate(one: Round) -> str:
    return f"{one.moved / one.seen.moving_s:,.0f}" if one.seen.moving_s else "-"


def _cpu_us(one: Round) -> str:
    """The CPU time of an upgrade beyond what the same time costs without, for each connection."""
    if not one.moved:
        return "-"
    seen = one.seen
    beyond_s = seen.old_cpu_s + seen.new_cpu_s - one.quiet["cores"] * seen.took_s
    return f"{beyond_s / one.moved * 1e6:,.0f} us"


def _longest(name: str) -> Callable[[Round], str]:
    return lambda one: f"{one.during[name]:,.0f} ms; {one.quiet[name]:,.0f} ms"


def _waited(one: Round) -> str:
    return f"{one.newcomers.longest_s * 1000:,.0f} ms; {one.newcomers_quiet.longest_s * 1000:,.0f} ms"


def _missing(one: Round) -> str:
    return f"{one.during['missing']:,.0f} ({one.missing_of_all} items everywhere, {one.missing_of_some} at some)"


ROWS: tuple[Row, ...] = (
    ("connections held before, after", lambda one: f"{one.held_before:,}, {one.held_after:,}"),
    ("connections lost", lambda one: f"{one.lost:,}"),
    ("items delivered meanwhile", lambda one: f"{one.during['items']:,.0f}"),
    ("... missing", _missing),
    (
        "... doubled, out of order, of another channel, cut",
        lambda one: ", ".join(f"{one.during[name]:,.0f}" for name in ("doubled", "reordered", "foreign", "damaged")),
    ),
    ("the upgrade took", lambda one: f"{one.seen.took_s:.1f} s"),
    ("... of it moving clients", lambda one: "-" if one.seen.moving_s is None else f"{one.seen.moving_s:.1f} s"),
    ("connections moved", lambda one: f"{one.moved:,}"),
    ("... per second", _moved_rate),
    ("... CPU for each, beyond the deliveries", _cpu_us),
    (
        "CPU of the old, the new processes meanwhile",
        lambda one: f"{one.seen.old_cpu_s:.1f} s, {one.seen.new_cpu_s:.1f} s",
    ),
    (
        "memory (PSS): the most of both versions; without an upgrade",
        lambda one: f"{one.seen.peak_bytes / MIB:,.0f} MiB; {one.quiet['memory_bytes'] / MIB:,.0f} MiB",
    ),
    ("longest from publish to read; without", _longest("longest_delay_ms")),
    ("longest pause between two items of a client; without", _longest("longest_pause_ms")),
    ("new clients meanwhile", lambda one: f"{one.newcomers.total:,}"),
    ("... refused, reset, cut off", lambda one: f"{one.newcomers.failed:,}"),
    ("... longest until answered; without", _waited),
    ("posts of publishers that failed", lambda one: f"{len(one.posts_failed):,}"),
    ("clients that were left when the new version had taken over", lambda one: f"{one.seen.stayed:,}"),
)
KILL_ROWS: tuple[Row, ...] = (
    ("killed", lambda one: one.seen.killed or "nobody"),
    ("it had", lambda one: f"{one.seen.held_by_killed:,}" if one.seen.killed else ""),
    ("lost", lambda one: f"{one.lost:,}"),
    ("moved", lambda one: f"{one.moved:,}"),
    ("took", lambda one: f"{one.seen.took_s:.1f} s"),
    ("command", lambda one: f"{one.seen.status}: {one.seen.said[-1] if one.seen.said else ''}"[:110]),
    ("doubled, out of order", lambda one: f"{one.during['doubled']:,.0f}, {one.during['reordered']:,.0f}"),
    ("items missing: everywhere, at some", lambda one: f"{one.missing_of_all}, {one.missing_of_some}"),
    ("posts failed", lambda one: f"{len(one.posts_failed)}"),
    ("new clients: failed of all", lambda one: f"{one.newcomers.failed:,} of {one.newcomers.total:,}"),
    ("longest delay", lambda one: f"{one.during['longest_delay_ms']:,.0f} ms"),
    ("faults", lambda one: "; ".join(one.faults) or "none"),
)


def title(result: Result) -> str:
    """Name the run."""
    plan, terms = result.plan, result.terms
    kills = f", with processes killed ({', '.join(map(str, _listed(terms['kills'])))})" if terms["kills"] else ""
    return (
        f"Upgrades with {plan['connections']:,.0f} held streams{kills}: {plan['workers']:,.0f} workers, "
        f"{plan['channels']:,.0f} channels, {terms['publish_rate']:g} items/s"
    )


def table(result: Result) -> list[list[str]]:
    """Lay out the rounds: side by side, or one below the other when processes were killed."""
    if result.terms["kills"]:
        heading = ["round", *(label for label, _ in KILL_ROWS)]
        return [heading] + [
            [str(number), *(text(one) for _, text in KILL_ROWS)]
            for number, one in enumerate(result.rounds, 1)
            if one.during
        ]
    done = [one for one in result.rounds if one.during]
    heading = ["what", *(f"upgrade {number}" for number in range(1, len(done) + 1))]
    return [heading] + [[label, *(text(one) for one in done)] for label, text in ROWS]


def terminal(result: Result) -> str:
    """Give it with aligned columns."""
    rows = table(result)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [title(result)]
    lines += ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in [*lines, *(f"  {note}" for note in _notes(result))])


def markdown(result: Result, picture: str | None = None) -> str:
    """Give the page that is kept."""
    heading, *rows = table(result)
    lines = [f"# {title(result)}", ""]
    if picture:
        lines += [f"![connections, memory and latency over time]({picture})", ""]
    lines += [f"| {' | '.join(heading)} |", f"|{' --- |' * len(heading)}"]
    lines += [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    for note in _notes(result):
        lines += ["", note]
    terms, machine = dict(result.terms), result.machine
    lines += ["", f"Settings: {_listing(result.plan | terms)}.", "", f"Machine: {_listing(machine)}."]
    lines += [
        "",
        "Publishers send at a fixed rate, to one channel after the other: half of the channels by ZeroMQ PUSH, half by "
        "HTTP. Each client knows what number comes next. Times of items run from when each was due, so what "
        "holds a publisher up counts. Everything runs on the same cores: publishers, clients, origin, both versions.",
    ]
    return "\n".join(lines) + "\n"


def save(result: Result, directory: Path, has_picture: bool) -> list[Path]:
    """Write ``upgrade-[kill-]CONNECTIONS.md``, ``.json`` and, without kills, ``.png``."""
    directory.mkdir(parents=True, exist_ok=True)
    stem = f"upgrade-{'kill-' if result.terms['kills'] else ''}{result.plan['connections']:.0f}"
    page, data, picture = (directory / f"{stem}.{ending}" for ending in ("md", "json", "png"))
    has_picture = has_picture and not result.terms["kills"]
    page.write_text(markdown(result, picture.name if has_picture else None))
    content = encode(result)
    data.write_text(json.dumps(content, indent=1) + "\n")
    if not has_picture:
        return [page, data]
    from benchmarks.c1m.picture import draw  # matplotlib: not before the run, whose processes would inherit it

    draw(content, picture)
    return [page, data, picture]


def encode(result: Result) -> dict[str, Any]:
    """Give the content of the JSON file; the picture is drawn from it, too."""
    held = [one.held_after for one in result.rounds if one.during]
    return {
        "benchmark": "upgrade",
        "machine": result.machine,
        "settings": result.plan,
        "terms": result.terms,
        "stopped": result.stopped,
        "figures": {
            "connections": held[-1] if held else 0,
            "lost": sum(one.lost for one in result.rounds),
            "failures": 0,
            **result.latency_ms,
        },
        "rounds": [asdict(one) for one in result.rounds],
        "log": result.log,
        "timeline": result.timeline.encode(),
    }


def _notes(result: Result) -> list[str]:
    notes = [f"Stopped early: {result.stopped}."] if result.stopped else []
    parts = [
        f"{' / '.join(f'{result.latency_ms[key]:,.0f}' for key in keys)} ms {label}"
        for kind, label in (("during", "in the upgrades"), ("quiet", "without"))
        if (keys := [key for key in result.latency_ms if key.startswith(kind)])
    ]
    if parts:
        notes.append(f"From publish to read, 50 / 99 / 99.9%: {'; '.join(parts)}.")
    for number, one in enumerate(result.rounds, 1):
        notes += [f"Round {number}: {fault}." for fault in one.faults]
        if one.has_restarted:
            notes.append(f"Round {number}: nothing was left, and the service was started again.")
    return notes


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, tuple | list) else [value]


def _listing(facts: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {' '.join(str(value).split())}" for name, value in facts.items())
