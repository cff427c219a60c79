"""How many subscribers each channel has on this host by mode, and when monitors are to be told of it."""

from gripproxy.protocol.telemetry import SubsRecord

RESPONSE_MODE = "response"
DUE_S = 0.1
CHANGE_S = 0.9  # with the time to the next turn a second, as Pushpin
TURN_MAX_COUNT = 2_000  # packets of one kind made in a turn: some 15 ms
Key = tuple[str, str]  # mode, channel
News = tuple[str, str, int]  # mode, channel, subscribers; 0: it has none any more


class SubscriberCounts:
    """Adds up what workers tell. `now` is monotonic seconds; `due` is to be called every `DUE_S`.

    The first subscription is news at once, and so is the end, but for long-polls: a client that got its answer is
    back soon, so their channels end `linger_s` after the last. A number that changes is told
    `CHANGE_S` later. All is told again within `refresh_s`, a part in each turn.

    A worker's records count from one with `is_first` on: after it left, what is still on its way is void.
    """

    def __init__(self, refresh_s: float, linger_s: float) -> None:
        self._refresh_s = refresh_s
        self._linger_s = linger_s
        self._totals: dict[Key, int] = {}
        self._told_at: dict[Key, float] = {}  # the one that was told longest ago is first
        self._changed: dict[Key, float] = {}  # since when the told number is wrong
        self._lingering: dict[Key, float] = {}  # without subscribers: when that is told, the next one first
        self._by_worker: dict[int, dict[Key, int]] = {}
        self._unconfirmed: dict[int, dict[Key, int]] = {}  # what a worker said before it began anew

    def use_times(self, refresh_s: float, linger_s: float) -> None:
        """Tell again, and wait for clients that come back, within other times."""
        self._refresh_s = refresh_s
        self._linger_s = linger_s

    def __len__(self) -> int:
        return len(self._totals) + len(self._lingering)

    def take(self, record: SubsRecord, now: float) -> list[News]:
        """Take in what a worker tells; give what monitors should know at once."""
        worker_index, news = record.worker_index, list[News]()
        if record.is_first:
            old = self._unconfirmed.setdefault(worker_index, {})
            old.update(self._by_worker.get(worker_index, {}))
            self._by_worker[worker_index] = {}
        counts = self._by_worker.get(worker_index)
        if counts is None:
            return news
        unconfirmed = self._unconfirmed.get(worker_index, {})
        for mode, channel, count in record.counts:
            key, number = (str(mode), str(channel)), int(count)
            before = counts.pop(key, 0) + unconfirmed.pop(key, 0)
            if number:
                counts[key] = number
            self._change(key, number - before, now, news)
        if record.is_all:
            self._withdraw(self._unconfirmed.pop(worker_index, {}), now, news)
        return news

    def forget_worker(self, worker_index: int, now: float) -> list[News]:
        """Take back all that a worker told, which is gone; give what monitors should know at once."""
        news: list[News] = []
        self._withdraw(self._by_worker.pop(worker_index, {}), now, news)
        self._withdraw(self._unconfirmed.pop(worker_index, {}), now, news)
        return news

    def due(self, now: float) -> list[News]:
        """Give the numbers that changed, the channels whose time is over, and those that are to be told again."""
        news: list[News] = []
        for key in _until(self._changed, now - CHANGE_S, TURN_MAX_COUNT):
            del self._changed[key]
            self._tell(key, now, news)
        for key in _until(self._lingering, now, TURN_MAX_COUNT):
            del self._lingering[key]
            news.append((*key, 0))
        # From half of the time on a share in each turn, so that what was told together spreads over the other half.
        share = int(2 * len(self._told_at) * DUE_S / self._refresh_s) + 1
        for key in _until(self._told_at, now - self._refresh_s / 2, share):
            self._tell(key, now, news)
        return news

    def _change(self, key: Key, difference: int, now: float, news: list[News]) -> None:
        if not difference:
            return
        before = self._totals.get(key, 0)
        self._totals[key] = before + difference
        if not before:
            self._lingering.pop(key, None)
            self._tell(key, now, news)
        elif before + difference:
            self._changed.setdefault(key, now)
        else:
            del self._totals[key], self._told_at[key]
            self._changed.pop(key, None)
            if key[0] == RESPONSE_MODE:
                self._lingering[key] = now + self._linger_s
            else:
                news.append((*key, 0))

    def _withdraw(self, counts: dict[Key, int], now: float, news: list[News]) -> None:
        for key, count in counts.items():
            self._change(key, -count, now, news)

    def _tell(self, key: Key, now: float, news: list[News]) -> None:
        self._told_at.pop(key, None)
        self._told_at[key] = now
        news.append((*key, self._totals[key]))


def _until(times: dict[Key, float], limit: float, max_count: int) -> list[Key]:
    """Give the keys at the beginning whose time is not past the limit."""
    keys: list[Key] = []
    for key, time in times.items():
        if time > limit or len(keys) >= max_count:
            break
        keys.append(key)
    return keys
