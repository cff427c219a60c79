"""What WebSocket clients are sent without anybody publishing it: keep-alives, and messages that wait for their time."""

from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakValueDictionary

from gripproxy.engine.effects import Deliver, Effect
from gripproxy.engine.hold_table import HoldTable
from gripproxy.engine.timer_wheel import Slot
from gripproxy.engine.ws_session import Incoming, WsSession, encode_for_client
from gripproxy.protocol.control_message import SendDelayed, SetKeepAlive
from gripproxy.protocol.telemetry import Traffic

ACTIVITY = int(Traffic.ACTIVITY)


@dataclass(slots=True, eq=False, weakref_slot=True)
class WsKeepAlive:
    """What all clients share that are kept alive alike. `payload` is the whole frame; with `is_interval` traffic does
    not put it off.
    """

    payload: bytes
    timeout_s: int
    is_interval: bool


@dataclass(slots=True, eq=False)
class WsTimed:
    """A message that waits. When its time has come in the middle of another message it waits for the end of that."""

    conn_id: int
    opcode: int
    payload: bytes
    is_due: bool = False
    slot: Slot | None = None


class WsTimers:
    """All of them in one worker.

    `jitter`: gives a random number in [0, 1), which spreads keep-alives over a second.
    """

    def __init__(self, holds: HoldTable, jitter: Callable[[], float]) -> None:
        self._holds = holds
        self._wheel = holds.wheel
        self._jitter = jitter
        self._shared: WeakValueDictionary[tuple[bytes, int, bool], WsKeepAlive] = WeakValueDictionary()
        holds.due_handlers[WsTimed] = self._on_delayed_due

    # Keep-alives.

    def set_keep_alive(self, session: WsSession, wanted: SetKeepAlive, now: float) -> None:
        """Give a client other keep-alives than it had, or none."""
        if wanted.content is None:
            session.keep_alive = None
            self._wheel.cancel(session)
            return
        payload = encode_for_client(session.shape.is_deflating, wanted.opcode, wanted.content)
        session.keep_alive = keep_alive = self.shared(payload, wanted.timeout_s, wanted.is_interval)
        self._schedule(session, keep_alive, now)

    def shared(self, payload: bytes, timeout_s: int, is_interval: bool) -> WsKeepAlive:
        """Give the keep-alive that is equal for all who have it."""
        key = (payload, timeout_s, is_interval)
        keep_alive = self._shared.get(key)
        if keep_alive is None:
            keep_alive = self._shared[key] = WsKeepAlive(*key)
        return keep_alive

    def on_written(self, session: WsSession, now: float) -> None:
        """Hear that a client gets a frame: a keep-alive for quiet clients is put off."""
        self._holds.accounts.traffic.touch(session.conn_id, session.shape.traffic)
        keep_alive = session.keep_alive
        if keep_alive is not None and not keep_alive.is_interval:
            self._schedule(session, keep_alive, now)

    def on_due(self, session: WsSession, now: float) -> list[Effect]:
        """Send a keep-alive, unless channels of the client had something for it in the meantime."""
        keep_alive = session.keep_alive
        if keep_alive is None:
            return []
        if not keep_alive.is_interval:
            conn_id = session.conn_id
            shared = [channel for channel in session.channels if conn_id not in (channel.choosy or ())]
            sent_at = max([channel.framed_at for channel in shared], default=0.0)
            if sent_at + keep_alive.timeout_s - 1 > now:
                self._schedule(session, keep_alive, sent_at)
                return []
        self._schedule(session, keep_alive, now)
        if session.incoming is Incoming.RELAYED:
            return []
        session.traffic.values[ACTIVITY] += 1
        return [Deliver(keep_alive.payload, (session.conn_id,), is_keep_alive=True)]

    def _schedule(self, session: WsSession, keep_alive: WsKeepAlive, since: float) -> None:
        self._wheel.schedule(session, since + max(0.0, keep_alive.timeout_s - self._jitter()))

    # Delayed messages.

    def send_delayed(self, session: WsSession, wanted: SendDelayed, now: float) -> list[Effect]:
        """Send a message later; one that waits already is sent now."""
        effects = self.flush_delayed(session, now)
        delayed = session.rare().delayed = WsTimed(session.conn_id, wanted.opcode, wanted.content)
        self._wheel.schedule(delayed, now + wanted.timeout_s)
        return effects

    def flush_delayed(self, session: WsSession, now: float) -> list[Effect]:
        """Send the message that waits, if there is one."""
        delayed = None if session.extra is None else session.extra.delayed
        if delayed is None:
            return []
        self._wheel.cancel(delayed)
        if session.incoming is Incoming.RELAYED:
            delayed.is_due = True
            return []
        session.rare().delayed = None
        self.on_written(session, now)
        return [session.write(delayed.opcode, delayed.payload)]

    def on_message_end(self, session: WsSession, now: float) -> list[Effect]:
        """Hear that the origin's message has been sent to its end."""
        extra = session.extra
        is_waiting = extra is not None and extra.delayed is not None and extra.delayed.is_due
        return self.flush_delayed(session, now) if is_waiting else []

    def _on_delayed_due(self, delayed: WsTimed, now: float) -> list[Effect]:
        session = self._holds.holds[delayed.conn_id]
        assert isinstance(session, WsSession)
        return self.flush_delayed(session, now)
