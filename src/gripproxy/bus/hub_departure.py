"""The old hub's part in an upgrade: give everything to the hub of the next version, and lose nothing on the way.

Until the workers are told (`Outlet.tell_moved`) all can be undone: if the other hub fails, this one goes on.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import zmq

from gripproxy.bus.hub_link import HubLink
from gripproxy.bus.hub_parts import COMMAND, CONTROL, METRICS, PUSH, STATS, SUB, HubParts
from gripproxy.bus.publisher_drain import PublisherDrain
from gripproxy.errors import InternalError
from gripproxy.handover import HUB, handover_path
from gripproxy.scoreboard import Field
from gripproxy.settings import Settings

log = logging.getLogger(__name__)

ANSWERS_MAX_S = 2.0  # for requests on the control port, and for what workers tell of single items
POLL_S = 0.005
NOTED_MAX_COUNT = 200_000  # items that two hubs may both get, where a SUB input connects to publishers


class HubDeparture:
    """Waits for the next hub, and gives it what this one has. `on_orphaned` is called if it fails past return."""

    def __init__(self, parts: HubParts, on_orphaned: Callable[[], None]) -> None:
        self.has_moved = False
        self._parts = parts
        self._on_orphaned = on_orphaned
        self._path = handover_path(parts.settings, HUB)
        self._listener: socket.socket | None = None
        self._link: HubLink | None = None
        self._task: asyncio.Task[None] | None = None
        self._drains: list[PublisherDrain] = []

    def listen(self) -> None:
        """Open the socket that the next hub comes to. Only one is taken up at a time."""
        if self._listener is not None:
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        mask = os.umask(0o177)
        try:
            listener.bind(self._path)
        finally:
            os.umask(mask)
        listener.listen(1)
        self._listener = listener
        self._parts.loop.add_reader(listener.fileno(), self._on_acceptable)

    def call_off(self) -> None:
        """There is no upgrade after all: go on, or end where that is not possible any more."""
        self.close()
        if self.has_moved:
            self._on_orphaned()

    def close(self) -> None:
        """End what is under way."""
        self._close_listener()
        if self._link is not None:
            self._link.close()  # which ends the task, by its next word
        if self._task is not None:
            self._task.cancel()

    def _close_listener(self) -> None:
        if self._listener is not None:
            self._parts.loop.remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)

    def _on_acceptable(self) -> None:
        if self._listener is None:
            return
        with contextlib.suppress(BlockingIOError, InterruptedError, ConnectionAbortedError):
            connection, _ = self._listener.accept()
            link = HubLink(self._parts.loop, connection)
            if not link.is_trusted or self._task is not None:
                link.close()
                return
            self._link = link
            self._task = self._parts.loop.create_task(self._run(link))

    async def _run(self, link: HubLink) -> None:
        is_done = False
        try:
            await self._hand_over(link)
            is_done = True
            log.info("hub has handed over: the next version's serves publishers now")
            await self._relay_commands(link)
        except (OSError, InternalError, asyncio.CancelledError) as error:
            if is_done:
                log.info("the next version's hub has left")
            elif self.has_moved:
                log.warning("the next version's hub failed after it had taken over (%s): ending", error)
                self._on_orphaned()
            else:
                log.warning("the next version's hub failed (%s): going on", error or "called off")
                self._resume()
        except Exception:  # a bug of ours: items must go on
            log.exception("the hub cannot hand over")
            if self.has_moved:
                self._on_orphaned()
            else:
                self._resume()
        finally:
            self._task = self._link = None
            link.close()

    async def _hand_over(self, link: HubLink) -> None:
        parts = self._parts
        seen = parts.id_cache.snapshot()
        await link.send_all("channels", list(parts.forwarded.wanted))
        await link.send_all("ids", seen)
        self._note_overlap(True)
        listeners = self._listeners()
        names = [(name, spec) for name, (spec, _) in listeners.items()]
        await link.send("listeners", names, parts.forwarded.is_forwarding, fds=[fd for _, fd in listeners.values()])
        await _expect(link, "open")
        begun = time.monotonic()
        await self._stop_inputs()
        await self._await_receipts()
        await parts.outlet.wait_unblocked()
        await self._send_state(link, len(seen))
        await _expect(link, "ready")
        next_paths = await _expect(link, "paths")
        self.has_moved = True
        parts.outlet.tell_moved(*next_paths)
        parts.sequencer.give_away()
        parts.observation.receipts.give_up_all()
        await parts.outlet.wait_unblocked()
        await _expect(link, "done")
        self._close_listener()
        log.info("hub was without inputs for %.3f s", time.monotonic() - begun)

    async def _relay_commands(self, link: HubLink) -> None:
        """Pass requests on by the connections that are left, and the answers back, until one of the hubs ends."""
        command = self._parts.inputs.get(COMMAND)
        asked: asyncio.Queue[list[bytes]] = asyncio.Queue()

        async def ask() -> None:
            while True:
                await link.send("command", await asked.get())

        asking = self._parts.loop.create_task(ask())
        try:
            if command is not None:
                command.relay = asked.put_nowait
                command.release()
            while True:
                (answer,) = await _expect(link, "answer")
                if command is not None:
                    command.zmq_socket.send_multipart(answer, zmq.NOBLOCK)
                    command.wake()
        finally:
            asking.cancel()

    # What listens.

    def _listeners(self) -> dict[str, tuple[str, int]]:
        """Give spec and descriptor of all that listens, by name; make what ends the connections."""
        parts, settings = self._parts, self._parts.settings
        found: dict[str, tuple[str, int]] = {}
        self._drains = []
        specs = zmq_specs(settings)
        for name, zmq_input in parts.inputs.items():
            if name in specs:
                self._drains.append(PublisherDrain(zmq_input.zmq_socket, zmq_input))
                if (fd := self._drains[-1].listener_fd) is not None:
                    found[name] = specs[name], fd
        stats = parts.observation.statistics.zmq_socket
        if stats is not None:
            self._drains.append(PublisherDrain(stats))
            if (fd := self._drains[-1].listener_fd) is not None:
                found[STATS] = specs[STATS], fd
        for name, server in parts.servers.items():
            found[name] = http_specs(settings)[name], server.listener_fd
        return found

    async def _stop_inputs(self) -> None:
        """Take in all that was under way, and nothing more."""
        parts = self._parts
        for drain in self._drains:
            drain.stop_accepting()
        command = parts.inputs.get(COMMAND)
        # Who connects to ask has not asked yet: connections for commands stay, and what comes by them is relayed.
        await asyncio.gather(*(drain.run() for drain in self._drains if not drain.is_for(command)))
        if command is not None:
            command.hold()
        while len(parts.conn_check):
            await asyncio.sleep(POLL_S)  # answered within its own time
        for zmq_input in parts.inputs.values():
            zmq_input.hold()
        for server in parts.servers.values():
            server.hold()
            server.end_streams()
        deadline = time.monotonic() + ANSWERS_MAX_S
        while any(server.asking_count for server in parts.servers.values()) and time.monotonic() < deadline:
            await asyncio.sleep(POLL_S)
        forced_count = sum(drain.forced_count for drain in self._drains)
        if forced_count:
            log.warning("%d connections of publishers never paused; an item of each may be lost", forced_count)

    async def _await_receipts(self) -> None:
        deadline = time.monotonic() + ANSWERS_MAX_S
        while len(self._parts.observation.receipts) and time.monotonic() < deadline:
            await asyncio.sleep(POLL_S)

    def _note_overlap(self, is_noting: bool) -> None:
        """Remember what comes by a SUB input that connects to publishers: the other hub may get it, too."""
        sub = self._parts.inputs.get(SUB)
        if sub is not None and self._parts.settings.push_in_sub_connect:
            sub.noted = deque(maxlen=NOTED_MAX_COUNT) if is_noting else None

    def _resume(self) -> None:
        parts = self._parts
        for drain in self._drains:
            drain.resume()
        self._drains = []
        self._note_overlap(False)
        parts.is_frozen = False
        parts.release()

    # What this hub knows.

    async def _send_state(self, link: HubLink, seen_count: int) -> None:
        parts = self._parts
        parts.is_frozen = True
        sub = parts.inputs.get(SUB)
        if sub is not None and sub.noted is not None:
            await link.send_all("noted", list(sub.noted))
        await link.send_all("ids", parts.id_cache.since(seen_count))
        await link.send_all("last_ids", list(parts.sequencer.last_ids.items()))
        await link.send_all("parked", parts.sequencer.parked())
        joined = [seat for seat in parts.outlet.joined if parts.outlet.has_told(seat)]
        await link.send("state", joined, parts.row[Field.ITEMS_SENT])


async def _expect(link: HubLink, kind: str) -> list[Any]:
    said, values, _ = await link.receive()
    if said != kind:
        raise InternalError(f"the other hub says {said!r}, not {kind!r}")
    return values


def zmq_specs(settings: Settings) -> dict[str, str]:
    """Give what ZeroMQ's sockets are bound to, by name."""
    specs = {PUSH: settings.push_in_spec, COMMAND: settings.command_spec, STATS: settings.stats_spec}
    if settings.push_in_sub_specs and not settings.push_in_sub_connect:
        specs[SUB] = settings.push_in_sub_specs[0]
    return {name: spec for name, spec in specs.items() if spec is not None}


def http_specs(settings: Settings) -> dict[str, str]:
    """Give what the HTTP servers listen on, by name."""
    control = f"{settings.push_in_http_addr} {settings.push_in_http_port}"
    return {CONTROL: control, METRICS: settings.prometheus_port or ""}
