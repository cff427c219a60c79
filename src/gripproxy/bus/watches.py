"""Who looks at what: workers are told by the hub's `Field.WATCHED`, and produce nothing that nobody looks at."""

from gripproxy.scoreboard import Field, Watch


class Watches:
    """Joins what several owners want to see. `row` is the hub's; nobody else writes its field WATCHED.

    A hub that died may have left bits there: they are cleared here, at the start of the next one.
    """

    def __init__(self, row: memoryview) -> None:
        self._row = row
        self._by_owner: dict[str, Watch] = {}
        self._store()

    def set(self, owner: str, bits: Watch) -> None:
        """Say all that `owner` looks at from now on; ``Watch(0)`` for nothing."""
        if self._by_owner.get(owner, Watch(0)) != bits:
            self._by_owner[owner] = bits
            self._store()

    def _store(self) -> None:
        joined = 0
        for bits in self._by_owner.values():
            joined |= bits
        self._row[Field.WATCHED] = int(joined)
