"""Items on their way to tracked holds: each hold takes them in its own way."""

from collections import deque
from collections.abc import Collection
from typing import Protocol

from gripproxy.engine.books import CROWDED, DELIVERED, FILTERED, GONE, REFETCHED, UNFIT, End
from gripproxy.engine.delivery import encode_published, end_streams, patched_body, refuse_responses
from gripproxy.engine.effects import LOG_WARNING, Deliver, Effect, Finish, Log
from gripproxy.engine.fan_out import DIRECTIVE_BYTES, PATCH_BYTES
from gripproxy.engine.filter_checks import Check, FilterChecks
from gripproxy.engine.hold_table import HoldTable
from gripproxy.engine.holds import HOLDING, QUEUE_MAX_COUNT, STALLED, ResponseHold, TrackedStream
from gripproxy.engine.link_requests import LinkRequests
from gripproxy.engine.subscriptions import Channel
from gripproxy.engine.tracking import Conflict, Mismatch
from gripproxy.engine.ws_session import WsSession
from gripproxy.errors import FilterError, PatchError
from gripproxy.protocol.http1 import encode_chunk
from gripproxy.protocol.network_filter import FilterRun
from gripproxy.protocol.publish_format import Action, HttpResponseFormat
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.protocol.receipt import Receipt

Parts = dict[tuple[bool, bytes], list[int]]  # connections by whether they get chunks, and content

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
    """Offers items to tracked holds, and keeps the books of it."""

    def __init__(self, holds: HoldTable, requests: LinkRequests, owner: OfferOwner) -> None:
        self.checks = FilterChecks(requests, holds.wheel)
        self._unfit_said_at = float("-inf")
        self._holds = holds
        self._owner = owner
        self._books = holds.accounts.books

    def publish(self, channel: Channel, item: PublishItem, now: float) -> list[Effect]:
        """Send an item to the channel's tracked holds: each takes it in its own way."""

        def offer(conn_ids: Collection[int], now: float) -> list[Effect]:
            self._count_found(conn_ids, item)
            return self._offer(conn_ids, item, now)

        assert channel.tracked is not None
        conn_ids: Collection[int] = channel.tracked.keys()
        if self._holds.is_paced and (item.http_stream is None or item.http_response is None):
            conn_ids = self._meant(conn_ids, item)
        return self._holds.fan_outs.start(
            offer, conn_ids, _cost_bytes(item), OFFERS_MAX_COUNT, now, item.receipt, _weight(item)
        )

    def _meant(self, conn_ids: Collection[int], item: PublishItem) -> list[int]:
        """Give those for whom the item has a format: others should neither wait for it nor miss it."""
        kind = TrackedStream if item.http_stream is not None else ResponseHold if item.http_response is not None else ()
        return [conn_id for conn_id in conn_ids if isinstance(self._holds.holds[conn_id], kind)]

    def _count_found(self, conn_ids: Collection[int], item: PublishItem) -> None:
        holds = self._holds.holds
        if item.http_stream is not None:
            streams = [conn_id for conn_id in conn_ids if isinstance(holds[conn_id], TrackedStream)]
            self._holds.receptions.found_streams(streams, item.receipt)
        if item.http_response is not None:
            responses = [conn_id for conn_id in conn_ids if isinstance(holds[conn_id], ResponseHold)]
            self._holds.receptions.found_responses(responses, item.receipt)

    def _offer(self, conn_ids: Collection[int], item: PublishItem, now: float) -> list[Effect]:
        parts: Parts = {}  # holds that get the same bytes get them in one effect
        effects: list[Effect] = []
        for conn_id in list(conn_ids):
            hold = self._holds.holds[conn_id]
            if isinstance(hold, TrackedStream):
                if item.http_stream is not None:
                    effects += self._offer_stream(hold, item, parts, now)
            elif isinstance(hold, ResponseHold) and item.http_response is not None:
                effects += self._offer_response(hold, item, item.http_response, now)
        return _delivered(parts, item.receipt) + effects

    def _offer_stream(self, stream: TrackedStream, item: PublishItem, parts: Parts, now: float) -> list[Effect]:
        published = item.http_stream
        assert published is not None
        if stream.conn_id in self.checks:
            return self._wait(stream.conn_id, item)
        if stream.state is not HOLDING:
            return self._keep_for_later(stream, item, now)
        try:
            content = self._take(stream, item, published.content, published.content_filters)
        except Conflict:
            self._books.end(REFETCHED, 1, item.receipt)
            return self._owner.stall(stream)
        except (Mismatch, FilterError) as error:
            return self._pass_over(stream, item, error, now)
        if isinstance(content, FilterRun):
            self._books.pending += 1
            return self.checks.start(stream, item, content, self._on_verdict, now)
        return self._act_on_stream(stream, item, published.action, content, parts, now)

    def _act_on_stream(
        self,
        stream: TrackedStream,
        item: PublishItem,
        action: Action,
        content: bytes | None,
        parts: Parts,
        now: float,
    ) -> list[Effect]:
        """Do what an item wants of a stream; content that is to be sent goes to `parts`."""
        if content is None or (action is Action.HINT and stream.link is None):
            self._books.end(FILTERED, 1, item.receipt)
            return []
        if action is Action.SEND:
            stream.sent_at[item.channel] = now
            if content:
                parts.setdefault((stream.shape.is_chunked, content), []).append(stream.conn_id)
                return []
        elif action is Action.CLOSE:
            finished = end_streams([stream], is_item=True, receipt=item.receipt)
            return finished + self._holds.release_all(finished, now)
        self._books.end(DELIVERED, 1, item.receipt)
        return self._owner.fetch(stream, now) if action is Action.HINT else []

    def _keep_for_later(self, stream: TrackedStream, item: PublishItem, now: float) -> list[Effect]:
        """Let an item wait for the stream's next part, which tells whether it comes after it."""
        assert item.http_stream is not None
        if item.http_stream.action is Action.HINT:
            self._books.end(DELIVERED, 1, item.receipt)
            if stream.state is STALLED:
                self.forget_queue(stream, REFETCHED)
                return self._owner.fetch(stream, now)
            stream.is_hinted = True
            return []
        if len(stream.queue) < QUEUE_MAX_COUNT:
            stream.queue.append(item)
            self._books.pending += 1
        else:
            self._books.end(CROWDED, 1, item.receipt)
        return []

    def forget_queue(self, stream: TrackedStream, end: End) -> None:
        """Send nothing of what waited for a stream's next part."""
        for item in stream.queue:
            self._end_pending(item, end)
        stream.queue.clear()

    def leave(self, hold: TrackedStream | ResponseHold) -> list[Effect]:
        """Forget what a hold that is over has waited for."""
        if isinstance(hold, TrackedStream):
            self.forget_queue(hold, GONE)
        check, effects = self.checks.leave(hold.conn_id)
        for item in () if check is None else (check.item, *check.queue):
            self._end_pending(item, GONE)
        return effects

    def _end_pending(self, item: PublishItem, end: End) -> None:
        self._books.pending -= 1
        self._books.end(end, 1, item.receipt)

    def drain(self, stream: TrackedStream, now: float) -> list[Effect]:
        """Send what waited, but not what the next part contains already: items before the first that follows it."""
        queue, stream.queue = stream.queue, deque()
        subscribed = {channel.name for channel in stream.channels}
        found: set[str] = set()
        effects: list[Effect] = []
        for item in queue:
            if self._holds.holds[stream.conn_id] is not stream:
                self._end_pending(item, GONE)
                continue
            is_next = stream.tracking is None or stream.tracking.is_next(item)
            if item.channel not in subscribed or (item.channel not in found and not is_next):
                self._end_pending(item, REFETCHED)
                continue
            found.add(item.channel)
            self._books.pending -= 1
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
            self._books.end(REFETCHED, 1, item.receipt)
            return self._owner.stall_response(hold)
        except (Mismatch, FilterError) as error:
            return self._pass_over(hold, item, error, now)
        if isinstance(body, FilterRun):
            self._books.pending += 1
            return self.checks.start(hold, item, body, self._on_verdict, now)
        return self._act_on_response(hold, item, published, body, now)

    def _act_on_response(
        self, hold: ResponseHold, item: PublishItem, published: HttpResponseFormat, body: bytes | None, now: float
    ) -> list[Effect]:
        if body is None or published.action not in (Action.SEND, Action.HINT):
            self._books.end(FILTERED, 1, item.receipt)
            return []
        if published.action is Action.SEND:
            payload, is_persistent = _encode_filtered(hold, published, body)
            finish = Finish(payload, (hold.conn_id,), is_persistent, True, item.receipt)
            return [finish, *self._holds.release(hold.conn_id, now)]
        self._books.end(DELIVERED, 1, item.receipt)
        return self._owner.ask_again((hold.conn_id,), now)

    def _pass_over(
        self, hold: TrackedStream | ResponseHold, item: PublishItem, error: Exception, now: float
    ) -> list[Effect]:
        """Send no item that does not fit; a debug route's client hears why and is ended. Logged once a second."""
        self._books.end(UNFIT, 1, item.receipt)
        text = error_text(error)
        logs: list[Effect] = []
        if now - self._unfit_said_at >= 1.0:
            self._unfit_said_at = now
            where = f"item on channel {item.channel!r} for {hold.request.url}"
            logs.append(Log(LOG_WARNING, f"{where} was not sent: {text}", about=hold.conn_id))
        if not hold.request.is_debug:
            return logs
        if isinstance(hold, TrackedStream):
            return self._owner.fail(hold, text, now) + logs
        finished = refuse_responses([hold], text)
        return finished + self._holds.release_all(finished, now) + logs

    def _wait(self, conn_id: int, item: PublishItem) -> list[Effect]:
        if self.checks.queue(conn_id, item):
            self._books.pending += 1
        else:
            self._books.end(CROWDED, 1, item.receipt)
        return []

    def _on_verdict(self, check: Check, content: bytes | None, error: FilterError | None, now: float) -> list[Effect]:
        """Go on with a hold whose item was checked, and with the items behind it."""
        hold, item = check.hold, check.item
        assert not isinstance(hold, WsSession)
        effects: list[Effect] = []
        self._books.pending -= 1
        if error is not None:
            effects = self._pass_over(hold, item, error, now)
        elif isinstance(hold, ResponseHold):
            assert item.http_response is not None
            effects = self._act_on_response(hold, item, item.http_response, content, now)
        else:
            assert item.http_stream is not None
            parts: Parts = {}
            effects = self._act_on_stream(hold, item, item.http_stream.action, content, parts, now)
            effects = _delivered(parts, item.receipt) + effects
        for later in check.queue:
            if self._holds.holds[hold.conn_id] is hold:
                self._books.pending -= 1
                effects += self._offer((hold.conn_id,), later, now)
            else:
                self._end_pending(later, GONE)
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


def _weight(item: PublishItem) -> int:
    """Say how many deliveries one of this item counts as, where there is a limit on their rate."""
    receipt = item.receipt
    return 1 if receipt is None else max(receipt.response_blocks, receipt.stream_blocks, 1)


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


def _delivered(parts: Parts, receipt: Receipt | None) -> list[Effect]:
    return [
        Deliver(encode_chunk(content) if is_chunked else content, conn_ids, receipt=receipt)
        for (is_chunked, content), conn_ids in parts.items()
    ]


def error_text(error: Exception) -> str:
    return str(error) if isinstance(error, Mismatch) else f"filter error: {error}"
