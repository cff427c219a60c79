"""How many listen to a few channels, as the workers last said."""

from gripproxy.bus.outlet import Outlet
from gripproxy.protocol.telemetry import AudienceRecord

ASKED_MAX_COUNT = 500  # in a question: some 0.1 ms of each worker
ANSWER_AGE_MAX_S = 5.0  # an older one is of a worker that is gone


class Audience:
    """Asks all workers, and adds up what they answer. `on_record` is to be called with each answer."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._asked_at = 0.0
        self._answers: dict[int, tuple[float, dict[str, int]]] = {}  # by worker: when it was asked, and what it said

    def ask(self, channels: list[str], now: float) -> None:
        """Ask for the first of these channels. While the bus is full nobody is asked: items come first."""
        if channels and not self._outlet.is_blocked:
            self._asked_at = now
            self._outlet.tell_audience(channels[:ASKED_MAX_COUNT])

    def on_record(self, record: AudienceRecord) -> None:
        self._answers[record.worker_index] = self._asked_at, record.counts

    def counts(self, now: float) -> dict[str, int]:
        """Give the number of listeners of each channel that a worker has answered for lately."""
        sums: dict[str, int] = {}
        for at, counts in self._answers.values():
            if now - at <= ANSWER_AGE_MAX_S:
                for channel, count in counts.items():
                    sums[channel] = sums.get(channel, 0) + count
        return sums
