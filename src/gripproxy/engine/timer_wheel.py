"""Deadlines of very many records, in slots of a quarter second: one set entry each, no timer object, no heap."""

from typing import Any

TICK_S = 0.25  # keep-alives jitter by a second and hold timeouts are whole seconds: finer would only cost slots

Slot = set[Any]  # of records with an attribute `slot: Slot | None`, which the wheel alone assigns


class TimerWheel:
    """Records and when they are due. A record has at most one deadline; setting it again moves it.

    Times are monotonic seconds. A record comes due at most `TICK_S` late and never early.
    """

    def __init__(self, now: float) -> None:
        self._slots: dict[int, Slot] = {}
        self._done_tick = int(now / TICK_S)

    def schedule(self, record: Any, at: float) -> None:
        """Make `record` due at `at`; a time that has passed comes due with the next tick."""
        if record.slot is not None:
            record.slot.discard(record)
        tick = max(int(at / TICK_S) + 1, self._done_tick + 1)
        slot = self._slots.get(tick)
        if slot is None:
            slot = self._slots[tick] = set()
        slot.add(record)
        record.slot = slot

    def cancel(self, record: Any) -> None:
        """Forget the record's deadline, if it has one."""
        if record.slot is not None:
            record.slot.discard(record)
            record.slot = None

    def due(self, now: float) -> list[Any]:
        """Take out the records whose deadline has passed, in the order of their ticks."""
        tick = int(now / TICK_S)
        passed = range(self._done_tick + 1, tick + 1)
        ticks = passed if len(passed) <= len(self._slots) else sorted(t for t in self._slots if t <= tick)
        self._done_tick = max(self._done_tick, tick)
        records: list[Any] = []
        for passed_tick in ticks:
            slot = self._slots.pop(passed_tick, None)
            if slot:
                records += slot
        for record in records:
            record.slot = None
        return records
