"""What origins say to the proxy itself about a WebSocket client: GRIP's control messages."""

from collections.abc import Callable
from typing import Any, Protocol

from gripproxy.engine.effects import LOG_DEBUG, LOG_INFO, Effect, Log
from gripproxy.engine.hold_table import HoldTable
from gripproxy.engine.ws_keep_alive import WsTimers
from gripproxy.engine.ws_session import OPEN, WsSession
from gripproxy.errors import OriginError
from gripproxy.protocol.control_message import (
    Detach,
    FlushDelayed,
    SendDelayed,
    SetKeepAlive,
    SetMeta,
    SetSession,
    Subscribe,
    Unsubscribe,
    decode_control_message,
)
from gripproxy.protocol.websocket_close import INTERNAL_ERROR

FILTERS_MAX_COUNT = 5  # of one channel, same as Pushpin
META_MAX_COUNT = 100  # of one client, and the characters of all names and values
META_MAX_SIZE = 65_536


class ControlsOwner(Protocol):
    """Who has the sessions: `WebSockets`."""

    def detach(self, session: WsSession, now: float) -> list[Effect]:
        """Let a client live on without its origin."""
        ...

    def close(self, session: WsSession, code: int | None, reason: bytes, now: float) -> list[Effect]:
        """Close both legs."""
        ...


class WsControls:
    """Does what control messages say."""

    def __init__(self, holds: HoldTable, timers: WsTimers, owner: ControlsOwner) -> None:
        self._holds = holds
        self._timers = timers
        self._owner = owner
        self.channels_max_count = 0  # that one client may subscribe to; whoever made this sets it
        self._excess_said_at = float("-inf")

    def handle(self, session: WsSession, text: bytes, now: float) -> list[Effect]:
        """Obey the message that stands behind ``c:``. One that makes no sense is ignored, but for a line in the log.

        For a client that is being closed there is nothing to set any more.
        """
        try:
            message = decode_control_message(text)
        except OriginError as error:
            return [Log(LOG_DEBUG, f"{session.url}: {error}, ignoring", about=session.conn_id)]
        if session.state is not OPEN and not isinstance(message, Detach):
            return []
        return _DO[type(message)](self, session, message, now)

    def _subscribe(self, session: WsSession, message: Subscribe, now: float) -> list[Effect]:
        channel = session.shape.route.prefix + message.channel
        if len(session.channels) >= self.channels_max_count:
            return self._ignore(session, f"too many subscriptions, ignoring channel {channel!r}", now)
        if len(message.filters) > FILTERS_MAX_COUNT:
            text = f"too many filters for channel '{message.channel}'" if session.shape.is_debug else ""
            return self._owner.close(session, INTERNAL_ERROR, text.encode(), now)
        return self._holds.subscribe_socket(session, channel, message.filters)

    def _unsubscribe(self, session: WsSession, message: Unsubscribe, now: float) -> list[Effect]:
        channel = session.shape.route.prefix + message.channel
        if channel in session.shape.target.subs:
            return []
        return self._holds.unsubscribe_socket(session, channel)

    def _set_meta(self, session: WsSession, message: SetMeta, now: float) -> list[Effect]:
        meta, name, value = session.rare().meta, message.name, message.value
        meta.pop(name, None)
        if value is None:
            return []
        size = sum([len(name) + len(value) for name, value in meta.items()]) + len(name) + len(value)
        if len(meta) >= META_MAX_COUNT or size > META_MAX_SIZE:
            return self._ignore(session, f"too much meta, forgetting {name[:100]!r}", now)
        meta[name] = value
        return []

    def _ignore(self, session: WsSession, text: str, now: float) -> list[Effect]:
        """Say once a second what is ignored: an origin may do it all the time."""
        if now - self._excess_said_at < 1.0:
            return []
        self._excess_said_at = now
        return [Log(LOG_INFO, f"{session.url}: {text}", about=session.conn_id)]

    def _set_keep_alive(self, session: WsSession, message: SetKeepAlive, now: float) -> list[Effect]:
        self._timers.set_keep_alive(session, message, now)
        return []

    def _send_delayed(self, session: WsSession, message: SendDelayed, now: float) -> list[Effect]:
        return self._timers.send_delayed(session, message, now)

    def _flush_delayed(self, session: WsSession, message: FlushDelayed, now: float) -> list[Effect]:
        return self._timers.flush_delayed(session, now)

    def _detach(self, session: WsSession, message: Detach, now: float) -> list[Effect]:
        return self._owner.detach(session, now)

    def _set_session(self, session: WsSession, message: SetSession, now: float) -> list[Effect]:
        return []


_DO: dict[type, Callable[[WsControls, WsSession, Any, float], list[Effect]]] = {
    Subscribe: WsControls._subscribe,
    Unsubscribe: WsControls._unsubscribe,
    SetMeta: WsControls._set_meta,
    SetKeepAlive: WsControls._set_keep_alive,
    SendDelayed: WsControls._send_delayed,
    FlushDelayed: WsControls._flush_delayed,
    Detach: WsControls._detach,
    SetSession: WsControls._set_session,
}
