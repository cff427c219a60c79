"""What this worker tells of itself: requests, holds and connections as they come and go, to the log and to the hub.

What nobody looks at is not even made: `Field.WATCHED` of the hub's row says what somebody does.
"""

import asyncio
import contextlib
import os
import secrets
import time
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import zmq

from gripproxy.bus.watched_socket import AnyContext, connect
from gripproxy.engine.client_request import ClientRequest
from gripproxy.engine.core import Core
from gripproxy.engine.observer import Answer
from gripproxy.engine.subscriptions import Channel
from gripproxy.engine.traffic import RouteTraffic
from gripproxy.engine.ws_session import WsSession
from gripproxy.event_log import EventLog
from gripproxy.protocol.front_proxies import FrontProxies
from gripproxy.protocol.header_params import header_value
from gripproxy.protocol.link_url import LinkUrl
from gripproxy.protocol.receipt import Receipt
from gripproxy.protocol.telemetry import (
    AudienceRecord,
    ConnEndRecord,
    ConnRecord,
    HoldRecord,
    LiveConnsRecord,
    Outcome,
    ReceiptRecord,
    Record,
    RequestRecord,
    SubsRecord,
    TrafficRecord,
    encode_records,
)
from gripproxy.scoreboard import Field, Watch
from gripproxy.settings import Settings
from gripproxy_worker.client_sockets import ClientSockets
from gripproxy_worker.connection_names import ConnectionNames
from gripproxy_worker.metering import Meter

MESSAGES_HWM = 1_000  # that wait for the hub; past it records are dropped and counted
RECORDS_MAX_COUNT = 500  # in one message
RECEIPTS_MAX_COUNT = 10_000  # open ones; past it the oldest are told as they are
SUBS_MAX_COUNT = 2_000  # channels told in one turn of the loop: about 2 ms
CONNS_MAX_COUNT = 1_000  # connections told in one turn
CONN_REFRESH_SHARE = 0.75  # of their packets' time to live, within which all are told again
TRAFFIC_S = 1.0
ACTIVITY_S = 0.05  # from the first record to its message

_CONNS, _SUBS, _ACTIVITY, _EVENTS = map(int, (Watch.CONNS, Watch.SUBS, Watch.ACTIVITY, Watch.EVENTS))


class Telemetry:
    """Observes the engine; `tick` is to be called several times in a second."""

    def __init__(
        self,
        settings: Settings,
        worker_index: int,
        rows: tuple[memoryview, memoryview],
        core: Core,
        sockets: ClientSockets,
        loop: asyncio.AbstractEventLoop,
        event_log: EventLog,
    ) -> None:
        """Observe `core`. `rows`: the worker's of the scoreboard, and the hub's."""
        self.watched = 0
        self.event_log = event_log
        self.meter: Meter | None = None  # the driver's
        self._settings = settings
        self._worker_index = worker_index
        self._row, self._hub_row = rows
        self._core = core
        self._sockets = sockets
        self._loop = loop
        self._proxies = FrontProxies(settings.set_real_ip_from)
        self._names = ConnectionNames(worker_index, secrets.randbits(40), int(time.time() * 1000) * 64)
        self._addresses: dict[int, str] = {}  # of clients whose logical address is not their socket's
        self._records: list[Record] = []
        self._is_telling = False
        self._receipts: deque[Receipt] = deque()
        self._socket: zmq.Socket[bytes] | None = None
        self._traffic_at = 0.0
        self._subs: Iterator[str] | None = None  # channels still to be told to who has just begun to look
        self._is_subs_first = False
        # Connections that are told again: the next one, how many are due by now, and whether all are, as somebody has
        # just begun to look.
        self._next_conn = 0
        self._conns_due_count = 0.0
        self._conns_at = 0.0
        self._is_conns_first = False
        self._claimed_https: set[int] = set()  # connections that a proxy in front says are by TLS

    def connect(self, zmq_context: AnyContext) -> None:
        """Tell the hub from now on.

        Raises:
            ConfigError: the socket's path is not one.
        """
        push = zmq_context.socket(zmq.PUSH)
        push.setsockopt(zmq.SNDHWM, MESSAGES_HWM)
        push.setsockopt(zmq.LINGER, 0)
        connect(push, "rundir", f"ipc://{self._settings.own_ipc_path('telemetry')}")
        self._socket = push

    def move(self, path: str) -> None:
        """Tell the hub at another path from now on; without one, that of this version. What was told stays told."""
        if self._socket is None:
            return
        before: Any = self._socket.getsockopt(zmq.LAST_ENDPOINT)
        after = f"ipc://{path or self._settings.own_ipc_path('telemetry')}"
        if before.rstrip(b"\0").decode() != after:
            connect(self._socket, "rundir", after)
            self._socket.disconnect(before)

    def use_settings(self, settings: Settings) -> None:
        """Go by other settings from now on."""
        self._settings = settings
        self._proxies = FrontProxies(settings.set_real_ip_from)
        self.event_log.use_settings(settings)

    def close(self) -> None:
        """Tell the last things and stop."""
        self.event_log.flush()
        if self._socket is not None:
            self._send()
            self._socket.close(100)
            self._socket = None

    # The engine's observer.

    def on_request(self, conn_id: int, request: ClientRequest) -> None:
        self._names.begin(conn_id, request.is_websocket)
        if self.meter is not None:
            self.meter.began(conn_id, request)
        if self._settings.set_real_ip_from:
            self._note_address(conn_id, request)
        if request.is_https and not self._sockets.is_https(conn_id):
            self._claimed_https.add(conn_id)
        if self.watched & _CONNS:
            self._tell(self._conn_record(conn_id, request.is_https, request.traffic.route, request.client_ip))
        elif self.watched & _ACTIVITY:
            self._tell_soon()

    def on_answer(self, conn_id: int, request: ClientRequest, outcome: Outcome, answer: Answer) -> None:
        log = self.event_log
        if outcome is Outcome.FAILED:
            self._row[Field.RESPONSES_CUT] += 1
        if not (log.wants(RequestRecord.kind) or self.watched & _EVENTS):
            return
        head = request.head
        target = request.target
        record = RequestRecord(
            time.time(),
            self.id_of(conn_id),
            self._addresses.get(conn_id, request.client_ip),
            head.method.decode("latin-1"),
            _url(request),
            request.traffic.route,
            "" if target is None else target.label,
            answer.status,
            outcome,
            answer.body_bytes,
            self._loop.time() - answer.began_at,
            answer.is_retry,
            _text(header_value(head.headers, b"referer")),
            _text(header_value(head.headers, b"user-agent")),
            _last_ids(request),
            is_over_http=request.is_websocket and target is not None and target.over_http,
        )
        self._note(record)

    def on_hold(
        self, conn_id: int, request: ClientRequest, mode: str, channels: Sequence[Channel], is_retry: bool
    ) -> None:
        self._row[Field.HOLDS_STREAM if mode == "stream" else Field.HOLDS_RESPONSE] += 1
        self._note_hold(conn_id, _url(request), request.traffic.route, mode, channels, is_retry)

    def _note_hold(
        self, conn_id: int, url: str, route: str, mode: str, channels: Sequence[Channel], is_retry: bool = False
    ) -> None:
        if self.watched & _SUBS:
            self._tell_soon()
        if self.event_log.wants(HoldRecord.kind) or self.watched & _EVENTS:
            names = [channel.name for channel in channels]
            self._note(HoldRecord(time.time(), self.id_of(conn_id), url, route, mode, names, is_retry))

    def on_socket(self, session: WsSession) -> None:
        self._row[Field.HOLDS_WEBSOCKET] += 1

    def on_subscribe(self, session: WsSession, channel: Channel) -> None:
        url = session.url
        shown = f"{'wss' if url.is_https else 'ws'}://{url.host}{url.target}"
        self._note_hold(session.conn_id, shown, session.traffic.route, "ws", (channel,))

    def connection_id(self, conn_id: int) -> bytes:
        return self._names.connection_id(conn_id)

    def on_link(self, conn_id: int, request: ClientRequest, url: LinkUrl, outcome: Outcome, answer: Answer) -> None:
        if self.event_log.wants(RequestRecord.kind) or self.watched & _EVENTS:
            duration_s, route = self._loop.time() - answer.began_at, request.traffic.route
            name, status, size = self.id_of(conn_id), answer.status, answer.body_bytes
            record = RequestRecord(
                time.time(), name, "", "GET", str(url), route, "", status, outcome, size, duration_s, is_link=True
            )
            self._note(record)

    def on_end(self, conn_id: int, traffic: RouteTraffic) -> None:
        self._addresses.pop(conn_id, None)
        self._claimed_https.discard(conn_id)
        if self.meter is not None:
            self.meter.ended(conn_id, traffic)
        if self.watched & _CONNS:
            self._tell(ConnEndRecord(self.id_of(conn_id), traffic.route))
        elif self.watched & _SUBS:
            self._tell_soon()
        self._names.end(conn_id)

    def identity(self, conn_id: int) -> tuple[Any, ...]:
        address, is_claimed_https = self._addresses.get(conn_id), conn_id in self._claimed_https
        return (*self._names.identity(conn_id), address, is_claimed_https)

    def on_handed_over(self, conn_id: int) -> None:
        self._addresses.pop(conn_id, None)
        self._claimed_https.discard(conn_id)
        self._names.forget(conn_id)

    def on_taken_over(self, conn_id: int, identity: Sequence[Any]) -> None:
        self._names.take_over(conn_id, identity)
        address, is_claimed_https = identity[4:6]
        if address is not None:
            self._addresses[conn_id] = address
        if is_claimed_https:
            self._claimed_https.add(conn_id)

    def _note(self, record: RequestRecord | HoldRecord) -> None:
        if self.event_log.wants(record.kind):
            self.event_log.note(record)
        if self.watched & _EVENTS:
            self._tell(record)

    # Names of connections.

    def id_of(self, conn_id: int) -> str:
        """Give the id of a connection's request, in log lines, packets and answers."""
        return self._names.name(conn_id)

    def live(self, query: int, ids: Sequence[str]) -> None:
        """Tell the hub which of these ids are connections of this worker now."""
        self._tell(LiveConnsRecord(self._worker_index, query, [each for each in ids if self._names.is_live(each)]))
        self._send()

    def tell_audience(self, names: Sequence[str]) -> None:
        """Tell the hub how many listen to each of these channels here."""
        channels, counts = self._core.holds.subscriptions.channels, dict[str, int]()
        for name in names:
            channel = channels.get(name)
            counts[name] = 0 if channel is None else sum(channel.counts)
        self._tell(AudienceRecord(self._worker_index, counts))

    def socket_of(self, connection_id: str) -> int | None:
        """Give the number of the WebSocket connection that has this id; None if there is none, or none any more."""
        return self._names.socket_of(connection_id)

    def _note_address(self, conn_id: int, request: ClientRequest) -> None:
        """Remember what address a proxy in front gives for its client: the last that is no proxy's of ours."""
        if not self._proxies.has(request.client_ip):
            return
        values = [value for name, value in request.head.headers if name.lower() == b"x-forwarded-for"]
        for entry in reversed(b",".join(values).decode("latin-1").split(",")):
            address = entry.strip()
            with contextlib.suppress(ValueError):
                if address and not self._proxies.has(address):
                    self._addresses[conn_id] = address
                    return

    def _conn_record(self, conn_id: int, is_https: bool, route: str, client_ip: str) -> ConnRecord:
        kind = "ws" if self._names.is_socket(conn_id) else "http"
        return ConnRecord(self.id_of(conn_id), kind, self._addresses.get(conn_id, client_ip), is_https, route)

    # Receipts.

    def expect(self, receipt: Receipt) -> None:
        """Tell what became of an item, now if nothing of it is under way, or when that is over."""
        if receipt.is_done:
            self._tell_receipt(receipt)
            return
        self._receipts.append(receipt)
        if len(self._receipts) > RECEIPTS_MAX_COUNT:
            self._tell_receipt(self._receipts.popleft())

    def _tell_receipt(self, receipt: Receipt) -> None:
        self._tell(
            ReceiptRecord(
                self._worker_index,
                receipt.number,
                receipt.responses,
                receipt.streams,
                receipt.messages,
                receipt.delivered,
                receipt.filtered,
                receipt.dropped,
            )
        )

    def _tell_done_receipts(self) -> None:
        receipts, self._receipts = self._receipts, deque()
        for receipt in receipts:
            if receipt.is_done:
                self._tell_receipt(receipt)
            else:
                self._receipts.append(receipt)

    # Time.

    def tick(self) -> None:
        """Look at what is wanted, and tell what is due."""
        watched = self._hub_row[Field.WATCHED]
        if watched != self.watched:
            self._change_watch(watched)
        self._core.accounts.traffic.tick(self._loop.time())
        if self._receipts:
            self._tell_done_receipts()
        if self.watched & _SUBS:  # which a message that was not taken ends
            self._tell_subs()
        if watched & _CONNS:
            self._tell_conns_again()
        if self._loop.time() - self._traffic_at >= TRAFFIC_S:
            self._tell_traffic()
        self._send()
        self.event_log.flush()

    def retell(self) -> None:
        """Tell a new hub all that it cannot know: its predecessor's end may have gone unnoticed here."""
        self._change_watch(self._hub_row[Field.WATCHED] & ~_SUBS)
        self._traffic_at = 0.0

    def _change_watch(self, watched: int) -> None:
        began = watched & ~self.watched
        self.watched = watched
        accounts = self._core.accounts
        if began & _SUBS:
            accounts.changed = set()
            self._subs, self._is_subs_first = iter(list(self._core.holds.subscriptions.channels)), True
        elif not watched & _SUBS:
            accounts.changed = self._subs = None
        if began & _CONNS:
            self._next_conn, self._is_conns_first = 0, True

    def _tell_traffic(self) -> None:
        self._traffic_at = self._loop.time()
        by_route = self._core.accounts.traffic.take()
        self._tell(TrafficRecord(self._worker_index, os.getpid(), by_route))

    def _tell_subs(self) -> None:
        """Tell all channels, a part in each tick, and then those that change."""
        channels, changed = self._core.holds.subscriptions.channels, self._core.accounts.changed
        assert changed is not None
        names: list[str] = []
        is_all = False
        if self._subs is not None:
            names = list(islice(self._subs, SUBS_MAX_COUNT))
            is_all = len(names) < SUBS_MAX_COUNT
            if is_all:
                self._subs = None
        elif changed:
            names = [changed.pop() for _ in range(min(len(changed), SUBS_MAX_COUNT))]
        else:
            return
        counts: list[list[str | int]] = []
        for name in names:
            channel = channels.get(name)
            streams_count, responses_count, sockets_count = (0, 0, 0) if channel is None else channel.counts
            counts.append(["stream", name, streams_count])
            counts.append(["response", name, responses_count])
            counts.append(["ws", name, sockets_count])
        self._tell(SubsRecord(self._worker_index, self._is_subs_first, is_all, counts))
        self._is_subs_first = False

    def _tell_conns_again(self) -> None:
        """Tell some of the connections: each in time, and all to who has just begun to look."""
        now, period_s = self._loop.time(), self._settings.stats_connection_ttl * CONN_REFRESH_SHARE / 1.5
        self._conns_due_count += len(self._names) * min(1.0, (now - self._conns_at) / period_s)
        self._conns_at = now
        count = CONNS_MAX_COUNT if self._is_conns_first else min(CONNS_MAX_COUNT, int(self._conns_due_count))
        self._conns_due_count = max(0.0, self._conns_due_count - count)
        for conn_id in range(self._next_conn, min(self._next_conn + count, len(self._names))):
            if not self._names.is_known(conn_id):
                continue
            traffic = self._core.traffic_of(conn_id)
            if traffic is None:
                continue
            is_https = self._sockets.is_https(conn_id) or conn_id in self._claimed_https
            self._tell(self._conn_record(conn_id, is_https, traffic.route, self._sockets.client_ip(conn_id)))
        self._next_conn += count
        if self._next_conn >= len(self._names):
            self._next_conn, self._is_conns_first = 0, False

    # To the hub.

    def _tell(self, record: Record) -> None:
        self._records.append(record)
        if len(self._records) >= RECORDS_MAX_COUNT:
            self._send()
        elif not self._is_telling:
            self._tell_soon()

    def _tell_soon(self) -> None:
        if not self._is_telling:
            self._is_telling = True
            self._loop.call_later(ACTIVITY_S, self._on_soon)

    def _on_soon(self) -> None:
        self._is_telling = False
        if self.watched & _ACTIVITY:
            self._tell_traffic()
        if self.watched & _SUBS:
            self._tell_subs()
        self._send()

    def _send(self) -> None:
        if not self._records:
            return
        records, self._records = self._records, []
        try:
            if self._socket is None:
                raise zmq.Again
            self._socket.send(encode_records(records), zmq.NOBLOCK)
        except zmq.Again:
            self._row[Field.TELEMETRY_DROPPED] += len(records)
            if any(isinstance(record, SubsRecord) for record in records):
                self._change_watch(self.watched & ~_SUBS)  # from the beginning


def _url(request: ClientRequest) -> str:
    head = request.head
    if head.target[:1] != b"/":
        return head.target.decode("latin-1")
    scheme = b"ws" if request.is_websocket else b"http"
    return (scheme + b"s" * request.is_https + b"://" + head.host + head.target).decode("latin-1")


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode("utf-8", "replace")


def _last_ids(request: ClientRequest) -> list[list[str]]:
    """Read Grip-Last as it stands: ``CHANNEL; last-id=ID``."""
    found = []
    for name, value in request.head.headers:
        if name.lower() == b"grip-last":
            channel, _, rest = _text(value).partition(";")
            _, _, last_id = rest.partition("last-id=")
            found.append([channel.strip(), last_id.strip().strip('"')])
    return found
