"""When holds ask their origin again: in batches, so that a thousand clients do not do it at once."""

from dataclasses import dataclass, field

from gripproxy.engine.timer_wheel import Slot, TimerWheel

BATCH_S = 0.1  # between two batches, and before the first, same as Pushpin
BATCH_MAX_COUNT = 100  # holds, same as Pushpin; all workers of a host share it

RESPONSES = ""  # the bucket of all long-polls; streams have one for each next link


class UpdateQueue:
    """Holds that wait for their turn to ask again, in buckets that take turns."""

    def __init__(self, batch_max_count: int = BATCH_MAX_COUNT) -> None:
        self._batch_max_count = batch_max_count
        self._buckets: dict[str, dict[int, None]] = {}
        self._bucket_of: dict[int, str] = {}
        self._is_awake = False

    def __contains__(self, conn_id: int) -> bool:
        return conn_id in self._bucket_of

    def add(self, conn_id: int, bucket: str) -> bool:
        """Let a hold wait; say whether `take` must be called after BATCH_S. Twice is as good as once."""
        if conn_id in self._bucket_of:
            return False
        self._bucket_of[conn_id] = bucket
        self._buckets.setdefault(bucket, {})[conn_id] = None
        is_asleep, self._is_awake = not self._is_awake, True
        return is_asleep

    def discard(self, conn_id: int) -> None:
        """Let it wait no more, if it does."""
        bucket = self._bucket_of.pop(conn_id, None)
        if bucket is not None:
            del self._buckets[bucket][conn_id]
            if not self._buckets[bucket]:
                del self._buckets[bucket]

    def take(self) -> tuple[list[int], bool]:
        """Take out the next batch, from one bucket; say too whether `take` must be called again after BATCH_S."""
        if not self._buckets:
            self._is_awake = False
            return [], False
        bucket = next(iter(self._buckets))
        waiting = self._buckets.pop(bucket)
        taken = list(waiting)[: self._batch_max_count]
        for conn_id in taken:
            del waiting[conn_id], self._bucket_of[conn_id]
        if waiting:
            self._buckets[bucket] = waiting  # behind the others
        return taken, True


@dataclass(slots=True, eq=False)
class PollGroup:
    """Streams that ask for their next part together: those with the same link, query apart, and the same timeout.

    `members` are the ids, each with the time since which it has been quiet.
    """

    timeout_s: int
    key: tuple[str, int]
    members: dict[int, float] = field(default_factory=dict)
    slot: Slot | None = None


@dataclass(slots=True)
class Standing:
    """How a hold waits for its turn to ask again. `group`: see `PollGroups.standing`."""

    is_waiting: bool
    group: tuple[float, float] | None = None


class PollGroups:
    """All groups, each with one deadline: it begins with the first member, and who joins later asks early."""

    def __init__(self, wheel: TimerWheel) -> None:
        self._wheel = wheel
        self._groups: dict[tuple[str, int], PollGroup] = {}

    def join(self, conn_id: int, bucket: str, timeout_s: int, now: float) -> PollGroup:
        """Let a stream wait for its group's deadline."""
        key = bucket, timeout_s
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = PollGroup(timeout_s, key)
            self._wheel.schedule(group, now + timeout_s)
        group.members[conn_id] = now
        return group

    def rejoin(self, conn_id: int, bucket: str, timeout_s: int, standing: tuple[float, float], now: float) -> PollGroup:
        """Let a stream go on waiting as `standing` says: until its deadline, or its group's here if there is one."""
        left_s, quiet_s = standing
        key = bucket, timeout_s
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = PollGroup(timeout_s, key)
            self._wheel.schedule(group, now + left_s)
        group.members[conn_id] = now - quiet_s
        return group

    def standing(self, conn_id: int, group: PollGroup, now: float) -> tuple[float, float]:
        """Say in how many seconds a stream's group asks, and for how many the stream has been quiet."""
        left_s = self._wheel.left_s(group, now)
        return 0.0 if left_s is None else left_s, now - group.members[conn_id]

    def leave(self, conn_id: int, group: PollGroup) -> None:
        """Let it wait no more."""
        group.members.pop(conn_id, None)
        if not group.members:
            self._wheel.cancel(group)
            self._groups.pop(group.key, None)

    def restart(self, group: PollGroup, now: float) -> None:
        """Give a group whose deadline has come its next one."""
        self._wheel.schedule(group, now + group.timeout_s)
