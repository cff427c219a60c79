"""Every held connection of this worker: holding, delivering, keeping alive, timing out and letting go."""

from collections.abc import Callable, Collection, Iterable

from gripproxy.engine.delivery import answer_responses, close_streams
from gripproxy.engine.effects import CloseChannel, Deliver, Effect, Finish, OpenChannel, Park
from gripproxy.engine.fan_out import SLICE_MAX_BYTES, FanOuts
from gripproxy.engine.holds import Hold, ResponseHold, StreamHold, StreamShape, StreamShapes
from gripproxy.engine.subscriptions import Channel, Subscriptions
from gripproxy.engine.timer_wheel import TimerWheel
from gripproxy.protocol.http1 import RequestHead, encode_chunk, encode_response
from gripproxy.protocol.instruct import Instruct
from gripproxy.protocol.publish_format import Action, HttpResponseFormat, HttpStreamFormat
from gripproxy.protocol.publish_item import PublishItem

# How many are served before the worker does other work: up to six milliseconds each.
STREAMS_MAX_COUNT = 600  # a write
SMALL_BYTES = SLICE_MAX_BYTES // STREAMS_MAX_COUNT
ANSWERS_MAX_COUNT = 100  # a write, and the connection goes on
DUE_MAX_COUNT = 250  # some of both


class HoldTable:
    """Holds by connection id, their channels and their deadlines.

    `linger_s`: how long a channel counts as subscribed after its last long-poll ended: that client is about to
    come back.
    `jitter`: gives a random number in [0, 1), which spreads keep-alives over a second.
    """

    def __init__(self, now: float, linger_s: float, jitter: Callable[[], float]) -> None:
        self.holds: list[Hold | None] = []
        self.subscriptions = Subscriptions()
        self.wheel = TimerWheel(now)
        self.fan_outs = FanOuts()
        self.streams_count = 0
        self.responses_count = 0
        self._shapes = StreamShapes()
        self._linger_s = linger_s
        self._jitter = jitter

    @property
    def is_unfinished(self) -> bool:
        """Whether `resume` has something to do."""
        return bool(self.fan_outs.queue) or self.wheel.is_behind

    def hold_stream(
        self, conn_id: int, names: list[str], instruct: Instruct, request: RequestHead, payload: bytes, now: float
    ) -> list[Effect]:
        """Hold a response open whose beginning is `payload`."""
        keep_alive = instruct.keep_alive
        shape = self._shapes.shape(
            request.is_http11,
            request.is_http11 and request.is_keep_alive,
            keep_alive.content if keep_alive else b"",
            keep_alive.timeout_s if keep_alive else 0,
            keep_alive.is_interval if keep_alive else False,
        )
        channels, effects = self._channels(names)
        for channel in channels:
            channel.add_stream(conn_id, shape.is_chunked)
        hold = StreamHold(conn_id, shape, channels)
        self._add(hold)
        self.streams_count += 1
        if shape.keep_alive:
            self._schedule_keep_alive(hold, now)
        effects.append(Park(conn_id, payload))
        return effects

    def hold_response(
        self, conn_id: int, names: list[str], instruct: Instruct, request: RequestHead, now: float
    ) -> list[Effect]:
        """Hold a request whose answer at the timeout is the instruct's own response."""
        channels, effects = self._channels(names)
        for channel in channels:
            channel.add_response(conn_id)
        hold = ResponseHold(
            conn_id, channels, request, instruct.status, instruct.reason, instruct.headers, instruct.body
        )
        self._add(hold)
        self.responses_count += 1
        self.wheel.schedule(hold, now + instruct.timeout_s)
        effects.append(Park(conn_id, b""))
        return effects

    def is_held(self, conn_id: int) -> bool:
        return conn_id < len(self.holds) and self.holds[conn_id] is not None

    def release(self, conn_id: int, now: float) -> list[Effect]:
        """Forget the hold of a client that is gone, or that the caller answers; no hold is no error."""
        hold = self.holds[conn_id] if conn_id < len(self.holds) else None
        if hold is None:
            return []
        self.holds[conn_id] = None
        self.wheel.cancel(hold)
        self.fan_outs.forget(conn_id)
        effects: list[Effect] = []
        if isinstance(hold, StreamHold):
            self.streams_count -= 1
            for channel in hold.channels:
                channel.remove_stream(conn_id, hold.shape.is_chunked)
                self._drop_if_empty(channel, effects)
            return effects
        self.responses_count -= 1
        for channel in hold.channels:
            channel.remove_response(conn_id)
            if channel.responses is None:
                self._linger(channel, now, effects)
        return effects

    def publish(self, item: PublishItem, now: float) -> list[Effect]:
        """Send an item to the channel's subscribers in this worker, or begin to: see `resume`."""
        channel = self.subscriptions.channels.get(item.channel)
        if channel is None:
            return []
        effects: list[Effect] = []
        if item.http_response is not None and channel.responses:
            effects += self._publish_response(channel.responses.keys(), item.http_response, now)
        if item.http_stream is not None:
            effects += self._publish_stream(channel, item.http_stream, now)
        return effects

    def publish_content(self, name: str, content: bytes, now: float) -> list[Effect]:
        """Send an item to the channel's streams that is for nobody else."""
        channel = self.subscriptions.channels.get(name)
        return [] if channel is None else self._deliver(channel, content, now)

    def resume(self, now: float) -> list[Effect]:
        """Go on with what was too much for one turn of the loop."""
        effects = self.fan_outs.resume(now)
        return effects + self.tick(now) if self.wheel.is_behind else effects

    def _publish_response(self, conn_ids: Collection[int], published: HttpResponseFormat, now: float) -> list[Effect]:
        if published.action is not Action.SEND or published.body_patch is not None:
            return []  # `close` has no effect on a long-poll, as in Pushpin

        def answer(some_ids: Collection[int], now: float) -> list[Effect]:
            holds = [self.holds[conn_id] for conn_id in some_ids]
            effects = answer_responses([hold for hold in holds if isinstance(hold, ResponseHold)], published)
            return effects + self._release_all(effects, now)

        return self.fan_outs.start(answer, conn_ids, len(published.body), ANSWERS_MAX_COUNT, now)

    def _publish_stream(self, channel: Channel, published: HttpStreamFormat, now: float) -> list[Effect]:
        if published.action is Action.SEND:
            return self._deliver(channel, published.content, now)
        effects: list[Effect] = []
        if published.action is Action.CLOSE:
            for conn_ids in (channel.chunked, channel.raw):
                if conn_ids:
                    effects += self.fan_outs.start(self._close_streams, conn_ids.keys(), 0, STREAMS_MAX_COUNT, now)
        return effects

    def _deliver(self, channel: Channel, content: bytes, now: float) -> list[Effect]:
        """Send content into the channel's streams. Empty content is no bytes: an empty chunk would end the body."""
        channel.sent_at = now
        effects: list[Effect] = []
        if content and channel.chunked:
            effects = self._write(channel.chunked.keys(), encode_chunk(content), now)
        if content and channel.raw:
            effects += self._write(channel.raw.keys(), content, now)
        return effects

    def _write(self, conn_ids: Collection[int], payload: bytes, now: float) -> list[Effect]:
        if not self.fan_outs.queue and len(conn_ids) <= STREAMS_MAX_COUNT and len(payload) <= SMALL_BYTES:
            return [Deliver(payload, conn_ids)]  # no fan-out at all, for most items

        def deliver(some_ids: Collection[int], now: float) -> list[Effect]:
            return [Deliver(payload, some_ids)]

        return self.fan_outs.start(deliver, conn_ids, len(payload), STREAMS_MAX_COUNT, now)

    def _close_streams(self, conn_ids: Collection[int], now: float) -> list[Effect]:
        streams = [self.holds[conn_id] for conn_id in conn_ids]
        effects = close_streams([hold for hold in streams if isinstance(hold, StreamHold)])
        return effects + self._release_all(effects, now)

    def tick(self, now: float) -> list[Effect]:
        """Do what is due: keep-alives, timeout responses, the end of lingering channels. Much of it: see `resume`."""
        keep_alives: dict[StreamShape, list[int]] = {}
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
                    timeouts.append(_time_out(record))
            else:
                self._drop_if_empty(record, ended)
        sent: list[Effect] = [
            Deliver(shape.keep_alive, conn_ids, is_keep_alive=True) for shape, conn_ids in keep_alives.items()
        ]
        return sent + caught_up + timeouts + self._release_all(timeouts, now) + ended

    def _is_keep_alive_due(self, hold: StreamHold, now: float) -> bool:
        """Schedule the next keep-alive; say whether this one is due, or put off by traffic in the meantime."""
        shape = hold.shape
        sent_at = 0.0 if shape.is_interval else max([channel.sent_at for channel in hold.channels], default=0.0)
        if sent_at + shape.keep_alive_s - 1 > now:
            self._schedule_keep_alive(hold, sent_at)
            return False
        self._schedule_keep_alive(hold, now)
        return True

    def _schedule_keep_alive(self, hold: StreamHold, since: float) -> None:
        self.wheel.schedule(hold, since + hold.shape.keep_alive_s - self._jitter())

    def _release_all(self, effects: Iterable[Effect], now: float) -> list[Effect]:
        """Release every hold that these effects finish."""
        released: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Finish):
                for conn_id in effect.conn_ids:
                    released += self.release(conn_id, now)
        return released

    def _add(self, hold: Hold) -> None:
        missing_count = hold.conn_id + 1 - len(self.holds)
        if missing_count > 0:
            self.holds += [None] * missing_count
        self.holds[hold.conn_id] = hold

    def _channels(self, names: list[str]) -> tuple[tuple[Channel, ...], list[Effect]]:
        channels = self.subscriptions.channels_of(names) if names else ()
        effects: list[Effect] = []
        for channel in channels:
            if channel.slot is None and channel.is_empty:
                effects.append(OpenChannel(channel.name))
        return channels, effects

    def _linger(self, channel: Channel, now: float, effects: list[Effect]) -> None:
        """Keep a channel whose last long-poll ended. Whoever subscribes meanwhile does not stop the time."""
        if self._linger_s > 0:
            self.wheel.schedule(channel, now + self._linger_s)
        else:
            self._drop_if_empty(channel, effects)

    def _drop_if_empty(self, channel: Channel, effects: list[Effect]) -> None:
        if channel.slot is None and self.subscriptions.drop_if_empty(channel):
            effects.append(CloseChannel(channel.name))


def _time_out(hold: ResponseHold) -> Finish:
    payload, is_persistent = encode_response(hold.request, hold.status, hold.reason, hold.headers, hold.body)
    return Finish(payload, (hold.conn_id,), is_persistent)
