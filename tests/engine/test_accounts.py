"""What the engine counts and tells."""

from gripproxy.engine.accounts import Accounts
from gripproxy.engine.observer import Nobody
from gripproxy.engine.traffic import RouteTraffic
from gripproxy.protocol.telemetry import Traffic


class Ends(Nobody):
    """Counts ends."""

    def __init__(self) -> None:
        self.ended: list[int] = []
        self.handed: list[int] = []

    def on_end(self, conn_id: int, traffic: RouteTraffic) -> None:
        self.ended.append(conn_id)

    def on_handed_over(self, conn_id: int) -> None:
        self.handed.append(conn_id)


def test_end_is_told_once() -> None:
    """A hold that ends and its client that then leaves are one end."""
    accounts = Accounts(0.0)
    accounts.observer = observer = Ends()
    traffic = accounts.traffic.of("")
    accounts.traffic.begin(3, traffic)
    for _ in range(2):
        accounts.end(3, traffic)
    assert observer.ended == [3]


def test_connection_that_another_worker_has_is_not_over() -> None:
    """It is counted no more, and nobody is told of an end."""
    accounts = Accounts(0.0)
    accounts.observer = observer = Ends()
    traffic = accounts.traffic.of("")
    accounts.traffic.begin(3, traffic)
    for _ in range(2):
        accounts.hand_over(3, traffic)
    assert (observer.ended, observer.handed) == ([], [3])
    assert traffic.values[Traffic.CONNECTIONS] == 0
