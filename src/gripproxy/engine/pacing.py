"""Deliveries at a limited rate (`message_rate`): those over it wait for their turn, in order.

Each pair of an item and a receiver is one delivery. They wait by route, first in first out, and routes take turns.
Without a limit none of this exists: see `FanOuts`.
"""

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from gripproxy.engine.effects import LOG_WARNING, Effect, Log, WakePacing
from gripproxy.engine.fan_out import FanOut, FanOuts, Step, slice_count_of
from gripproxy.engine.rate_budget import RateBudget
from gripproxy.protocol.receipt import Receipt

FEW_COUNT = 64  # receivers of an item: so few are looked for by connection, many by item
TURN_MAX_COUNT = 25  # deliveries of one route before it is another one's turn
LOG_EVERY_S = 1.0
WAITING_MAX_COUNT = 1_000_000  # deliveries, where there is no limit on them: then publishers have to wait


@dataclass(slots=True, eq=False)
class Bucket:
    """What waits for one route, or for all that have no id. `debt`: turns that a heavy delivery has taken ahead."""

    route: str
    queue: "deque[Waiting]" = field(default_factory=deque)
    weight: int = 0
    debt: int = 0
    said_at: float = float("-inf")  # that it is full


@dataclass(slots=True, eq=False)
class Waiting(FanOut):
    """One item's way to its receivers of one route. `weight` is each delivery's, `number` the place in the order."""

    bucket: Bucket
    weight: int
    number: int
    is_large: bool  # it has had many receivers


class Receivers(Protocol):
    """Who has the connections that receive: `HoldTable`."""

    def by_route(self, conn_ids: Collection[int]) -> Mapping[str, Collection[int]]:
        """Give the ids by their routes' ids, "" for all routes that have none."""
        ...

    def on_over(self, conn_ids: Collection[int], receipt: Receipt | None) -> None:
        """Hear that these miss an item, as too much waits."""
        ...


class Pacing(FanOuts):
    """Fan-outs of which only so many deliveries are done at a time.

    Args:
        weight_max: that may wait for one route; 0 or less: no limit.
        is_weighing: deliveries have weights other than 1.
    """

    def __init__(self, budget: RateBudget, weight_max: int, is_weighing: bool, receivers: Receivers) -> None:
        super().__init__()
        self._budget = budget
        self._weight_max = weight_max
        self._is_weighing = is_weighing
        self._receivers = receivers
        self._buckets: dict[str, Bucket] = {}
        self._turns: deque[Bucket] = deque()  # those with something to do; the first is next
        self._large: dict[Waiting, None] = {}
        self._small: dict[int, deque[Waiting]] = {}  # by connection
        self._waiting_count = 0
        self._number = 0
        self._is_waking = False  # `resume` will be called when there is more to use
        self._is_spent = False  # there is nothing to use until then

    @property
    def is_full(self) -> bool:
        return self._weight_max <= 0 and self._waiting_count >= WAITING_MAX_COUNT

    @property
    def is_done(self) -> bool:
        return not self._waiting_count and not self._turns

    @property
    def is_ready(self) -> bool:
        return bool(self._turns) and not self._is_spent

    def start(
        self,
        step: Step,
        conn_ids: Collection[int],
        payload_bytes: int,
        max_count: int,
        now: float,
        receipt: Receipt | None = None,
        weight: int = 1,
    ) -> list[Effect]:
        """Let `step` wait for its turn with each of `conn_ids`. Who finds too much waiting misses it."""
        slice_count = slice_count_of(payload_bytes, max_count)
        effects: list[Effect] = []
        for route, some_ids in self._receivers.by_route(conn_ids).items():
            bucket = self._buckets.get(route)
            if bucket is None:
                bucket = self._buckets[route] = Bucket(route)
            taken_ids = self._admit(bucket, some_ids, weight, now, receipt, effects)
            if taken_ids:
                self._number += 1
                is_large = len(taken_ids) > FEW_COUNT
                waiting = Waiting(step, slice_count, taken_ids, now, receipt, bucket, weight, self._number, is_large)
                self._add(waiting)
        return effects

    def _admit(
        self,
        bucket: Bucket,
        conn_ids: Collection[int],
        weight: int,
        now: float,
        receipt: Receipt | None,
        effects: list[Effect],
    ) -> set[int]:
        """Give those for whom there is room."""
        if self._weight_max <= 0 or bucket.weight + weight * len(conn_ids) <= self._weight_max:
            return set(conn_ids)
        room_count = max(0, self._weight_max - bucket.weight) // weight
        self._receivers.on_over(list(islice(conn_ids, room_count, None)), receipt)
        if now - bucket.said_at >= LOG_EVERY_S:
            bucket.said_at = now
            where = f" for route {bucket.route}" if bucket.route else ""
            effects.append(Log(LOG_WARNING, f"exceeded publish hwm ({self._weight_max}){where}, dropping message"))
        return set(islice(conn_ids, room_count))

    def _add(self, waiting: Waiting) -> None:
        bucket, count = waiting.bucket, len(waiting.remaining)
        if not bucket.queue and not bucket.debt:
            self._turns.append(bucket)
        bucket.queue.append(waiting)
        bucket.weight += count * waiting.weight
        self._waiting_count += count
        self.started_count += 1
        if waiting.receipt is not None:
            waiting.receipt.open_count += 1
        if waiting.is_large:
            self._large[waiting] = None
            return
        for conn_id in waiting.remaining:
            self._small.setdefault(conn_id, deque()).append(waiting)

    def use(self, budget: RateBudget, weight_max: int, is_weighing: bool) -> None:
        """Keep to other limits from now on. What waits has been let in, and goes out in its order."""
        self._budget = budget
        self._weight_max = weight_max
        self._is_weighing = is_weighing
        self._is_spent = False

    def wake(self) -> None:
        """Hear that the time which `WakePacing` asked for has passed."""
        self._is_waking = self._is_spent = False

    def resume(self, now: float) -> list[Effect]:
        """Do what may be done now, at most what one turn of the loop should take; ask to be woken for the rest."""
        effects: list[Effect] = []
        turns, left, used, work = self._turns, self._budget.left(now), 0, 0.0
        quota = round_count = 0
        while turns and used < left and work < 1.0:
            if not round_count:
                round_count = len(turns)
                quota = self._quota(left - used)
            round_count -= 1
            bucket = turns[0]
            bucket_used, work = self._serve(bucket, quota, work, now, effects)
            used += bucket_used
            if used > left:
                bucket.debt += used - left
            turns.popleft()
            if bucket.queue or bucket.debt:
                turns.append(bucket)
        self._budget.use(used, bool(turns))
        self._is_spent = bool(turns) and used >= left
        if self._is_spent and not self._is_waking:
            self._is_waking = True
            effects.append(WakePacing(self._budget.wait_s(now)))
        return effects

    def _quota(self, left: int) -> int:
        """Say what each bucket may use in its turn. Weights and turns of one delivery are as the reference has them."""
        if self._is_weighing:
            return 1
        turns_count = len(self._turns)
        return left if turns_count == 1 else min(max(1, left // turns_count), TURN_MAX_COUNT)

    def _serve(self, bucket: Bucket, quota: int, work: float, now: float, effects: list[Effect]) -> tuple[int, float]:
        """Do deliveries of a bucket, or pay its debt. Give the part of the rate that it took, and the work done.

        `work` is what this turn of the loop has done already, 1.0 is all that it should.
        """
        used = min(bucket.debt, quota)
        bucket.debt -= used
        while bucket.queue and used < quota and work < 1.0:
            waiting = bucket.queue[0]
            remaining = waiting.remaining
            room_count = -(-(quota - used) // waiting.weight)
            count = min(len(remaining), room_count, max(1, int(waiting.slice_count * (1.0 - work))))
            conn_ids = [remaining.pop() for _ in range(count)]
            for conn_id in conn_ids:
                self._count_out(waiting, conn_id)
            if conn_ids:
                effects += waiting.step(conn_ids, now)
            used += count * waiting.weight
            work += count / waiting.slice_count
            if not remaining:
                bucket.queue.popleft()
                effects.append(self._finish(waiting))
        return used, work

    def _take_out(self, waiting: Waiting, conn_id: int) -> None:
        waiting.remaining.remove(conn_id)
        self._count_out(waiting, conn_id)

    def _count_out(self, waiting: Waiting, conn_id: int) -> None:
        """Forget that a connection waits for this."""
        waiting.bucket.weight -= waiting.weight
        self._waiting_count -= 1
        if waiting.is_large:
            if not waiting.remaining:
                self._large.pop(waiting, None)
            return
        small = self._small[conn_id]
        small.remove(waiting)  # most often the first
        if not small:
            del self._small[conn_id]

    def _of(self, conn_id: int) -> list[Waiting]:
        """Give all that a connection is due, in order."""
        found = [waiting for waiting in self._large if conn_id in waiting.remaining]
        found += self._small.get(conn_id, ())
        return sorted(found, key=lambda waiting: waiting.number)

    def catch_up(self, conn_ids: Collection[int], now: float) -> list[Effect]:
        """Do at once what these connections are still due, in order. It counts as ahead of their bucket's turns."""
        effects: list[Effect] = []
        for conn_id in conn_ids:
            for waiting in self._of(conn_id):
                if conn_id in waiting.remaining:  # else the one before it ended the hold
                    self._take_out(waiting, conn_id)
                    waiting.bucket.debt += waiting.weight
                    effects += waiting.step((conn_id,), now)
        return effects

    def is_due(self, conn_id: int) -> bool:
        return bool(self._of(conn_id))

    def forget(self, conn_id: int) -> None:
        for waiting in self._of(conn_id):
            self._take_out(waiting, conn_id)
