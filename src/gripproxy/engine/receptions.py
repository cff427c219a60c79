"""Who receives items: counted as their turn comes, in the books and for their routes."""

from collections.abc import Collection, Mapping, Sequence

from gripproxy.engine.accounts import Accounts
from gripproxy.engine.books import OVER_RATE
from gripproxy.engine.holds import Hold, ResponseHold
from gripproxy.engine.traffic import RouteTraffic
from gripproxy.engine.ws_session import WsSession
from gripproxy.protocol.item_blocks import MESSAGE, RESPONSE, STREAM, blocks_by_transport
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.protocol.receipt import Receipt
from gripproxy.protocol.telemetry import Traffic

SENT, RESPONSES_SENT, BLOCKS_SENT = int(Traffic.SENT), int(Traffic.RESPONSES_SENT), int(Traffic.BLOCKS_SENT)
NOBODY_ASKED = -1  # the number of a receipt that is not told


class Receptions:
    """Counts receivers of items in one worker.

    Args:
        holds: by connection id, kept up to date by `HoldTable`.

    `block_bytes` is what items are counted in besides; 0: they are not.
    """

    def __init__(self, holds: Sequence[Hold | None], accounts: Accounts) -> None:
        self.block_bytes = 0
        self._holds = holds
        self._books = accounts.books
        self._routes = accounts.traffic.routes
        self._only: RouteTraffic | None = None  # as long as there is one, which is mostly so

    def measure(self, item: PublishItem) -> None:
        """Say in the item's receipt how many blocks it has for each receiver. It gets a receipt if it has none."""
        if item.receipt is None:
            item.receipt = Receipt(NOBODY_ASKED)
        blocks = blocks_by_transport(item, self.block_bytes)
        item.receipt.response_blocks = blocks.get(RESPONSE, 0)
        item.receipt.stream_blocks = blocks.get(STREAM, 0)
        item.receipt.message_blocks = blocks.get(MESSAGE, 0)

    def found_responses(self, conn_ids: Collection[int], receipt: Receipt | None) -> None:
        """Count these long-polls as receivers of an item."""
        self._books.found(len(conn_ids), 0, 0, receipt)
        self._count(SENT, conn_ids)
        self._count(RESPONSES_SENT, conn_ids)
        if receipt is not None and receipt.response_blocks:
            self._count_blocks(conn_ids, receipt.response_blocks)

    def found_streams(self, conn_ids: Collection[int], receipt: Receipt | None) -> None:
        """Count these streams as receivers of an item."""
        self._books.found(0, len(conn_ids), 0, receipt)
        self._count(SENT, conn_ids)
        if receipt is not None and receipt.stream_blocks:
            self._count_blocks(conn_ids, receipt.stream_blocks)

    def found_messages(self, conn_ids: Collection[int], receipt: Receipt | None) -> None:
        """Count these WebSocket clients as receivers of an item."""
        self._books.found(0, 0, len(conn_ids), receipt)
        self._count(SENT, conn_ids)
        if receipt is not None and receipt.message_blocks:
            self._count_blocks(conn_ids, receipt.message_blocks)

    def on_over(self, conn_ids: Collection[int], receipt: Receipt | None) -> None:
        """Count these as receivers that miss an item, as too much waits: see `Pacing`."""
        holds = self._holds
        responses = [conn_id for conn_id in conn_ids if isinstance(holds[conn_id], ResponseHold)]
        messages = [conn_id for conn_id in conn_ids if isinstance(holds[conn_id], WsSession)]
        if responses:
            self.found_responses(responses, receipt)
        if messages:
            self.found_messages(messages, receipt)
        if len(responses) + len(messages) < len(conn_ids):
            self.found_streams(list(set(conn_ids).difference(responses, messages)), receipt)
        self._books.end(OVER_RATE, len(conn_ids), receipt)

    def by_route(self, conn_ids: Collection[int]) -> Mapping[str, Collection[int]]:
        """Give the ids by their routes' ids, "" for all routes that have none."""
        if len(self._routes) == 1:
            return {next(iter(self._routes)): conn_ids}
        by_route: dict[str, list[int]] = {}
        for conn_id in conn_ids:
            by_route.setdefault(self._traffic_of(conn_id).route, []).append(conn_id)
        return by_route

    def _count(self, column: int, conn_ids: Collection[int]) -> None:
        """Add 1 for each of these to its route's column."""
        if len(self._routes) == 1:
            if self._only is None:
                self._only = next(iter(self._routes.values()))
            self._only.values[column] += len(conn_ids)
            return
        for conn_id in conn_ids:
            self._traffic_of(conn_id).values[column] += 1

    def _count_blocks(self, conn_ids: Collection[int], blocks: int) -> None:
        for conn_id in conn_ids:
            self._traffic_of(conn_id).values[BLOCKS_SENT] += blocks

    def _traffic_of(self, conn_id: int) -> RouteTraffic:
        hold = self._holds[conn_id]
        assert hold is not None
        return hold.traffic
