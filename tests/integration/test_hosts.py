"""Several hosts, each a network namespace: what is published reaches all, and what befalls one stays its own."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import zmq
from gripcontrol import GripPubControl
from pubcontrol import ZmqPubControlClient

from benchmarks.namespaces import Host, Network
from tests.integration.deadline import wait_until
from tests.integration.host_server import CONTROL_PORT, PUSH_PORT, HostServer, lines_of, start_relay
from tests.integration.process import Process
from tests.integration.raw_client import RawClient

PUBLISHER_PORT, IN_PORT, OUT_PORT = 5570, 5562, 5565
ITEM_PERIOD_S = 0.002
CUT_ITEMS_COUNT = 500  # that are published while a host's cable is out
LIMIT_S = 60.0  # TCP tries ever more seldom to reach a host that was away

pytestmark = pytest.mark.gripproxy_only


@pytest.fixture
def network() -> Iterator[Network]:
    with Network() as network:
        yield network


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """What a test starts, to be ended with it."""
    with ExitStack() as opened:
        yield opened


class Publisher:
    """A publisher's socket on a host of its own; `start` has it publish numbered items all the time."""

    def __init__(self, host: Host, name: str = "", has_ids: bool = False) -> None:
        self.count = 0  # published so far
        self.subscribed: list[bytes] = []
        self._name = name
        self._has_ids = has_ids
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._run)
        with host.entered():  # its I/O thread is made with the first socket
            self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
            self.socket = self._context.socket(zmq.XPUB)
        self.socket.setsockopt(zmq.SNDHWM, 100_000)

    def wait_for_subscribers(self, count: int = 1) -> None:
        """Wait until so many subscriptions to the channel have come; ZeroMQ tells each if the socket is verbose."""

        def are_there() -> bool:
            while self.socket.poll(0):
                self.subscribed.append(self.socket.recv())
            return self.subscribed.count(b"\x01news") >= count

        wait_until(are_there, f"{count} subscriptions", 20.0)

    def send(self, text: str, channel: str = "news") -> None:
        item: dict[str, object] = {"http-stream": {"content": f"{text}\n"}}
        if self._has_ids:
            item["id"] = text
        self.socket.send_multipart([channel.encode(), b"J" + json.dumps(item).encode()])

    def start(self) -> None:
        self._thread.start()

    def wait_for(self, count: int) -> None:
        """Wait until `count` more items are published."""
        aim = self.count + count
        wait_until(lambda: self.count >= aim, f"{count} more items", LIMIT_S)

    def end(self) -> int:
        """Publish no more; give how many there were."""
        self._is_ending.set()
        self._thread.join()
        return self.count

    def close(self) -> None:
        self._is_ending.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._context.destroy(0)

    def _run(self) -> None:
        while not self._is_ending.wait(ITEM_PERIOD_S):
            self.send(f"{self._name}{self.count}")
            self.count += 1


def publisher(opened: ExitStack, host: Host, name: str = "", has_ids: bool = False) -> Publisher:
    made = Publisher(host, name, has_ids)
    opened.callback(made.close)
    return made


def binding_publisher(opened: ExitStack, host: Host) -> tuple[Publisher, str]:
    """Make a publisher that hosts connect to, and say where."""
    made = publisher(opened, host)
    made.socket.setsockopt(zmq.XPUB_VERBOSER, 1)
    with host.entered():
        made.socket.bind(f"tcp://{host.address}:{PUBLISHER_PORT}")
    return made, f"tcp://{host.address}:{PUBLISHER_PORT}"


def relay_on(opened: ExitStack, host: Host, directory: Path, *options: str) -> Process:
    sides = ("--in", f"tcp://0.0.0.0:{IN_PORT}", "--out", f"tcp://0.0.0.0:{OUT_PORT}")
    relay = start_relay(host, directory, *sides, "--metrics", "127.0.0.1:9002", *options)
    opened.callback(relay.stop)
    return relay


def start_server(opened: ExitStack, host: Host, directory: Path, *publishers: str, **handler: str | int) -> HostServer:
    server = HostServer(host, directory / f"h{host.address.rpartition('.')[2]}", publishers, handler)
    opened.callback(server.stop)
    server.start()
    return server


def wait_for_all(client: RawClient, count: int, name: str = "") -> None:
    """Wait for the last item, and see that this client got all from its first one on, each once and in order."""
    last = f"{name}{count - 1}".encode()

    def has_come() -> bool:
        client.poll(0.1)
        return last in own_lines(client, name)

    wait_until(has_come, f"item {last!r} from {client.socket.getpeername()}, after {client.received[-20:]!r}", LIMIT_S)
    lines = own_lines(client, name)
    first = int(lines[0].decode().removeprefix(name))
    assert lines == [f"{name}{number}".encode() for number in range(first, count)]


def own_lines(client: RawClient, name: str) -> list[bytes]:
    return [line for line in lines_of(client) if line.startswith(name.encode()) and line[len(name) :].isdigit()]


def test_items_travel_only_to_hosts_with_listeners(network: Network, opened: ExitStack, short_path: Path) -> None:
    """A publisher's own machine filters: a host without a listener costs neither it nor its network anything."""
    source, listening, idle = (network.add() for _ in range(3))
    pub, spec = binding_publisher(opened, source)
    server = start_server(opened, listening, short_path, spec)
    start_server(opened, idle, short_path, spec)
    with server.hold(source) as client:
        pub.wait_for_subscribers()
        before = [host.received_bytes() for host in (listening, idle)]
        for number in range(100):
            pub.send("x" * 10_000 + str(number))
        client.receive_until(b"x99\n", 20.0)
        taken = [host.received_bytes() - count for host, count in zip((listening, idle), before, strict=True)]
    assert taken[0] > 1_000_000
    assert taken[1] < 50_000  # keep-alives, ARP


@pytest.mark.parametrize("way", ["direct", "relay"])
def test_what_befalls_one_host_stays_its_own(way: str, network: Network, opened: ExitStack, short_path: Path) -> None:
    """One is cut off and comes back, one is killed, one joins late: the others' clients get every item once."""
    source, well, cut, killed, late, middle = (network.add() for _ in range(6))
    if way == "direct":
        pub, spec = binding_publisher(opened, source)
    else:
        spec = f"tcp://{middle.address}:{OUT_PORT}"
        relay_on(opened, middle, short_path)
        pub = publisher(opened, source)
        pub.socket.connect(f"tcp://{middle.address}:{IN_PORT}")
    servers = [start_server(opened, host, short_path, spec) for host in (well, cut, killed)]
    # Each beside its server: what a client that is cut off misses is another matter.
    clients = [server.hold(server.host) for server in servers for _ in range(2)]
    pub.wait_for_subscribers(3 if way == "direct" else 1)
    wait_until_all_hear(pub, clients)
    pub.start()
    pub.wait_for(50)
    cut.plug(False)
    servers[2].lose_power()
    pub.wait_for(CUT_ITEMS_COUNT)
    cut.plug(True)
    late_server = start_server(opened, late, short_path, spec)
    clients.append(late_server.hold(late))
    wait_until(lambda: clients[-1].poll(0.1) and own_lines(clients[-1], ""), "an item for who joined late", LIMIT_S)
    pub.wait_for(50)
    count = pub.end()
    for client in [*clients[:4], clients[-1]]:
        wait_for_all(client, count)
        client.close()
    assert all(own_lines(client, "")[0] == b"0" for client in clients[:4])


def wait_until_all_hear(pub: Publisher, clients: list[RawClient]) -> None:
    """Publish until every client has got something: the way for all is there."""

    def do_hear() -> bool:
        pub.send("hello")
        return all(client.poll(0.1) and b"hello" in lines_of(client) for client in clients)

    wait_until(do_hear, "all clients hear", 20.0)


def test_two_relays_pass_items_with_ids_on_once(network: Network, opened: ExitStack, short_path: Path) -> None:
    """Publishers and hosts are at both, so that one may die without a warning. CURVE all the way."""
    source, listening, *middles = (network.add() for _ in range(4))
    public, secret = (key.decode() for key in zmq.curve_keypair())
    relays = [relay_on(opened, middle, short_path, "--curve-secret-key", secret) for middle in middles]
    pub = publisher(opened, source, has_ids=True)
    pub.socket.setsockopt(zmq.XPUB_VERBOSER, 1)
    pub.socket.curve_serverkey = public.encode()
    pub.socket.curve_publickey, pub.socket.curve_secretkey = zmq.curve_keypair()
    for middle in middles:
        pub.socket.connect(f"tcp://{middle.address}:{IN_PORT}")
    specs = [f"tcp://{middle.address}:{OUT_PORT}" for middle in middles]
    server = start_server(opened, listening, short_path, *specs, push_in_sub_server_key=f'"{public}"')
    with server.hold(source) as client:
        pub.wait_for_subscribers(2)
        wait_until_all_hear(pub, [client])
        pub.start()
        pub.wait_for(100)
        os.killpg(relays[0].pid, signal.SIGKILL)
        pub.wait_for(100)
        wait_for_all(client, pub.end())


DJANGO_PUBLISHER = """
import sys
import time
from django.conf import settings
settings.configure(GRIP_PROXIES=[{"control_uri": uri} for uri in sys.argv[2:]])
from django_grip import publish
from gripcontrol import HttpStreamFormat
results = []
publish("news", HttpStreamFormat(sys.argv[1] + "\\n"), callback=lambda is_sent, text: results.append(is_sent))
while not results:
    time.sleep(0.01)
print(results)
"""


def test_django_publishes_to_every_host(network: Network, opened: ExitStack, short_path: Path) -> None:
    """GRIP_PROXIES lists all hosts. One that is dead keeps nothing from the others, and Django is told."""
    source, *hosts = (network.add() for _ in range(4))
    servers = [start_server(opened, host, short_path) for host in hosts]
    clients = [server.hold(source) for server in servers]
    uris = [f"http://{host.address}:{CONTROL_PORT}" for host in hosts]

    def publish(text: str) -> str:
        with source.entered():
            argv = [sys.executable, "-c", DJANGO_PUBLISHER, text, *uris]
            return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout.strip()

    assert publish("one") == "[True]"
    for client in clients:
        client.receive_until(b"one\n")
    servers[0].stop()
    assert publish("two") == "[False]"
    for client in clients[1:]:
        client.receive_until(b"two\n")
        assert lines_of(client) == [b"one", b"two"]
    for client in clients:
        client.close()


def test_push_publisher_sends_to_every_host(network: Network, opened: ExitStack, short_path: Path) -> None:
    """A socket for each host, as pubcontrol has them: one socket for all would deal the items out among them."""
    source, *hosts = (network.add() for _ in range(3))
    servers = [start_server(opened, host, short_path) for host in hosts]
    clients = [server.hold(source) for server in servers]
    with source.entered():
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        opened.callback(context.destroy, 0)
        control = GripPubControl(zmq_context=context)
        for host in hosts:
            control.add_client(ZmqPubControlClient(None, f"tcp://{host.address}:{PUSH_PORT}", context=context))
        for number in range(20):
            control.publish_http_stream("news", f"{number}\n", blocking=True)
    for client in clients:
        client.receive_until(b"19\n")
        assert lines_of(client) == [b"%d" % number for number in range(20)]
        client.close()
    control.close()
