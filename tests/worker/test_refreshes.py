"""What commands want of WebSocket clients reaches the engine, and the hub hears which there are."""

from gripproxy.engine.events import Event, RefreshAsked
from gripproxy_worker.client_conn import ClientConn
from gripproxy_worker.refreshes import refresh_channels, refresh_connections


class Worker:
    """Stands for a driver, and for the telemetry of a worker with two WebSockets."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.told: list[tuple[int, list[str]]] = []

    def dispatch(self, conn: ClientConn | None, event: Event) -> None:
        self.events.append(event)

    def socket_of(self, connection_id: str) -> int | None:
        return {"a": 4, "b": 5}.get(connection_id)

    def live(self, query: int, ids: list[str]) -> None:
        self.told.append((query, ids))


def test_connections_of_this_worker_are_refreshed() -> None:
    """The others are somebody else's, or nobody's."""
    worker = Worker()
    refresh_connections(worker, worker, 7, ["a", "x", "b"])  # type: ignore[arg-type]
    assert worker.told == [(7, ["a", "b"])]
    assert worker.events == [RefreshAsked(conn_ids=[4, 5])]


def test_channels_are_looked_up_by_the_engine() -> None:
    worker = Worker()
    refresh_channels(worker, ["news"])
    assert worker.events == [RefreshAsked(channels=["news"])]
