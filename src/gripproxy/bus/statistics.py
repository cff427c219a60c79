"""What monitors are told and when: connections, subscriptions, activity, items, reports."""

import asyncio
import time
from collections.abc import Callable, Iterable

from gripproxy.bus.host_traffic import COLUMNS_COUNT, HostTraffic
from gripproxy.bus.receipts import Inquiry
from gripproxy.bus.stats_socket import StatsSocket
from gripproxy.bus.subscriber_counts import DUE_S, News, SubscriberCounts
from gripproxy.bus.watched_socket import AnyContext, AnySocket
from gripproxy.bus.watches import Watches
from gripproxy.protocol.item_blocks import MESSAGE, RESPONSE, STREAM
from gripproxy.protocol.stats_packet import Fields, StatsPackets
from gripproxy.protocol.telemetry import ConnEndRecord, ConnRecord, SubsRecord, Traffic, TrafficRecord
from gripproxy.scoreboard import Watch
from gripproxy.settings import Settings

REFRESH_SHARE = 0.75  # of its time to live, after which a subscription is told again
# Activity is gathered for a tenth of a second: half of it by the workers, half here.
ACTIVITY_S = 0.05
# After the last monitor of subscriptions left. A worker that did not notice meanwhile goes on where it was; one that
# hangs for longer is killed before (the supervisor's 20 s).
FORGET_SUBS_S = 30.0
OWNER = "stats socket"
RECEIVED = "received"

_WATCHED = {
    "conn": Watch.CONNS,
    "sub": Watch.SUBS,
    "message": Watch.MESSAGES,
    "activity": Watch.ACTIVITY,
    "counts": Watch.ACTIVITY,
    "report": Watch.TRAFFIC,
}


class Statistics:
    """Turns the workers' records into packets for whoever is subscribed to them, and nothing if nobody is.

    `received` gives what the hub has counted of items until now, by the names of a report's fields. Intervals of
    `traffic` are ended here, also if there is no stats socket.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: Settings,
        sender: str,
        watches: Watches,
        traffic: HostTraffic,
        received: Callable[[], dict[str, int]],
    ) -> None:
        self._loop = loop
        self._settings = settings
        self._watches = watches
        self._traffic = traffic
        self._received = received
        self._received_before = received()
        self._sender = sender
        self._packets = StatsPackets(sender, settings.stats_format == "json")
        self._subscribers = self._new_subscribers()
        self._socket: StatsSocket | None = None
        self._noted: dict[str, list[int]] = {}  # by route: the totals when activity was told last
        self._reported_routes: set[str] = set()
        self._interval_began = time.monotonic()
        self._due: asyncio.TimerHandle | None = None
        self._flush: asyncio.TimerHandle | None = None
        self._forget: asyncio.TimerHandle | None = None
        self._report: asyncio.TimerHandle | None = None
        self._report_later()

    @property
    def zmq_socket(self) -> AnySocket | None:
        """The stats socket, if there is one."""
        return None if self._socket is None else self._socket.zmq_socket

    def open_socket(self, zmq_context: AnyContext, spec: str, listener_fd: int | None = None) -> None:
        """Bind the stats socket, or take over what listens there.

        Raises:
            ConfigError: it cannot be bound.
        """
        file_mode = self._settings.ipc_file_mode
        self._socket = StatsSocket(self._loop, zmq_context, spec, file_mode, self._on_change, listener_fd)

    def use_settings(self, settings: Settings) -> None:
        """Go by other settings from now on. An interval of reports begins anew if it is to be another one."""
        is_other_interval = settings.stats_report_interval != self._settings.stats_report_interval
        self._settings = settings
        self._packets = StatsPackets(self._sender, settings.stats_format == "json")
        self._subscribers.use_times(settings.stats_subscription_ttl * REFRESH_SHARE, settings.subscription_linger)
        if is_other_interval:
            if self._report is not None:
                self._report.cancel()
                self._report = None
            self._report_later()
        if self._socket is not None:
            self._on_change()

    def close(self) -> None:
        for timer in (self._due, self._flush, self._forget, self._report):
            if timer is not None:
                timer.cancel()
        if self._socket is not None:
            self._socket.close()

    def take_conn(self, record: ConnRecord) -> None:
        """Pass on that a connection is there: it began, or is to be told again."""
        self._send("conn", lambda: [self._packets.conn(record, self._settings.stats_connection_ttl)])

    def take_conn_end(self, record: ConnEndRecord) -> None:
        self._send("conn", lambda: [self._packets.conn_end(record)])

    def take_subs(self, record: SubsRecord) -> None:
        self._tell_subscribers(self._subscribers.take(record, time.monotonic()))

    def take_traffic(self, record: TrafficRecord) -> None:
        if self._traffic.take(record):
            self._note_activity()  # what an earlier hub told of, and should have
        if self._flush is None and self._wants("activity", "counts"):
            self._flush = self._loop.call_later(ACTIVITY_S, self._tell_activity)

    def on_worker_gone(self, worker_index: int) -> None:
        """Forget the subscribers and connections of a worker that is gone; its `conn` packets expire."""
        self._traffic.forget_worker(worker_index)
        self._tell_subscribers(self._subscribers.forget_worker(worker_index, time.monotonic()))

    def tell_message(self, inquiry: Inquiry) -> None:
        """Tell how many receivers an item found, by each of its formats."""
        receivers = (RESPONSE, inquiry.responses), (STREAM, inquiry.streams), (MESSAGE, inquiry.messages)
        blocks, make = inquiry.blocks, self._packets.message
        self._send(
            "message",
            lambda: [
                make(inquiry.channel, inquiry.item_id, name, count, blocks[name] * count if name in blocks else None)
                for name, count in receivers
                if count
            ],
        )

    def _wants(self, *kinds: str) -> bool:
        return self._socket is not None and not self._socket.wanted.isdisjoint(kinds)

    def _send(self, kind: str, make: Callable[[], Iterable[bytes]]) -> None:
        if self._socket is not None and kind in self._socket.wanted:
            for packet in make():
                self._socket.send(packet)

    def _on_change(self) -> None:
        """Watch what is wanted now."""
        bits = Watch(0)
        for kind in self._socket.wanted if self._socket is not None else ():
            bits |= _WATCHED[kind]
        if not self._settings.stats_connection_send:
            bits &= ~Watch.CONNS
        self._watches.set(OWNER, bits)
        if self._flush is None:
            self._note_activity()  # what was before is not told to who comes now
        if Watch.SUBS in bits:
            self._keep_subscribers()
        elif self._forget is None:
            self._forget = self._loop.call_later(FORGET_SUBS_S, self._forget_subscribers)

    # Subscriptions.

    def _new_subscribers(self) -> SubscriberCounts:
        settings = self._settings
        return SubscriberCounts(settings.stats_subscription_ttl * REFRESH_SHARE, settings.subscription_linger)

    def _keep_subscribers(self) -> None:
        if self._forget is not None:
            self._forget.cancel()
            self._forget = None
        if self._due is None:
            self._due = self._loop.call_later(DUE_S, self._on_due)

    def _forget_subscribers(self) -> None:
        self._forget = None
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._subscribers = self._new_subscribers()

    def _on_due(self) -> None:
        self._due = self._loop.call_later(DUE_S, self._on_due)
        self._tell_subscribers(self._subscribers.due(time.monotonic()))

    def _tell_subscribers(self, news: list[News]) -> None:
        ttl_s = self._settings.stats_subscription_ttl
        self._send("sub", lambda: [self._packets.sub(mode, channel, count, ttl_s) for mode, channel, count in news])

    # Activity.

    def _note_activity(self) -> tuple[dict[str, int], int]:
        """Give each route's activity and the requests of all since the last time."""
        activity, requests_count = dict[str, int](), 0
        for route, totals in self._traffic.totals().items():
            before = self._noted.get(route, [0] * COLUMNS_COUNT)
            if totals[Traffic.ACTIVITY] > before[Traffic.ACTIVITY]:
                activity[route] = totals[Traffic.ACTIVITY] - before[Traffic.ACTIVITY]
            requests_count += totals[Traffic.REQUESTS] - before[Traffic.REQUESTS]
            self._noted[route] = list(totals)
        return activity, requests_count

    def _tell_activity(self) -> None:
        self._flush = None
        activity, requests_count = self._note_activity()
        self._send("activity", lambda: [self._packets.activity(count, route) for route, count in activity.items()])
        if requests_count > 0:
            self._send("counts", lambda: [self._packets.counts(requests_count)])

    # Reports.

    def _report_later(self) -> None:
        if self._settings.stats_report_interval:
            self._report = self._loop.call_later(self._settings.stats_report_interval, self._on_report)

    def _on_report(self) -> None:
        self._report_later()
        now = time.monotonic()
        duration_ms, self._interval_began = round((now - self._interval_began) * 1000), now
        interval = self._traffic.end_interval()
        received = self._received()
        news = {name: count - self._received_before.get(name, count) for name, count in received.items()}
        self._received_before = received
        if any(news.values()):
            interval.setdefault("", [0] * COLUMNS_COUNT)
        for route, columns in interval.items():
            of_route = news if route == "" else {}
            if route in self._reported_routes or any(columns) or any(of_route.values()):
                self._tell_report(route, columns, of_route, duration_ms)

    def _tell_report(self, route: str, columns: list[int], received: dict[str, int], duration_ms: int) -> None:
        if columns[Traffic.CONNECTIONS_MAX]:
            self._reported_routes.add(route)
        else:
            self._reported_routes.discard(route)
        fields: Fields = {name: count for name, count in received.items() if count or name == RECEIVED}
        self._send("report", lambda: [self._packets.report(route, columns, fields, duration_ms)])
