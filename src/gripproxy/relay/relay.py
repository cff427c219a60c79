"""A whole relay process: opens both sides in the order that loses nothing, and closes them in the opposite one."""

import asyncio
import logging
import signal
import time
from contextlib import ExitStack

import zmq

from gripproxy import logs
from gripproxy.bus.control_answer import ControlAnswer
from gripproxy.bus.control_request import ControlRequest
from gripproxy.bus.control_routes import ControlRoutes
from gripproxy.bus.control_server import ControlServer, open_listener
from gripproxy.bus.forwarded_channels import NAME_MAX_BYTES
from gripproxy.bus.zmq_inputs import FRAME_MAX_BYTES
from gripproxy.errors import ConfigError
from gripproxy.listen_address import convert_port
from gripproxy.relay.counters import Counters, encode_page
from gripproxy.relay.plan import RelayPlan
from gripproxy.relay.pump import Pump
from gripproxy.relay.side import RelaySide
from gripproxy.supervisor.notify import Notifier

log = logging.getLogger(__name__)

# Publishers send what they kept for this relay as soon as they are connected, but it goes only to hosts that have
# subscribed by then: so hosts, which try again ten times a second, come first.
HOSTS_FIRST_S = 1.0
SUBSCRIBED_S = 0.25  # without a further subscription
HOSTS_FIRST_MAX_S = 10.0
LOOK_S = 0.05
REPORT_S = 5.0
EMPTY_MAX_S = 3.0  # what publishers have under way, at the end
LINGER_MS = 3_000  # what hosts have still to get, at the end
REQUEST_MAX_BYTES = 8192
SUBSCRIPTION_MAX_BYTES = NAME_MAX_BYTES + 16  # the command's name and its length
PUBLISHERS_HWM = 1_000  # for each publisher; past it, its items wait in the kernel and then on its own side


class Relay:
    """Runs until SIGTERM or SIGINT, and tells systemd how it is going."""

    def __init__(self, plan: RelayPlan, notifier: Notifier) -> None:
        self._plan = plan
        self._notifier = notifier
        self._is_ready = False
        self.counters = Counters()

    async def run(self) -> None:
        """Serve until told to stop.

        Raises:
            ConfigError: an address or a key cannot be used.
        """
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        loop.add_signal_handler(signal.SIGHUP, logs.reopen)
        plan = self._plan
        publishers = RelaySide(loop, plan.publishers, zmq.SocketType.XSUB, plan.secret_key)
        hosts = RelaySide(loop, plan.hosts, zmq.SocketType.XPUB, plan.secret_key)
        with ExitStack() as opened:
            opened.callback(hosts.close)
            opened.callback(publishers.close)
            pump = self._new_pump(loop, publishers, hosts)
            opened.callback(pump.close, LINGER_MS)
            opened.callback(hosts.stop_watching)
            opened.callback(publishers.stop_watching)
            if plan.metrics_spec is not None:
                opened.callback(self._open_page(loop, plan.metrics_spec).close)
            hosts.open()
            reporting = asyncio.ensure_future(self._report())
            opened.callback(reporting.cancel)
            opening = asyncio.ensure_future(self._open_publishers(publishers, pump))
            ending = asyncio.ensure_future(stopping.wait())
            await asyncio.wait((opening, ending), return_when=asyncio.FIRST_COMPLETED)
            if opening.done():
                opening.result()
            else:
                opening.cancel()
            await ending
            await self._end(publishers)
        log.info("stopped")

    def _new_pump(self, loop: asyncio.AbstractEventLoop, publishers: RelaySide, hosts: RelaySide) -> Pump:
        for side in (publishers, hosts):
            side.on_change = lambda: self._count_peers(publishers, hosts)
        publishers.zmq_socket.setsockopt(zmq.RCVHWM, PUBLISHERS_HWM)
        publishers.zmq_socket.setsockopt(zmq.MAXMSGSIZE, FRAME_MAX_BYTES)
        publishers.zmq_socket.setsockopt(zmq.SNDHWM, 0)  # subscriptions past the limit would be dropped silently
        hosts.zmq_socket.setsockopt(zmq.RCVHWM, 0)
        hosts.zmq_socket.setsockopt(zmq.MAXMSGSIZE, SUBSCRIPTION_MAX_BYTES)
        hosts.zmq_socket.setsockopt(zmq.SNDHWM, self._plan.queue_max_count)
        return Pump(loop, publishers.zmq_socket, hosts.zmq_socket, self.counters, hosts.peers.slow)

    def _count_peers(self, publishers: RelaySide, hosts: RelaySide) -> None:
        self.counters.publishers, self.counters.hosts = len(publishers.peers), len(hosts.peers)
        self.counters.unauthorized = publishers.unauthorized_count + hosts.unauthorized_count

    async def _open_publishers(self, publishers: RelaySide, pump: Pump) -> None:
        began = time.monotonic()
        await asyncio.sleep(HOSTS_FIRST_S)
        while time.monotonic() < min(pump.subscribed_at + SUBSCRIBED_S, began + HOSTS_FIRST_MAX_S):
            await asyncio.sleep(LOOK_S)
        publishers.open()
        self._is_ready = True
        self._notifier.ready()
        log.info("ready")

    async def _end(self, publishers: RelaySide) -> None:
        """Let publishers keep what they have not sent for the next relay, and pass on what they have."""
        log.info("stopping")
        self._is_ready = False
        self._notifier.stopping()
        publishers.turn_away()
        deadline = time.monotonic() + EMPTY_MAX_S
        while publishers.peers.leaving and time.monotonic() < deadline:
            await asyncio.sleep(LOOK_S)
        items_before = -1
        while items_before != self.counters.items and time.monotonic() < deadline:
            items_before = self.counters.items
            await asyncio.sleep(LOOK_S)

    async def _report(self) -> None:
        """Feed the watchdog, and say how much goes through."""
        watchdog_s = self._notifier.watchdog_s
        period_s = min(REPORT_S, REPORT_S if watchdog_s is None else watchdog_s / 2)
        counters, items_before = self.counters, 0
        while True:
            rate = (counters.items - items_before) / period_s
            items_before = counters.items
            peers = f"{counters.publishers} publishers, {counters.hosts} hosts"
            self._notifier.status(f"{peers}, {counters.subscriptions} channels, {rate:.0f} items/s")
            self._notifier.alive()
            await asyncio.sleep(period_s)

    def _open_page(self, loop: asyncio.AbstractEventLoop, spec: str) -> ControlServer:
        try:
            address = convert_port(spec, "metrics")
        except ValueError as error:
            raise ConfigError(f"--metrics: {error}") from None
        listener = open_listener("--metrics", address.host, address.port)
        log.info("metrics on %s", spec)
        routes = ControlRoutes(lambda _: ControlAnswer(200, encode_page(self.counters)))
        routes.add(b"/healthz", lambda _: ControlAnswer(200, b"ok\n"), is_public=True)
        routes.add(b"/readyz", self._answer_ready, is_public=True)
        return ControlServer(loop, listener, routes, REQUEST_MAX_BYTES, REQUEST_MAX_BYTES)

    def _answer_ready(self, _: ControlRequest) -> ControlAnswer:
        return ControlAnswer(200, b"ready\n") if self._is_ready else ControlAnswer(503, b"publishers are not let in\n")
