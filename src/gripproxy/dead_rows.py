"""Closes the books of a process that was killed: its successor has the same row, and nothing may be missing in it."""

from gripproxy.scoreboard import Field

_INPUTS = (Field.ITEMS_PULL, Field.ITEMS_SUB, Field.ITEMS_HTTP, Field.ITEMS_COMMAND)
_HUB_ENDS = (
    Field.ITEMS_REFUSED,
    Field.ITEMS_DUPLICATE,
    Field.ITEMS_UNORDERED,
    Field.ITEMS_SENT,
    Field.ITEMS_LOST,
)
_WORKER_ENDS = (
    Field.DELIVERIES,
    Field.FILTERED,
    Field.REFETCHED,
    Field.HANDED_ITEMS,
    Field.DROPPED_SLOW,
    Field.DROPPED_WAITING,
    Field.DROPPED_UNFIT,
    Field.DROPPED_GONE,
    Field.DROPPED_RATE,
)


def close_hub_row(row: memoryview) -> None:
    """Count as lost what a dead hub had taken and not put on the bus, parked items too. Nothing for a first hub."""
    received = sum(row[field] for field in _INPUTS)
    row[Field.ITEMS_RECEIVED] = received  # the two are not counted in one step
    row[Field.ITEMS_PARKED] = 0
    row[Field.ITEMS_LOST] += max(0, received - sum(row[field] for field in _HUB_ENDS))


def close_worker_row(row: memoryview) -> None:
    """Count what a dead worker had still to send as gone with its clients. Nothing for a first worker."""
    row[Field.PENDING] = 0
    ended = sum(row[field] for field in _WORKER_ENDS)
    received = row[Field.RECEPTIONS]
    # Receptions are told to the row with every tick, most ends too, but not all: either may be ahead.
    row[Field.DROPPED_GONE] += max(0, received - ended)
    row[Field.RECEPTIONS] = max(received, ended)
