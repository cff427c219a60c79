"""The hub process: the one owner of the publish ports. It checks each item once and passes it to every worker."""

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import uvloop
import zmq

from gripproxy.bus.channel_union import ChannelUnion
from gripproxy.bus.command_socket import open_command_socket
from gripproxy.bus.commands import Commands
from gripproxy.bus.conn_check import ConnCheck
from gripproxy.bus.control_answer import ControlAnswer
from gripproxy.bus.control_auth import ControlAuth, ControlGuard
from gripproxy.bus.control_request import ControlRequest
from gripproxy.bus.control_routes import ControlRoutes
from gripproxy.bus.control_server import ControlServer, open_listener, open_unix_listener
from gripproxy.bus.curve import CurveGate, read_curve_keys
from gripproxy.bus.forwarded_channels import ForwardedChannels
from gripproxy.bus.host_channels import HostChannels
from gripproxy.bus.id_cache import IdCache
from gripproxy.bus.item_intake import ItemIntake
from gripproxy.bus.item_sequencer import ItemSequencer
from gripproxy.bus.live_pages import LivePages
from gripproxy.bus.metrics_page import CONTENT_TYPE, MetricsPage
from gripproxy.bus.outlet import Outlet
from gripproxy.bus.publish_endpoint import PublishEndpoint
from gripproxy.bus.watched_socket import AnyContext
from gripproxy.bus.watches import Watches
from gripproxy.bus.zhttp_gateway import open_gateway
from gripproxy.bus.zmq_inputs import ZmqInput, open_push_input, open_sub_input
from gripproxy.child import ChildContext
from gripproxy.errors import ConfigError
from gripproxy.listen_address import convert_port, is_loopback_host
from gripproxy.protocol.event_line import EventLines
from gripproxy.protocol.last_ids import LastIds
from gripproxy.scoreboard import Field, ProcessState
from gripproxy.settings import Settings
from gripproxy.signing_keys import read_publish_key
from gripproxy.vital_signs import VitalSigns

log = logging.getLogger(__name__)

HEARTBEAT_S = 0.5
LATE_S = 1.0  # between two looks for items that were parked for too long, same as Pushpin
JOIN_MAX_S = 2.0  # what a worker that does not join may cost the others after a restart of the hub
METRICS_REQUEST_MAX_BYTES = 8192


def hub_main(settings: Settings, context: ChildContext) -> None:
    """Run the hub in a process of its own until SIGTERM, or until the supervisor is gone.

    Raises:
        ConfigError: a socket cannot be bound. Only before `context.report_ready`.
    """
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(_Hub(settings, context, loop).run())
    finally:
        loop.close()


class _Hub:
    """Opens everything in order, and closes it in the opposite order."""

    def __init__(self, settings: Settings, context: ChildContext, loop: asyncio.AbstractEventLoop) -> None:
        self._settings = settings
        self._context = context
        self._loop = loop
        self._row = context.row
        self._stopping = asyncio.Event()
        self._heartbeat: asyncio.TimerHandle | None = None
        self._late: asyncio.TimerHandle | None = None
        self._intake: ItemIntake | None = None

    async def run(self) -> None:
        self._loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        self._loop.add_reader(self._context.lifeline_fd, self._on_lifeline)
        with ExitStack() as opened:
            zmq_context: AnyContext = zmq.Context()
            opened.callback(zmq_context.destroy, 0)  # also closes what a failed start left open
            self._beat()
            VitalSigns(self._loop, self._row).start()
            await self._open(zmq_context, opened)
            if not self._stopping.is_set():
                self._context.report_ready()
                log.info("hub is ready")
            await self._stopping.wait()
            self._row[Field.STATE] = ProcessState.STOPPING
            for timer in (self._heartbeat, self._late):
                if timer is not None:
                    timer.cancel()
            self._loop.remove_reader(self._context.lifeline_fd)
        log.info("hub stopped")

    async def _open(self, zmq_context: AnyContext, opened: ExitStack) -> None:
        """Open the bus first, and the inputs only when the workers that serve already are on it again.

        So the items that publishers' sockets kept while there was no hub reach every worker, and the channels that
        have subscribers are known.
        """
        settings, loop = self._settings, self._loop
        worker_rows = self._context.scoreboard.worker_rows()
        serving = [index for index, row in enumerate(worker_rows) if row[Field.STATE] == ProcessState.READY]
        outlet = Outlet(loop, zmq_context, settings.ipc_path("bus"), len(worker_rows), self._row)
        opened.callback(outlet.close)
        sequencer = ItemSequencer(settings.message_wait_ms / 1000, LastIds(), self._row)
        forwarded = ForwardedChannels(loop, ChannelUnion(len(worker_rows)))
        channels = HostChannels(loop, outlet, sequencer, forwarded, settings.update_on_first_subscription)
        opened.callback(channels.close)  # which takes the workers' notices: nothing may be awaited before it
        opened.callback((await open_gateway(loop, zmq_context, settings.ipc_path("zhttp"), self._row)).close)
        missing = await outlet.wait_joined(serving, JOIN_MAX_S)
        if missing:
            log.warning("workers %s did not join the bus within %g s", sorted(missing), JOIN_MAX_S)
        intake = ItemIntake(outlet, IdCache(settings.id_cache_ttl), sequencer, forwarded.wanted, self._row)
        self._intake = intake
        self._release_late(intake)
        gate = self._open_gate(opened)
        context = zmq_context if gate is None else gate.context
        conn_check = ConnCheck(loop, outlet, outlet.has_joined)
        opened.callback(conn_check.close)
        commands = Commands(loop, settings, intake, channels.recover, conn_check)
        for name, zmq_input in self._zmq_inputs(context, outlet, intake, commands, forwarded):
            opened.callback(zmq_input.close)
            if gate is not None:
                gate.watch(name, zmq_input.zmq_socket)
        opened.callback(forwarded.close)
        lines = EventLines(has_address=settings.log_from, has_user_agent=settings.log_user_agent)
        pages = LivePages(loop, self._context.scoreboard, outlet, Watches(self._row), dict, lines)
        opened.callback(pages.close)
        if settings.push_in_http_port is not None:
            routes = ControlRoutes(PublishEndpoint(outlet, intake, channels.recover).respond, self._guard().refuse)
            pages.register(routes)
            commands.register(routes)
            opened.callback(self._open_control_server(routes).close)
        if settings.prometheus_port is not None:
            opened.callback(self._open_metrics_server(settings.prometheus_port).close)

    def _open_gate(self, opened: ExitStack) -> CurveGate | None:
        keys = read_curve_keys(self._settings)
        if keys is None:
            return None
        gate = CurveGate(self._loop, keys, self._row)
        opened.callback(gate.close)  # also closes what a failed start left open
        return gate

    def _zmq_inputs(
        self,
        context: AnyContext,
        outlet: Outlet,
        intake: ItemIntake,
        commands: Commands,
        forwarded: ForwardedChannels,
    ) -> Iterator[tuple[str, ZmqInput]]:
        """Open one after the other: each can be closed if the next one fails."""
        settings, loop = self._settings, self._loop
        if settings.push_in_spec is not None:
            yield "push_in_spec", open_push_input(loop, context, settings, outlet, intake)
        if settings.push_in_sub_specs:
            yield "push_in_sub_specs", open_sub_input(loop, context, settings, outlet, intake, forwarded)
        if settings.command_spec is not None:
            yield "command_spec", open_command_socket(loop, context, settings, outlet, commands)

    def _guard(self) -> ControlGuard:
        settings = self._settings
        key = read_publish_key(settings)
        is_hex = settings.push_in_http_key.startswith("file:")
        auth = None if key is None else ControlAuth(key, settings.push_in_http_iss, is_hex)
        return ControlGuard(self._row, time.time, auth, is_loopback_host(settings.push_in_http_addr))

    def _open_control_server(self, routes: ControlRoutes) -> ControlServer:
        settings = self._settings
        port = settings.push_in_http_port or 0
        listener = open_listener("push_in_http_addr, push_in_http_port", settings.push_in_http_addr, port)
        log.info("publish input: HTTP on %s:%d", *listener.getsockname()[:2])
        return ControlServer(
            self._loop,
            listener,
            routes.respond,
            settings.push_in_http_max_headers_size,
            settings.push_in_http_max_body_size,
        )

    def _open_metrics_server(self, spec: str) -> ControlServer:
        listener = open_metrics_listener(spec)
        log.info("metrics on %s", spec)
        scoreboard = self._context.scoreboard
        rows = [scoreboard.row(index) for index in range(scoreboard.rows_count)]
        page = MetricsPage(len(rows) - 1, self._settings.prometheus_prefix)

        def respond(_: ControlRequest) -> ControlAnswer:
            return ControlAnswer(200, page.encode(rows, {}), CONTENT_TYPE)

        return ControlServer(self._loop, listener, respond, METRICS_REQUEST_MAX_BYTES, METRICS_REQUEST_MAX_BYTES)

    def _beat(self) -> None:
        self._row[Field.HEARTBEAT_MS] = int(time.monotonic() * 1000)
        if self._intake is not None:
            self._intake.flush_log()
        self._heartbeat = self._loop.call_later(HEARTBEAT_S, self._beat)

    def _release_late(self, intake: ItemIntake) -> None:
        is_more = False
        try:
            is_more = intake.release_late()
        finally:  # also after a bug of ours: the others that are parked must not stay for ever
            delay_s = 0.0 if is_more else LATE_S
            self._late = self._loop.call_later(delay_s, self._release_late, intake)

    def _on_lifeline(self) -> None:
        if not os.read(self._context.lifeline_fd, 1):
            log.warning("the supervisor is gone")
            self._loop.remove_reader(self._context.lifeline_fd)
            self._stopping.set()


def open_metrics_listener(spec: str) -> socket.socket:
    """Listen on `prometheus_port`: what `convert_port` reads, or ``ipc://PATH``.

    Raises:
        ConfigError: not of that form, or it cannot be bound.
    """
    if spec.startswith("ipc://"):
        return open_unix_listener("prometheus_port", spec.removeprefix("ipc://"))
    try:
        address = convert_port(spec, "prometheus")
    except ValueError as error:
        raise ConfigError(f"prometheus_port: {error}") from None
    return open_listener("prometheus_port", address.host, address.port)
