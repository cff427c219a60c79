"""Each route's traffic over all workers, those that are gone included, in all and in an interval."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from gripproxy.protocol.telemetry import Traffic, TrafficRecord

COLUMNS_COUNT = len(Traffic)
_GAUGES_COUNT = Traffic.CONNECTIONS_MAX + 1  # they come first; all other columns are sums
_CONNECTIONS, _CONNECTIONS_MAX = int(Traffic.CONNECTIONS), int(Traffic.CONNECTIONS_MAX)

Columns = list[int]  # by `Traffic`


@dataclass(slots=True)
class _Teller:
    """What a worker's process told last."""

    pid: int
    by_route: dict[str, Columns]
    predecessor_pid: int | None
    is_gone: bool = False


class HostTraffic:
    """Adds up what workers tell, by route id; "" is all routes without one.

    The most connections at once in an interval are seen to the second: in each, the most of one worker with what the
    others have at its end. So many that come and stay count exactly, whichever worker they come to, and clients that
    come one after the other are not taken for simultaneous ones.

    `known_pids` are processes that worked before this hub did: what they counted until now belongs to no interval.
    """

    def __init__(self, known_pids: Collection[int] = ()) -> None:
        self._known_pids = set(known_pids)
        self._tellers: dict[int, _Teller] = {}
        self._totals: dict[str, Columns] = {}
        self._reported: dict[str, Columns] = {}  # the totals when the interval began

    def take(self, record: TrafficRecord) -> bool:
        """Replace what the worker told before; a new process of it goes on where the one before ended.

        Say whether it is the first of a process that worked before this hub.
        """
        teller = self._tellers.get(record.worker_index)
        if teller is not None and teller.predecessor_pid == record.pid:
            return False  # overtaken: it would seem to be a successor
        is_first = teller is None or teller.pid != record.pid
        if teller is None or is_first:
            self.forget_worker(record.worker_index)
            teller = _Teller(record.pid, {}, teller.pid if teller else None)
            self._tellers[record.worker_index] = teller
        is_earlier = is_first and record.pid in self._known_pids
        for route, columns in record.by_route.items():
            told = list(columns)
            if teller.is_gone:
                told[:_GAUGES_COUNT] = [0] * _GAUGES_COUNT
            self._add(route, told, teller.by_route.get(route))
            teller.by_route[route] = told
            if is_earlier:
                reported = self._reported.setdefault(route, [0] * COLUMNS_COUNT)
                reported[_GAUGES_COUNT:] = _sums(reported, told)[_GAUGES_COUNT:]
        return is_earlier

    def forget_worker(self, worker_index: int) -> None:
        """Take note that a worker's process is gone: its connections are too, what it counted stays.

        What it sent before may still come.
        """
        teller = self._tellers.get(worker_index)
        if teller is None or teller.is_gone:
            return
        teller.is_gone = True
        for route, told in teller.by_route.items():
            self._totals[route][_CONNECTIONS] -= told[_CONNECTIONS]
            told[:_GAUGES_COUNT] = [0] * _GAUGES_COUNT

    def totals(self) -> dict[str, Columns]:
        """Give each route's columns: CONNECTIONS now, CONNECTIONS_MAX the most at once in this interval, and sums."""
        return self._totals

    def end_interval(self) -> dict[str, Columns]:
        """Give each route's columns: CONNECTIONS_MAX the most at once in the interval, and its sums. Begin the next."""
        interval: dict[str, Columns] = {}
        for route, totals in self._totals.items():
            before = self._reported.get(route)
            interval[route] = list(totals) if before is None else _differences(totals, before)
            interval[route][:_GAUGES_COUNT] = totals[:_GAUGES_COUNT]
            totals[_CONNECTIONS_MAX] = totals[_CONNECTIONS]
            self._reported[route] = list(totals)
        return interval

    def _add(self, route: str, told: Columns, before: Columns | None) -> None:
        totals = self._totals.get(route)
        if totals is None:
            totals = self._totals[route] = [0] * COLUMNS_COUNT
        difference = told if before is None else _differences(told, before)
        others = totals[_CONNECTIONS] - (0 if before is None else before[_CONNECTIONS])
        most = max(totals[_CONNECTIONS_MAX], others + max(told[:_GAUGES_COUNT]))
        totals[:] = _sums(totals, difference)
        totals[_CONNECTIONS_MAX] = most


def _sums(columns: Sequence[int], others: Sequence[int]) -> Columns:
    return [column + other for column, other in zip(columns, others, strict=True)]


def _differences(columns: Sequence[int], others: Sequence[int]) -> Columns:
    return [column - other for column, other in zip(columns, others, strict=True)]
