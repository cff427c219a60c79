"""Figures for those who look at a running proxy, from two looks at the scoreboard and the time between them. Pure.

Each process gives ``now`` (gauges), ``counts`` (since the first start of its kind) and ``per_s`` (of the counts),
under the names of `Field` in lower case; and ``latency``, by the names of `Histogram`.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gripproxy.protocol.telemetry import Traffic
from gripproxy.scoreboard import BOUNDS_S, HUB_ROW, Field, Histogram, ProcessState, read_histogram

Figures = dict[str, object]

QUANTILES = {"p50_s": 0.5, "p90_s": 0.9, "p99_s": 0.99}
RATE_S = 1.0  # rates are of the last second, or of the time since the last look if that was longer ago
LATENCY_S = 10.0  # of a second there may be few
KEPT_S = 12.0
KEPT_MAX_COUNT = 60  # looks, with several who look
LOOK_GAP_S = 0.2  # a look that follows sooner is not kept: it would say nothing new

# No figures, but states of a process or notes for other processes.
_HIDDEN = frozenset(
    (Field.STATE, Field.PID, Field.HEARTBEAT_MS, Field.WATCHED, Field.PACED_SLOT, Field.PACED_COUNT, Field.FIELD_COUNT)
)
_GAUGES = frozenset(
    (
        Field.CONNECTIONS,
        Field.HELD_STREAMS,
        Field.HELD_RESPONSES,
        Field.CHANNELS,
        Field.ITEMS_PARKED,
        Field.PENDING,
        Field.EXCHANGES,
        Field.RSS_BYTES,
    )
)
_OF_BOTH = frozenset(
    (
        Field.RESTARTS,
        Field.ITEMS_RECEIVED,
        Field.INTERNAL_ERRORS,
        Field.RSS_BYTES,
        Field.TELEMETRY_DROPPED,
        Field.LOG_DROPPED,
    )
)
_OF_HUB = frozenset(
    (
        Field.ITEMS_REFUSED,
        Field.ITEMS_DUPLICATE,
        Field.ITEMS_SENT,
        Field.ITEMS_PARKED,
        Field.ITEMS_LATE,
        Field.ITEMS_LOST,
        Field.ITEMS_UNORDERED,
        Field.ZHTTP_REFUSED,
        Field.ZHTTP_INVALID,
        Field.ITEMS_PULL,
        Field.ITEMS_SUB,
        Field.ITEMS_HTTP,
        Field.ITEMS_COMMAND,
        Field.ITEMS_TURNED_AWAY,
        Field.UNAUTHORIZED,
    )
)
HUB_FIELDS = tuple(member for member in Field if member in _OF_HUB | _OF_BOTH)
WORKER_FIELDS = tuple(member for member in Field if member not in _OF_HUB | _HIDDEN)
_HUB_HISTOGRAMS = (Histogram.LOOP,)
_WORKER_HISTOGRAMS = tuple(Histogram)
# Of a route: gauges, then counts.
_ROUTE_COUNTS = (Traffic.REQUESTS, Traffic.SENT, Traffic.RESPONSES_SENT)


@dataclass(slots=True)
class Look:
    """All numbers at one moment. `at` and `heartbeat` ages are monotonic seconds; CPU seconds by row."""

    at: float
    rows: list[list[int]]
    cpu_s: list[float | None] = field(default_factory=list)
    traffic: Mapping[str, Sequence[int]] = field(default_factory=dict)  # by route id


class Looks:
    """The last looks, so that each new one has others to be compared with."""

    def __init__(self) -> None:
        self._kept: deque[Look] = deque(maxlen=KEPT_MAX_COUNT)

    def add(self, look: Look) -> None:
        while self._kept and self._kept[0].at < look.at - KEPT_S:
            self._kept.popleft()
        if not self._kept or look.at - self._kept[-1].at >= LOOK_GAP_S:
            self._kept.append(look)

    def has_before(self, now: float) -> bool:
        """Say whether a look at `now` has one to be compared with."""
        return any(LOOK_GAP_S <= now - look.at <= KEPT_S for look in self._kept)

    def before(self, now: float, seconds: float) -> Look | None:
        """Give the newest look that is at least so old, else the oldest one before `now`; None if there is none."""
        older = [look for look in self._kept if look.at < now and now - look.at <= KEPT_S]
        return next((look for look in reversed(older) if now - look.at >= seconds), older[0] if older else None)


def describe(looks: Looks, look: Look) -> Figures:
    """Give hub, workers, all workers in one, and routes, as `look` saw them."""
    for_rates, for_latency = looks.before(look.at, RATE_S), looks.before(look.at, LATENCY_S)
    pairs = (for_rates, for_latency)
    workers = [
        {
            "name": f"worker {index - 1}",
            **_process(look, index, for_rates),
            **_numbers([index], WORKER_FIELDS, _WORKER_HISTOGRAMS, look, *pairs),
        }
        for index in range(HUB_ROW + 1, len(look.rows))
    ]
    all_workers = [*range(HUB_ROW + 1, len(look.rows))]
    return {
        "window_s": _window_s(look, for_rates),
        "latency_window_s": _window_s(look, for_latency),
        "hub": {
            "name": "hub",
            **_process(look, HUB_ROW, for_rates),
            **_numbers([HUB_ROW], HUB_FIELDS, _HUB_HISTOGRAMS, look, *pairs),
        },
        "total": _numbers(all_workers, WORKER_FIELDS, _WORKER_HISTOGRAMS, look, *pairs),
        "workers": workers,
        "routes": [_route(route, look, for_rates) for route in sorted(look.traffic)],
    }


def quantile_s(counts: Sequence[int], share: float) -> float | None:
    """Give the time that `share` of all did not pass: within a bucket by the rule of three, None of none.

    What lies beyond the last bound is said to be on it.
    """
    rest = share * sum(counts)
    if not rest:
        return None
    lower = 0.0
    for bound, count in zip(BOUNDS_S, counts, strict=False):
        if rest <= count:
            return lower + (bound - lower) * rest / count
        rest -= count
        lower = bound
    return lower


def _window_s(look: Look, before: Look | None) -> float:
    return 0.0 if before is None else round(look.at - before.at, 3)


def _process(look: Look, index: int, before: Look | None) -> Figures:
    row, state = look.rows[index], look.rows[index][Field.STATE]
    cores = None
    if before is not None and row[Field.PID] == before.rows[index][Field.PID]:
        now_s, then_s = look.cpu_s[index], before.cpu_s[index]
        if now_s is not None and then_s is not None:
            cores = round(max(0.0, now_s - then_s) / (look.at - before.at), 3)
    return {
        "pid": row[Field.PID],
        "state": ProcessState(state).name.lower(),
        "heartbeat_age_s": round(max(0.0, look.at - row[Field.HEARTBEAT_MS] / 1000), 3),
        "cpu_cores": cores,
    }


def _numbers(
    indices: Iterable[int],
    fields: Sequence[Field],
    histograms: Sequence[Histogram],
    look: Look,
    for_rates: Look | None,
    for_latency: Look | None,
) -> Figures:
    """Give the sums over the rows `indices`."""
    indices = list(indices)
    sums = {member: sum(look.rows[index][member] for index in indices) for member in fields}
    counts = {member: value for member, value in sums.items() if member not in _GAUGES}
    per_s = {}
    if for_rates is not None:
        for member, value in counts.items():
            then = sum(for_rates.rows[index][member] for index in indices)
            per_s[member.name.lower()] = _rate(value, then, look.at - for_rates.at)
    return {
        "now": {member.name.lower(): value for member, value in sums.items() if member in _GAUGES},
        "counts": {member.name.lower(): value for member, value in counts.items()},
        "per_s": per_s,
        "latency": {
            histogram.name.lower(): _latency(_buckets(look, indices, histogram, for_latency))
            for histogram in histograms
        },
    }


def _rate(now: int, then: int, seconds: float) -> float:
    return round(max(0, now - then) / seconds, 3)  # less than before: a process began at 0 again


def _buckets(look: Look, indices: Sequence[int], histogram: Histogram, before: Look | None) -> list[int]:
    """Add up the buckets; what was in them before does not count."""
    total = [0] * (len(BOUNDS_S) + 1)
    for index in indices:
        counts, _ = read_histogram(look.rows[index], histogram)
        then = [0] * len(counts) if before is None else read_histogram(before.rows[index], histogram)[0]
        total = [value + max(0, now - old) for value, now, old in zip(total, counts, then, strict=True)]
    return total


def _latency(buckets: Sequence[int]) -> Figures:
    figures: Figures = {"count": sum(buckets)}
    for name, share in QUANTILES.items():
        seconds = quantile_s(buckets, share)
        figures[name] = None if seconds is None else round(seconds, 7)
    return figures


def _route(route: str, look: Look, before: Look | None) -> Figures:
    row = look.traffic[route]
    per_s = {}
    if before is not None:
        then = before.traffic.get(route)
        for column in _ROUTE_COUNTS:
            per_s[column.name.lower()] = _rate(row[column], then[column] if then else 0, look.at - before.at)
    return {
        "route": route,
        "connections": row[Traffic.CONNECTIONS],
        "counts": {column.name.lower(): row[column] for column in _ROUTE_COUNTS},
        "per_s": per_s,
    }
