"""Items on their way to tracked holds: each hold takes them in its own way."""

from collections import deque
from collections.abc import Collection
from typing import Protocol

from gripproxy.engine.delivery import encode_published, patched_body, refuse_responses
from gripproxy.engine.effects import LOG_WARNING, Deliver, Effect, Finish, Log
from gripproxy.engine.fan_out import DIRECTIVE_BYTES, PATCH_BYTES
from gripproxy.engine.filter_checks import Check, FilterChecks
from gripproxy.engine.hold_table import HoldTable
from gripproxy.engine.holds import HOLDING, QUEUE_MAX_COUNT, STALLED, ResponseHold, TrackedStream
from gripproxy.engine.link_requests import LinkRequests
from gripproxy.engine.subscriptions import Channel
from gripproxy.engine.tracking import Conflict, Mismatch
from gripproxy.errors import FilterError, PatchError
from gripproxy.protocol.http1 import encode_chunk
from gripproxy.protocol.network_filter import FilterRun
from gripproxy.protocol.publish_format import Action, HttpResponseFormat
from gripproxy.protocol.publish_item import PublishItem

OFFERS_MAX_COUNT = 200  # tracked holds that get an item in one turn of the loop: each is looked at


class OfferOwner(Protocol):
    """Who has the holds: `Sessions`."""

    def end(self, stream: TrackedStream, text: str, now: float) -> list[Effect]:
        """End a stream, with an error text if there is one."""
        ...

    def fail(self, stream: TrackedStream, text: str, now: float) -> list[Effect]:
        """End a stream because of an error."""
        ...

    def fetch(self, stream: TrackedStream, now: float) -> list[Effect]:
        """Ask for a stream's next part."""
        ...

    def stall(self, stream: TrackedStream) -> list[Effect]:
        """Send nothing more until the origin has told what is missing."""
        ...

    def stall_response(self, hold: ResponseHold) -> list[Effect]:
        """Let a long-poll ask again, as something is missing."""
        ...

    def ask_again(self, conn_ids: Collection[int], now: float) -> list[Effect]:
        """Ask again for these long-polls, at once."""
        ...


class ItemOffers:
    """Offers items to tracked holds.

    `dropped_count` are deliveries that found a hold's queue full, `unfit_count` those that did not fit its filters,
    both since `take_counts`.
    """

    def __init__(self, holds: HoldTable, requests: LinkRequests, owner: OfferOwner) -> None:
        self.checks = FilterChecks(requests, holds.wheel, self._on_verdict)
        self.dropped_count = 0
        self.unfit_count = 0
        self._unfit_said_at = float("-inf")
        self._holds = holds
        self._owner = owner

    def take_counts(self) -> tuple[int, int]:
        """Give both counts, and begin again with 0."""
        counts = self.dropped_count, self.unfit_count
        self.dropped_count = self.unfit_count = 0
        return counts

    def publish(self, channel: Channel, item: PublishItem, now: float) -> list[Effect]:
        """Send an item to the channel's tracked holds: each takes it in its own way."""

        def offer(conn_ids: Collection[int], now: float) -> list[Effect]:
            return self._offer(conn_ids, item, now)

        assert channel.tracked is not None
        return self._holds.fan_outs.start(offer, channel.tracked.keys(), _cost_bytes(item), OFFERS_MAX_COUNT, now)

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
        if stream.conn_id in self.checks:
            return self._wait(stream.conn_id, item)
        if stream.state is not HOLDING:
            return self._keep_for_later(stream, item, now)
        try:
            content = self._take(stream, item, published.content, published.content_filters)
        except Conflict:
            return self._owner.stall(stream)
        except (Mismatch, FilterError) as error:
            return self._pass_over(stream, item, error, now)
        if isinstance(content, FilterRun):
            return self.checks.start(stream, item, content, now)
        return self._act_on_stream(stream, item.channel, published.action, content, parts, now)

    def _act_on_stream(
        self,
        stream: TrackedStream,
        channel: str,
        action: Action,
        content: bytes | None,
        parts: dict[tuple[bool, bytes], list[int]],
        now: float,
    ) -> list[Effect]:
        """Do what an item wants of a stream; content that is to be sent goes to `parts`."""
        if content is None:
            return []
        if action is Action.SEND:
            stream.sent_at[channel] = now
            if content:
                parts.setdefault((stream.shape.is_chunked, content), []).append(stream.conn_id)
        elif action is Action.CLOSE:
            return self._owner.end(stream, "", now)
        elif action is Action.HINT and stream.link is not None:
            return self._owner.fetch(stream, now)
        return []

    def _keep_for_later(self, stream: TrackedStream, item: PublishItem, now: float) -> list[Effect]:
        """Let an item wait for the stream's next part, which tells whether it comes after it."""
        assert item.http_stream is not None
        if item.http_stream.action is Action.HINT:
            if stream.state is STALLED:
                stream.queue.clear()
                return self._owner.fetch(stream, now)
            stream.is_hinted = True
            return []
        if len(stream.queue) < QUEUE_MAX_COUNT:
            stream.queue.append(item)
        else:
            self.dropped_count += 1
        return []

    def drain(self, stream: TrackedStream, now: float) -> list[Effect]:
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
        if hold.conn_id in self.checks:
            return self._wait(hold.conn_id, item)
        try:
            given = patched_body(hold, published)
        except PatchError:  # the filters have the first word: the item may not be for this client
            given = b""
        try:
            body = self._take(hold, item, given, published.content_filters)
        except Conflict:
            return self._owner.stall_response(hold)
        except (Mismatch, FilterError) as error:
            return self._pass_over(hold, item, error, now)
        if isinstance(body, FilterRun):
            return self.checks.start(hold, item, body, now)
        return self._act_on_response(hold, published, body, now)

    def _act_on_response(
        self, hold: ResponseHold, published: HttpResponseFormat, body: bytes | None, now: float
    ) -> list[Effect]:
        if body is None:
            return []
        if published.action is Action.SEND:
            payload, is_persistent = _encode_filtered(hold, published, body)
            finish = Finish(payload, (hold.conn_id,), is_persistent)
            return [finish, *self._holds.release(hold.conn_id, now)]
        return self._owner.ask_again((hold.conn_id,), now) if published.action is Action.HINT else []

    def _pass_over(
        self, hold: TrackedStream | ResponseHold, item: PublishItem, error: Exception, now: float
    ) -> list[Effect]:
        """Send no item that does not fit; a debug route's client hears why and is ended. Logged once a second."""
        self.unfit_count += 1
        text = _error_text(error)
        logs: list[Effect] = []
        if now - self._unfit_said_at >= 1.0:
            self._unfit_said_at = now
            where = f"item on channel {item.channel!r} for {hold.request.url}"
            logs.append(Log(LOG_WARNING, f"{where} was not sent: {text}"))
        if not hold.request.is_debug:
            return logs
        if isinstance(hold, TrackedStream):
            return self._owner.fail(hold, text, now) + logs
        finished = refuse_responses([hold], text)
        return finished + self._holds.release_all(finished, now) + logs

    def _wait(self, conn_id: int, item: PublishItem) -> list[Effect]:
        if not self.checks.queue(conn_id, item):
            self.dropped_count += 1
        return []

    def _on_verdict(self, check: Check, content: bytes | None, error: FilterError | None, now: float) -> list[Effect]:
        """Go on with a hold whose item was checked, and with the items behind it."""
        hold, item = check.hold, check.item
        effects: list[Effect] = []
        if error is not None:
            effects = self._pass_over(hold, item, error, now)
        elif isinstance(hold, ResponseHold):
            assert item.http_response is not None
            effects = self._act_on_response(hold, item.http_response, content, now)
        else:
            assert item.http_stream is not None
            parts: dict[tuple[bool, bytes], list[int]] = {}
            effects = self._act_on_stream(hold, item.channel, item.http_stream.action, content, parts, now)
            effects = _delivered(parts) + effects
        for later in check.queue:
            if self._holds.holds[hold.conn_id] is hold:
                effects += self._offer((hold.conn_id,), later, now)
        return effects

    def _take(
        self, hold: TrackedStream | ResponseHold, item: PublishItem, content: bytes, assumed: tuple[str, ...] | None
    ) -> bytes | FilterRun | None:
        """Take an item as `Tracking.take` does, also for a hold without one: it has links only."""
        if hold.tracking is not None:
            return hold.tracking.take(item, content, assumed)
        if assumed:
            raise Mismatch((), assumed)
        return content


def _encode_filtered(hold: ResponseHold, published: HttpResponseFormat, body: bytes) -> tuple[bytes, bool]:
    try:
        if not body:  # JSON is never empty: the patch may have failed
            patched_body(hold, published)
    except PatchError as error:
        return hold.request.answer_error(str(error))
    return encode_published(hold, published, body)


def _cost_bytes(item: PublishItem) -> int:
    """Say what an item costs for one hold, as the number of bytes whose writing takes as long."""
    published = item.http_response
    if published is not None and published.body_patch is not None:
        return PATCH_BYTES
    contents = (
        b"" if item.http_stream is None else item.http_stream.content,
        b"" if published is None else published.body,
    )
    return max(len(content) + DIRECTIVE_BYTES * content.count(b"%") for content in contents)


def _delivered(parts: dict[tuple[bool, bytes], list[int]]) -> list[Effect]:
    return [
        Deliver(encode_chunk(content) if is_chunked else content, conn_ids)
        for (is_chunked, content), conn_ids in parts.items()
    ]


def _error_text(error: Exception) -> str:
    return str(error) if isinstance(error, Mismatch) else f"filter error: {error}"
