"""What the hub wants of WebSocket clients: their origins are to be asked for news."""

from collections.abc import Sequence
from typing import Protocol

from gripproxy.engine.events import Event, RefreshAsked
from gripproxy_worker.client_conn import ClientConn
from gripproxy_worker.telemetry import Telemetry


class Dispatcher(Protocol):
    """Who hands events to the engine: the driver."""

    def dispatch(self, conn: ClientConn | None, event: Event) -> None: ...


def refresh_connections(driver: Dispatcher, telemetry: Telemetry, query: int, ids: Sequence[str]) -> None:
    """Refresh those that are WebSocket connections of this worker, and tell the hub which are."""
    found = {each: conn_id for each in ids if (conn_id := telemetry.socket_of(each)) is not None}
    telemetry.live(query, list(found))
    driver.dispatch(None, RefreshAsked(conn_ids=list(found.values())))


def refresh_channels(driver: Dispatcher, names: Sequence[str]) -> None:
    """Refresh all WebSocket clients on these channels."""
    driver.dispatch(None, RefreshAsked(channels=names))
