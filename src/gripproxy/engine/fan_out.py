"""Items for very many subscribers: sent in slices, so that the worker does other work in between.

Each connection still gets everything in the order in which it was published: whoever is about to get something new
gets at once what he is still due.
"""

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

from gripproxy.engine.effects import Effect, FannedOut
from gripproxy.protocol.receipt import Receipt

SLICE_MAX_BYTES = 3_145_728  # written in one slice: about as long as 600 small writes take
# What takes as long as to write so many bytes, roughly:
PATCH_BYTES = SLICE_MAX_BYTES // 4  # a patch of a held body, at its worst even 200 ms
DIRECTIVE_BYTES = 300  # one of a filter's text
QUEUE_MAX_COUNT = 8  # unfinished fan-outs, each with its own set of ids; then the worker should take no more items

Step = Callable[[Collection[int], float], list[Effect]]  # (conn_ids, now): what to do for some of the subscribers


@dataclass(slots=True, eq=False)
class FanOut:
    """One item's way to those who were subscribed when it was published, at `began_at`. `remaining` are still due."""

    step: Step
    slice_count: int
    remaining: set[int]
    began_at: float
    receipt: Receipt | None


def slice_count_of(payload_bytes: int, max_count: int) -> int:
    """Say to how many a payload goes in one slice: at most `max_count`, at least one."""
    if payload_bytes * max_count > SLICE_MAX_BYTES:
        return max(1, SLICE_MAX_BYTES // payload_bytes)
    return max_count


class FanOuts:
    """The fan-outs that are under way, oldest first."""

    def __init__(self) -> None:
        self.queue: deque[FanOut] = deque()
        self.started_count = 0  # those that were not done at once

    @property
    def is_full(self) -> bool:
        """Whether no more items should be taken for now."""
        return len(self.queue) >= QUEUE_MAX_COUNT

    @property
    def is_done(self) -> bool:
        """Whether nothing is under way."""
        return not self.queue

    @property
    def is_ready(self) -> bool:
        """Whether `resume` has something to do."""
        return bool(self.queue)

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
        """Do `step` for all of `conn_ids`, a channel's own: now if they are few, else later, in `resume`.

        `payload_bytes` is the size for each; `max_count` is how many ids are few. `receipt`: the item's, if it has one.
        `weight` is each delivery's where there is a limit on their rate: see `Pacing`.
        """
        slice_count = slice_count_of(payload_bytes, max_count)
        if not self.queue and len(conn_ids) <= slice_count:
            return step(conn_ids, now)
        all_ids = set(conn_ids)
        self.queue.append(FanOut(step, slice_count, all_ids, now, receipt))
        if len(all_ids) <= slice_count:
            effects = self.catch_up(set(all_ids), now)
            self.queue.pop()
            return effects
        self.started_count += 1
        if receipt is not None:
            receipt.open_count += 1
        return []  # the copy of so many ids is work enough for this turn

    def resume(self, now: float) -> list[Effect]:
        """Do the next slice, if anything is under way."""
        queue, effects = self.queue, list[Effect]()
        while queue and not queue[0].remaining:  # they left, or have caught up
            effects.append(self._finish(queue.popleft()))
        if not queue:
            return effects
        remaining = queue[0].remaining
        conn_ids = [remaining.pop() for _ in range(min(queue[0].slice_count, len(remaining)))]
        effects += queue[0].step(conn_ids, now)
        if not remaining:
            effects.append(self._finish(queue.popleft()))
        return effects

    def _finish(self, fan_out: FanOut) -> Effect:
        if fan_out.receipt is not None:
            fan_out.receipt.open_count -= 1
        return FannedOut(fan_out.began_at)

    def catch_up(self, conn_ids: Collection[int], now: float) -> list[Effect]:
        """Do at once what these connections are still due, in order."""
        effects: list[Effect] = []
        for fan_out in self.queue:
            behind = fan_out.remaining.intersection(conn_ids)
            if behind:
                fan_out.remaining -= behind
                effects += fan_out.step(behind, now)
        return effects

    def is_due(self, conn_id: int) -> bool:
        """Whether a connection is still to get something."""
        return any(conn_id in fan_out.remaining for fan_out in self.queue)

    def wake(self) -> None:
        """Hear that the time has passed after which `resume` should be called: only `Pacing` asks for that."""

    def forget(self, conn_id: int) -> None:
        """Send nothing more to a connection whose hold is over: its id may soon be another client's."""
        for fan_out in self.queue:
            fan_out.remaining.discard(conn_id)
