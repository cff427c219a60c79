"""A worker or the hub is killed in the middle of things: who is cut, who is not, and what arrives all the same."""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from tests.integration.deadline import wait_until
from tests.integration.origin import ScriptedOrigin, answer
from tests.integration.process_view import established, has_peer, is_gone
from tests.integration.raw_client import RawClient, fetch, open_streams
from tests.integration.server import Server, ServerPlan
from tests.integration.subscription_watch import SubscriptionWatch

pytestmark = pytest.mark.gripproxy_only

RESTART_MAX_S = 1.0  # what the project promises
STREAM = answer("200 OK", "Content-Type: text/plain", "Grip-Hold: stream", "Grip-Channel: news", body=b"[open]\n")
ALONE = STREAM.replace(b"Grip-Channel: news", b"Grip-Channel: alone")
CLIENTS_COUNT = 40  # over two workers: the chance that one of them gets none is 1 in 10^12


@pytest.fixture
def server(start_server: Callable[[ServerPlan], Server]) -> Iterator[Server]:
    """Two workers and an origin that holds every request to `/stream`."""
    origin = ScriptedOrigin()
    origin.play({"/stream": STREAM, "/plain": answer(body=b"plain\n"), "/alone": ALONE})
    origin.start()
    yield start_server(ServerPlan(routes=[f"* 127.0.0.1:{origin.port}"], workers=2))
    origin.stop()


@pytest.fixture
def clients(server: Server) -> Iterator[list[RawClient]]:
    """Clients with open streams, some in each worker."""
    with open_streams(server.http_port, CLIENTS_COUNT) as clients:
        yield clients


@pytest.fixture
def push(server: Server, context: "zmq.Context[zmq.Socket[bytes]]") -> "zmq.Socket[bytes]":
    """A publisher's PUSH socket."""
    push = context.socket(zmq.PUSH)
    push.setsockopt(zmq.SNDHWM, 0)
    push.setsockopt(zmq.RECONNECT_IVL, 50)
    push.connect(f"tcp://127.0.0.1:{server.push_port}")
    return push


def push_line(push: "zmq.Socket[bytes]", number: int) -> None:
    """Publish one numbered line."""
    push.send(b"J" + json.dumps({"channel": "news", "http-stream": {"content": f"{number}\n"}}).encode())


def lines(first: int, last: int) -> bytes:
    """Spell the numbered lines that a stream should have got."""
    return b"".join(b"%d\n" % number for number in range(first, last))


def kill(pid: int) -> float:
    """Kill a process and give the time at which it is gone."""
    os.kill(pid, signal.SIGKILL)
    return time.monotonic()


def test_killed_worker_cuts_only_its_clients(
    server: Server, clients: list[RawClient], push: "zmq.Socket[bytes]"
) -> None:
    """The others' streams go on without a gap while items are being published, and new ones are served at once."""
    victim, other = server.child_pids("gripproxy: worker")
    counts = established(victim, server.http_port), established(other, server.http_port)
    assert sum(counts) == CLIENTS_COUNT
    assert all(counts)
    publishing = threading.Event()
    total = 2000

    def publish() -> None:
        for number in range(total):
            push_line(push, number)
            if number == total // 4:
                publishing.set()
            time.sleep(0.0005)

    publisher = threading.Thread(target=publish)
    publisher.start()
    assert publishing.wait(10.0)
    kill(victim)
    publisher.join()
    complete = b"[open]\n" + lines(0, total)
    survivors = 0
    for client in clients:
        with contextlib.suppress(AssertionError):
            client.receive_until(b"%d\n" % (total - 1), timeout_s=10.0)
        if not client.is_ended:
            survivors += 1
            assert client.received.partition(b"\r\n\r\n")[2] == complete
        else:
            assert complete.startswith(client.received.partition(b"\r\n\r\n")[2])
    assert survivors == counts[1]


def test_next_connection_after_a_killed_worker_is_served_within_a_second(server: Server) -> None:
    """No connection is left hanging on the dead worker's listener, and the new worker takes its part."""
    victim, other = server.child_pids("gripproxy: worker")
    killed_at = kill(victim)
    wait_until(lambda: is_gone(victim), "the worker is gone")
    for _ in range(10):
        assert fetch(server.http_port, "/plain").endswith(b"\r\n\r\nplain\n")
    assert time.monotonic() - killed_at < RESTART_MAX_S
    wait_until(lambda: len(server.child_pids("gripproxy: worker")) == 2, "two workers again")
    assert other in server.child_pids("gripproxy: worker")
    (new,) = set(server.child_pids("gripproxy: worker")) - {other}
    with contextlib.ExitStack() as stack:
        for _ in range(CLIENTS_COUNT):
            client = stack.enter_context(RawClient(server.http_port))
            client.get("/stream", version="1.0")
            client.receive_until(b"[open]\n")
        wait_until(lambda: established(new, server.http_port) > 0, "the new worker holds streams too")
        server.publish_stream("news", "after\n")
        client.receive_until(b"after\n")


def wait_for_disconnect(monitor: "zmq.Socket[bytes]") -> None:
    """Wait until the publisher's socket has noticed that the hub is gone; what is sent from then on is queued."""

    def is_disconnected() -> bool:
        return bool(monitor.poll(100)) and recv_monitor_message(monitor)["event"] == zmq.EVENT_DISCONNECTED

    wait_until(is_disconnected, "the publisher's socket is disconnected")


def test_killed_hub_loses_no_stream_and_no_queued_item(
    server: Server, clients: list[RawClient], push: "zmq.Socket[bytes]"
) -> None:
    """Held connections stay, publishing works again within a second, what publishers queued meanwhile arrives."""
    push_line(push, 0)
    for client in clients:
        client.receive_until(b"[open]\n0\n")
    monitor = push.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    (hub,) = server.child_pids("gripproxy: hub")
    killed_at = kill(hub)
    wait_for_disconnect(monitor)
    for number in range(1, 101):
        push_line(push, number)

    def publish() -> bool:
        try:
            server.publish_stream("other", "x")
        except OSError:
            return False
        return True

    wait_until(publish, "the control port takes items again")
    assert time.monotonic() - killed_at < RESTART_MAX_S
    for client in clients:
        client.receive_until(b"100\n")
        assert client.received.partition(b"\r\n\r\n")[2] == b"[open]\n" + lines(0, 101)
        assert not client.is_ended
    push.disable_monitor()


def test_hub_killed_twice_still_delivers(server: Server, clients: list[RawClient]) -> None:
    """A second failure soon after the first is survived as well."""
    for turn in range(2):
        (hub,) = wait_until(lambda: server.child_pids("gripproxy: hub"), "there is a hub")
        kill(hub)
        wait_until(lambda hub=hub: server.child_pids("gripproxy: hub") not in ([], [hub]), "there is a new hub")
        wait_until(server.is_serving, "it takes items")
        server.publish_stream("news", f"turn {turn}\n")
        for client in clients:
            client.receive_until(f"turn {turn}\n".encode())


def test_subscriptions_follow_a_killed_worker(
    server: Server, clients: list[RawClient], context: "zmq.Context[zmq.Socket[bytes]]"
) -> None:
    """What only a dead worker's clients held is no longer asked for from publishers; what is held elsewhere is."""
    watch = SubscriptionWatch(context, server.sub_port)
    watch.wait_for("news")
    with RawClient(server.http_port) as alone:
        alone.get("/alone", version="1.0")
        alone.receive_until(b"[open]\n")
        watch.wait_for("alone")
        client_port = alone.socket.getsockname()[1]
        (holder,) = [pid for pid in server.child_pids("gripproxy: worker") if has_peer(pid, client_port)]
        kill(holder)
        alone.receive_all()
        wait_until(lambda: b"alone" not in watch.poll(), "the dead worker's own channel is given up")
        assert b"news" in watch.channels
    watch.close()


def test_subscriptions_survive_a_killed_hub(
    server: Server, clients: list[RawClient], context: "zmq.Context[zmq.Socket[bytes]]"
) -> None:
    """A publisher on the SUB input hears of the held channels again, and what it sends then arrives."""
    (hub,) = server.child_pids("gripproxy: hub")
    kill(hub)
    wait_until(lambda: is_gone(hub), "the hub is gone")
    watch = SubscriptionWatch(context, server.sub_port)
    watch.wait_for("news")
    watch.socket.send_multipart([b"news", b'J{"http-stream":{"content":"after\\n"}}'])
    for client in clients:
        client.receive_until(b"[open]\nafter\n")
    watch.close()


def test_stop_ends_every_process_and_port(server: Server, clients: list[RawClient]) -> None:
    """SIGTERM leaves nothing behind: exit status 0, no child, no open stream."""
    children = server.child_pids("gripproxy")
    assert len(children) == 3
    assert server.stop() == 0
    for client in clients:
        client.receive_all()
    for pid in children:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
