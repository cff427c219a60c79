"""Joins the engine to the sockets: hands it events and carries out its effects."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from gripproxy.bus.feed import Feed
from gripproxy.engine.core import Core
from gripproxy.engine.effects import (
    AskLink,
    AskOrigin,
    CloseChannel,
    Collect,
    Continue,
    Cut,
    DropLink,
    Effect,
    FannedOut,
    ForgetId,
    Forward,
    Log,
    OpenChannel,
    Relay,
    Respond,
    WakePacing,
    WakeUpdates,
)
from gripproxy.engine.events import (
    ChannelsStale,
    ClientGone,
    ClockTicked,
    ContentPublished,
    Continued,
    Event,
    ItemPublished,
    LinkAnswered,
    LinkBodyCame,
    LinkFailed,
    OriginFailure,
    PacingDue,
    UpdatesDue,
)
from gripproxy.engine.timer_wheel import TICK_S, TimerWheel
from gripproxy.errors import ClientError, InternalError
from gripproxy.logs import LEVELS
from gripproxy.protocol.bus_message import Payload, unpack_item
from gripproxy.protocol.http1 import RequestHead, encode_refusal, encode_text_response
from gripproxy.protocol.receipt import Receipt
from gripproxy.protocol.routes import RouteTable
from gripproxy.scoreboard import Field, Watch
from gripproxy.settings import Settings
from gripproxy_worker.client_conn import ClientConn
from gripproxy_worker.client_patience import SHRINK_S, PatientClient
from gripproxy_worker.client_sockets import HELD, ClientSockets
from gripproxy_worker.held_clients import HELD_EFFECTS, HeldClients
from gripproxy_worker.idle_conn import ClosingConn, IdleConn
from gripproxy_worker.link_conn import Links
from gripproxy_worker.metering import Meter
from gripproxy_worker.origin_pool import OriginPool
from gripproxy_worker.outbox import Outbox
from gripproxy_worker.silent_sockets import SilentSockets
from gripproxy_worker.telemetry import Telemetry
from gripproxy_worker.worker_row import WorkerRow
from gripproxy_worker.ws_clients import SOCKET_EFFECTS, WsClients
from gripproxy_worker.ws_input import WsKind
from gripproxy_worker.zhttp_client import ZhttpClient

log = logging.getLogger(__name__)

_DELIVERIES = int(Field.DELIVERIES)
DUE_MAX_COUNT = 250  # deadlines in one turn of the loop: each may close a connection


class Driver:
    """One worker's connections and the engine that decides about them.

    Args:
        core: the engine; every event of this process goes through `dispatch`.
        row: this worker's row of the scoreboard.
        origin_connections_max: connections to all origins together.
    """

    def __init__(
        self,
        settings: Settings,
        core: Core,
        loop: asyncio.AbstractEventLoop,
        row: memoryview,
        origin_connections_max: int,
    ) -> None:
        self.settings = settings
        self.core = core
        self.clock = loop.time
        self.call_soon = loop.call_soon
        self.call_later = loop.call_later
        self.row = row
        self.wheel = TimerWheel(loop.time())
        self.sockets = ClientSockets(row, self._on_held_gone, loop.call_soon)
        self.counts = WorkerRow(row, core, self.sockets)
        self.outbox: Outbox[int] = Outbox(self.sockets.write, loop.call_soon)  # of clients that are answered
        zhttp = ZhttpClient(loop, settings.own_ipc_path("zhttp"), row)
        self.pool = OriginPool(loop, self.wheel, settings, row, origin_connections_max, zhttp)
        self.links = Links(self)
        self.web_sockets = self.sockets.web_sockets = WsClients(self)
        self.silent_sockets = SilentSockets(self.sockets.records, self.end)
        self.feed: Feed | None = None
        self.sent_count: Callable[[], int] = lambda: 0  # items that the hub has sent
        self.telemetry: Telemetry | None = None
        self.meter: Meter | None = None  # while somebody wants to know how many bytes go where
        self.is_dispatching = False
        self._returns_count = 0  # times that the engine will go on with unfinished work, soon or later
        self._events: deque[tuple[ClientConn | None, Event]] = deque()  # that came while another one was dispatched
        self.held = HeldClients(self)
        self._loop = loop
        loop.add_reader(self.sockets.epoll.fileno(), self.sockets.on_ready)

    def observe(self, telemetry: Telemetry) -> None:
        """Let it see what happens."""
        self.telemetry = telemetry
        self.core.accounts.observer = telemetry

    @property
    def shrink_s(self) -> float:
        """After which silence a client's connection lets go of what only a request needs."""
        return min(SHRINK_S, self.settings.keepalive_timeout)

    def use_settings(self, settings: Settings) -> None:
        """Go by other settings from now on. Deadlines that are set already come as they were."""
        self.settings = settings
        self.core.use_settings(settings)
        self.pool.use_settings(settings)
        if self.telemetry is not None:
            self.telemetry.use_settings(settings)

    def use_routes(self, routes: RouteTable) -> None:
        """Send new requests where these routes say."""
        self.core.replace_routes(routes)
        self.pool.reload()
        self.declare_targets()

    def declare_targets(self) -> None:
        """Say which zhttp targets are needed: the routes', and those of WebSockets whose routes may be gone."""
        targets = [*self.core.sockets.targets_over_http, *self.core.routes.zhttp_targets]
        self.pool.zhttp.declare(targets)

    def has_handled(self, sent_count: int) -> bool:
        """Say whether the first `sent_count` items of the hub have had their turn here."""
        return self.feed is None or self.feed.has_handled(sent_count)

    # Events.

    def dispatch(self, conn: ClientConn | None, event: Event) -> None:
        """Let the engine handle an event and do what it says. A bug of ours ends one connection, not the worker.

        Events that this brings about are handled after it: the effects that are left speak of how things are now.

        Args:
            conn: whose event it is; None for one of the bus, the clock, a link, or a client that is no object.
        """
        if self.is_dispatching:
            self._events.append((conn, event))
            return
        self.is_dispatching = True
        try:
            self._handle(conn, event)
            while self._events:
                self._handle(*self._events.popleft())
        finally:
            self.is_dispatching = False

    def _handle(self, conn: ClientConn | None, event: Event) -> None:
        fd = None if conn is None else conn.fd
        try:
            effects = self.core.handle(event, self.clock())
        except Exception:
            self.end_for_bug(event, getattr(event, "conn_id", fd))
            return
        self._carry_out(effects, fd)

    def perform(self, effects: list[Effect]) -> None:
        """Do what the engine says that was asked without an event. Events that this brings about come after it."""
        self.is_dispatching = True
        try:
            self._carry_out(effects, None)
            while self._events:
                self._handle(*self._events.popleft())
        finally:
            self.is_dispatching = False

    def _carry_out(self, effects: list[Effect], fd: int | None) -> None:
        ended_fds: list[int | None] = []
        for effect in effects:
            if ended_fds and getattr(effect, "conn_id", None) in ended_fds:
                continue
            try:
                _DO[type(effect)](self, effect)
            except Exception:  # the effects behind it are other connections'
                ended_fd = getattr(effect, "conn_id", fd)
                self.end_for_bug(effect, ended_fd)
                ended_fds.append(ended_fd)

    def end_for_bug(self, cause: Event | Effect, fd: int | None) -> None:
        """Say that `cause` could not be dealt with, and end the connection, or the link, that it is about."""
        self.row[Field.INTERNAL_ERRORS] += 1
        log.exception("internal error while handling %s", type(cause).__name__)
        if isinstance(cause, AskLink | Forward | LinkAnswered | LinkBodyCame):
            self.links.drop(cause.link_id)
            self.dispatch(None, LinkFailed(cause.link_id, OriginFailure.BROKEN, "internal error"))
        elif fd is not None:
            self.end(fd)

    def end(self, fd: int) -> None:
        """Close a client's connection, whatever it is doing."""
        record = self.sockets.records[fd]
        if record is HELD:
            self._on_held_gone(fd)
        elif type(record) is WsKind:
            self.web_sockets.on_gone(fd)
        elif record is not None:
            record.on_gone()

    def on_stale(self, names: list[str] | None) -> None:
        """Hear from the bus that items may have passed holds on these channels by, or with None on any."""
        self.dispatch(None, ChannelsStale(names))

    def on_item(self, channel: str, payload: Payload, receipt: Receipt | None = None) -> None:
        """Take an item from the bus; tell what becomes of it if there is a receipt.

        Raises:
            InternalError: it is damaged.
        """
        if type(payload) is bytes and receipt is None:
            self.dispatch(None, ContentPublished(channel, payload))
        else:
            item = unpack_item(channel, payload)
            item.receipt = receipt
            self.dispatch(None, ItemPublished(item))
        if receipt is not None and self.telemetry is not None:
            self.telemetry.expect(receipt)
        if self._returns_count and self.core.is_full and self.feed is not None:
            self.feed.pause()

    def on_message_done(self, taken_us: int) -> None:
        """Hear that all items of a bus message have had their turn, and when the hub took the first."""
        self.counts.message_done(self.clock(), taken_us)

    def on_unwanted(self, receipt: Receipt) -> None:
        """Tell that an item found nobody here."""
        if self.telemetry is not None:
            self.telemetry.expect(receipt)

    def tick(self) -> None:
        """Do what is due; called by the loop every `TICK_S`."""
        now = self.clock()
        self._loop.call_later(TICK_S, self.tick)
        if not self.wheel.is_behind:  # else that goes on by itself
            self._do_due()
        self.dispatch(None, ClockTicked())
        self.silent_sockets.step()
        self.counts.fill(now)
        if self.telemetry is not None:
            self.telemetry.tick()
            is_metering = bool(self.telemetry.watched & Watch.TRAFFIC)
            self.meter = (self.meter or Meter(self.core)) if is_metering else None
            self.telemetry.meter = self.meter
            if self.feed is not None:
                self.feed.is_asked_for_all = bool(self.telemetry.watched & Watch.MESSAGES)

    def _do_due(self) -> None:
        """Tell connections that their time is up; what is more than a few goes on when the loop has turned."""
        now = self.clock()
        for record in self.wheel.due(now, DUE_MAX_COUNT):
            try:
                fd = getattr(record, "fd", None)
                if fd is None or self.sockets.records[fd] is record:  # else one before it has just closed it
                    record.on_deadline(now)
            except Exception:  # a bug of ours: the other deadlines are out of the wheel and will not come again
                self.row[Field.INTERNAL_ERRORS] += 1
                log.exception("internal error at a deadline of %s", type(record).__name__)
        if self.wheel.is_behind:
            self._loop.call_soon(self._do_due)

    def close(self) -> None:
        """Close every connection."""
        self._loop.remove_reader(self.sockets.epoll.fileno())
        self.links.close()
        self.web_sockets.close()
        self.pool.close()
        self.outbox.flush()
        for fd, record in enumerate(self.sockets.records):
            if record is not None:
                self.sockets.close(fd)

    # Clients between requests.

    def accept(self, fd: int, client_ip: str) -> None:
        """Take a new client's socket."""
        conn = self.begin(fd, client_ip)
        try:
            self.sockets.add(fd, conn)
        except OSError:
            self.wheel.cancel(conn)
            raise
        self.row[Field.ACCEPTED] += 1

    def begin(self, fd: int, client_ip: str) -> IdleConn:
        """Make the record of a new client."""
        conn = IdleConn(self, fd, client_ip)
        self.wheel.schedule(conn, self.clock() + self.settings.keepalive_timeout)
        return conn

    def shrink(self, conn: PatientClient) -> None:
        """Let go of what only a request needs."""
        idle = IdleConn(self, conn.fd, conn.client_ip)
        self.sockets.records[conn.fd] = idle
        self.wheel.schedule(idle, conn.active_at + self.settings.keepalive_timeout)

    def refuse(self, conn: ClientConn, error: ClientError, head: RequestHead | None) -> None:
        """Answer a breach of HTTP and close. After the head nothing can be said if the response has begun."""
        self.row[Field.CLIENT_ERRORS] += 1
        self.row[Field.RESPONSES_4XX] += 1
        log.info("client %s: %s", conn.client_ip, error.log_text)
        if head is None:
            payload = encode_refusal(error.status, str(error))
        else:
            head.is_keep_alive = False
            payload = encode_text_response(head, error.status, str(error))[0]
        self.dispatch(None, ClientGone(conn.fd))
        conn.abort(payload)

    def close_gently(self, conn: ClientConn, is_input_unread: bool) -> None:
        """Close after everything is written. Unread input would turn the close into a reset, so it is read first."""
        self.wheel.cancel(conn)
        self.outbox.flush_one(conn.fd)
        if is_input_unread or conn.fd in self.sockets.backlogs:
            ClosingConn(self, conn.fd).start()
        else:
            self.sockets.say_end(conn.fd)
            self.sockets.close(conn.fd)

    def forget(self, conn: ClientConn) -> None:
        """A busy client left, or is cut off."""
        self.wheel.cancel(conn)
        self.outbox.flush_one(conn.fd)
        self.sockets.close(conn.fd)
        self.dispatch(None, ClientGone(conn.fd))

    def _on_held_gone(self, fd: int) -> None:
        self.held.early_input.pop(fd, None)
        self.outbox.take(fd)
        self.sockets.close(fd)
        self.dispatch(None, ClientGone(fd))

    # Effects.

    def busy_client(self, fd: int) -> ClientConn:
        """Give the busy client that an effect is about: its event may have come from elsewhere."""
        record = self.sockets.records[fd]
        if not isinstance(record, ClientConn):
            raise InternalError(f"connection {fd} is not busy but {record!r}")
        return record

    def _ask(self, effect: AskOrigin) -> None:
        if self.meter is not None:
            self.meter.asked(effect.conn_id, effect.head)
        self.busy_client(effect.conn_id).ask(effect)

    def _relay(self, effect: Relay) -> None:
        self.counts.responses(effect.head)
        if self.meter is not None:
            self.meter.relayed_head(effect.conn_id, effect.head)
        self.busy_client(effect.conn_id).relay(effect.head, effect.framing, effect.is_persistent, effect.is_opening)

    def _collect(self, effect: Collect) -> None:
        self.busy_client(effect.conn_id).collect(effect.max_bytes, effect.is_request_awaited)

    def _respond(self, effect: Respond) -> None:
        self.counts.responses(effect.payload)
        if self.meter is not None:
            self.meter.responded(effect.payload, (effect.conn_id,))
        self.busy_client(effect.conn_id).respond(effect.payload, effect.is_persistent)

    def _cut(self, effect: Cut) -> None:
        self.end(effect.conn_id)

    def _fanned_out(self, effect: FannedOut) -> None:
        self.counts.fanned_out(effect.began_at)

    def _ask_link(self, effect: AskLink) -> None:
        if self.meter is not None:
            self.meter.link_asked(effect.traffic, effect.head)
        self.links.ask(effect)

    def _drop_link(self, effect: DropLink) -> None:
        self.links.drop(effect.link_id)

    def _forward(self, effect: Forward) -> None:
        self.outbox.flush()  # the beginnings of these streams may be in it
        if self.meter is not None:
            self.meter.streamed(effect.payload, effect.conn_ids)
        self.links.forward(effect)

    def _forget_id(self, effect: ForgetId) -> None:
        if self.feed is not None:
            self.feed.forget_id(effect.channel, effect.last_id)

    def _wake_updates(self, effect: WakeUpdates) -> None:
        self._loop.call_later(effect.delay_s, self.dispatch, None, UpdatesDue())

    def _open_channel(self, effect: OpenChannel) -> None:
        if self.feed is not None:
            self.feed.subscribe(effect.name, effect.is_update_wanted)

    def _close_channel(self, effect: CloseChannel) -> None:
        if self.feed is not None:
            self.feed.unsubscribe(effect.name)

    def _continue(self, effect: Continue) -> None:
        self._returns_count += 1
        self._loop.call_soon(self._go_on, Continued())

    def _wake_pacing(self, effect: WakePacing) -> None:
        self._returns_count += 1
        self._loop.call_later(effect.delay_s, self._go_on, PacingDue())

    def _go_on(self, event: Event) -> None:
        self._returns_count -= 1
        self.dispatch(None, event)
        if self.feed is not None and not self.core.is_full:
            self.feed.resume()

    def _log(self, effect: Log) -> None:
        if effect.is_origin_error:
            self.row[Field.ORIGIN_ERRORS] += 1
        text = effect.text
        if effect.about is not None and self.telemetry is not None:
            text += f" id={self.telemetry.id_of(effect.about)}"
        log.log(LEVELS[effect.level], "%s", text)


_DO: dict[type[Effect], Callable[[Driver, Any], None]] = {
    AskOrigin: Driver._ask,
    Relay: Driver._relay,
    Collect: Driver._collect,
    Respond: Driver._respond,
    Cut: Driver._cut,
    **dict.fromkeys(HELD_EFFECTS, lambda driver, effect: HELD_EFFECTS[type(effect)](driver.held, effect)),
    **dict.fromkeys(SOCKET_EFFECTS, lambda driver, effect: SOCKET_EFFECTS[type(effect)](driver.web_sockets, effect)),
    AskLink: Driver._ask_link,
    DropLink: Driver._drop_link,
    Forward: Driver._forward,
    ForgetId: Driver._forget_id,
    WakeUpdates: Driver._wake_updates,
    WakePacing: Driver._wake_pacing,
    OpenChannel: Driver._open_channel,
    CloseChannel: Driver._close_channel,
    Continue: Driver._continue,
    FannedOut: Driver._fanned_out,
    Log: Driver._log,
}
