"""What a hub is made of, for those who look after more than one part of it."""

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from gripproxy.bus.command_socket import open_command_socket
from gripproxy.bus.commands import Commands
from gripproxy.bus.conn_check import ConnCheck
from gripproxy.bus.control_routes import ControlRoutes
from gripproxy.bus.control_server import ControlServer
from gripproxy.bus.curve import CurveGate
from gripproxy.bus.forwarded_channels import ForwardedChannels
from gripproxy.bus.health import Health
from gripproxy.bus.host_channels import HostChannels
from gripproxy.bus.http_ports import open_control_server, open_metrics_server
from gripproxy.bus.id_cache import IdCache
from gripproxy.bus.item_intake import ItemIntake
from gripproxy.bus.item_sequencer import ItemSequencer
from gripproxy.bus.observation import Observation
from gripproxy.bus.outlet import Outlet
from gripproxy.bus.settings_reload import HubReload
from gripproxy.bus.watched_socket import AnyContext
from gripproxy.bus.zmq_inputs import ZmqInput, open_push_input, open_sub_input
from gripproxy.scoreboard import Scoreboard
from gripproxy.settings import Settings

# Names of listeners, as two versions call them; those of ZeroMQ are their settings' names.
CONTROL, METRICS, STATS = "push_in_http", "prometheus_port", "stats_spec"
PUSH, SUB, COMMAND = "push_in_spec", "push_in_sub_specs", "command_spec"


@dataclass(slots=True, kw_only=True)
class HubParts:
    """The inside of a hub, and what it has open to the outside."""

    loop: asyncio.AbstractEventLoop
    settings: Settings
    row: memoryview
    scoreboard: Scoreboard
    reload: HubReload
    outlet: Outlet
    observation: Observation
    sequencer: ItemSequencer
    forwarded: ForwardedChannels
    channels: HostChannels
    id_cache: IdCache
    intake: ItemIntake
    conn_check: ConnCheck
    commands: Commands
    routes: ControlRoutes
    health: Health
    zmq_context: AnyContext
    gate: CurveGate | None
    is_frozen: bool = False  # another hub has the state: nothing goes on here
    inputs: dict[str, ZmqInput] = field(default_factory=dict)
    servers: dict[str, ControlServer] = field(default_factory=dict)

    @property
    def input_context(self) -> AnyContext:
        """Where publishers' sockets are made."""
        return self.zmq_context if self.gate is None else self.gate.context

    def open_outside(self, opened: ExitStack, listeners: Mapping[str, int], is_held: bool = False) -> None:
        """Open all that publishers, monitors and scrapers connect to.

        Args:
            opened: what closes it again, also after a failure.
            listeners: what listens already, by name; the rest is bound.
            is_held: nothing is read or accepted before `release`; connections may wait.

        Raises:
            ConfigError: something cannot be bound.
        """
        self._open_zmq_inputs(opened, listeners, is_held)
        opened.callback(self.forwarded.close)
        settings = self.settings
        if settings.stats_spec is not None:
            self.observation.statistics.open_socket(self.zmq_context, settings.stats_spec, listeners.get(STATS))
        if settings.push_in_http_port is not None:
            control = open_control_server(self.loop, settings, self.routes, self.reload, listeners.get(CONTROL))
            self._add_server(opened, CONTROL, control, is_held)
        if settings.prometheus_port is not None:
            traffic = self.observation.traffic.totals
            metrics = open_metrics_server(
                self.loop, settings, self.scoreboard, traffic, self.health, self.reload, listeners.get(METRICS)
            )
            self._add_server(opened, METRICS, metrics, is_held)

    def release(self) -> None:
        """Read and accept from now on."""
        for zmq_input in self.inputs.values():
            zmq_input.release()
        for server in self.servers.values():
            server.release()

    def _add_server(self, opened: ExitStack, name: str, server: ControlServer, is_held: bool) -> None:
        opened.callback(server.close)
        self.servers[name] = server
        if is_held:
            server.hold()

    def _open_zmq_inputs(self, opened: ExitStack, listeners: Mapping[str, int], is_held: bool) -> None:
        """Open one after the other: each can be closed if the next one fails."""
        settings, loop, context, outlet, intake = (
            self.settings,
            self.loop,
            self.input_context,
            self.outlet,
            self.intake,
        )
        if settings.push_in_spec is not None:
            push = open_push_input(loop, context, settings, outlet, intake, listeners.get(PUSH))
            self._add_input(opened, PUSH, push, is_held)
        if settings.push_in_sub_specs:
            sub = open_sub_input(loop, context, settings, outlet, intake, self.forwarded, listeners.get(SUB))
            self._add_input(opened, SUB, sub, is_held)
        if settings.command_spec is not None:
            command = open_command_socket(loop, context, settings, outlet, self.commands, listeners.get(COMMAND))
            self._add_input(opened, COMMAND, command, is_held)

    def _add_input(self, opened: ExitStack, name: str, zmq_input: ZmqInput, is_held: bool) -> None:
        opened.callback(zmq_input.close)
        self.inputs[name] = zmq_input
        if is_held:
            zmq_input.hold()
        if self.gate is not None:
            self.gate.watch(name, zmq_input.zmq_socket)
