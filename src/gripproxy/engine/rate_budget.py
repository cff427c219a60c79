"""How many deliveries may go right now when there is a limit on them, one for all workers together.

Time is cut into windows, each with the same number of deliveries. At a window's start every worker may use its share;
what the others have left of theirs a moment later goes to those who need more. So no worker waits for another one,
and a crowd that sits on one worker gets the whole rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

BATCH_MS = 25  # a window's length, same as Pushpin
MS_PER_S = 1000
US_PER_S = 1_000_000
SETTLE_US = 5000  # after a window's start: by then the timers of all workers have come due


@dataclass(slots=True)
class Usage:
    """What a worker has used of a window: `window_us` is when that began. `is_hungry`: more of it waits there."""

    worker_index: int
    window_us: int
    used_count: int
    is_hungry: bool


class RateBoard(Protocol):
    """Where workers see each other's usage. `worker_index` is this one's among `workers_count`."""

    worker_index: int
    workers_count: int

    def others(self) -> Sequence[Usage]:
        """Give what the other workers told last, by their index."""
        ...

    def tell(self, window_us: int, used_count: int, is_hungry: bool) -> None:
        """Tell the others."""
        ...


class Alone:
    """There are no other workers."""

    worker_index = 0
    workers_count = 1

    def others(self) -> Sequence[Usage]:
        return ()

    def tell(self, window_us: int, used_count: int, is_hungry: bool) -> None: ...


class RateBudget:
    """One worker's part of `rate` deliveries a second. Times are monotonic seconds of a clock that all workers share.

    `window_count` is how many may go in a window, in all workers.
    """

    def __init__(self, rate: int, board: RateBoard) -> None:
        window_ms = BATCH_MS if rate >= MS_PER_S // BATCH_MS else MS_PER_S // rate
        self.window_count = -(-rate * BATCH_MS // MS_PER_S)
        self._length_us = window_ms * US_PER_S // MS_PER_S
        self._index = board.worker_index
        self._workers_count = board.workers_count
        self._board = board
        self._window_us = -2 * self._length_us  # the beginning of the current window, or of the last one
        self._used_count = 0
        self._allowed_count = 0  # in this window, in all
        self._is_settled = False  # what others left has been shared out

    def left(self, now: float) -> int:
        """Say how many more may go now."""
        now_us = int(now * US_PER_S)
        if now_us >= self._window_us + self._length_us or self._begun(now_us):
            self._open(now_us)
        if not self._is_settled and now_us >= self._window_us + SETTLE_US:
            self._settle()
        unused_count = self.window_count - sum(usage.used_count for usage in self._in_window())
        return max(0, min(self._allowed_count, unused_count) - self._used_count)

    def use(self, count: int, is_hungry: bool) -> None:
        """Count deliveries that went; say whether others wait."""
        self._used_count += count
        self._board.tell(self._window_us, min(self._used_count, self.window_count), is_hungry)

    def wait_s(self, now: float) -> float:
        """Say after how long there may be more to use."""
        is_settled = self._is_settled or self._workers_count == 1
        next_us = self._window_us + (self._length_us if is_settled else min(SETTLE_US, self._length_us))
        return max(0.001, next_us / US_PER_S - now)

    def _open(self, now_us: int) -> None:
        """Begin a window: where another worker has, else behind the last one, else now."""
        length_us = self._length_us
        begun = self._begun(now_us)
        others_us = [usage.window_us for usage in self._board.others()]
        recent = [at for at in (self._window_us, *others_us) if at + length_us <= now_us < at + 2 * length_us]
        if begun:
            self._window_us = begun[0]
        elif recent:
            self._window_us = recent[0] + length_us
        else:
            self._window_us = now_us
        self._used_count = 0
        self._allowed_count = self._share(self._index)
        self._is_settled = self._workers_count == 1

    def _in_window(self) -> list[Usage]:
        """Give what others have used of the current window. Theirs may have begun a little earlier or later."""
        reach_us = self._length_us // 2
        return [usage for usage in self._board.others() if abs(usage.window_us - self._window_us) < reach_us]

    def _begun(self, now_us: int) -> list[int]:
        """Give the beginnings of windows that others are in already, and this worker is not."""
        after_us = max(self._window_us + self._length_us // 2, now_us - self._length_us)
        return [at for usage in self._board.others() if after_us < (at := usage.window_us) <= now_us]

    def _share(self, worker_index: int) -> int:
        """Give a worker's part of the window; what cannot be divided goes to others in each window."""
        return _part(self.window_count, self._workers_count, worker_index + self._window_us // self._length_us)

    def _settle(self) -> None:
        """Share out what others have left to those who want more, this one among them.

        Each of them comes to the same result, whoever is first.
        """
        self._is_settled = True
        taken_count = self._share(self._index)
        hungry = [self._index]
        for usage in self._in_window():
            taken_count += self._share(usage.worker_index) if usage.is_hungry else usage.used_count
            if usage.is_hungry:
                hungry.append(usage.worker_index)
        rank = sorted(hungry).index(self._index)
        left_count = max(0, self.window_count - taken_count)
        more_count = _part(left_count, len(hungry), rank + self._window_us // self._length_us)
        self._allowed_count += more_count


def _part(count: int, parts_count: int, number: int) -> int:
    """Divide `count` into whole parts and give part `number`, in turns."""
    return count // parts_count + (number % parts_count < count % parts_count)
