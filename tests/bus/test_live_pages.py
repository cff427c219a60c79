"""The pages for those who look, through a real control server."""

import asyncio
import json
from pathlib import Path

from gripproxy.bus.control_answer import ControlAnswer
from gripproxy.bus.control_routes import ControlRoutes
from gripproxy.bus.control_server import ControlServer, open_unix_listener
from gripproxy.bus.live_pages import LivePages
from gripproxy.bus.watches import Watches
from gripproxy.protocol.event_line import EventLines
from gripproxy.protocol.telemetry import PublishRecord
from gripproxy.scoreboard import Field
from tests.bus.bench import BusBench


class Site:
    """A control server with the live pages, and a guard who asks for a key."""

    def __init__(self, bench: BusBench) -> None:
        self._path = str(Path(bench.directory, "control"))
        self.row = bench.scoreboard.row(0)
        lines = EventLines(has_address=False, has_user_agent=False)
        self.pages = LivePages(bench.loop, bench.scoreboard, bench.outlet(), Watches(self.row), dict, lines)
        bench.opened.callback(self.pages.close)
        routes = ControlRoutes(
            lambda _: ControlAnswer(404, b""),
            lambda request, is_public: (
                None if is_public or request.header(b"authorization") == b"Bearer key" else ControlAnswer(401, b"")
            ),
        )
        self.pages.register(routes)
        server = ControlServer(bench.loop, open_unix_listener("key", self._path), routes, 1000, 1000)
        bench.opened.callback(server.close)

    async def connect(self, path: bytes, headers: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(self._path)
        writer.write(b"GET %s HTTP/1.0\r\n%s\r\n" % (path, headers))
        return reader, writer

    async def get(self, path: bytes, headers: bytes = b"") -> tuple[bytes, bytes]:
        """Give status line and body."""
        reader, writer = await self.connect(path, headers)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return head.partition(b"\r\n")[0], body


KEY = b"Authorization: Bearer key\r\n"


def test_figures_and_events_are_for_those_who_have_the_key(bench: BusBench) -> None:
    """The page is for all: it asks for the key itself."""
    site = Site(bench)
    status, page = bench.run(site.get(b"/dashboard"))
    assert status.endswith(b" 200 OK")
    assert b"<title>gripproxy</title>" in page
    for path in (b"/stats", b"/events"):
        assert b" 401 " in bench.run(site.get(path))[0]
    status, document = bench.run(site.get(b"/stats", KEY))
    assert status.endswith(b" 200 OK")
    assert len(json.loads(document)["workers"]) == 2


def test_event_reaches_a_listener_and_his_leaving_is_noticed(bench: BusBench) -> None:
    """Or the workers would tell for ever what nobody hears."""
    site = Site(bench)

    async def listen() -> bytes:
        reader, writer = await site.connect(b"/events?kind=publish", KEY)
        await reader.readuntil(b"\r\n\r\n")
        assert site.row[Field.WATCHED]
        site.pages.events.note(PublishRecord(0.0, "news", None, "http", 0, 1, 0))
        line = await reader.readline()
        writer.close()
        return line

    assert json.loads(bench.run(listen()))["channel"] == "news"
    bench.run_until(lambda: not site.row[Field.WATCHED])
