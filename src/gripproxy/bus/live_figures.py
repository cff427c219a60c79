"""Figures for those who look at a running proxy, from two looks at the scoreboard and the time between them. Pure.

Each process gives ``now`` (gauges), ``counts`` (since the first start of its kind) and ``per_s`` (of the counts),
under the names of `Field` in lower case; and ``latency``, by the names of `Histogram`.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gripproxy.bus.metrics_table import FAMILIES, Family, Kind, Scope
from gripproxy.protocol.telemetry import Traffic
from gripproxy.scoreboard import BOUNDS_S, HUB_ROW, Field, Histogram, ProcessState, read_histogram

Figures = dict[str, object]

QUANTILES = {"p50_s": 0.5, "p90_s": 0.9, "p99_s": 0.99}
RATE_S = 1.0  # rates are of the last second, or of the time since the last look if that was longer ago
ROUTES_S = 5.0  # of routes: workers tell of them once a second, so that one second may have none or two of that
LATENCY_S = 10.0  # of a second there may be few
KEPT_S = 12.0
KEPT_MAX_COUNT = 60  # looks, with several who look
LOOK_GAP_S = 0.2  # a look that follows sooner is not kept: it would say nothing new

# No figures, but states of a process or notes for other processes.
_HIDDEN = frozenset(
    (Field.STATE, Field.PID, Field.HEARTBEAT_MS, Field.WATCHED, Field.PACED_SLOT, Field.PACED_COUNT, Field.FIELD_COUNT)
)


def _columns_of(is_meant: Callable[[Family], bool]) -> set[int]:
    """Give the columns of such families: what each is and who has it, the table of metrics says."""
    return {column for family in FAMILIES if is_meant(family) for _, column in family.samples}


_GAUGES = _columns_of(lambda family: family.kind is Kind.GAUGE) | {Field.CONNECTIONS}  # there only by state
_OF_BOTH = _columns_of(lambda family: family.scope is Scope.ALL) | {Field.ITEMS_RECEIVED}  # there by two names
_OF_HUB = _columns_of(lambda family: family.scope is Scope.HUB)
HUB_FIELDS = tuple(member for member in Field if member in _OF_HUB | _OF_BOTH)
WORKER_FIELDS = tuple(member for member in Field if member not in _OF_HUB | _HIDDEN)
_ROUTE_COUNTS = (Traffic.REQUESTS, Traffic.SENT, Traffic.RESPONSES_SENT)


class _Columns:
    """What is told of one kind of process: places in a row and their names. Looked up once: enums are slow."""

    def __init__(self, fields: Sequence[Field], *histograms: Histogram) -> None:
        self.gauges = [(int(member), member.name.lower()) for member in fields if member in _GAUGES]
        self.counts = [(int(member), member.name.lower()) for member in fields if member not in _GAUGES]
        self.histograms = [(int(histogram), histogram.name.lower()) for histogram in histograms]


_HUB = _Columns(HUB_FIELDS, Histogram.LOOP)
_WORKER = _Columns(WORKER_FIELDS, Histogram.WRITE, Histogram.LOOP)
_WORKERS = _Columns(WORKER_FIELDS, *Histogram)  # all in one


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
    for_routes = looks.before(look.at, ROUTES_S)
    pairs = (for_rates, for_latency)
    workers = [
        {
            "name": f"worker {index - 1}",
            **_process(look, index, for_rates),
            **_numbers([index], _WORKER, look, *pairs),
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
            **_numbers([HUB_ROW], _HUB, look, *pairs),
        },
        "total": _numbers(all_workers, _WORKERS, look, *pairs),
        "workers": workers,
        "routes_window_s": _window_s(look, for_routes),
        "routes": [_route(route, look, for_routes) for route in sorted(look.traffic)],
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
    indices: Sequence[int], columns: _Columns, look: Look, for_rates: Look | None, for_latency: Look | None
) -> Figures:
    """Give the sums over the rows `indices`."""
    now = _sums(look, indices)
    per_s = {}
    if for_rates is not None:
        then, seconds = _sums(for_rates, indices), look.at - for_rates.at
        per_s = {name: _rate(now[place], then[place], seconds) for place, name in columns.counts}
    before = None if for_latency is None else _sums(for_latency, indices)
    return {
        "now": {name: now[place] for place, name in columns.gauges},
        "counts": {name: now[place] for place, name in columns.counts},
        "per_s": per_s,
        "latency": {name: _latency(_buckets(now, before, histogram)) for histogram, name in columns.histograms},
    }


def _sums(look: Look, indices: Sequence[int]) -> list[int]:
    """Add up rows, histograms included."""
    if len(indices) == 1:
        return look.rows[indices[0]]
    return list(map(sum, zip(*(look.rows[index] for index in indices), strict=True)))


def _rate(now: int, then: int, seconds: float) -> float:
    return round(max(0, now - then) / seconds, 3)  # less than before: a process began at 0 again


def _buckets(now: Sequence[int], before: Sequence[int] | None, histogram: int) -> list[int]:
    """Give the counts by bucket; what was in them before does not count."""
    counts = read_histogram(now, histogram)[0]
    if before is None:
        return counts
    return [max(0, count - old) for count, old in zip(counts, read_histogram(before, histogram)[0], strict=True)]


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
