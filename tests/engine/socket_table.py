"""WebSocket clients in a table of holds, and somebody in place of `WebSockets` who notes what he is asked."""

import orjson

from gripproxy.engine.effects import Deliver, Effect, Write
from gripproxy.engine.filter_checks import FilterChecks
from gripproxy.engine.link_requests import LinkRequests
from gripproxy.engine.ws_controls import WsControls
from gripproxy.engine.ws_delivery import WsDelivery
from gripproxy.engine.ws_keep_alive import WsTimers
from gripproxy.engine.ws_session import DETACHED, ENDING, OPEN, WsSession, WsShape
from gripproxy.protocol.origin_request import OriginRequests
from gripproxy.protocol.publish_format import WsMessageFormat
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.settings import Settings
from tests.engine.conversation import client, new_hold_table


class SocketTable:
    """Sessions of clients that have a WebSocket origin, and stands for who has them.

    `asked` is what was asked of it: ``("close", conn_id, code, reason, is_written)``, ``("detach", conn_id)``, and so
    on.
    """

    def __init__(self, settings: Settings | None = None, jitter: float = 0.0, linger_s: float = 0.0) -> None:
        self.holds = new_hold_table(linger_s=linger_s, jitter=jitter)
        self.holds.socket_follower = self
        self.holds.due_handlers[WsSession] = self._on_due
        self.mid_message: set[int] = set()
        self.asked: list[tuple[object, ...]] = []
        settings = settings or Settings()
        self.timers = WsTimers(self.holds, lambda: jitter)
        self.controls = WsControls(self.holds, self.timers, self)
        self.controls.channels_max_count = settings.connection_subscription_max
        self.links = LinkRequests(OriginRequests(settings, {}, lambda: 0.0))
        self.checks = FilterChecks(self.links, self.holds.wheel)
        self.delivery = WsDelivery(self.holds, self.timers, self, self.checks)

    def on_release(self, session: WsSession, now: float) -> list[Effect]:
        self.asked.append(("release", session.conn_id))
        return []

    def detach(self, session: WsSession, now: float) -> list[Effect]:
        self.asked.append(("detach", session.conn_id))
        session.state = DETACHED
        return []

    def close(
        self, session: WsSession, code: int | None, reason: bytes, now: float, is_written: bool = False
    ) -> list[Effect]:
        self.asked.append(("close", session.conn_id, code, reason, is_written))
        session.state = ENDING
        return self.holds.silence(session)

    def refresh(self, session: WsSession, now: float) -> list[Effect]:
        self.asked.append(("refresh", session.conn_id))
        return []

    def _on_due(self, session: WsSession, now: float) -> list[Effect]:
        assert session.state in (OPEN, DETACHED)
        return self.timers.on_due(session, now)

    # The test's own words.

    def connect(
        self, conn_id: int, route: str = "* origin:80", is_deflating: bool = False, is_debug: bool = False
    ) -> WsSession:
        """Let a client come; its session is all that is of interest."""
        session, _ = self.accept(conn_id, route, is_deflating, is_debug)
        return session

    def accept(
        self, conn_id: int, route: str = "* origin:80", is_deflating: bool = False, is_debug: bool = False
    ) -> tuple[WsSession, list[Effect]]:
        """Let a client come."""
        request = client(route=route)
        assert request.target is not None
        shape = WsShape(
            request.route, request.target, request.traffic, request.url, is_debug, is_deflating, message_prefix=b"m:"
        )
        session = WsSession(conn_id, shape)
        self.holds.accounts.traffic.begin(conn_id, request.traffic)
        return session, self.holds.add_socket(session)

    def say(self, session: WsSession, now: float = 0.0, **fields: object) -> list[Effect]:
        """Let the origin send a control message. In names of fields a ``_`` stands for ``-``."""
        text = orjson.dumps({key.replace("_", "-"): value for key, value in fields.items()})
        return self.controls.handle(session, text, now)

    def subscribe(self, session: WsSession, channel: str = "news", *filters: str) -> list[Effect]:
        return self.say(session, type="subscribe", channel=channel, filters=list(filters))

    def publish(self, published: WsMessageFormat, now: float = 0.0, channel: str = "news", **meta: str) -> list[Effect]:
        """Publish an item for WebSockets."""
        return self.holds.publish(PublishItem(channel, ws_message=published, meta=meta), now)


def delivered(effects: list[Effect]) -> list[tuple[bytes, list[int]]]:
    """Give what is written to whom."""
    found = []
    for effect in effects:
        if isinstance(effect, Deliver):
            found.append((effect.payload, sorted(effect.conn_ids)))
        elif isinstance(effect, Write):
            found.append((effect.payload, [effect.conn_id]))
    return found
