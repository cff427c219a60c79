"""What the tests of the bus share: one loop per test, sockets that are files in a directory of the test's own."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import uvloop
import zmq

from gripproxy.bus.outlet import Outlet
from gripproxy.bus.watched_socket import AnySocket
from gripproxy.protocol.publish_format import Action, HttpStreamFormat
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.scoreboard import Scoreboard

LIMIT_S = 20.0  # only a broken test takes so long
Result = TypeVar("Result")


class BusBench:
    """A loop, a ZeroMQ context, a scoreboard of two workers, and a stack of what has to be closed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.loop = uvloop.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.zmq_context: zmq.Context[AnySocket] = zmq.Context()
        self.scoreboard = Scoreboard(2)
        self.opened = ExitStack()

    @property
    def bus_path(self) -> str:
        return str(self.directory / "bus")

    def run(self, awaitable: Awaitable[Result]) -> Result:
        return self.loop.run_until_complete(asyncio.wait_for(awaitable, LIMIT_S))

    def run_until(self, is_reached: Callable[[], bool]) -> None:
        """Turn the loop until something is so."""

        async def watch() -> None:
            while not is_reached():
                await asyncio.sleep(0)

        self.run(watch())

    def turn(self) -> None:
        """Turn the loop once: what was arranged for its next turn has happened then."""
        self.run(asyncio.sleep(0))

    def socket(self, kind: int) -> AnySocket:
        zmq_socket = self.zmq_context.socket(kind)
        self.opened.callback(zmq_socket.close, 0)
        return zmq_socket

    def outlet(self) -> Outlet:
        outlet = Outlet(self.loop, self.zmq_context, self.bus_path, 2, self.scoreboard.row(0))
        self.opened.callback(outlet.close)
        return outlet

    def close(self) -> None:
        self.opened.close()
        self.zmq_context.destroy(0)
        self.loop.close()
        asyncio.set_event_loop(None)


def stream_item(channel: str, content: bytes, item_id: str | None = None) -> PublishItem:
    return PublishItem(channel, item_id, http_stream=HttpStreamFormat(Action.SEND, content, None))
