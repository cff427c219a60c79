"""What clients have not read yet, bounded for each held client and for all of them together."""

import os
from collections import deque
from collections.abc import Iterable

BACKLOG_MAX_COUNT = 100  # payloads that wait for one held client, same as Pushpin
BACKLOG_MAX_BYTES = 4_194_304  # and their bytes; one larger payload may wait alone
TOTAL_MAX_BYTES = 268_435_456  # in one worker; a payload counts once, however many clients it waits for
LARGE_BYTES = 16_384  # a payload that the kernel may take in part only, and that then must wait whatever the total


class Waiting:
    """A payload that waits: one object for all the clients that have not read it. `is_item`: the books count it."""

    __slots__ = ("clients_count", "is_item", "payload")

    def __init__(self, payload: bytes, is_item: bool = False) -> None:
        self.payload = payload
        self.is_item = is_item
        self.clients_count = 0


class Backlog:
    """One client's payloads, oldest first. Of the first one `written_bytes` are with the kernel already."""

    __slots__ = ("_seen_bytes", "bytes_count", "queue", "written_bytes")

    def __init__(self, written_bytes: int) -> None:
        self.queue: deque[Waiting] = deque()
        self.bytes_count = -written_bytes  # still to be written
        self.written_bytes = written_bytes
        self._seen_bytes = 0

    def has_moved(self) -> bool:
        """Say whether the client read any of it since this was last asked. While it is asked nothing is added."""
        seen_bytes, self._seen_bytes = self._seen_bytes, self.bytes_count
        return seen_bytes != self.bytes_count


class Backlogs(dict[int, Backlog]):
    """The slow clients by fd. `full` are those that lost a payload and have not read since.

    Of items `items_count` wait now; `read_count` have been read at last, and `lost_count` not before their client was
    gone, both since `take_counts`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.items_count = 0
        self.read_count = 0
        self.lost_count = 0
        self.full: set[int] = set()
        self.total_bytes = 0

    def take_counts(self) -> tuple[int, int]:
        """Give `read_count` and `lost_count`, and begin again with 0."""
        counts = self.read_count, self.lost_count
        self.read_count = self.lost_count = 0
        return counts

    def has_room(self, size: int) -> bool:
        """Say whether a new payload of this size may be begun with. Small ones may: the kernel takes them whole."""
        return size <= LARGE_BYTES or self.total_bytes + size <= TOTAL_MAX_BYTES

    def add(self, fd: int, waiting: Waiting, written_bytes: int) -> None:
        """Let a payload wait behind the others, whatever its size. Who reads nothing yet has written some of it."""
        backlog = self.get(fd)
        if backlog is None:
            backlog = self[fd] = Backlog(written_bytes)
        if not waiting.clients_count:
            self.total_bytes += len(waiting.payload)
        waiting.clients_count += 1
        self.items_count += waiting.is_item
        backlog.queue.append(waiting)
        backlog.bytes_count += len(waiting.payload)

    def offer(self, fd: int, waiting: Waiting, written_bytes: int) -> bool:
        """Let a payload wait if there is room for it; one that is partly written always waits. Says whether it does."""
        size = len(waiting.payload)
        if not written_bytes and not self.has_room_for(fd, size, 0 if waiting.clients_count else size):
            return False
        self.add(fd, waiting, written_bytes)
        return True

    def has_room_for(self, fd: int, size: int, new_bytes: int) -> bool:
        """Say whether a client's payload of `size` may wait, `new_bytes` of which do not wait for others already."""
        backlog = self.get(fd)
        is_refused = self.total_bytes + new_bytes > TOTAL_MAX_BYTES
        if backlog is not None:
            is_refused |= len(backlog.queue) >= BACKLOG_MAX_COUNT or backlog.bytes_count + size > BACKLOG_MAX_BYTES
            if is_refused:
                self.full.add(fd)
        return not is_refused

    def is_overfull(self, backlog: Backlog) -> bool:
        """Say whether more waits than may; one payload may wait alone, whatever its size."""
        is_much = backlog.bytes_count > BACKLOG_MAX_BYTES or self.total_bytes > TOTAL_MAX_BYTES
        return is_much and len(backlog.queue) > 1

    def flush(self, fd: int) -> bool:
        """Write what the client's socket takes; say whether nothing waits any more.

        Raises:
            OSError: the socket is broken.
        """
        backlog = self[fd]
        queue = backlog.queue
        self.full.discard(fd)
        while queue:
            payload = queue[0].payload
            rest = memoryview(payload)[backlog.written_bytes :] if backlog.written_bytes else payload
            try:
                count = os.write(fd, rest)
            except BlockingIOError:
                return False
            backlog.bytes_count -= count
            if count < len(rest):
                backlog.written_bytes += count
                return False
            backlog.written_bytes = 0
            self.read_count += queue[0].is_item
            self._release(queue.popleft())
        del self[fd]
        return True

    def forget(self, fd: int) -> None:
        """Let go of a client that is gone, if it was slow."""
        backlog = self.pop(fd, None)
        if backlog is not None:
            self.full.discard(fd)
            for waiting in backlog.queue:
                self.lost_count += waiting.is_item
                self._release(waiting)

    def take_out(self, fd: int) -> Backlog | None:
        """Give up a client's backlog: it goes where the client goes, and is neither read nor lost here."""
        backlog = self.pop(fd, None)
        if backlog is not None:
            self.full.discard(fd)
            for waiting in backlog.queue:
                self._release(waiting)
        return backlog

    def put_in(self, fd: int, waitings: Iterable[Waiting], written_bytes: int) -> None:
        """Take over the backlog of a client that comes with it."""
        for waiting in waitings:
            self.add(fd, waiting, written_bytes)

    def _release(self, waiting: Waiting) -> None:
        waiting.clients_count -= 1
        self.items_count -= waiting.is_item
        if not waiting.clients_count:
            self.total_bytes -= len(waiting.payload)
