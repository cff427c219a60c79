"""A monitor of the stats socket in a process of its own, as people have them for Pushpin."""

import ast
import sys
from pathlib import Path

from tests.integration.deadline import wait_until
from tests.integration.process import Process
from tests.integration.raw_client import RawClient
from tests.integration.server import Server
from tests.integration.stats_reader import Fields

READER = Path(__file__).with_name("stats_reader.py")
TIMEOUT_S = 30.0

monitors: list["Monitor"] = []


def end_monitors() -> None:
    """End all that a test has started."""
    while monitors:
        monitors.pop().process.stop()


class Monitor:
    """A reader in a process of its own, and what it has printed."""

    def __init__(self, server: Server, kinds: str = "") -> None:
        output_path = server.directory / f"monitor-{kinds or 'all'}.output"
        argv = [sys.executable, str(READER), f"ipc://{server.directory}/t-stats", kinds]
        self.process = Process("monitor", argv, output_path)
        monitors.append(self)

    def packets(self, kind: str) -> list[Fields]:
        """Give the fields of all packets of a type."""
        lines = [line for line in self.process.output().splitlines(keepends=True) if line.endswith("}\n")]
        return [ast.literal_eval(line.removeprefix(f"{kind} ")) for line in lines if line.startswith(f"{kind} ")]

    def wait(self, kind: str, count: int = 1, **fields: object) -> None:
        """Wait for so many packets with these fields."""
        wanted = {name.replace("_", "-"): value for name, value in fields.items()}

        def is_there() -> bool:
            assert self.process.is_running(), self.process.output()
            return sum(wanted.items() <= packet.items() for packet in self.packets(kind)) >= count

        wait_until(is_there, f"{count} packets {kind} with {wanted}; it printed:\n{self.process.output()}", TIMEOUT_S)

    def wait_subscribed(self, server: Server) -> None:
        """Ask the origin until a connection is told: then all that follows is."""

        def is_told() -> bool:
            with RawClient(server.http_port) as client:
                client.get("/plain")
                client.receive_until(b"plain")
            return bool(self.packets("conn"))

        wait_until(is_told, "the monitor is subscribed", TIMEOUT_S)

    def total(self, name: str) -> int:
        """Add up a field of all reports."""
        return sum(packet.get(name, 0) for packet in self.packets("report"))

    def lives(self) -> list[tuple[Fields, int]]:
        """Give each connection's first packet, without its id, and how often its end was told.

        One that was under way when the monitor subscribed may have an end only, and is left out.
        """
        found: dict[str, tuple[Fields, int]] = {}
        for packet in self.packets("conn"):
            conn_id = packet.pop("id")
            first, ends_count = found.get(conn_id, (packet, 0))
            found[conn_id] = first, ends_count + ("unavailable" in packet)
        return [(first, ends_count) for first, ends_count in found.values() if "unavailable" not in first]

    def subscriptions(self) -> dict[tuple[str, str], list[int]]:
        """Give the numbers of subscribers that were told of each channel, without what was told again."""
        found: dict[tuple[str, str], list[int]] = {}
        for packet in self.packets("sub"):
            numbers = found.setdefault((packet["mode"], packet["channel"]), [])
            number = packet.get("subscribers", 0)
            if numbers[-1:] != [number]:
                numbers.append(number)
        return found
