"""The new hub's part in an upgrade: take everything over from the hub of the version before."""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections import Counter, deque
from contextlib import ExitStack
from typing import Any

from gripproxy.bus.command_socket import run_command
from gripproxy.bus.hub_departure import http_specs, zmq_specs
from gripproxy.bus.hub_link import HubLink
from gripproxy.bus.hub_parts import SUB, HubParts
from gripproxy.errors import ConfigError, InternalError
from gripproxy.handover import Takeover
from gripproxy.scoreboard import Field
from gripproxy.settings import SEATS_COUNT

log = logging.getLogger(__name__)

CONNECT_MAX_S = 1.0  # the old hub's socket is bound first, and listens a moment later
BIND_MAX_S = 5.0  # for a hub that has just died to let go of its addresses
RETRY_S = 0.02
JOIN_MAX_S = 10.0  # for the old workers to come to this hub
OVERLAP_S = 0.3  # both hubs are subscribed to publishers that are connected to
OLD_HUB = SEATS_COUNT  # a seat that no worker has: the old hub's channels, until its workers have told theirs


class HubArrival:
    """Takes over, or opens everything itself where nobody is left to take over from."""

    def __init__(self, parts: HubParts, takeover: Takeover, opened: ExitStack) -> None:
        self._parts = parts
        self._takeover = takeover
        self._opened = opened
        self._skipped: Counter[bytes] = Counter()
        self._is_open = False

    async def run(self) -> None:
        """Return when this hub serves.

        Raises:
            ConfigError: something cannot be bound.
            OSError, InternalError: the old hub failed in the middle.
        """
        parts = self._parts
        link = await self._connect()
        if link is None:
            log.warning("the old hub is gone: starting without what it knew")
            await self._open_alone()
        else:
            try:
                await self._take_over(link)
            except (OSError, InternalError):
                if not self._is_open:
                    raise
                log.warning("the old hub failed while it handed over", exc_info=True)
                link.close()
                link = None
        self._serve()
        while parts.channels.is_telling:
            await asyncio.sleep(RETRY_S)
        parts.row[Field.SUCCEEDED] = 1
        if link is not None:
            await self._answer_commands(link)

    async def _answer_commands(self, link: HubLink) -> None:
        """Answer what the old hub relays, until it ends."""
        answers: asyncio.Queue[list[bytes]] = asyncio.Queue()

        async def send() -> None:
            while True:
                await link.send("answer", await answers.get())

        sending = self._parts.loop.create_task(send())
        try:
            while True:
                _, values, _ = await link.receive()
                run_command(self._parts.commands, values[0], answers.put_nowait)
        except (OSError, InternalError):
            log.debug("the old hub has ended")
        finally:
            sending.cancel()
            link.close()

    async def _connect(self) -> HubLink | None:
        deadline = time.monotonic() + CONNECT_MAX_S
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.connect(self._takeover.hub_path)
            except FileNotFoundError:
                connection.close()
                return None
            except ConnectionRefusedError:
                connection.close()
                if time.monotonic() > deadline:
                    return None
                await asyncio.sleep(RETRY_S)
            else:
                return HubLink(self._parts.loop, connection)

    async def _open_alone(self) -> None:
        deadline = time.monotonic() + BIND_MAX_S
        while True:
            attempt = ExitStack()
            try:
                self._parts.open_outside(attempt, {}, is_held=True)
            except ConfigError:
                attempt.close()
                self._parts.inputs.clear()
                self._parts.servers.clear()
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(RETRY_S)
            else:
                self._opened.push(attempt)
                return

    async def _take_over(self, link: HubLink) -> None:
        parts = self._parts
        state = await self._take_until(link, "listeners")
        await self._open(*state)
        await link.send("open")
        seats, sent_count = (await self._take_until(link, "state"))[0]
        parts.outlet.take_over(seats, sent_count)
        await link.send("ready")
        settings = parts.settings
        await link.send("paths", settings.own_ipc_path("bus"), settings.own_ipc_path("telemetry"))
        missing = await parts.outlet.wait_joined(seats, JOIN_MAX_S)
        if missing:
            log.warning("old workers %s did not come to this hub within %g s", sorted(missing), JOIN_MAX_S)
        self._serve()
        await link.send("done")

    async def _take_until(self, link: HubLink, last: str) -> tuple[list[Any], list[int]]:
        """Take in what the old hub knows; give the values and descriptors of the message that ends it."""
        parts = self._parts
        while True:
            kind, values, fds = await link.receive()
            if kind == last:
                return values, fds
            entries = values[0]
            if kind == "channels":
                parts.forwarded.on_change(*parts.forwarded.wanted.change(OLD_HUB, entries, ()))
            elif kind == "ids":
                parts.id_cache.take_over((key, seen_at) for key, seen_at in entries)
            elif kind == "noted":
                self._skipped.update(entries)
            elif kind == "last_ids":
                parts.sequencer.last_ids.update(entries)
            elif kind == "parked":
                parts.row[Field.ITEMS_RECEIVED] += len(entries)
                parts.row[Field.ITEMS_PULL] += len(entries)
                for fields in entries:
                    parts.sequencer.take_over(*fields)
            else:
                raise InternalError(f"the old hub says {kind!r}")

    async def _open(self, values: list[Any], fds: list[int]) -> None:
        """Open the inputs on what listens already, where both versions have the same settings."""
        parts = self._parts
        specs = zmq_specs(parts.settings) | http_specs(parts.settings)
        listeners: dict[str, int] = {}
        for (name, spec), fd in zip(values[0], fds, strict=True):
            if specs.get(name) == spec:
                listeners[name] = fd
            else:
                os.close(fd)
        self._is_open = True
        # A publisher that comes over from the old hub sends what that one was subscribed to, and ZeroMQ drops what this
        # hub is not subscribed to by then.
        parts.forwarded.is_early = values[1]
        parts.open_outside(self._opened, listeners, is_held=True)
        sub = parts.inputs.get(SUB)
        if sub is not None and parts.settings.push_in_sub_connect:
            sub.early = deque()
            sub.release()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(parts.forwarded.wait_connected(len(parts.settings.push_in_sub_specs)), 1.0)
            await asyncio.sleep(OVERLAP_S)

    def _serve(self) -> None:
        """Let items in: all who are to get them are here."""
        parts = self._parts
        if parts.is_frozen:
            parts.is_frozen = parts.channels.is_quiet = False
            for seat in parts.outlet.joined:
                parts.channels.retell(seat)
            parts.channels.forget_seat(OLD_HUB)
            sub = parts.inputs.get(SUB)
            if sub is not None and sub.early is not None:
                sub.handle_early(self._skipped)
            parts.release()
            log.info("hub serves publishers")
