"""What the control port has for those who look: ``/stats``, ``/events`` and ``/dashboard``."""

import asyncio

from gripproxy.bus import dashboard
from gripproxy.bus.control_routes import ControlRoutes
from gripproxy.bus.event_stream import EventStream
from gripproxy.bus.live_stats import LiveStats, ReadTraffic
from gripproxy.bus.outlet import Outlet
from gripproxy.bus.watches import Watches
from gripproxy.protocol.event_line import EventLines
from gripproxy.scoreboard import Scoreboard


class LivePages:
    """Made once for a hub. `events` takes the records of what happens, `audience` the answers to what it asks."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        scoreboard: Scoreboard,
        outlet: Outlet,
        watches: Watches,
        read_traffic: ReadTraffic,
        lines: EventLines,
    ) -> None:
        self.events = EventStream(loop, watches, lines)
        self._stats = LiveStats(loop, scoreboard, outlet, read_traffic)
        self.audience = self._stats.audience

    def register(self, routes: ControlRoutes) -> None:
        routes.add(b"/stats", self._stats.respond)
        routes.add(b"/events", self.events.respond)
        routes.add(b"/dashboard", dashboard.respond, is_public=True)

    def close(self) -> None:
        self.events.close()
        self._stats.close()
