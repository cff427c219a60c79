"""What one worker's engine counts and tells of itself."""

from gripproxy.engine.books import Books
from gripproxy.engine.observer import Nobody, Observer
from gripproxy.engine.traffic import RouteTraffic, TrafficTable


class Accounts:
    """Deliveries, traffic by route, and who is told as things happen.

    `now`: monotonic seconds. `changed`: channels whose number of subscribers has changed since they were taken from it;
    None while nobody wants to know.
    """

    def __init__(self, now: float) -> None:
        self.books = Books()
        self.traffic = TrafficTable(now)
        self.observer: Observer = Nobody()
        self.changed: set[str] | None = None

    def end(self, conn_id: int, traffic: RouteTraffic) -> None:
        """Count a connection no more. Twice is as good as once."""
        if self.traffic.end(conn_id, traffic):
            self.observer.on_end(conn_id, traffic)

    def hand_over(self, conn_id: int, traffic: RouteTraffic) -> None:
        """Count a connection no more that another worker has from now on."""
        if self.traffic.end(conn_id, traffic):
            self.observer.on_handed_over(conn_id)
