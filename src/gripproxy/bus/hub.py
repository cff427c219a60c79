"""The hub process: the one owner of the publish ports. It checks each item once and passes it to every worker."""

import asyncio
import functools
import logging
import os
import signal
import time
from contextlib import ExitStack

import uvloop
import zmq

from gripproxy.bus.channel_union import ChannelUnion
from gripproxy.bus.commands import Commands
from gripproxy.bus.conn_check import ConnCheck
from gripproxy.bus.control_routes import ControlRoutes
from gripproxy.bus.curve import CurveGate, read_curve_keys
from gripproxy.bus.delivery_answer import DeliveryAnswers
from gripproxy.bus.forwarded_channels import ForwardedChannels
from gripproxy.bus.health import Health
from gripproxy.bus.host_channels import HostChannels
from gripproxy.bus.http_ports import new_guard
from gripproxy.bus.hub_arrival import HubArrival
from gripproxy.bus.hub_departure import HubDeparture
from gripproxy.bus.hub_parts import HubParts
from gripproxy.bus.id_cache import IdCache
from gripproxy.bus.item_intake import ItemIntake
from gripproxy.bus.item_sequencer import ItemSequencer
from gripproxy.bus.live_pages import LivePages
from gripproxy.bus.observation import Observation
from gripproxy.bus.outlet import Outlet
from gripproxy.bus.publish_endpoint import PublishEndpoint
from gripproxy.bus.settings_reload import HubReload, NewSettings
from gripproxy.bus.watched_socket import AnyContext
from gripproxy.bus.zhttp_gateway import open_gateway
from gripproxy.child import ChildContext
from gripproxy.dead_rows import close_hub_row
from gripproxy.errors import GripProxyError
from gripproxy.handover import CALL_OFF_SIGNAL, LISTEN_SIGNAL, Takeover
from gripproxy.protocol.event_line import EventLines
from gripproxy.protocol.last_ids import LastIds
from gripproxy.protocol.telemetry import AudienceRecord, HoldRecord, LiveConnsRecord, RequestRecord
from gripproxy.scoreboard import Field, ProcessState
from gripproxy.settings import SEATS_COUNT, Settings
from gripproxy.vital_signs import VitalSigns

log = logging.getLogger(__name__)

HEARTBEAT_S = 0.5
LATE_S = 1.0  # between two looks for items that were parked for too long, same as Pushpin
JOIN_MAX_S = 2.0  # what a worker that does not join may cost the others after a restart of the hub


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
        self._parts: HubParts | None = None
        self._arrival: asyncio.Task[None] | None = None
        self._reload = HubReload(settings)

    async def run(self) -> None:
        self._loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        self._loop.add_signal_handler(signal.SIGHUP, self._reload.run)
        self._loop.add_reader(self._context.lifeline_fd, self._on_lifeline)
        with ExitStack() as opened:
            zmq_context: AnyContext = zmq.Context()
            opened.callback(zmq_context.destroy, 0)  # also closes what a failed start left open
            self._beat()
            VitalSigns(self._loop, self._row).start()
            parts = await self._open(zmq_context, opened)
            self._parts = parts
            self._release_late(parts)
            departure = HubDeparture(parts, self._stopping.set)
            opened.callback(departure.close)
            self._prepare_handovers(parts, departure, opened)
            if not self._stopping.is_set():
                self._context.report_ready()
                log.info("hub is ready")
            await self._stopping.wait()
            self._row[Field.STATE] = ProcessState.STOPPING
            for timer in (self._heartbeat, self._late):
                if timer is not None:
                    timer.cancel()
            self._loop.remove_reader(self._context.lifeline_fd)
            if departure.has_moved:
                # To close ZeroMQ's sockets would remove the socket files by which publishers come to the next hub.
                log.info("hub stopped, another one serves")
                logging.shutdown()
                os._exit(0)
        log.info("hub stopped")

    async def _open(self, zmq_context: AnyContext, opened: ExitStack) -> HubParts:
        """Open the bus first, and the inputs only when the workers that serve already are on it again.

        So the items that publishers' sockets kept while there was no hub reach every worker, and the channels that
        have subscribers are known.
        """
        settings, loop = self._settings, self._loop
        close_hub_row(self._row)
        serving = self._serving_workers()
        outlet = Outlet(loop, zmq_context, settings.own_ipc_path("bus"), SEATS_COUNT, self._row)
        opened.callback(outlet.close)
        observation = Observation(loop, zmq_context, settings, outlet, self._row, list(serving.values()))
        opened.callback(observation.close)
        sequencer = ItemSequencer(settings.message_wait_ms / 1000, LastIds(), self._row)
        forwarded = ForwardedChannels(loop, ChannelUnion())
        channels = HostChannels(loop, outlet, sequencer, forwarded, settings.update_on_first_subscription)
        opened.callback(channels.close)  # which takes the workers' notices: nothing may be awaited before it
        opened.callback((await open_gateway(loop, zmq_context, settings.own_ipc_path("zhttp"), self._row)).close)
        missing = await outlet.wait_joined(serving, JOIN_MAX_S)
        if missing:
            log.warning("workers %s did not join the bus within %g s", sorted(missing), JOIN_MAX_S)
        id_cache, block_bytes = IdCache(settings.id_cache_ttl), max(0, settings.message_block_size)
        intake = ItemIntake(outlet, id_cache, sequencer, forwarded.wanted, self._row, observation.receipts, block_bytes)
        observation.count_blocks(lambda: intake.blocks_count)
        gate = self._open_gate(opened)
        # Ids of connections that came from another generation's workers name those.
        conn_check = ConnCheck(loop, outlet, outlet.has_joined, has_moved=settings.generation > 0)
        opened.callback(conn_check.close)
        observation.telemetry.subscribe(LiveConnsRecord, conn_check.on_record)
        commands = Commands(loop, settings, intake, channels.recover, outlet.tell_refresh, conn_check)
        pages = self._open_pages(outlet, observation, opened)
        parts = sequencer, id_cache, channels, observation, pages, commands
        self._reload.add(functools.partial(_use_settings, intake, *parts))
        respond = PublishEndpoint(outlet, intake, channels.recover).respond
        routes = ControlRoutes(respond, new_guard(settings, self._row, self._reload).refuse)
        health = Health(self._context.scoreboard, outlet)
        for part in (pages, DeliveryAnswers(loop, outlet, intake), commands, health):
            part.register(routes)
        return HubParts(
            loop=loop,
            settings=settings,
            row=self._row,
            scoreboard=self._context.scoreboard,
            reload=self._reload,
            outlet=outlet,
            observation=observation,
            sequencer=sequencer,
            forwarded=forwarded,
            channels=channels,
            id_cache=id_cache,
            intake=intake,
            conn_check=conn_check,
            commands=commands,
            routes=routes,
            health=health,
            zmq_context=zmq_context,
            gate=gate,
        )

    def _serving_workers(self) -> dict[int, int]:
        """Give the processes of those that serve already, by seat."""
        rows = enumerate(self._context.scoreboard.worker_rows())
        return {
            self._settings.seat_of(index): row[Field.PID]
            for index, row in rows
            if row[Field.STATE] == ProcessState.READY
        }

    def _open_pages(self, outlet: Outlet, observation: Observation, opened: ExitStack) -> LivePages:
        scoreboard, lines = self._context.scoreboard, _event_lines(self._settings)
        pages = LivePages(self._loop, scoreboard, outlet, observation.watches, observation.traffic.totals, lines)
        opened.callback(pages.close)
        observation.telemetry.subscribe(RequestRecord, pages.events.note)
        observation.telemetry.subscribe(HoldRecord, pages.events.note)
        observation.telemetry.subscribe(AudienceRecord, pages.audience.on_record)
        observation.on_published.append(pages.events.note)
        return pages

    def _prepare_handovers(self, parts: HubParts, departure: HubDeparture, opened: ExitStack) -> None:
        """Open the inputs, or wait for the signal to take them over; and then for one to give them away."""
        add_signal_handler = self._loop.add_signal_handler
        takeover = self._context.takeover
        if takeover is None:
            parts.open_outside(opened, {})
            add_signal_handler(LISTEN_SIGNAL, departure.listen)
        else:
            parts.is_frozen = parts.channels.is_quiet = True
            add_signal_handler(LISTEN_SIGNAL, self._arrive, parts, takeover, departure, opened)
        add_signal_handler(CALL_OFF_SIGNAL, departure.call_off)

    def _arrive(self, parts: HubParts, takeover: Takeover, departure: HubDeparture, opened: ExitStack) -> None:
        if self._arrival is None:
            self._arrival = self._loop.create_task(HubArrival(parts, takeover, opened).run())
            self._arrival.add_done_callback(self._on_arrived)
            self._loop.add_signal_handler(LISTEN_SIGNAL, departure.listen)

    def _on_arrived(self, arrival: "asyncio.Task[None]") -> None:
        error = None if arrival.cancelled() else arrival.exception()
        if error is not None:
            is_on_purpose = isinstance(error, GripProxyError | OSError)
            log.error("cannot take over from the old hub: %s", error, exc_info=None if is_on_purpose else error)
            self._context.report_failure(f"cannot take over from the old hub: {error}")
            self._stopping.set()

    def _open_gate(self, opened: ExitStack) -> CurveGate | None:
        keys = read_curve_keys(self._settings)
        if keys is None:
            return None
        gate = CurveGate(self._loop, keys, self._row)
        opened.callback(gate.close)  # also closes what a failed start left open
        self._reload.add(lambda new: None if new.curve_keys is None else gate.use_clients(new.curve_keys))
        return gate

    def _beat(self) -> None:
        self._row[Field.HEARTBEAT_MS] = int(time.monotonic() * 1000)
        if self._parts is not None:
            self._parts.intake.flush_log()
        self._heartbeat = self._loop.call_later(HEARTBEAT_S, self._beat)

    def _release_late(self, parts: HubParts) -> None:
        is_more = False
        try:
            is_more = not parts.is_frozen and parts.intake.release_late()
        finally:  # also after a bug of ours: the others that are parked must not stay for ever
            delay_s = 0.0 if is_more else LATE_S
            self._late = self._loop.call_later(delay_s, self._release_late, parts)

    def _on_lifeline(self) -> None:
        if not os.read(self._context.lifeline_fd, 1):
            log.warning("the supervisor is gone")
            self._loop.remove_reader(self._context.lifeline_fd)
            self._stopping.set()


def _event_lines(settings: Settings) -> EventLines:
    return EventLines(has_address=settings.log_from, has_user_agent=settings.log_user_agent)


def _use_settings(
    intake: ItemIntake,
    sequencer: ItemSequencer,
    id_cache: IdCache,
    channels: HostChannels,
    observation: Observation,
    pages: LivePages,
    commands: Commands,
    new: NewSettings,
) -> None:
    """Let items be treated, and told of, as other settings say."""
    settings = new.settings
    intake.block_bytes = max(0, settings.message_block_size)
    sequencer.message_wait_s = settings.message_wait_ms / 1000
    id_cache.use_ttl(settings.id_cache_ttl)
    channels.is_updating = settings.update_on_first_subscription
    observation.use_settings(settings)
    pages.events.lines = _event_lines(settings)
    commands.settings = settings
