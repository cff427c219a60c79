"""Holds that are more than their channels: they follow ids and links, filter items, and ask their origin again."""

from collections import deque
from collections.abc import Callable, Collection
from typing import Any

from gripproxy.engine.client_request import ClientRequest
from gripproxy.engine.delivery import encode_published, end_streams, refuse_responses
from gripproxy.engine.effects import Deliver, Effect, Finish, ForgetId, WakeUpdates
from gripproxy.engine.fan_out import SLICE_MAX_BYTES
from gripproxy.engine.filter_checks import Check, FilterChecks
from gripproxy.engine.hold_table import HoldTable
from gripproxy.engine.holds import FETCHING, HOLDING, QUEUE_MAX_COUNT, STALLED, ResponseHold, TrackedStream
from gripproxy.engine.link_requests import LinkRequests
from gripproxy.engine.links import Fetch, Links
from gripproxy.engine.subscriptions import Channel
from gripproxy.engine.tracking import Conflict, Mismatch, track
from gripproxy.engine.updates import BATCH_S, RESPONSES, PollGroup, PollGroups, UpdateQueue
from gripproxy.errors import FilterError, OriginError
from gripproxy.protocol.http1 import encode_chunk
from gripproxy.protocol.instruct import HoldMode, Instruct
from gripproxy.protocol.last_ids import LastIds
from gripproxy.protocol.link_url import LinkUrl, resolve_link
from gripproxy.protocol.network_filter import FilterRun
from gripproxy.protocol.origin_request import OriginRequests
from gripproxy.protocol.publish_format import Action, HttpResponseFormat
from gripproxy.protocol.publish_item import PublishItem

OFFERS_MAX_COUNT = 200  # tracked holds that get an item in one turn of the loop: each is looked at

AskAgain = Callable[[ResponseHold, float], list[Effect]]


class Sessions:
    """Looks after tracked holds, and asks again for long-polls.

    Args:
        last_ids: of all channels, as the bus tells them.
        ask_again: takes up a long-poll's request again, from the beginning.
        channels_max_count: that one client may subscribe to; the target's own do not count.
        batch_max_count: holds that ask again in one batch, see `UpdateQueue`.
    """

    def __init__(
        self,
        holds: HoldTable,
        requests: OriginRequests,
        last_ids: LastIds,
        ask_again: AskAgain,
        jitter: Callable[[], float],
        channels_max_count: int,
        batch_max_count: int,
    ) -> None:
        self.requests = LinkRequests(requests)
        self._links = Links(self.requests, self, holds.wheel, jitter)
        self._checks = FilterChecks(self.requests, holds.wheel, self._on_verdict)
        self.dropped_count = 0  # items that found a stream's queue full
        self._holds = holds
        self._last_ids = last_ids
        self._ask_again = ask_again
        self._channels_max_count = channels_max_count
        self._updates = UpdateQueue(batch_max_count)
        self._groups = PollGroups(holds.wheel)
        self._streams: dict[int, TrackedStream] = {}
        holds.follower = self

    # From a response to a hold.

    def conflicts(self, request: ClientRequest, instruct: Instruct) -> list[Effect]:
        """Look for channels whose last item is not the one that the origin knew; give what follows from it.

        Their last ids are forgotten, so that the origin is believed the next time.
        """
        effects: list[Effect] = []
        for channel in instruct.channels[: self._channels_max_count]:
            name = request.route.prefix + channel.name
            last_id = self._last_ids.get(name)
            if channel.prev_id is not None and last_id is not None and last_id != channel.prev_id:
                effects += self._forget_id(name)
        return effects

    def hold_response(self, conn_id: int, request: ClientRequest, instruct: Instruct, now: float) -> list[Effect]:
        """Hold a long-poll, of which `conflicts` found none."""
        hold = ResponseHold(
            conn_id,
            (),
            request,
            instruct.status,
            instruct.reason,
            instruct.headers,
            instruct.body,
            track(instruct, request.route.prefix, _subs(request), self._channels_max_count),
            _resolve(request.url, instruct.gone_link),
        )
        return self._holds.hold_response(hold, self._names(request, instruct), instruct.timeout_s, now)

    def hold_stream(
        self, conn_id: int, request: ClientRequest, instruct: Instruct, payload: bytes, now: float
    ) -> list[Effect]:
        """Hold a stream whose beginning is `payload`, or follow its link if it is not to be held.

        Raises:
            OriginError: a link leads nowhere.
        """
        names = self._names(request, instruct)
        tracking = track(instruct, request.route.prefix, _subs(request), self._channels_max_count)
        if tracking is None and instruct.next_link is None and instruct.gone_link is None:
            return self._holds.hold_stream(conn_id, names, instruct, request, payload, now)
        stream = TrackedStream(
            conn_id,
            self._holds.shape(request, instruct.keep_alive),
            (),
            request=request,
            url=request.url,
            tracking=tracking,
            gone=_resolve(request.url, instruct.gone_link),
        )
        _set_link(stream, instruct)
        self._streams[conn_id] = stream
        effects = self._holds.hold_tracked(stream, names, payload, now)
        return effects + self._settle(stream, instruct, now, is_first=True)

    def resume(self, stream: TrackedStream, url: LinkUrl, instruct: Instruct, now: float) -> list[Effect]:
        """Go on with a stream that has got its next part: what came with it replaces all that was said before."""
        request = stream.request
        stream.url = url
        stream.tracking = track(instruct, request.route.prefix, _subs(request), self._channels_max_count)
        try:
            _set_link(stream, instruct)
        except OriginError as error:
            return self.fail(stream, f"Failed to parse accept instructions: {error}", now)
        self._holds.reshape(stream, self._holds.shape(request, instruct.keep_alive), now)
        effects = self._holds.subscribe(stream, self._names(request, instruct))
        effects += self._settle(stream, instruct, now, is_first=False)
        return effects + self._drain(stream, now) if stream.state is HOLDING else effects

    def fail(self, stream: TrackedStream, text: str, now: float) -> list[Effect]:
        """End a stream because of an error, which a debug route's client is told."""
        return self._end(stream, text if stream.request.is_debug else "", now)

    def _settle(self, stream: TrackedStream, instruct: Instruct, now: float, is_first: bool) -> list[Effect]:
        if instruct.hold is HoldMode.NONE:
            return self._end(stream, "", now) if stream.link is None else self._fetch(stream, now)
        if stream.link is None and stream.tracking is not None and stream.tracking.ids:
            name = next(iter(stream.tracking.ids))
            return self.fail(stream, f"channel '{name}' specifies prev-id, but no next link found", now)
        if is_first and (conflicts := self.conflicts(stream.request, instruct)):
            stream.state = STALLED
            return conflicts + self._update(stream.conn_id, stream.bucket)
        self._hold(stream, now)
        return []

    def _hold(self, stream: TrackedStream, now: float) -> None:
        stream.state = HOLDING
        if stream.link is not None:
            stream.group = self._groups.join(stream.conn_id, stream.bucket, stream.link_timeout_s, now)

    def _names(self, request: ClientRequest, instruct: Instruct) -> list[str]:
        """Name what to subscribe: the target's own channels, then the instruct's behind the route's prefix."""
        if instruct.hold is HoldMode.NONE:
            return []
        allowed = instruct.channels[: self._channels_max_count]
        return [*_subs(request), *[request.route.prefix + channel.name for channel in allowed]]

    # Items.

    def publish(self, channel: Channel, item: PublishItem, now: float) -> list[Effect]:
        """Send an item to the channel's tracked holds: each takes it in its own way."""

        def offer(conn_ids: Collection[int], now: float) -> list[Effect]:
            return self._offer(conn_ids, item, now)

        assert channel.tracked is not None
        size = len(item.http_stream.content) if item.http_stream is not None else 0
        if not self._holds.fan_outs.queue and len(channel.tracked) <= OFFERS_MAX_COUNT and size <= _SMALL_BYTES:
            return offer(list(channel.tracked), now)
        return self._holds.fan_outs.start(offer, channel.tracked.keys(), size, OFFERS_MAX_COUNT, now)

    def _offer(self, conn_ids: Collection[int], item: PublishItem, now: float) -> list[Effect]:
        parts: dict[tuple[bool, bytes], list[int]] = {}  # holds that get the same bytes get them in one effect
        effects: list[Effect] = []
        for conn_id in list(conn_ids):
            hold = self._holds.holds[conn_id]
            if isinstance(hold, TrackedStream):
                if item.http_stream is not None:
                    effects += self._offer_stream(hold, item, parts, now)
            elif isinstance(hold, ResponseHold) and item.http_response is not None:
                effects += self._offer_response(hold, item, item.http_response, now)
        return _delivered(parts) + effects

    def _offer_stream(
        self, stream: TrackedStream, item: PublishItem, parts: dict[tuple[bool, bytes], list[int]], now: float
    ) -> list[Effect]:
        published = item.http_stream
        assert published is not None
        if stream.conn_id in self._checks:
            return self._wait(stream.conn_id, item)
        if stream.state is not HOLDING:
            return self._keep_for_later(stream, item, now)
        try:
            content = self._take(stream, stream.url, item, published.content, published.content_filters)
        except Conflict:
            return self._stall(stream, item.channel, now)
        except (Mismatch, FilterError) as error:
            return self.fail(stream, _error_text(error), now) if stream.request.is_debug else []
        if isinstance(content, FilterRun):
            return self._checks.start(stream, item, content, now)
        return self._act_on_stream(stream, published.action, content, parts, now)

    def _act_on_stream(
        self,
        stream: TrackedStream,
        action: Action,
        content: bytes | None,
        parts: dict[tuple[bool, bytes], list[int]],
        now: float,
    ) -> list[Effect]:
        """Do what an item wants of a stream; content that is to be sent goes to `parts`."""
        if content is None:
            return []
        if action is Action.SEND:
            if content:
                parts.setdefault((stream.shape.is_chunked, content), []).append(stream.conn_id)
        elif action is Action.CLOSE:
            return self._end(stream, "", now)
        elif action is Action.HINT and stream.link is not None:
            return self._fetch(stream, now)
        return []

    def _keep_for_later(self, stream: TrackedStream, item: PublishItem, now: float) -> list[Effect]:
        """Let an item wait for the stream's next part, which tells whether it comes after it."""
        assert item.http_stream is not None
        if item.http_stream.action is Action.HINT:
            stream.queue.clear()
            return self._fetch(stream, now) if stream.state is STALLED else []
        if len(stream.queue) < QUEUE_MAX_COUNT:
            stream.queue.append(item)
        else:
            self.dropped_count += 1
        return []

    def _drain(self, stream: TrackedStream, now: float) -> list[Effect]:
        """Send what waited, but not what the next part contains already: items before the first that follows it."""
        queue, stream.queue = stream.queue, deque()
        subscribed = {channel.name for channel in stream.channels}
        found: set[str] = set()
        effects: list[Effect] = []
        for item in queue:
            if self._holds.holds[stream.conn_id] is not stream:
                break
            if item.channel not in subscribed:
                continue
            if item.channel not in found:
                if stream.tracking is not None and not stream.tracking.is_next(item):
                    continue
                found.add(item.channel)
            effects += self._offer((stream.conn_id,), item, now)
        return effects

    def _offer_response(
        self, hold: ResponseHold, item: PublishItem, published: HttpResponseFormat, now: float
    ) -> list[Effect]:
        if hold.conn_id in self._checks:
            return self._wait(hold.conn_id, item)
        try:
            body = self._take(hold, hold.request.url, item, published.body, published.content_filters)
        except Conflict:
            return self._forget_id(item.channel) + self._update(hold.conn_id, RESPONSES)
        except (Mismatch, FilterError) as error:
            return self._refuse(hold, error, now)
        if isinstance(body, FilterRun):
            return self._checks.start(hold, item, body, now)
        return self._act_on_response(hold, published, body, now)

    def _act_on_response(
        self, hold: ResponseHold, published: HttpResponseFormat, body: bytes | None, now: float
    ) -> list[Effect]:
        if body is None:
            return []
        if published.action is Action.SEND:
            payload, is_persistent = encode_published(hold, published, body)
            finish = Finish(payload, (hold.conn_id,), is_persistent)
            return [finish, *self._holds.release(hold.conn_id, now)]
        return self._ask_again(hold, now) if published.action is Action.HINT else []

    def _refuse(self, hold: ResponseHold, error: Exception, now: float) -> list[Effect]:
        if not hold.request.is_debug:
            return []
        finished = refuse_responses([hold], _error_text(error))
        return finished + self._holds.release_all(finished, now)

    def _wait(self, conn_id: int, item: PublishItem) -> list[Effect]:
        if not self._checks.queue(conn_id, item):
            self.dropped_count += 1
        return []

    def _on_verdict(self, check: Check, content: bytes | None, error: FilterError | None, now: float) -> list[Effect]:
        """Go on with a hold whose item was checked, and with the items behind it."""
        hold, item = check.hold, check.item
        effects: list[Effect] = []
        if isinstance(hold, ResponseHold):
            assert item.http_response is not None
            if error is not None:
                effects = self._refuse(hold, error, now)
            else:
                effects = self._act_on_response(hold, item.http_response, content, now)
        elif error is not None:
            effects = self.fail(hold, _error_text(error), now) if hold.request.is_debug else []
        else:
            assert item.http_stream is not None
            parts: dict[tuple[bool, bytes], list[int]] = {}
            effects = self._act_on_stream(hold, item.http_stream.action, content, parts, now)
            effects = _delivered(parts) + effects
        for later in check.queue:
            if self._holds.holds[hold.conn_id] is hold:
                effects += self._offer((hold.conn_id,), later, now)
        return effects

    def _take(
        self,
        hold: TrackedStream | ResponseHold,
        url: LinkUrl,
        item: PublishItem,
        content: bytes,
        assumed: tuple[str, ...] | None,
    ) -> bytes | FilterRun | None:
        if hold.tracking is not None:
            return hold.tracking.take(item, content, assumed, url)
        if assumed:
            raise Mismatch((), assumed)
        return content

    def _stall(self, stream: TrackedStream, channel: str, now: float) -> list[Effect]:
        """Send nothing more until the origin has told what is missing."""
        self._leave_group(stream)
        stream.queue.clear()
        stream.state = STALLED
        return self._forget_id(channel) + self._update(stream.conn_id, stream.bucket)

    def _forget_id(self, channel: str) -> list[Effect]:
        last_id = self._last_ids.pop(channel, None)
        return [] if last_id is None else [ForgetId(channel, last_id)]

    # Asking the origin again.

    def ask_again(self, conn_ids: Collection[int], now: float) -> list[Effect]:
        """Ask again for these long-polls, at once."""
        effects: list[Effect] = []
        for conn_id in list(conn_ids):
            hold = self._holds.holds[conn_id]
            if isinstance(hold, ResponseHold):
                effects += self._ask_again(hold, now)
        return effects

    def stale(self, names: list[str] | None, now: float) -> list[Effect]:
        """Let all that can ask their origin again do it in their turn: on these channels, or on all (None)."""
        effects: list[Effect] = []
        if names is None:
            conn_ids = [hold.conn_id for hold in self._holds.holds if isinstance(hold, ResponseHold)]
            conn_ids += self._streams
        else:
            channels = self._holds.subscriptions.channels
            found = [channels[name] for name in names if name in channels]
            conn_ids = [
                conn_id for channel in found for conn_id in [*(channel.responses or ()), *(channel.tracked or ())]
            ]
        for conn_id in conn_ids:
            hold = self._holds.holds[conn_id]
            if isinstance(hold, ResponseHold):
                effects += self._update(conn_id, RESPONSES)
            elif isinstance(hold, TrackedStream) and hold.link is not None and hold.state is not FETCHING:
                effects += self._update(conn_id, hold.bucket)
        return effects

    def on_updates_due(self, now: float) -> list[Effect]:
        """Let the next batch ask."""
        conn_ids, is_unfinished = self._updates.take()
        effects: list[Effect] = [WakeUpdates(BATCH_S)] if is_unfinished else []
        for conn_id in conn_ids:
            hold = self._holds.holds[conn_id]
            if isinstance(hold, TrackedStream):
                is_checking = conn_id in self._checks
                effects += self._update(conn_id, hold.bucket) if is_checking else self._fetch(hold, now)
            elif isinstance(hold, ResponseHold):
                effects += self._ask_again(hold, now)
        return effects

    def on_due(self, record: Any, now: float) -> list[Effect]:
        """Handle the deadline of a poll group, or of a request that is to be repeated."""
        if isinstance(record, Fetch):
            return self._links.on_due(record, now)
        if isinstance(record, Check):
            return self._checks.on_due(record, now)
        assert isinstance(record, PollGroup)
        effects: list[Effect] = []
        for conn_id, since in list(record.members.items()):
            stream = self._streams[conn_id]
            if stream.channels and all(channel.sent_at >= since for channel in stream.channels):
                record.members[conn_id] = now  # it was not quiet
            else:
                self._leave_group(stream)
                effects += self._update(conn_id, stream.bucket)
        if record.members:
            self._groups.restart(record, now)
        return effects

    def on_release(self, hold: TrackedStream | ResponseHold, now: float) -> list[Effect]:
        """Clear up after a hold that is over, and tell the origin if it wants to know."""
        self._updates.discard(hold.conn_id)
        effects = self._checks.leave(hold.conn_id)
        if isinstance(hold, TrackedStream):
            del self._streams[hold.conn_id]
            self._leave_group(hold)
            effects += self._links.leave(hold.conn_id)
        if hold.gone is not None:
            effects += self._links.say_gone(hold.request, hold.gone, now)
        return effects

    def _update(self, conn_id: int, bucket: str) -> list[Effect]:
        return [WakeUpdates(BATCH_S)] if self._updates.add(conn_id, bucket) else []

    def _fetch(self, stream: TrackedStream, now: float) -> list[Effect]:
        self._leave_group(stream)
        self._updates.discard(stream.conn_id)
        stream.state = FETCHING
        return self._links.fetch(stream, now)

    def _leave_group(self, stream: TrackedStream) -> None:
        group, stream.group = stream.group, None
        if group is not None:
            self._groups.leave(stream.conn_id, group)

    def _end(self, stream: TrackedStream, text: str, now: float) -> list[Effect]:
        finished = end_streams([stream], text)
        return finished + self._holds.release_all(finished, now)


_SMALL_BYTES = SLICE_MAX_BYTES // OFFERS_MAX_COUNT


def _delivered(parts: dict[tuple[bool, bytes], list[int]]) -> list[Effect]:
    return [
        Deliver(encode_chunk(content) if is_chunked else content, conn_ids)
        for (is_chunked, content), conn_ids in parts.items()
    ]


def _error_text(error: Exception) -> str:
    return str(error) if isinstance(error, Mismatch) else f"filter error: {error}"


def _subs(request: ClientRequest) -> tuple[str, ...]:
    return () if request.target is None else request.target.subs


def _resolve(base: LinkUrl, uri: str | None) -> LinkUrl | None:
    return None if uri is None else resolve_link(base, uri)


def check_links(base: LinkUrl, instruct: Instruct) -> None:
    """Make sure that an instruct's links lead somewhere, before anything is sent to the client.

    Raises:
        OriginError: one does not.
    """
    if instruct.next_link is not None:
        resolve_link(base, instruct.next_link.uri)
    _resolve(base, instruct.gone_link)


def _set_link(stream: TrackedStream, instruct: Instruct) -> None:
    link = instruct.next_link
    stream.link = None if link is None else resolve_link(stream.url, link.uri)
    stream.link_timeout_s = 0 if link is None else link.timeout_s
