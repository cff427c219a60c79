"""The hub as a process of its own, with real publishers and workers, some of which get killed."""

import asyncio
import http.client
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
import uvloop
import zmq

from gripproxy.bus.feed import Feed, Reader
from gripproxy.protocol.bus_message import Payload, unpack_item
from gripproxy.protocol.last_ids import LastIds
from gripproxy.protocol.receipt import Receipt
from gripproxy.protocol.tnetstring import decode, encode
from gripproxy.scoreboard import Field, ProcessState
from gripproxy.settings import Settings
from tests.integration.deadline import wait_until
from tests.integration.hub_launcher import HubLauncher
from tests.integration.ports import free_ports

LIMIT_S = 20.0


def json_item(channel: str, content: str) -> bytes:
    return b'J{"channel":"%s","http-stream":{"content":"%s"}}' % (channel.encode(), content.encode())


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@dataclass
class Received:
    """What one feed in the test's own process got."""

    feed: Feed
    stale: list[list[str] | None]
    contents: list[str] = field(default_factory=list)


class Installation:
    """A hub's settings, its launcher, and the test's own loop and ZeroMQ sockets."""

    def __init__(self, directory: str) -> None:
        ports = free_ports(5)
        self.settings = Settings(
            rundir=directory,
            push_in_spec=f"tcp://127.0.0.1:{ports[0]}",
            push_in_sub_specs=(f"tcp://127.0.0.1:{ports[1]}",),
            push_in_http_port=ports[2],
            command_spec=f"tcp://127.0.0.1:{ports[3]}",
            prometheus_port=f"127.0.0.1:{ports[4]}",
            message_wait_ms=300,
        )
        self.metrics_port = ports[4]
        self.launcher = HubLauncher(self.settings)
        self.hub = self.launcher.start_hub()
        assert self.hub.report == "ready"
        self.loop = uvloop.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.zmq_context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._feeds: list[Feed] = []

    def join(self, worker_index: int) -> Received:
        """Join the bus as a worker that serves."""
        row = self.launcher.scoreboard.row(worker_index + 1)

        def on_item(channel: str, payload: Payload, _: Receipt | None) -> None:
            item = unpack_item(channel, payload)
            assert item.http_stream is not None
            received.contents.append(item.http_stream.content.decode())

        stale: list[list[str] | None] = []
        reader = Reader({"c"}, LastIds(), on_item, stale.append)
        received = Received(Feed(self.settings.ipc_path("bus"), worker_index, self.loop, reader, row), stale)
        self._feeds.append(received.feed)
        self.loop.run_until_complete(received.feed.join(LIMIT_S))
        row[Field.STATE] = ProcessState.READY
        return received

    def run_until(self, is_reached: Callable[[], bool]) -> None:
        """Turn the loop, which drives the feeds, until something is so."""

        async def watch() -> None:
            while not is_reached():
                await asyncio.sleep(0.001)

        self.loop.run_until_complete(asyncio.wait_for(watch(), LIMIT_S))

    def zmq_socket(self, kind: int, spec: str) -> "zmq.Socket[bytes]":
        zmq_socket = self.zmq_context.socket(kind)
        zmq_socket.setsockopt(zmq.RCVTIMEO, int(LIMIT_S * 1000))
        zmq_socket.connect(spec)
        return zmq_socket

    def push(self) -> "zmq.Socket[bytes]":
        assert self.settings.push_in_spec is not None
        return self.zmq_socket(zmq.PUSH, self.settings.push_in_spec)

    def publish_http(self, body: bytes, target: str = "/publish/") -> tuple[int, str | None, bytes]:
        """Publish; give status, Retry-After and body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.settings.push_in_http_port or 0, timeout=LIMIT_S)
        connection.request("POST", target, body)
        answer = connection.getresponse()
        result = answer.status, answer.getheader("Retry-After"), answer.read()
        connection.close()
        return result

    def kill_hub(self) -> None:
        os.kill(self.hub.pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(self.hub.pid), "the killed hub is gone")

    def close(self) -> None:
        for feed in self._feeds:
            feed.close()
        self.zmq_context.destroy(0)
        self.loop.close()
        asyncio.set_event_loop(None)
        self.launcher.stop()


@pytest.fixture
def site() -> Iterator[Installation]:
    with tempfile.TemporaryDirectory(prefix="hub") as directory:
        made = Installation(directory)
        yield made
        made.close()


def test_every_input_reaches_every_worker(site: Installation) -> None:
    """PULL, SUB, HTTP and the command socket are ways into the same channels."""
    workers = [site.join(0), site.join(1)]
    workers[0].feed.subscribe("c")
    site.push().send(json_item("c", "pull"))
    publisher = site.zmq_socket(zmq.XPUB, site.settings.push_in_sub_specs[0])
    site.run_until(lambda: bool(publisher.poll(0)))
    assert publisher.recv() == b"\x01c"
    publisher.send_multipart([b"c", json_item("ignored", "sub")])
    assert site.publish_http(b'{"items":[%s]}' % json_item("c", "http")[1:]) == (200, None, b"Published\n")
    assert site.settings.command_spec is not None
    client = site.zmq_socket(zmq.REQ, site.settings.command_spec)
    client.send(encode({"method": "publish", "args": {"items": [{"channel": "c", "http-stream": {"content": "cmd"}}]}}))
    assert decode(client.recv()) == {"success": True, "value": None}
    for worker in workers:
        site.run_until(lambda worker=worker: len(worker.contents) == 4)
        assert set(worker.contents) == {"pull", "sub", "http", "cmd"}
    workers[0].feed.unsubscribe("c")
    site.run_until(lambda: bool(publisher.poll(0)))
    assert publisher.recv() == b"\x00c"


def test_items_are_brought_into_order(site: Installation) -> None:
    """And one whose predecessor never comes goes after its wait. All workers know the last id."""
    workers = [site.join(0), site.join(1)]
    subscribe(site, workers[0])
    publisher = site.push()
    for number, prev_number in ((7, 6), (8, 7), (10, 9), (9, 8), (13, 12)):
        item = b'J{"channel":"c","id":"%d","prev-id":"%d","http-stream":{"content":"%d"}}'
        publisher.send(item % (number, prev_number, number))
    for worker in workers:
        site.run_until(lambda worker=worker: len(worker.contents) == 5)
        assert worker.contents == ["7", "8", "9", "10", "13"]
        assert worker.feed.last_ids == {"c": "13"}
    row = site.launcher.scoreboard.row(0)
    assert (row[Field.ITEMS_PARKED], row[Field.ITEMS_LATE]) == (0, 1)


@pytest.mark.parametrize("is_http", [True, False])
def test_recovery_reaches_every_worker(site: Installation, is_http: bool) -> None:
    """All last ids are forgotten, and all holds ask their origin again."""
    workers = [site.join(0), site.join(1)]
    subscribe(site, workers[0])
    site.push().send(b'J{"channel":"c","id":"1","http-stream":{"content":"x"}}')
    for worker in workers:
        site.run_until(lambda worker=worker: worker.feed.last_ids == {"c": "1"})
    if is_http:
        assert site.publish_http(b"", "/recover/") == (200, None, b"Updated\n")
    else:
        assert site.settings.command_spec is not None
        client = site.zmq_socket(zmq.REQ, site.settings.command_spec)
        client.send(encode({"method": "recover"}))
        assert decode(client.recv()) == {"success": True, "value": None}
    for worker in workers:
        site.run_until(lambda worker=worker: worker.stale == [None])
        assert worker.feed.last_ids == {}


def subscribe(site: Installation, worker: Received) -> None:
    """Let a worker subscribe to "c", and wait until the hub knows."""
    publisher = site.zmq_socket(zmq.XPUB, site.settings.push_in_sub_specs[0])
    worker.feed.subscribe("c")
    assert _recv(site, publisher) == b"\x01c"


def test_holds_of_a_first_subscription_are_asked_to_update(site: Installation) -> None:
    """A second after it, in every worker that has holds on the channel by then."""
    workers = [site.join(0), site.join(1)]
    workers[0].feed.subscribe("c", True)
    for worker in workers:
        site.run_until(lambda worker=worker: worker.stale == [["c"]])


def test_metrics_page_counts_what_happened(site: Installation) -> None:
    """The refused one is seen by whoever looks after the machine, not only by its publisher."""
    assert site.publish_http(b'{"items":[{}]}')[0] == 400
    item = b'{"channel":"c","id":"1","http-stream":{"content":"x"}}'
    assert site.publish_http(b'{"items":[%s,%s]}' % (item, item))[0] == 200
    connection = http.client.HTTPConnection("127.0.0.1", site.metrics_port, timeout=LIMIT_S)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    assert 'gripproxy_items_refused_total{process="hub"} 1' in lines
    assert 'gripproxy_items_duplicate_total{process="hub"} 1' in lines
    assert 'gripproxy_items_sent_total{process="hub"} 1' in lines
    assert 'gripproxy_up{process="hub"} 1' in lines


def test_killed_hub_loses_nothing_that_waits_at_the_publishers(site: Installation) -> None:
    """Its successor takes them only when the workers that serve are on its bus; their channels are known again."""
    workers = [site.join(0), site.join(1)]
    workers[1].feed.subscribe("c")
    publisher = site.push()
    publisher.send(json_item("c", "before"))
    for worker in workers:
        site.run_until(lambda worker=worker: worker.contents == ["before"])
    site.kill_hub()
    sent = [str(number) for number in range(500)]
    for content in sent:
        publisher.send(json_item("c", content))

    async def start_hub() -> str:
        return (await asyncio.to_thread(site.launcher.start_hub)).report

    assert site.loop.run_until_complete(start_hub()) == "ready"
    for worker in workers:
        site.run_until(lambda worker=worker: len(worker.contents) == 1 + len(sent))
        assert worker.contents == ["before", *sent]
    assert site.launcher.scoreboard.total(Field.BUS_GAPS) == 0
    assert _recv(site, site.zmq_socket(zmq.XPUB, site.settings.push_in_sub_specs[0])) == b"\x01c"


def test_killed_worker_takes_its_channels_with_it(site: Installation) -> None:
    """The others miss nothing, and publishers stop sending what nobody wants."""
    survivor = site.join(0)
    survivor.feed.subscribe("kept")
    victim = site.launcher.start_worker(1, "lost")
    subscribed, publisher = site.zmq_socket(zmq.XPUB, site.settings.push_in_sub_specs[0]), site.push()
    assert {subscribed.recv(), _recv(site, subscribed)} == {b"\x01kept", b"\x01lost"}
    sent = [str(number) for number in range(1_000)]
    for content in sent[:500]:
        publisher.send(json_item("c", content))
    os.kill(victim.pid, signal.SIGKILL)
    for content in sent[500:]:
        publisher.send(json_item("c", content))
    site.run_until(lambda: len(survivor.contents) == len(sent))
    assert survivor.contents == sent
    assert _recv(site, subscribed) == b"\x00lost"
    successor = site.launcher.start_worker(1, "lost")
    assert successor.report == "ready"
    assert _recv(site, subscribed) == b"\x01lost"


def _recv(site: Installation, zmq_socket: "zmq.Socket[bytes]") -> bytes:
    site.run_until(lambda: bool(zmq_socket.poll(0)))
    return zmq_socket.recv()


def test_stuck_worker_makes_publishers_wait_and_then_gets_everything(site: Installation) -> None:
    """Items are turned away with a Retry-After or they are delivered; none is dropped on the way."""
    stuck = site.launcher.start_worker(2, "c")
    other = site.join(0)
    os.kill(stuck.pid, signal.SIGSTOP)
    body = b'{"items":[%s]}' % json_item("c", "x" * 400_000)[1:]
    accepted_count = 0
    while (answer := site.publish_http(body))[0] == 200:
        accepted_count += 1
        site.run_until(lambda: True)
    assert answer == (503, "1", b"A worker process is too busy to take more items.\n")
    row = site.launcher.scoreboard.row(3)
    os.kill(stuck.pid, signal.SIGCONT)
    site.run_until(lambda: row[Field.ITEMS_RECEIVED] == accepted_count and len(other.contents) == accepted_count)
    assert row[Field.BUS_GAPS] == 0
    assert site.publish_http(body)[0] == 200


def test_taken_port_is_a_reason_not_to_start(site: Installation) -> None:
    """The text names the setting and the address."""
    second = site.launcher.start_hub()
    taken = f"ConfigError: push_in_spec {site.settings.push_in_spec}: address already in use"
    assert second.report == f"{taken}; change it, or run with --id N beside another instance"
    wait_until(lambda: not is_alive(second.pid), "the second hub is gone")


def test_sigterm_stops_the_hub_also_in_mid_request(site: Installation) -> None:
    """An idle publisher must not hold up a stop."""
    with socket.create_connection(("127.0.0.1", site.settings.push_in_http_port or 0)) as idle:
        idle.send(b"POST /publish/ HTTP/1.1\r\n")
        os.kill(site.hub.pid, signal.SIGTERM)
        wait_until(lambda: not is_alive(site.hub.pid), "the hub is gone")


def test_hub_ends_with_its_supervisor(site: Installation) -> None:
    """No orphan may hold the ports."""
    site.launcher.kill_launcher()
    wait_until(lambda: not is_alive(site.hub.pid), "the hub is gone")


def test_heartbeat_goes_on(site: Installation) -> None:
    """The supervisor replaces a hub whose heartbeat stands still."""
    row = site.launcher.scoreboard.row(0)
    first = row[Field.HEARTBEAT_MS]
    assert first > 0
    wait_until(lambda: row[Field.HEARTBEAT_MS] > first, "a heartbeat")
