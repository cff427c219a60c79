"""Items on their way to held HTTP clients that get them as they are: streams and long-polls."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from gripproxy.engine.books import DELIVERED, FILTERED, UNFIT
from gripproxy.engine.delivery import Payloads, answer_responses, end_streams, refuse_responses
from gripproxy.engine.effects import Deliver, Effect
from gripproxy.engine.fan_out import PATCH_BYTES, SLICE_MAX_BYTES
from gripproxy.engine.holds import ResponseHold, StreamHold
from gripproxy.engine.subscriptions import Channel
from gripproxy.engine.tracking import mismatch_text
from gripproxy.protocol.http1 import encode_chunk
from gripproxy.protocol.publish_format import Action, HttpResponseFormat, HttpStreamFormat
from gripproxy.protocol.receipt import Receipt

if TYPE_CHECKING:
    from gripproxy.engine.hold_table import HoldTable

# How many are served before the worker does other work: up to six milliseconds each.
STREAMS_MAX_COUNT = 600  # a write
SMALL_BYTES = SLICE_MAX_BYTES // STREAMS_MAX_COUNT
ANSWERS_MAX_COUNT = 100  # a write, and the connection goes on


class HttpDelivery:
    """Sends items to the streams and long-polls of `table`, and keeps the books of it."""

    def __init__(self, table: "HoldTable") -> None:
        self._table = table
        self._books = table.accounts.books
        self._receptions = table.receptions

    def publish_response(
        self, conn_ids: Collection[int], published: HttpResponseFormat, now: float, receipt: Receipt | None
    ) -> list[Effect]:
        payloads: Payloads = {}

        def answer(some_ids: Collection[int], now: float) -> list[Effect]:
            self._receptions.found_responses(some_ids, receipt)
            if published.action is Action.SEND:
                return self._answer(some_ids, published, payloads, now, receipt)
            if published.action is Action.HINT:
                self._books.end(DELIVERED, len(some_ids), receipt)
                return self._table.follower.ask_again(some_ids, now)
            self._books.end(FILTERED, len(some_ids), receipt)  # `close` has no effect on a long-poll, as in Pushpin
            return []

        size = 0
        if published.action is Action.SEND:
            size = PATCH_BYTES if published.body_patch is not None else len(published.body)
        weight = 1 if receipt is None else receipt.response_blocks or 1
        return self._table.fan_outs.start(answer, conn_ids, size, ANSWERS_MAX_COUNT, now, receipt, weight)

    def _answer(
        self,
        conn_ids: Collection[int],
        published: HttpResponseFormat,
        payloads: Payloads,
        now: float,
        receipt: Receipt | None,
    ) -> list[Effect]:
        """Answer these long-polls, none of which has a filter."""
        holds = [hold for conn_id in conn_ids if isinstance(hold := self._table.holds[conn_id], ResponseHold)]
        if published.content_filters:
            self._books.end(UNFIT, len(holds), receipt)
            effects = refuse_responses(
                [hold for hold in holds if hold.request.is_debug], mismatch_text((), published.content_filters)
            )
        else:
            effects = answer_responses(holds, published, payloads, receipt)
        return effects + self._table.release_all(effects, now)

    def publish_stream(
        self, channel: Channel, published: HttpStreamFormat, now: float, receipt: Receipt | None
    ) -> list[Effect]:
        if published.action is Action.SEND and not published.content_filters:
            return self.deliver(channel, published.content, now, receipt)
        is_fit = not published.content_filters
        text = "" if is_fit else mismatch_text((), published.content_filters or ())

        def act(some_ids: Collection[int], now: float) -> list[Effect]:
            self._receptions.found_streams(some_ids, receipt)
            holds = [hold for conn_id in some_ids if isinstance(hold := self._table.holds[conn_id], StreamHold)]
            if not is_fit:
                self._books.end(UNFIT, len(some_ids), receipt)
                effects = end_streams([hold for hold in holds if hold.shape.is_debug], text)
            elif published.action is Action.CLOSE:
                effects = end_streams(holds, is_item=True, receipt=receipt)
            else:  # without a next link there is nothing that a hint could do
                self._books.end(FILTERED, len(some_ids), receipt)
                return []
            return effects + self._table.release_all(effects, now)

        effects: list[Effect] = []
        for conn_ids in (channel.chunked, channel.raw):
            if conn_ids:
                effects += self._table.fan_outs.start(act, conn_ids.keys(), 0, STREAMS_MAX_COUNT, now, receipt)
        return effects

    def deliver(self, channel: Channel, content: bytes, now: float, receipt: Receipt | None) -> list[Effect]:
        """Send content into the channel's streams."""
        if not self._table.is_paced:
            channel.sent_at = now
        effects: list[Effect] = []
        if channel.chunked:
            payload = encode_chunk(content) if content else b""  # an empty chunk would end the body
            effects = self._write(channel.chunked.keys(), payload, now, receipt)
        if channel.raw:
            effects += self._write(channel.raw.keys(), content, now, receipt)
        return effects

    def _write(self, conn_ids: Collection[int], payload: bytes, now: float, receipt: Receipt | None) -> list[Effect]:
        is_small = len(conn_ids) <= STREAMS_MAX_COUNT and len(payload) <= SMALL_BYTES
        if (
            is_small and not self._table.fan_outs.queue and not self._table.is_paced
        ):  # no fan-out at all, for most items
            return self._send(conn_ids, payload, receipt)

        def deliver(some_ids: Collection[int], now: float) -> list[Effect]:
            if self._table.is_paced:
                self._put_off_keep_alives(some_ids, now)
            return self._send(some_ids, payload, receipt)

        weight = 1 if receipt is None else receipt.stream_blocks or 1
        return self._table.fan_outs.start(deliver, conn_ids, len(payload), STREAMS_MAX_COUNT, now, receipt, weight)

    def _send(self, conn_ids: Collection[int], payload: bytes, receipt: Receipt | None) -> list[Effect]:
        self._receptions.found_streams(conn_ids, receipt)
        if payload:
            return [Deliver(payload, conn_ids, receipt=receipt)]
        self._books.end(DELIVERED, len(conn_ids), receipt)
        return []

    def _put_off_keep_alives(self, conn_ids: Collection[int], now: float) -> None:
        """Begin these streams' periods again. Without a limit on the rate the channel's `sent_at` says it for all."""
        for conn_id in conn_ids:
            hold = self._table.holds[conn_id]
            if isinstance(hold, StreamHold) and hold.shape.keep_alive and not hold.shape.is_interval:
                self._table.schedule_keep_alive(hold, now)
