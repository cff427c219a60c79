"""Deadlines of very many records, in slots of a quarter second: one dict entry each, no timer object, no heap."""

from typing import Any

TICK_S = 0.25  # keep-alives jitter by a second and hold timeouts are whole seconds: finer would only cost slots


class Slot(dict[Any, None]):
    """The records of one tick, as a dict: by its size a set needs up to three times as much.

    Each record has an attribute ``slot: Slot | None``, which the wheel alone assigns.
    """

    __slots__ = ("tick",)

    def __init__(self, tick: int) -> None:
        super().__init__()
        self.tick = tick


class TimerWheel:
    """Records and when they are due. A record has at most one deadline; setting it again moves it.

    Times are monotonic seconds. A record comes due at most `TICK_S` late and never early, if `due` leaves none behind.
    """

    def __init__(self, now: float) -> None:
        self._slots: dict[int, Slot] = {}
        self._done_tick = int(now / TICK_S)
        self.is_behind = False  # whether the last call of `due` left records behind

    def schedule(self, record: Any, at: float) -> None:
        """Make `record` due at `at`; a time that has passed comes due with the next tick."""
        self.cancel(record)
        tick = max(int(at / TICK_S) + 1, self._done_tick + 1)
        slot = self._slots.get(tick)
        if slot is None:
            slot = self._slots[tick] = Slot(tick)
        slot[record] = None
        record.slot = slot

    def cancel(self, record: Any) -> None:
        """Forget the record's deadline, if it has one."""
        slot = record.slot
        if slot is not None:
            del slot[record]
            record.slot = None
            if not slot:
                del self._slots[slot.tick]  # an emptied slot keeps its table, and the tick may be half an hour away

    def left_s(self, record: Any, now: float) -> float | None:
        """Say in how many seconds a record is due, so that `schedule` at that time gives it the same tick again.

        None if it has no deadline; negative if it should have come due already.
        """
        slot: Slot | None = record.slot
        return None if slot is None else (slot.tick - 0.5) * TICK_S - now

    def due(self, now: float, max_count: int) -> list[Any]:
        """Take out records whose deadline has passed, at most `max_count`, in the order of their ticks.

        Those beyond `max_count` stay until the next call, and may still be moved or cancelled.
        """
        tick = int(now / TICK_S)
        passed = range(self._done_tick + 1, tick + 1)
        ticks = passed if len(passed) <= len(self._slots) else sorted(t for t in self._slots if t <= tick)
        records: list[Any] = []
        self.is_behind = False
        for passed_tick in ticks:
            slot = self._slots.get(passed_tick)
            if slot is not None:
                room = max_count - len(records)
                if len(slot) > room:
                    records += [slot.popitem()[0] for _ in range(room)]
                    self._done_tick = passed_tick - 1
                    self.is_behind = True
                    break
                records += slot
                del self._slots[passed_tick]
        else:
            self._done_tick = max(self._done_tick, tick)
        for record in records:
            record.slot = None
        return records
