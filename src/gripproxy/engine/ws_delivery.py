"""Items on their way to WebSocket clients."""

from collections.abc import Collection
from typing import Protocol

from gripproxy.engine.books import CROWDED, DELIVERED, FILTERED, GONE, UNFIT
from gripproxy.engine.effects import LOG_WARNING, Deliver, Effect, Log
from gripproxy.engine.fan_out import DIRECTIVE_BYTES, Step
from gripproxy.engine.filter_checks import Check, FilterChecks
from gripproxy.engine.hold_table import HoldTable
from gripproxy.engine.http_delivery import STREAMS_MAX_COUNT
from gripproxy.engine.item_offers import OFFERS_MAX_COUNT, error_text
from gripproxy.engine.subscriptions import Channel
from gripproxy.engine.tracking import Mismatch, mismatch_text
from gripproxy.engine.ws_keep_alive import WsTimers
from gripproxy.engine.ws_session import WsSession, encode_for_client
from gripproxy.errors import FilterError
from gripproxy.protocol.filters import NETWORK_FILTERS, FilterContext, content_filters_of, filter_content
from gripproxy.protocol.network_filter import FilterRun
from gripproxy.protocol.publish_format import Action, WsMessageFormat
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.protocol.receipt import Receipt
from gripproxy.protocol.websocket_close import INTERNAL_ERROR, NORMAL, encode_close
from gripproxy.protocol.websocket_frame import BINARY, CLOSE, CONTROL_MAX_BYTES, PING, PONG, TEXT, encode_frame

CLOSES_MAX_COUNT = 200  # in one turn of the loop: each has two ends
OPCODES = (TEXT, BINARY, PING, PONG)  # in the order of `WsMessageType`

Parts = dict[tuple[bool, bytes], list[int]]  # connections by whether compression was agreed, and content


class DeliveryOwner(Protocol):
    """Who has the sessions: `WebSockets`."""

    mid_message: set[int]

    def close(
        self, session: WsSession, code: int | None, reason: bytes, now: float, is_written: bool = False
    ) -> list[Effect]:
        """Close both legs; `is_written`: the client has been sent its close frame."""
        ...

    def refresh(self, session: WsSession, now: float) -> list[Effect]:
        """Ask an origin over HTTP whether it has something to say."""
        ...


class WsDelivery:
    """Sends items to WebSocket clients, and keeps the books of it.

    Args:
        checks: for filters that ask a server; those of HTTP clients are among them.
    """

    def __init__(self, holds: HoldTable, timers: WsTimers, owner: DeliveryOwner, checks: FilterChecks) -> None:
        self._holds = holds
        self._timers = timers
        self._owner = owner
        self._checks = checks
        self._books = holds.accounts.books
        self._unfit_said_at = float("-inf")
        holds.socket_delivery = self

    def publish(self, channel: Channel, item: PublishItem, published: WsMessageFormat, now: float) -> list[Effect]:
        """Send an item to the channel's WebSocket clients: now, or when they have their turn."""
        effects: list[Effect] = []
        is_alike = published.action is Action.SEND and not _misfit(published)
        if is_alike and not self._holds.is_paced:
            channel.framed_at = now
        for conn_ids, is_deflating in ((channel.sockets, False), (channel.deflating, True)):
            if conn_ids and is_alike:
                effects += self._send_alike(conn_ids.keys(), is_deflating, published, now, item.receipt)
            elif conn_ids:
                effects += self._act_alike(conn_ids.keys(), published, now, item.receipt)
        if channel.choosy:

            def offer(some_ids: Collection[int], now: float) -> list[Effect]:
                self._holds.receptions.found_messages(some_ids, item.receipt)
                return self._offer(list(some_ids), item, published, now)

            size = len(published.content) + DIRECTIVE_BYTES * published.content.count(b"%")
            effects += self._start(offer, channel.choosy.keys(), size, OFFERS_MAX_COUNT, now, item.receipt)
        return effects

    def refresh(self, name: str, now: float) -> list[Effect]:
        """Ask the origins of all WebSocket clients on a channel for news. Filters have no say in it."""
        channel = self._holds.subscriptions.channels.get(name)

        def ask(some_ids: Collection[int], now: float) -> list[Effect]:
            effects: list[Effect] = []
            for session in self._sessions(some_ids):
                effects += self._owner.refresh(session, now)
            return effects

        effects: list[Effect] = []
        for conn_ids in () if channel is None else (channel.sockets, channel.deflating, channel.choosy):
            if conn_ids:
                effects += self._holds.fan_outs.start(ask, conn_ids.keys(), 0, CLOSES_MAX_COUNT, now)
        return effects

    # To clients that get the same.

    def _send_alike(
        self,
        conn_ids: Collection[int],
        is_deflating: bool,
        published: WsMessageFormat,
        now: float,
        receipt: Receipt | None,
    ) -> list[Effect]:
        payload = encode_for_client(is_deflating, OPCODES[published.type], published.content)

        def send(some_ids: Collection[int], now: float) -> list[Effect]:
            self._holds.receptions.found_messages(some_ids, receipt)
            if self._holds.is_paced:
                for session in self._sessions(some_ids):
                    self._timers.on_written(session, now)
            return self._write(payload, some_ids, receipt)

        return self._start(send, conn_ids, len(payload), STREAMS_MAX_COUNT, now, receipt)

    def _write(self, payload: bytes, conn_ids: Collection[int], receipt: Receipt | None) -> list[Effect]:
        """Write a whole frame, but to nobody in the middle of a message of his origin: that one misses it."""
        mid_message = self._owner.mid_message
        if mid_message and (busy := [conn_id for conn_id in mid_message if conn_id in conn_ids]):
            self._books.end(CROWDED, len(busy), receipt)
            conn_ids = [conn_id for conn_id in conn_ids if conn_id not in mid_message]
        return [Deliver(payload, conn_ids, receipt=receipt)] if conn_ids else []

    def _act_alike(
        self, conn_ids: Collection[int], published: WsMessageFormat, now: float, receipt: Receipt | None
    ) -> list[Effect]:
        """Do what an item wants that is no message; or pass it over, if it does not fit clients without filters."""
        text = _misfit(published)

        def act(some_ids: Collection[int], now: float) -> list[Effect]:
            self._holds.receptions.found_messages(some_ids, receipt)
            sessions = self._sessions(some_ids)
            if text:
                self._books.end(UNFIT, len(sessions), receipt)
                return self._fail([session for session in sessions if session.shape.is_debug], text, now)
            return self._act(sessions, published, now, receipt)

        return self._start(act, conn_ids, 0, CLOSES_MAX_COUNT, now, receipt)

    def _act(
        self, sessions: list[WsSession], published: WsMessageFormat, now: float, receipt: Receipt | None
    ) -> list[Effect]:
        effects: list[Effect] = []
        if published.action is Action.CLOSE:
            code = NORMAL if published.code is None else published.code
            reason = b"" if published.code is None else published.reason or b""
            conn_ids = [session.conn_id for session in sessions]
            effects.append(Deliver(encode_frame(CLOSE, encode_close(code, reason)), conn_ids, receipt=receipt))
            for session in sessions:
                effects += self._owner.close(session, code, reason, now, is_written=True)
        elif published.action is Action.REFRESH:
            self._books.end(DELIVERED, len(sessions), receipt)
            for session in sessions:
                effects += self._owner.refresh(session, now)
        else:
            self._books.end(FILTERED, len(sessions), receipt)
        return effects

    def _start(
        self,
        step: Step,
        conn_ids: Collection[int],
        payload_bytes: int,
        max_count: int,
        now: float,
        receipt: Receipt | None,
    ) -> list[Effect]:
        weight = 1 if receipt is None else receipt.message_blocks or 1
        return self._holds.fan_outs.start(step, conn_ids, payload_bytes, max_count, now, receipt, weight)

    def _sessions(self, conn_ids: Collection[int]) -> list[WsSession]:
        holds = self._holds.holds
        return [hold for conn_id in conn_ids if isinstance(hold := holds[conn_id], WsSession)]

    # To clients with filters.

    def _offer(
        self, conn_ids: Collection[int], item: PublishItem, published: WsMessageFormat, now: float
    ) -> list[Effect]:
        parts: Parts = {}  # clients that get the same bytes get them in one effect
        effects: list[Effect] = []
        for session in self._sessions(conn_ids):
            if session.conn_id in self._checks:
                self._wait(session, item)
                continue
            try:
                content = self._filter(session, item, published)
            except (Mismatch, FilterError) as error:
                effects += self._pass_over(session, item, error, now)
                continue
            if isinstance(content, FilterRun):
                self._books.pending += 1
                effects += self._checks.start(session, item, content, self._on_verdict, now)
            else:
                effects += self._take(session, published, content, parts, now, item.receipt)
        return self._write_parts(parts, published, item.receipt) + effects

    def _filter(self, session: WsSession, item: PublishItem, published: WsMessageFormat) -> bytes | FilterRun | None:
        """Give what a client gets of an item; None: nothing. A `FilterRun` has to ask a server first.

        Raises:
            Mismatch: the content filters are others than the publisher assumed.
            FilterError: the content does not fit a filter.
        """
        extra = session.extra
        filters = () if extra is None else extra.filters.get(item.channel, ())
        assumed = published.content_filters
        if assumed is not None and (actual := content_filters_of(filters)) != assumed:
            raise Mismatch(actual, assumed)
        meta = {} if extra is None else extra.meta
        context = FilterContext(meta, item.meta, {}, _names(session))
        if NETWORK_FILTERS.isdisjoint(filters):
            return filter_content(filters, context, published.content)
        context.sub_meta = meta.copy()  # as it is now
        return FilterRun(filters, context, {}, published.content)

    def _take(
        self,
        session: WsSession,
        published: WsMessageFormat,
        content: bytes | None,
        parts: Parts,
        now: float,
        receipt: Receipt | None,
    ) -> list[Effect]:
        """Do what an item wants of a client; content that is to be sent goes to `parts`."""
        if content is None:
            self._books.end(FILTERED, 1, receipt)
            return []
        if published.action is not Action.SEND:
            return self._act([session], published, now, receipt)
        self._timers.on_written(session, now)
        parts.setdefault((session.shape.is_deflating, content), []).append(session.conn_id)
        return []

    def _write_parts(self, parts: Parts, published: WsMessageFormat, receipt: Receipt | None) -> list[Effect]:
        effects: list[Effect] = []
        for (is_deflating, content), conn_ids in parts.items():
            opcode = OPCODES[published.type]
            if opcode in (PING, PONG) and len(content) > CONTROL_MAX_BYTES:
                self._books.end(UNFIT, len(conn_ids), receipt)
                continue
            effects += self._write(encode_for_client(is_deflating, opcode, content), conn_ids, receipt)
        return effects

    def _pass_over(self, session: WsSession, item: PublishItem, error: Exception, now: float) -> list[Effect]:
        """Send no item that does not fit; a debug route's client hears why and is closed. Logged once a second."""
        self._books.end(UNFIT, 1, item.receipt)
        text = error_text(error)
        effects: list[Effect] = []
        if now - self._unfit_said_at >= 1.0:
            self._unfit_said_at = now
            where = f"item on channel {item.channel!r} for {session.url}"
            effects.append(Log(LOG_WARNING, f"{where} was not sent: {text}", about=session.conn_id))
        return effects + (self._fail([session], text, now) if session.shape.is_debug else [])

    def _fail(self, sessions: list[WsSession], text: str, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for session in sessions:
            effects += self._owner.close(session, INTERNAL_ERROR, text.encode(errors="replace"), now)
        return effects

    # Filters that ask a server.

    def _wait(self, session: WsSession, item: PublishItem) -> None:
        if self._checks.queue(session.conn_id, item):
            self._books.pending += 1
        else:
            self._books.end(CROWDED, 1, item.receipt)

    def _on_verdict(self, check: Check, content: bytes | None, error: FilterError | None, now: float) -> list[Effect]:
        """Go on with a client whose item was checked, and with the items behind it."""
        session, item = check.hold, check.item
        assert isinstance(session, WsSession) and item.ws_message is not None
        self._books.pending -= 1
        parts: Parts = {}
        if error is not None:
            effects = self._pass_over(session, item, error, now)
        else:
            effects = self._take(session, item.ws_message, content, parts, now, item.receipt)
        effects = self._write_parts(parts, item.ws_message, item.receipt) + effects
        for later in check.queue:
            assert later.ws_message is not None
            self._books.pending -= 1
            if session.channels:
                effects += self._offer((session.conn_id,), later, later.ws_message, now)
            else:
                self._books.end(GONE, 1, later.receipt)
        return effects

    def forget(self, session: WsSession) -> list[Effect]:
        """Send a client nothing of what waits for it."""
        check, effects = self._checks.leave(session.conn_id)
        for item in () if check is None else (check.item, *check.queue):
            self._books.pending -= 1
            self._books.end(GONE, 1, item.receipt)
        return effects


def _misfit(published: WsMessageFormat) -> str:
    """Say why a client without filters does not get an item; empty if it does."""
    if published.content_filters:
        return mismatch_text((), published.content_filters)
    is_control = published.action is Action.SEND and OPCODES[published.type] in (PING, PONG)
    if is_control and len(published.content) > CONTROL_MAX_BYTES:
        return f"a control frame has at most {CONTROL_MAX_BYTES} bytes"
    return ""


def _names(session: WsSession) -> frozenset[str]:
    """Give the channels as the origin knows them, for ``require-sub``: without the route's prefix."""
    prefix, subs = session.shape.route.prefix, session.shape.target.subs
    names = [channel.name for channel in session.channels]
    return frozenset([name if name in subs else name.removeprefix(prefix) for name in names])
