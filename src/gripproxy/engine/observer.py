"""Who is told of requests and holds as they come and go: logs, statistics, whoever looks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gripproxy.engine.client_request import ClientRequest
from gripproxy.engine.subscriptions import Channel
from gripproxy.engine.traffic import RouteTraffic
from gripproxy.engine.ws_session import WsSession
from gripproxy.protocol.connection_id import ConnectionIds
from gripproxy.protocol.link_url import LinkUrl
from gripproxy.protocol.telemetry import Outcome

# Who made a connection's name, as seat and salt; its number there; and its serial. What follows is the observer's own.
Identity = tuple[Any, ...]


@dataclass(slots=True)
class Answer:
    """How far a request has come. `began_at`: when its origin was first asked, in monotonic seconds.

    `status` 0: nothing was sent. `is_retry`: a held request was asked again.
    """

    began_at: float
    is_retry: bool = False
    status: int = 0
    body_bytes: int = 0

    def note(self, status: int, payload: bytes) -> None:
        """Note a whole response, as it is sent."""
        self.status = status
        self.body_bytes = len(payload) - payload.index(b"\r\n\r\n") - 4


class Observer(Protocol):
    """Told by the engine at once, before the effects are carried out. It must not call the engine."""

    def on_request(self, conn_id: int, request: ClientRequest) -> None:
        """A request was admitted, or is about to be refused: a connection, as statistics count them, begins."""
        ...

    def on_answer(self, conn_id: int, request: ClientRequest, outcome: Outcome, answer: "Answer") -> None:
        """A request was answered, was handed over to a hold, or will not be answered."""
        ...

    def on_hold(
        self, conn_id: int, request: ClientRequest, mode: str, channels: Sequence[Channel], is_retry: bool
    ) -> None:
        """A hold began, or got other channels."""
        ...

    def on_link(self, conn_id: int, request: ClientRequest, url: LinkUrl, outcome: Outcome, answer: "Answer") -> None:
        """A request for a held stream's next part was answered, or failed. Others may have shared it."""
        ...

    def on_socket(self, session: WsSession) -> None:
        """A WebSocket client was accepted: it is held from now on."""
        ...

    def on_subscribe(self, session: WsSession, channel: Channel) -> None:
        """A WebSocket client got one more channel."""
        ...

    def connection_id(self, conn_id: int) -> bytes:
        """Give the UUID by which the origin knows a WebSocket client, from its request to its end."""
        ...

    def on_end(self, conn_id: int, traffic: RouteTraffic) -> None:
        """A connection, as statistics count them, is over."""
        ...

    def identity(self, conn_id: int) -> Identity:
        """Give what another worker's observer needs to call a connection by its name: plain values."""
        ...

    def on_handed_over(self, conn_id: int) -> None:
        """Another worker has a connection from now on, under the same name. It is not over."""
        ...

    def on_taken_over(self, conn_id: int, identity: Identity) -> None:
        """A connection came that another worker has had."""
        ...


class Nobody:
    """Looks at nothing."""

    def on_request(self, conn_id: int, request: ClientRequest) -> None: ...
    def on_answer(self, conn_id: int, request: ClientRequest, outcome: Outcome, answer: Answer) -> None: ...
    def on_hold(
        self, conn_id: int, request: ClientRequest, mode: str, channels: Sequence[Channel], is_retry: bool
    ) -> None: ...
    def on_link(self, conn_id: int, request: ClientRequest, url: LinkUrl, outcome: Outcome, answer: Answer) -> None: ...
    def on_socket(self, session: WsSession) -> None: ...
    def on_subscribe(self, session: WsSession, channel: Channel) -> None: ...
    def connection_id(self, conn_id: int) -> bytes:
        return ConnectionIds(0, 0).encode(conn_id, 1).encode()

    def on_end(self, conn_id: int, traffic: RouteTraffic) -> None: ...
    def identity(self, conn_id: int) -> Identity:
        return ()

    def on_handed_over(self, conn_id: int) -> None: ...
    def on_taken_over(self, conn_id: int, identity: Identity) -> None: ...
