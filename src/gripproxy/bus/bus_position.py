"""How far a worker has read the bus: where two of them can both stop, so that a connection goes from one to another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from gripproxy.errors import InternalError


@dataclass(slots=True)
class BusPosition:
    """A point between two messages of one hub.

    `epoch` is the hub's, None before one was joined. `sequence` is the number of its next item. `notices_count` is how
    many messages to all workers that hold no items came since the last item; None: unknown, as no item came yet.
    """

    epoch: int | None
    sequence: int
    notices_count: int | None

    @classmethod
    def decode(cls, fields: Any) -> Self:
        """Take it from another process.

        Raises:
            InternalError: it is damaged.
        """
        if isinstance(fields, Sequence) and len(fields) >= 3 and isinstance(fields[1], int):
            return cls(fields[0], fields[1], fields[2])
        raise InternalError(f"position on the bus is damaged: {fields!r}")

    def encode(self) -> tuple[int | None, int, int | None]:
        """Give it as plain values."""
        return self.epoch, self.sequence, self.notices_count

    def is_before(self, other: "BusPosition") -> bool:
        """Say whether it is reached before `other`, which is of the same hub."""
        if self.sequence != other.sequence:
            return self.sequence < other.sequence
        if self.notices_count is None or other.notices_count is None:
            return False
        return self.notices_count < other.notices_count

    def is_at(self, other: "BusPosition") -> bool:
        """Say whether both are the same point, as far as that is known."""
        return self.epoch == other.epoch and not self.is_before(other) and not other.is_before(self)
