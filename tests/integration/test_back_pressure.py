"""Workers that stand still, clients and processes that are killed: publishers wait, and the books come out."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import zmq

from benchmarks.books import Books
from benchmarks.errors import BenchmarkError
from tests.integration.deadline import wait_until
from tests.integration.origin import ScriptedOrigin, answer
from tests.integration.ports import free_ports
from tests.integration.process_view import is_gone, private_memory_bytes
from tests.integration.raw_client import RawClient, open_streams
from tests.integration.server import Server, ServerPlan, post

pytestmark = pytest.mark.gripproxy_only

STREAM = answer("200 OK", "Content-Type: text/plain", "Grip-Hold: stream", "Grip-Channel: news", body=b"[open]\n")
LARGE = b"x" * 900_000
MEMORY_MAX_BYTES = 250_000_000  # of the hub: 64 large items for one publisher, 250 parts on the bus, 16 MB before it
PUSHED_MAX_COUNT = 400  # large items: were they all taken, the hub would have more than that
HELD_MS = 1_000  # a publisher that may send nothing for so long is held back
HELD_S = 2.0  # that a worker stands still while lines are published: longer than they would take
CLIENTS_COUNT = 6
PROCESSES_COUNT = 3  # a hub and two workers
BOOKS_TIMEOUT_S = 60.0


class Site:
    """A server with two workers and its metrics page."""

    def __init__(self, server: Server, metrics_port: int) -> None:
        self.server = server
        self.metrics_port = metrics_port

    def books(self) -> Books:
        return Books.read(self.metrics_port)

    def settle(self, received_count: int | None = None) -> Books:
        """Wait until the books come out, with so many items received, and nothing is under way."""
        last = "no page"

        def look() -> Books | None:
            nonlocal last
            try:
                books = self.books()
            except BenchmarkError as error:
                last = str(error)
                return None
            received, pending = books.total("items_received_total"), books.total("deliveries_pending")
            last = f"{received:.0f} received, {pending:.0f} pending; {'; '.join(books.faults())}"
            is_settled = not books.faults() and not pending and received_count in (None, received)
            return books if is_settled else None

        try:
            return wait_until(look, "the books come out", BOOKS_TIMEOUT_S)
        except AssertionError as error:
            raise AssertionError(f"{error}: {last}") from None


@pytest.fixture
def site(start_server: Callable[[ServerPlan], Server]) -> Iterator[Site]:
    origin = ScriptedOrigin()
    origin.play({"/stream": STREAM})
    origin.start()
    (port,) = free_ports(1)
    sections = {"handler": {"prometheus_port": f"127.0.0.1:{port}"}}
    yield Site(start_server(ServerPlan(routes=[f"* 127.0.0.1:{origin.port}"], sections=sections)), port)
    origin.stop()


@pytest.fixture
def clients(site: Site) -> Iterator[list[RawClient]]:
    """Clients with open streams, most likely some in each worker."""
    with open_streams(site.server.http_port, CLIENTS_COUNT) as clients:
        yield clients


@pytest.fixture
def push(site: Site, context: "zmq.Context[zmq.Socket[bytes]]") -> "zmq.Socket[bytes]":
    """A publisher's PUSH socket with a small queue of its own."""
    push = context.socket(zmq.PUSH)
    push.setsockopt(zmq.SNDHWM, 2)
    push.setsockopt(zmq.RECONNECT_IVL, 50)
    push.connect(f"tcp://127.0.0.1:{site.server.push_port}")
    return push


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Let a process stand still."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def item(channel: str, content: bytes) -> bytes:
    return b'J{"channel":"%s","http-stream":{"content":"%s"}}' % (channel.encode(), content)


def push_until_held(push: "zmq.Socket[bytes]", frame: bytes) -> int:
    """Send the same item until the server takes no more; give how often."""
    count = 0
    while push.poll(HELD_MS, zmq.POLLOUT):
        push.send(frame)
        count += 1
        assert count < PUSHED_MAX_COUNT, "nothing holds the publisher back"
    return count


def test_stopped_worker_holds_publishers_back_in_bounded_memory(site: Site, push: "zmq.Socket[bytes]") -> None:
    """ZeroMQ publishers feel their own high-water mark, HTTP publishers get a 503; then every item arrives."""
    server = site.server
    (hub,) = server.child_pids("gripproxy: hub")
    worker, _ = server.child_pids("gripproxy: worker")
    body = b'{"items":[%s]}' % item("nobody", LARGE)[1:]
    with stopped(worker):
        pushed = push_until_held(push, item("nobody", LARGE))
        posted = 0
        while (answered := post(server.control_port, body))[0] == 200:
            posted += 1
            assert posted < PUSHED_MAX_COUNT
        memory_bytes = private_memory_bytes(hub)
    assert answered == (503, b"A worker process is too busy to take more items.\n")
    assert memory_bytes < MEMORY_MAX_BYTES
    books = site.settle(pushed + posted)
    assert books.total("items_sent_total") == pushed + posted
    assert books.total("bus_items_received_total") == 2 * (pushed + posted)
    assert books.total("items_turned_away_total") == 1
    assert server.child_pids("gripproxy: worker")[0] == worker, "the worker was never replaced"


class Lines:
    """The numbers of the lines that a client gets, taken out of what has come as it comes."""

    def __init__(self, client: RawClient) -> None:
        self.numbers: list[int] = []
        self._client = client
        client.received = client.received.partition(b"[open]\n")[2]

    def take(self, timeout_s: float) -> None:
        """Take what has come."""
        if self._client.poll(timeout_s):
            *lines, self._client.received = self._client.received.split(b"\n")
            self.numbers += [int(line.partition(b":")[0]) for line in lines]


def test_nothing_is_lost_silently_around_a_stopped_worker(
    site: Site, clients: list[RawClient], push: "zmq.Socket[bytes]"
) -> None:
    """Each client gets the lines in order, each once; what it does not get is counted as dropped for slowness."""
    worker, _ = site.server.child_pids("gripproxy: worker")
    total, filling = 50_000, b"x" * 1000  # some times what the hub, the bus and TCP keep
    is_under_way = threading.Event()

    def publish() -> None:
        for number in range(total):
            push.send(item("news", b"%d:%s\\n" % (number, filling)))
            if number == total // 10:
                is_under_way.set()

    publisher = threading.Thread(target=publish, daemon=True)
    publisher.start()
    lines = [Lines(client) for client in clients]

    def read_until(is_reached: Callable[[], bool]) -> None:
        while not is_reached():
            for line in lines:
                line.take(0.001)

    read_until(is_under_way.is_set)
    with stopped(worker):
        held_at = time.monotonic() + HELD_S
        read_until(lambda: time.monotonic() > held_at)
        assert publisher.is_alive(), "the publisher waits for the worker"
    read_until(lambda: not publisher.is_alive())
    settled: list[Books] = []
    settling = threading.Thread(target=lambda: settled.append(site.settle(total)), daemon=True)
    settling.start()
    read_until(lambda: not settling.is_alive())
    (books,) = settled
    push.send(item("news", b"%d:\\n" % total))  # for all sockets have room by now
    read_until(lambda: all(line.numbers[-1:] == [total] for line in lines))
    for line in lines:
        assert all(earlier < later for earlier, later in zip(line.numbers, line.numbers[1:], strict=False))
    missing = sum(total + 1 - len(line.numbers) for line in lines)
    assert books.total("receptions_total") == total * CLIENTS_COUNT
    assert books.total("deliveries_dropped_total", cause="slow") == missing
    assert books.total("deliveries_dropped_total") == missing


def test_killed_client_is_in_the_books(site: Site, clients: list[RawClient], push: "zmq.Socket[bytes]") -> None:
    """What waited for a client that reads nothing and then leaves is counted: as too slow, or as gone."""
    idle, *others = clients
    for number in range(60):
        push.send(item("news", b"%d:%s\\n" % (number, LARGE[:200_000])))
        for client in others:
            client.receive_until(b"\n%d:" % number, timeout_s=30.0)
            client.received = client.received[-20:]
    site.server.publish_stream("news", "end\n")
    for client in others:
        client.receive_until(b"end\n", timeout_s=30.0)
    wait_until(lambda: site.books().total("deliveries_pending") > 0, "what waits for it is counted")
    idle.close()
    books = site.settle(61)
    assert books.total("receptions_total") == 61 * CLIENTS_COUNT
    assert books.total("deliveries_dropped_total", cause="gone") > 0


def kill_one(site: Site, name: str) -> None:
    """Kill one of the server's processes and wait until items go on without it, to all that there are."""
    server = site.server
    victim, *others = server.child_pids(name)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: is_gone(victim), f"{name} is gone")
    wait_until(lambda: len(set(server.child_pids(name)) - {victim}) == len(others) + 1, f"another {name}")

    def look() -> bool:
        try:
            books = site.books()
        except BenchmarkError:
            return False
        return books.total("up") == PROCESSES_COUNT

    wait_until(look, "all of them serve", 30.0)
    sent = site.books().total("items_sent_total")
    wait_until(lambda: site.books().total("items_sent_total") > sent + 100, "items are sent")


def test_killed_processes_are_in_the_books(site: Site, clients: list[RawClient], push: "zmq.Socket[bytes]") -> None:
    """Items go on all the time; a worker and then the hub are killed; in the end no item is nowhere."""
    is_over, sent = threading.Event(), 0

    def publish() -> None:
        nonlocal sent
        while not is_over.is_set():
            if push.poll(100, zmq.POLLOUT):
                push.send(item("news", b"%d\\n" % sent))
                sent += 1

    def read() -> None:
        while not is_over.is_set():
            for client in clients:
                client.poll(0.001)

    threads = [threading.Thread(target=run, daemon=True) for run in (publish, read)]
    for thread in threads:
        thread.start()
    try:
        for name in ("gripproxy: worker", "gripproxy: hub"):
            kill_one(site, name)
    finally:
        is_over.set()
        for thread in threads:
            thread.join(10.0)
    books = site.settle()
    assert books.total("bus_missed_total") > 0
    assert books.total("items_received_total") <= sent
