"""A server on a host of its own: its ports are open to the whole network, and clients come over it."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path

from benchmarks.namespaces import Host
from tests.integration.process import Process
from tests.integration.raw_client import RawClient
from tests.integration.server import READY_LINE, Server, ServerPlan, program_argv, source_env

HTTP_PORT, PUSH_PORT, CONTROL_PORT = 8000, 5560, 5561  # nobody else is on the host
OPENED = b"[stream opened]\n"


class HostServer(Server):
    """gripproxy on `host`. With `publishers` its SUB input connects to these."""

    def __init__(
        self, host: Host, directory: Path, publishers: tuple[str, ...] = (), handler: Mapping[str, str | int] = {}
    ) -> None:
        directory.mkdir()
        super().__init__(ServerPlan(routes=["* test"], workers=1), directory)
        self.host = host
        specs = {"push_in_sub_specs": ",".join(publishers), "push_in_sub_connect": "true"} if publishers else {}
        inputs: dict[str, str | int] = {
            "push_in_spec": f"tcp://0.0.0.0:{PUSH_PORT}",
            "push_in_http_addr": "0.0.0.0",
            "push_in_http_port": CONTROL_PORT,
            "message_wait": 500,
        }
        self.plan.sections = {"runner": {"http_port": HTTP_PORT}, "handler": {**inputs, **specs, **handler}}

    def launch(self) -> Process:
        with self.host.entered():
            return super().launch()

    def is_serving(self) -> bool:
        return READY_LINE in self.output()

    def lose_power(self) -> None:
        """End as a host that is switched off: nobody on the network hears of it."""
        self.host.plug(False)
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)

    def hold(self, clients: Host, channel: str = "news") -> RawClient:
        """Open a stream from the host `clients`."""
        with clients.entered():
            client = RawClient(HTTP_PORT, self.host.address)
        client.get(f"/stream?channel={channel}", version="1.0")
        client.receive_until(OPENED)
        return client


def lines_of(client: RawClient) -> list[bytes]:
    """Give the lines that were published to a stream so far."""
    return client.received.partition(OPENED)[2].splitlines()


def start_relay(host: Host, directory: Path, *options: str) -> Process:
    """Start a relay on `host` and wait until it lets publishers in."""
    with host.entered():
        argv = [*program_argv("gripproxy", "gripproxy.cli"), "relay", *options]
        relay = Process("relay", argv, directory / f"relay-{host.address}.output", source_env())
    relay.wait_for_output("[relay] ready", 20.0)
    return relay
