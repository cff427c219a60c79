"""Holds that are more than their channels: they follow ids and links, filter items, and ask their origin again."""

from collections.abc import Callable, Collection
from typing import Any

from gripproxy.engine.books import REFETCHED
from gripproxy.engine.client_request import ClientRequest
from gripproxy.engine.delivery import end_streams
from gripproxy.engine.effects import LOG_WARNING, Effect, ForgetId, Log, WakeUpdates
from gripproxy.engine.filter_checks import Check
from gripproxy.engine.hold_table import HoldTable
from gripproxy.engine.holds import FETCHING, HOLDING, RECEIVING, STALLED, ResponseHold, StreamShape, TrackedStream
from gripproxy.engine.item_offers import ItemOffers
from gripproxy.engine.link_requests import LinkRequests
from gripproxy.engine.links import Fetch, Links
from gripproxy.engine.subscriptions import Channel
from gripproxy.engine.tracking import Tracking, track
from gripproxy.engine.updates import BATCH_S, RESPONSES, PollGroup, PollGroups, Standing, UpdateQueue
from gripproxy.errors import OriginError
from gripproxy.protocol.instruct import HoldMode, Instruct
from gripproxy.protocol.last_ids import LastIds
from gripproxy.protocol.link_url import LinkUrl, resolve_link
from gripproxy.protocol.origin_request import OriginRequests
from gripproxy.protocol.publish_item import PublishItem

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
        self._links = Links(self.requests, self, holds.wheel, jitter, holds.accounts)
        self.offers = ItemOffers(holds, self.requests, self)
        self._holds = holds
        self._last_ids = last_ids
        self._ask_again = ask_again
        self.channels_max_count = channels_max_count
        self._updates = UpdateQueue(batch_max_count)
        self._groups = PollGroups(holds.wheel)
        holds.follower = self

    def publish(self, channel: Channel, item: PublishItem, now: float) -> list[Effect]:
        """Send an item to the channel's tracked holds."""
        return self.offers.publish(channel, item, now)

    # From a response to a hold.

    def doubt_poll(
        self, request: ClientRequest, instruct: Instruct, doubted: dict[str, str]
    ) -> tuple[bool, list[Effect]]:
        """Say whether the origin should be asked again before a long-poll is held: see `_doubt`."""
        channels = instruct.channels[: self.channels_max_count]
        prefix = request.route.prefix
        return self._doubt({prefix + name.name: name.prev_id for name in channels if name.prev_id is not None}, doubted)

    def _doubt(self, stands: dict[str, str], doubted: dict[str, str]) -> tuple[bool, list[Effect]]:
        """Look for channels whose last item is not the one that the origin knew: its answer may be older than the item.

        If it says the same again it is believed, and the last id is forgotten. Not at once: others whose answers are
        on their way need it.

        Args:
            stands: ids by channel, as the origin says.
            doubted: last ids that it has contradicted before; completed.
        """
        is_doubtful, effects = False, list[Effect]()
        for channel, item_id in stands.items():
            last_id = self._last_ids.get(channel)
            if last_id is None or last_id == item_id:
                continue
            if doubted.get(channel) == last_id:
                effects += self._forget_id(channel)
            else:
                doubted[channel] = last_id
                is_doubtful = True
        return is_doubtful, effects

    def hold_response(
        self, conn_id: int, request: ClientRequest, instruct: Instruct, now: float, is_retry: bool = False
    ) -> list[Effect]:
        """Hold a long-poll whose channels are not in doubt, and whose links have passed `check_links`."""
        hold = ResponseHold(
            conn_id,
            (),
            request,
            instruct.status,
            instruct.reason,
            instruct.headers,
            instruct.body,
            self._track(request, instruct),
            _resolve(request.url, instruct.gone_link),
        )
        return self._holds.hold_response(hold, self._names(request, instruct), instruct.timeout_s, now, is_retry)

    def hold_stream(
        self, conn_id: int, request: ClientRequest, instruct: Instruct, payload: bytes, now: float
    ) -> list[Effect]:
        """Hold a stream whose beginning is `payload`, or follow its link if it is not to be held.

        Its links have passed `check_links`.
        """
        names = self._names(request, instruct)
        tracking = self._track(request, instruct)
        if tracking is None and instruct.next_link is None and instruct.gone_link is None:
            return self._holds.hold_stream(conn_id, names, instruct, request, payload, now)
        stream = TrackedStream(
            conn_id,
            self._shape(request, instruct),
            (),
            request=request,
            url=request.url,
            tracking=tracking,
            gone=_resolve(request.url, instruct.gone_link),
        )
        _set_link(stream, instruct)
        effects = self._holds.hold_tracked(stream, names, payload, now)
        return effects + self._settle(stream, instruct, now, is_first=True)

    def resume(self, stream: TrackedStream, url: LinkUrl, instruct: Instruct, now: float) -> list[Effect]:
        """Go on with a stream that has got its next part: what came with it replaces all that was said before."""
        request = stream.request
        stream.url = url
        try:
            _set_link(stream, instruct)
        except OriginError as error:
            return self._refuse(stream, f"Failed to parse accept instructions: {error}", now)
        self._holds.reshape(stream, self._shape(request, instruct), stream.state is not RECEIVING, now)
        if instruct.hold is HoldMode.NONE:  # until something is held again, items of the channels wait
            stream.tracking = None  # the part may have had some of them: where the client stands, only the link says
            return self._settle(stream, instruct, now, is_first=False)
        stream.tracking = self._track(request, instruct)
        effects = self._holds.subscribe(stream, self._names(request, instruct))
        effects += self._settle(stream, instruct, now, is_first=False)
        return effects + self._go_on(stream, now) if stream.state is HOLDING else effects

    def _go_on(self, stream: TrackedStream, now: float) -> list[Effect]:
        """Send what waited for a stream's next part, or ask for another part that has it."""
        is_hinted, is_stale = stream.is_hinted, stream.is_stale
        stream.is_hinted = stream.is_stale = False
        effects = self.offers.drain(stream, now)
        if stream.link is None or stream.state is not HOLDING:
            return effects
        if is_hinted:
            return effects + self.fetch(stream, now)
        effects += self._holds.fan_outs.catch_up((stream.conn_id,), now)
        if stream.state is HOLDING and stream.conn_id not in self.offers.checks and self._holds.is_held(stream.conn_id):
            effects += self._stall_if_behind(stream)
        return effects + self._update(stream.conn_id, stream.bucket) if is_stale else effects

    def _stall_if_behind(self, stream: TrackedStream) -> list[Effect]:
        if stream.tracking is None:
            return []
        is_doubtful, effects = self._doubt(stream.tracking.stands, stream.doubted)
        return effects + self.stall(stream) if is_doubtful else effects

    def fail(self, stream: TrackedStream, text: str, now: float) -> list[Effect]:
        """End a stream because of an error, which a debug route's client is told."""
        return self.end(stream, text if stream.request.is_debug else "", now)

    def _refuse(self, stream: TrackedStream, text: str, now: float) -> list[Effect]:
        """End a stream whose instruct makes no sense."""
        text_logged = f"bad instruct for {stream.url}: {text}"
        log = Log(LOG_WARNING, text_logged, is_origin_error=True, about=stream.conn_id)
        return [log, *self.fail(stream, text, now)]

    def _settle(self, stream: TrackedStream, instruct: Instruct, now: float, is_first: bool) -> list[Effect]:
        if instruct.hold is HoldMode.NONE:
            return self.end(stream, "", now) if stream.link is None else self.fetch(stream, now)
        if stream.link is None and stream.tracking is not None and stream.tracking.ids:
            name = next(iter(stream.tracking.ids))
            return self._refuse(stream, f"channel '{name}' specifies prev-id, but no next link found", now)
        stream.state = HOLDING
        if is_first and (stalled := self._stall_if_behind(stream)):
            return stalled
        if stream.link is None:
            return []
        if not stream.link_timeout_s:  # as often as the batches allow
            return self._update(stream.conn_id, stream.bucket)
        stream.group = self._groups.join(stream.conn_id, stream.bucket, stream.link_timeout_s, now)
        return []

    def _shape(self, request: ClientRequest, instruct: Instruct) -> StreamShape:
        """Give a stream's shape. There are no keep-alives between the parts of one body."""
        return self._holds.shape(request, None if instruct.hold is HoldMode.NONE else instruct.keep_alive)

    def _track(self, request: ClientRequest, instruct: Instruct) -> Tracking | None:
        if instruct.hold is HoldMode.NONE:
            return None
        return track(instruct, request.route.prefix, _subs(request), self.channels_max_count)

    def _names(self, request: ClientRequest, instruct: Instruct) -> list[str]:
        """Name what to subscribe: the target's own channels, then the instruct's behind the route's prefix."""
        if instruct.hold is HoldMode.NONE:
            return [*_subs(request)]
        allowed = instruct.channels[: self.channels_max_count]
        return [*_subs(request), *[request.route.prefix + channel.name for channel in allowed]]

    def stall(self, stream: TrackedStream) -> list[Effect]:
        """Send nothing more until the origin has told what is missing."""
        self._leave_group(stream)
        self.offers.forget_queue(stream, REFETCHED)
        stream.state = STALLED
        return self._update(stream.conn_id, stream.bucket)

    def stall_response(self, hold: ResponseHold) -> list[Effect]:
        """Let a long-poll ask again in its turn: it has missed an item."""
        return self._update(hold.conn_id, RESPONSES)

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
            conn_ids = [hold.conn_id for hold in self._holds.holds if isinstance(hold, ResponseHold | TrackedStream)]
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
            elif isinstance(hold, TrackedStream) and hold.state in (FETCHING, RECEIVING):
                hold.is_stale = True
            elif isinstance(hold, TrackedStream) and hold.link is not None:
                effects += self._update(conn_id, hold.bucket)
        return effects

    def on_updates_due(self, now: float) -> list[Effect]:
        """Let the next batch ask."""
        conn_ids, is_unfinished = self._updates.take()
        effects: list[Effect] = [WakeUpdates(BATCH_S)] if is_unfinished else []
        for conn_id in conn_ids:
            hold = self._holds.holds[conn_id]
            if isinstance(hold, TrackedStream):
                is_checking = conn_id in self.offers.checks
                effects += self._update(conn_id, hold.bucket) if is_checking else self.fetch(hold, now)
            elif isinstance(hold, ResponseHold):
                effects += self._ask_again(hold, now)
        return effects

    def on_due(self, record: Any, now: float) -> list[Effect]:
        """Handle the deadline of a poll group, or of a request that is to be repeated."""
        if isinstance(record, Fetch):
            return self._links.on_due(record, now)
        if isinstance(record, Check):
            return self.offers.checks.on_due(record, now)
        assert isinstance(record, PollGroup)
        effects: list[Effect] = []
        for conn_id, since in list(record.members.items()):
            stream = self._holds.holds[conn_id]
            assert isinstance(stream, TrackedStream)
            if stream.channels and all(stream.sent_at.get(channel.name, -1.0) >= since for channel in stream.channels):
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
        effects = self.offers.leave(hold)
        if isinstance(hold, TrackedStream):
            self._leave_group(hold)
            effects += self._links.leave(hold.conn_id)
        if hold.gone is not None:
            effects += self._links.say_gone(hold.request, hold.gone, now)
        return effects

    # From one worker to another.

    def suspend(self, hold: TrackedStream | ResponseHold, now: float) -> Standing:
        """Let a hold ask its origin for nothing until `reinstate`, here or in another worker; say where it stands."""
        is_waiting, group = hold.conn_id in self._updates, None
        self._updates.discard(hold.conn_id)
        if isinstance(hold, TrackedStream) and hold.group is not None:
            group = self._groups.standing(hold.conn_id, hold.group, now)
            self._leave_group(hold)
        return Standing(is_waiting, group)

    def reinstate(self, hold: TrackedStream | ResponseHold, standing: Standing, now: float) -> list[Effect]:
        """Let it go on from there."""
        if isinstance(hold, ResponseHold):
            return self._update(hold.conn_id, RESPONSES) if standing.is_waiting else []
        if hold.link is None:
            return []
        if standing.group is not None:
            hold.group = self._groups.rejoin(hold.conn_id, hold.bucket, hold.link_timeout_s, standing.group, now)
        return self._update(hold.conn_id, hold.bucket) if standing.is_waiting else []

    def _update(self, conn_id: int, bucket: str) -> list[Effect]:
        return [WakeUpdates(BATCH_S)] if self._updates.add(conn_id, bucket) else []

    def fetch(self, stream: TrackedStream, now: float) -> list[Effect]:
        """Ask for a stream's next part, at once."""
        self._leave_group(stream)
        self._updates.discard(stream.conn_id)
        stream.state = FETCHING
        stream.is_hinted = stream.is_stale = False
        return self._links.fetch(stream, now)

    def _leave_group(self, stream: TrackedStream) -> None:
        group, stream.group = stream.group, None
        if group is not None:
            self._groups.leave(stream.conn_id, group)

    def end(self, stream: TrackedStream, text: str, now: float) -> list[Effect]:
        """End a stream; whoever is on a debug route may be told why."""
        finished = end_streams([stream], text)
        return finished + self._holds.release_all(finished, now)


def _subs(request: ClientRequest) -> tuple[str, ...]:
    return () if request.target is None else request.target.subs


def _resolve(base: LinkUrl, uri: str | None) -> LinkUrl | None:
    return None if uri is None else resolve_link(base, uri)


def check_links(base: LinkUrl, instruct: Instruct) -> None:
    """Make sure that an instruct's links lead somewhere, before anything is sent to the client.

    Args:
        base: what they are relative to: the URL that was asked for the instruct.

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
