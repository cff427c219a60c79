"""Every held connection of this worker: holding, delivering, keeping alive, timing out and letting go."""

from collections.abc import Callable, Collection, Iterable
from typing import Any, Protocol

from gripproxy.engine.accounts import Accounts
from gripproxy.engine.client_request import ClientRequest
from gripproxy.engine.effects import CloseChannel, Deliver, Effect, Finish, OpenChannel, Park
from gripproxy.engine.fan_out import FanOuts
from gripproxy.engine.holds import (
    RECEIVING,
    Hold,
    ResponseHold,
    StreamHold,
    StreamShape,
    StreamShapes,
    TrackedStream,
    join_channels,
    leave_channels,
)
from gripproxy.engine.http_delivery import HttpDelivery
from gripproxy.engine.pacing import Pacing
from gripproxy.engine.rate_budget import RateBudget
from gripproxy.engine.receptions import Receptions
from gripproxy.engine.subscriptions import Channel, Subscriptions
from gripproxy.engine.timer_wheel import TimerWheel
from gripproxy.engine.ws_session import WsSession
from gripproxy.protocol.filters import NETWORK_FILTERS
from gripproxy.protocol.instruct import Instruct, KeepAlive
from gripproxy.protocol.publish_format import HttpStreamFormat, WsMessageFormat
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.protocol.telemetry import Traffic

ACTIVITY = int(Traffic.ACTIVITY)
DUE_MAX_COUNT = 250  # served before the worker does other work, up to six milliseconds


class Follower(Protocol):
    """Who looks after the holds that are more than their channels: `Sessions`."""

    def publish(self, channel: Channel, item: PublishItem, now: float) -> list[Effect]:
        """Send an item to the channel's tracked holds."""
        ...

    def ask_again(self, conn_ids: Collection[int], now: float) -> list[Effect]:
        """Ask the origin again for long-polls, at once."""
        ...

    def on_due(self, record: Any, now: float) -> list[Effect]:
        """Handle a deadline that is not a hold's or a channel's."""
        ...

    def on_release(self, hold: TrackedStream | ResponseHold, now: float) -> list[Effect]:
        """Clear up after a hold that is over."""
        ...


class SocketFollower(Protocol):
    """Who looks after WebSocket clients: `WebSockets`."""

    def on_release(self, session: WsSession, now: float) -> list[Effect]:
        """Clear up after a client that is gone."""
        ...


class SocketDelivery(Protocol):
    """Who sends items to WebSocket clients: `WsDelivery`."""

    def publish(self, channel: Channel, item: PublishItem, published: WsMessageFormat, now: float) -> list[Effect]:
        """Send an item to the channel's WebSocket clients."""
        ...

    def forget(self, session: WsSession) -> list[Effect]:
        """Send a client nothing of what waits for it."""
        ...


DueHandler = Callable[[Any, float], list[Effect]]  # the record, now


class HoldTable:
    """Holds by connection id, their channels and their deadlines.

    `linger_s`: how long a channel counts as subscribed after its last long-poll ended: that client is about to
    come back.
    `jitter`: gives a random number in [0, 1), which spreads keep-alives over a second.
    `due_handlers` are for records in `wheel` that are not the table's own, by their types.
    """

    follower: Follower
    socket_follower: SocketFollower
    socket_delivery: SocketDelivery

    def __init__(
        self, now: float, linger_s: float, jitter: Callable[[], float], accounts: Accounts | None = None
    ) -> None:
        self.accounts = accounts or Accounts(now)
        self._books = self.accounts.books
        self.holds: list[Hold | None] = []
        self.receptions = Receptions(self.holds, self.accounts)
        self.subscriptions = Subscriptions()
        self.wheel = TimerWheel(now)
        self.fan_outs = FanOuts()
        self.is_paced = False
        self.streams_count = 0
        self.responses_count = 0
        self.sockets_count = 0
        self.due_handlers: dict[type, DueHandler] = {}
        self._http = HttpDelivery(self)
        self.shapes = StreamShapes()
        self.linger_s = linger_s
        self._jitter = jitter

    @property
    def is_unfinished(self) -> bool:
        """Whether `resume` has something to do."""
        return self.fan_outs.is_ready or self.wheel.is_behind

    def pace(self, budget: RateBudget, weight_max: int) -> None:
        """Let items go out at a limited rate."""
        self.fan_outs = Pacing(budget, weight_max, self.receptions.block_bytes > 0, self.receptions)
        self.is_paced = True

    def shape(self, request: ClientRequest, keep_alive: KeepAlive | None) -> StreamShape:
        """Give what a stream shares with all that are held alike."""
        head = request.head
        return self.shapes.shape(
            head.is_http11,
            head.is_http11 and head.is_keep_alive,
            request.is_debug,
            keep_alive.content if keep_alive else b"",
            keep_alive.timeout_s if keep_alive else 0,
            keep_alive.is_interval if keep_alive else False,
            request.traffic,
        )

    def hold_stream(
        self, conn_id: int, names: list[str], instruct: Instruct, request: ClientRequest, payload: bytes, now: float
    ) -> list[Effect]:
        """Hold a response open whose beginning is `payload`."""
        shape = self.shape(request, instruct.keep_alive)
        channels, effects = self.open_channels(names)
        for channel in channels:
            channel.add_stream(conn_id, shape.is_chunked)
        self._add_stream(StreamHold(conn_id, shape, channels), now)
        self._note_change(channels)
        self.accounts.observer.on_hold(conn_id, request, "stream", channels, is_retry=False)
        effects.append(Park(conn_id, payload))
        return effects

    def hold_tracked(self, stream: TrackedStream, names: list[str], payload: bytes, now: float) -> list[Effect]:
        """Hold a stream that needs a look of its own at each item. It has no channels yet."""
        self._add_stream(stream, now)
        return [*self.subscribe(stream, names), Park(stream.conn_id, payload)]

    def subscribe(self, stream: TrackedStream, names: list[str]) -> list[Effect]:
        """Give a tracked stream these channels in place of those that it had."""
        former = stream.channels
        channels, effects = self.open_channels(names, stream.link is not None)
        for channel in channels:
            channel.add_tracked(stream.conn_id)
        stream.channels = channels
        self._note_change(channels)
        self._note_change(former)
        if set(channels) != set(former):
            self.accounts.observer.on_hold(stream.conn_id, stream.request, "stream", channels, is_retry=bool(former))
        for channel in former:
            if channel not in channels:
                channel.remove_tracked(stream.conn_id)
                stream.sent_at.pop(channel.name, None)
                self._drop_if_empty(channel, effects)
        return effects

    def hold_response(
        self, hold: ResponseHold, names: list[str], timeout_s: int, now: float, is_retry: bool = False
    ) -> list[Effect]:
        """Hold a request whose answer at the timeout is the hold's own. It has no channels yet."""
        hold.channels, effects = self.open_channels(names, is_update_wanted=True)
        for channel in hold.channels:
            if hold.tracking is None:
                channel.add_response(hold.conn_id)
            else:
                channel.add_tracked(hold.conn_id, is_response=True)
        self._add(hold)
        self._note_change(hold.channels)
        self.accounts.observer.on_hold(hold.conn_id, hold.request, "response", hold.channels, is_retry)
        self.responses_count += 1
        self.wheel.schedule(hold, now + timeout_s)
        effects.append(Park(hold.conn_id, b""))
        return effects

    def add_socket(self, session: WsSession) -> list[Effect]:
        """Hold a WebSocket client. Its target's own channels are its first."""
        self._add(session)
        self.sockets_count += 1
        self.accounts.traffic.begin_frames(session.conn_id)
        self.accounts.observer.on_socket(session)
        effects: list[Effect] = []
        for name in session.shape.target.subs:
            effects += self.subscribe_socket(session, name)
        return effects

    def subscribe_socket(self, session: WsSession, name: str, filters: tuple[str, ...] = ()) -> list[Effect]:
        """Give a WebSocket client one more channel; or other filters, if it has the channel."""
        had = session.channels
        session.channels, effects = self.open_channels([*[channel.name for channel in had], name])
        if len(session.channels) > len(had):
            self._note_change(session.channels[-1:])
            self.accounts.observer.on_subscribe(session, session.channels[-1])
        if filters:
            own_name = self.subscriptions.channels[name].name  # one string for all clients
            session.rare().filters[own_name] = filters
        elif session.extra is not None:
            session.extra.filters.pop(name, None)
        self._place_socket(session)
        return effects

    def unsubscribe_socket(self, session: WsSession, name: str) -> list[Effect]:
        """Take a channel from a WebSocket client, if it has it."""
        channel = self.subscriptions.channels.get(name)
        if channel is None or channel not in session.channels:
            return []
        left = tuple([each for each in session.channels if each is not channel])
        session.channels = left[0].alone if len(left) == 1 else left
        if session.extra is not None:
            session.extra.filters.pop(name, None)
        channel.remove_socket(session.conn_id)
        self._note_change((channel,))
        self._place_socket(session)
        effects: list[Effect] = []
        self._drop_if_empty(channel, effects)
        return effects

    def _place_socket(self, session: WsSession) -> None:
        """Put a WebSocket client where its channels look for those with its filters.

        With a filter that asks a server all of its items wait behind the one that is asked about.
        """
        filters = {} if session.extra is None else session.extra.filters
        is_asking = any(not NETWORK_FILTERS.isdisjoint(names) for names in filters.values())
        conn_id, is_deflating = session.conn_id, session.shape.is_deflating
        for channel in session.channels:
            channel.remove_socket(conn_id)
            channel.add_socket(conn_id, is_deflating, is_asking or channel.name in filters)

    def silence(self, session: WsSession) -> list[Effect]:
        """Send a WebSocket client nothing more on our own: it is being closed, or gone. Its slot is free after it."""
        self.wheel.cancel(session)
        self.fan_outs.forget(session.conn_id)
        effects = self.socket_delivery.forget(session)
        if session.extra is not None and session.extra.delayed is not None:
            self.wheel.cancel(session.extra.delayed)
        session.keep_alive = session.extra = None
        channels, session.channels = session.channels, ()
        self._note_change(channels)
        for channel in channels:
            channel.remove_socket(session.conn_id)
            self._drop_if_empty(channel, effects)
        return effects

    def _note_change(self, channels: Iterable[Channel]) -> None:
        if self.accounts.changed is not None:
            self.accounts.changed.update([channel.name for channel in channels])

    def is_held(self, conn_id: int) -> bool:
        return conn_id < len(self.holds) and self.holds[conn_id] is not None

    def release(self, conn_id: int, now: float, is_over: bool = True) -> list[Effect]:
        """Forget the hold of a client that is gone, or that the caller answers; no hold is no error.

        Without `is_over` its request goes on.
        """
        hold = self._take_out(conn_id)
        if hold is None:
            return []
        if is_over:
            self.accounts.end(conn_id, hold.traffic)
        if isinstance(hold, WsSession):
            return self.silence(hold) + self.socket_follower.on_release(hold, now)
        effects: list[Effect] = []
        for channel in hold.channels:
            if isinstance(hold, ResponseHold) and channel.responses is None:
                self._linger(channel, now, effects)
            else:
                self._drop_if_empty(channel, effects)
        if isinstance(hold, ResponseHold | TrackedStream):
            effects += self.follower.on_release(hold, now)
        return effects

    def _take_out(self, conn_id: int) -> Hold | None:
        """Forget a connection's hold; its channels may be empty now. A WebSocket client's still have it."""
        hold = self.holds[conn_id] if conn_id < len(self.holds) else None
        if hold is None:
            return None
        self.holds[conn_id] = None
        self.wheel.cancel(hold)
        self.fan_outs.forget(conn_id)
        self._note_change(hold.channels)
        self._count(hold, -1)
        if not isinstance(hold, WsSession):
            leave_channels(hold)
        return hold

    # From one worker to another.

    def hand_over(self, conn_id: int) -> list[Effect]:
        """Forget a hold that another worker has taken over. For its client, and for its origin, nothing ends."""
        hold = self._take_out(conn_id)
        if hold is None:
            return []
        self.accounts.hand_over(conn_id, hold.traffic)
        if isinstance(hold, WsSession):
            return self.silence(hold)
        effects: list[Effect] = []
        for channel in hold.channels:
            self._drop_if_empty(channel, effects)
        return effects

    def take_over(self, hold: Hold) -> None:
        """Hold a client that another worker has held. It has its channels; its deadlines are the caller's."""
        self._add(hold)
        self._count(hold, 1)
        if isinstance(hold, WsSession):
            self._place_socket(hold)
        else:
            join_channels(hold)
        self._note_change(hold.channels)

    def take_over_linger(self, name: str, linger_s: float, now: float) -> list[Effect]:
        """Keep a channel for so long whose last long-poll another worker has had."""
        (channel,), effects = self.open_channels([name])
        if channel.slot is None:
            self.wheel.schedule(channel, now + linger_s)
        return effects

    def publish(self, item: PublishItem, now: float) -> list[Effect]:
        """Send an item to the channel's subscribers in this worker, or begin to: see `resume`."""
        channel = self.subscriptions.channels.get(item.channel)
        if channel is None:
            return []
        effects: list[Effect] = []
        if self.receptions.block_bytes:
            self.receptions.measure(item)
        receipt = item.receipt
        is_wanted = bool(channel.tracked)
        if item.http_response is not None and channel.responses:
            is_wanted = True
            effects += self._http.publish_response(channel.responses.keys(), item.http_response, now, receipt)
        if item.http_stream is not None:
            is_wanted = is_wanted or bool(channel.chunked or channel.raw)
            effects += self._http.publish_stream(channel, item.http_stream, now, receipt)
        if item.ws_message is not None and channel.has_sockets:
            is_wanted = True
            effects += self.socket_delivery.publish(channel, item, item.ws_message, now)
        if channel.tracked:
            effects += self.follower.publish(channel, item, now)
        self._books.wanted += is_wanted
        return effects

    def publish_content(self, name: str, content: bytes, now: float) -> list[Effect]:
        """Send an item to the channel's streams that is for nobody else."""
        if self.receptions.block_bytes:
            return self.publish(PublishItem(name, http_stream=HttpStreamFormat(content=content)), now)
        channel = self.subscriptions.channels.get(name)
        if channel is None:
            return []
        effects = self._http.deliver(channel, content, now, None)
        self._books.wanted += bool(effects or channel.tracked or channel.chunked or channel.raw)
        if channel.tracked:
            item = PublishItem(name, http_stream=HttpStreamFormat(content=content))
            effects += self.follower.publish(channel, item, now)
        return effects

    def resume(self, now: float) -> list[Effect]:
        """Go on with what was too much for one turn of the loop."""
        effects = self.fan_outs.resume(now)
        return effects + self.tick(now) if self.wheel.is_behind else effects

    def tick(self, now: float) -> list[Effect]:
        """Do what is due: keep-alives, timeout responses, the end of lingering channels. Much of it: see `resume`."""
        keep_alives: dict[StreamShape, list[int]] = {}
        frames: dict[bytes, list[int]] = {}  # keep-alives of WebSockets
        caught_up: list[Effect] = []
        timeouts: list[Effect] = []
        ended: list[Effect] = []
        for record in self.wheel.due(now, DUE_MAX_COUNT):
            if isinstance(record, StreamHold):
                if self._is_keep_alive_due(record, now):
                    keep_alives.setdefault(record.shape, []).append(record.conn_id)
            elif isinstance(record, ResponseHold):
                caught_up += self.fan_outs.catch_up((record.conn_id,), now)
                if self.holds[record.conn_id] is record:
                    timeouts.append(time_out(record))
            elif isinstance(record, Channel):
                self._drop_if_empty(record, ended)
            elif (handle := self.due_handlers.get(type(record))) is not None:
                for effect in handle(record, now):
                    if type(effect) is Deliver and effect.is_keep_alive:
                        frames.setdefault(effect.payload, []).extend(effect.conn_ids)
                    else:
                        caught_up.append(effect)
            else:
                caught_up += self.follower.on_due(record, now)
        for shape, conn_ids in keep_alives.items():
            shape.traffic.values[ACTIVITY] += len(conn_ids)
        sent: list[Effect] = [
            Deliver(shape.keep_alive, conn_ids, is_keep_alive=True) for shape, conn_ids in keep_alives.items()
        ]
        sent += [Deliver(payload, conn_ids, is_keep_alive=True) for payload, conn_ids in frames.items()]
        return sent + caught_up + timeouts + self.release_all(timeouts, now) + ended

    def _is_keep_alive_due(self, hold: StreamHold, now: float) -> bool:
        """Schedule the next keep-alive; say whether this one is due, or put off by traffic in the meantime."""
        shape = hold.shape
        if isinstance(hold, TrackedStream):
            if hold.state is RECEIVING:
                self.schedule_keep_alive(hold, now)
                return False
            sent_at = max(hold.sent_at.values(), default=0.0)
        else:
            sent_at = max([channel.sent_at for channel in hold.channels], default=0.0)
        if shape.is_interval:
            sent_at = 0.0
        if sent_at + shape.keep_alive_s - 1 > now:
            self.schedule_keep_alive(hold, sent_at)
            return False
        self.schedule_keep_alive(hold, now)
        return True

    def schedule_keep_alive(self, hold: StreamHold, since: float) -> None:
        self.wheel.schedule(hold, since + hold.shape.keep_alive_s - self._jitter())

    def release_all(self, effects: Iterable[Effect], now: float) -> list[Effect]:
        """Release every hold that these effects finish."""
        released: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Finish):
                for conn_id in effect.conn_ids:
                    released += self.release(conn_id, now)
        return released

    def _add_stream(self, stream: StreamHold, now: float) -> None:
        self._add(stream)
        self.streams_count += 1
        if stream.shape.keep_alive:
            self.schedule_keep_alive(stream, now)

    def reshape(self, stream: StreamHold, shape: StreamShape, is_quiet: bool, now: float) -> None:
        """Give a stream another keep-alive, or none. If it has been quiet until now, the time of the old one counts."""
        stream.shape = shape
        if not shape.keep_alive:
            self.wheel.cancel(stream)
        elif stream.slot is None or not is_quiet:
            self.schedule_keep_alive(stream, now)

    def _add(self, hold: Hold) -> None:
        missing_count = hold.conn_id + 1 - len(self.holds)
        if missing_count > 0:
            self.holds += [None] * missing_count
        self.holds[hold.conn_id] = hold

    def _count(self, hold: Hold, change: int) -> None:
        if isinstance(hold, StreamHold):
            self.streams_count += change
        elif isinstance(hold, ResponseHold):
            self.responses_count += change
        else:
            self.sockets_count += change

    def open_channels(
        self, names: list[str], is_update_wanted: bool = False
    ) -> tuple[tuple[Channel, ...], list[Effect]]:
        """Give channels by their names, for a hold that is to listen to them at once."""
        channels = self.subscriptions.channels_of(names) if names else ()
        effects: list[Effect] = []
        for channel in channels:
            is_new = channel.slot is None and channel.is_empty
            if is_new or (is_update_wanted and not channel.is_updating):
                channel.is_updating = is_update_wanted
                effects.append(OpenChannel(channel.name, is_update_wanted))
        return channels, effects

    def _linger(self, channel: Channel, now: float, effects: list[Effect]) -> None:
        """Keep a channel whose last long-poll ended. Whoever subscribes meanwhile does not stop the time."""
        if self.linger_s > 0:
            self.wheel.schedule(channel, now + self.linger_s)
        else:
            self._drop_if_empty(channel, effects)

    def _drop_if_empty(self, channel: Channel, effects: list[Effect]) -> None:
        if channel.slot is None and self.subscriptions.drop_if_empty(channel):
            effects.append(CloseChannel(channel.name))


def time_out(hold: ResponseHold) -> Finish:
    """Answer a long-poll with what its origin gave for the case that nothing comes. The caller releases it."""
    payload, is_persistent = hold.request.answer(hold.status, hold.reason, hold.headers, hold.body, is_held=True)
    return Finish(payload, (hold.conn_id,), is_persistent)
