"""What the tests of the bus share: one loop per test, sockets that are files in a directory of the test's own."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import uvloop
import zmq

from gripproxy.bus.channel_union import ChannelUnion
from gripproxy.bus.feed import Reader
from gripproxy.bus.forwarded_channels import ForwardedChannels
from gripproxy.bus.host_channels import HostChannels
from gripproxy.bus.id_cache import IdCache
from gripproxy.bus.item_intake import ItemIntake
from gripproxy.bus.item_sequencer import ItemSequencer
from gripproxy.bus.outlet import Outlet
from gripproxy.bus.receipts import Receipts
from gripproxy.bus.watched_socket import AnySocket
from gripproxy.protocol.bus_message import Payload, pack_item
from gripproxy.protocol.last_ids import LastIds
from gripproxy.protocol.publish_format import Action, HttpStreamFormat
from gripproxy.protocol.publish_item import PublishItem
from gripproxy.protocol.receipt import Receipt
from gripproxy.scoreboard import Scoreboard

LIMIT_S = 20.0  # only a broken test takes so long
Result = TypeVar("Result")


@dataclass(slots=True)
class HubParts:
    """The hub without its inputs."""

    outlet: Outlet
    last_ids: LastIds
    subscribed: ChannelUnion
    channels: HostChannels
    intake: ItemIntake
    receipts: Receipts

    def close(self) -> None:
        self.channels.close()
        self.outlet.close()


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

    def hub(self, is_updating: bool = True) -> HubParts:
        outlet, row = self.outlet(), self.scoreboard.row(0)
        sequencer, subscribed = ItemSequencer(5.0, LastIds(), row), ChannelUnion()
        channels = HostChannels(self.loop, outlet, sequencer, ForwardedChannels(self.loop, subscribed), is_updating)
        self.opened.callback(channels.close)
        receipts = Receipts(lambda: outlet.joined)
        intake = ItemIntake(outlet, IdCache(60), sequencer, subscribed, row, receipts)
        outlet.on_gone.append(receipts.on_worker_gone)
        return HubParts(outlet, sequencer.last_ids, subscribed, channels, intake, receipts)

    def intake(self, outlet: Outlet, *subscribed: str, message_wait_s: float = 5.0) -> ItemIntake:
        """Make the way in for items, with these channels subscribed by worker 0."""
        row, union = self.scoreboard.row(0), ChannelUnion()
        union.change(0, subscribed, ())
        sequencer, receipts = ItemSequencer(message_wait_s, LastIds(), row), Receipts(lambda: outlet.joined)
        return ItemIntake(outlet, IdCache(60), sequencer, union, row, receipts)

    def close(self) -> None:
        self.opened.close()
        self.zmq_context.destroy(0)
        self.loop.close()
        asyncio.set_event_loop(None)


def stream_item(channel: str, content: bytes, item_id: str | None = None, prev_id: str | None = None) -> PublishItem:
    return PublishItem(channel, item_id, prev_id, http_stream=HttpStreamFormat(Action.SEND, content, None))


def publish(outlet: Outlet, item: PublishItem) -> None:
    """Put an item on the bus that does nothing to a last id."""
    payload = pack_item(item)
    outlet.publish_packed(item.channel, payload, len(payload[0]))


def reader_of(
    wanted: set[str], on_item: Callable[[str, Payload, Receipt | None], None], last_ids: LastIds | None = None
) -> Reader:
    """Make a feed's reader that expects no update."""

    def on_stale(names: list[str] | None) -> None:
        raise AssertionError(f"{names} are stale")

    return Reader(wanted, LastIds() if last_ids is None else last_ids, on_item, on_stale)
