"""Count the items that the bus lost on their way to one worker."""


class SequenceWatch:
    """Compares the sequence number of each message with the one that is due.

    A hub numbers its items from 0 within its epoch; a new hub has a new epoch. What a dead hub had sent last is not
    known, so only a hole before or after the change of epoch can be seen, not one at the change itself.
    """

    def __init__(self) -> None:
        self.epoch: int | None = None  # None: no hub yet
        self.due = 0  # the number of its next item

    def items(self, epoch: int, sequence: int, count: int) -> int:
        """Note items that are numbered from `sequence` on; give how many items are missing before them."""
        missing_count = self.hello(epoch, sequence)
        self.due = sequence + count
        return missing_count

    def hello(self, epoch: int, next_sequence: int) -> int:
        """Note that the hub's next item has number `next_sequence`; give how many items are missing before it.

        A first hub is joined wherever it is: nothing is missing. A second one numbers from 0, and this worker
        wanted all of it.
        """
        if self.epoch is None:
            self.due = next_sequence
        elif epoch != self.epoch:
            self.due = 0
        self.epoch = epoch
        missing_count = max(0, next_sequence - self.due)
        self.due = max(self.due, next_sequence)
        return missing_count
