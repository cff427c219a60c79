"""The relay as a process: what goes through it, who gets in, what happens at its end."""

import contextlib
import socket
import threading
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from gripproxy.bus.forwarded_channels import NAME_MAX_BYTES
from tests.integration.command import ZmqContext
from tests.integration.deadline import wait_until
from tests.relay.running_relay import RunningRelay, ZmqSocket, received, wait_for_notice

PUBLIC, SECRET = zmq.curve_keypair()
HOST = HOST_PUBLIC, HOST_SECRET = zmq.curve_keypair()
PUBLISHER = PUBLISHER_PUBLIC, _ = zmq.curve_keypair()
NewRelay = Callable[..., RunningRelay]


@pytest.fixture
def new_relay(short_path: Path, context: ZmqContext) -> Iterator[NewRelay]:
    """Give a function that makes relays, which end with the test."""
    made: list[RunningRelay] = []

    def new(name: str = "r", *options: str, source: str | None = None) -> RunningRelay:
        relay = RunningRelay(short_path, context, name, *options, source=source)
        made.append(relay)
        return relay

    yield new
    for relay in made:
        relay.stop()


@pytest.fixture
def relay(new_relay: NewRelay) -> RunningRelay:
    relay = new_relay()
    relay.start()
    return relay


def test_items_go_to_hosts_that_want_them(relay: RunningRelay) -> None:
    """Frames as they are; a publisher hears what is wanted, and that it is no longer."""
    publisher = relay.publisher()
    hosts = [relay.host(b"news"), relay.host(b"news", b"sport")]
    assert {received(publisher)[0], received(publisher)[0]} == {b"\x01news", b"\x01sport"}
    wait_until(lambda: relay.metric("hosts") == 2, "both hosts are connected")
    publisher.send_multipart([b"sport", b"J{1}"])
    publisher.send_multipart([b"news", b"T1:2,", b"more"])
    assert received(hosts[1]) == [b"sport", b"J{1}"]
    for host in hosts:
        assert received(host) == [b"news", b"T1:2,", b"more"]
    assert relay.metric("items_total") == 2
    assert relay.metric("bytes_total") == 9 + 13
    assert relay.metric("subscriptions") == 2
    hosts[1].close(0)
    wait_for_notice(publisher, b"\x00sport")
    wait_until(lambda: relay.metric("hosts") == 1, "a host has left")


def test_subscription_has_a_limit(relay: RunningRelay) -> None:
    """One of some 150,000 bytes ended the relay when a publisher came: ZeroMQ goes through it on the stack."""
    name = b"x" * 200_000
    ready = b"\x05READY\x0bSocket-Type\0\0\0\x03SUB"
    with socket.socket(socket.AF_UNIX) as host:
        host.settimeout(20.0)
        host.connect(relay.out_spec.removeprefix("ipc://"))
        host.sendall(b"\xff" + bytes(8) + b"\x7f\x03\0NULL" + bytes(16 + 32))  # ZMTP 3.0
        host.sendall(b"\x04" + bytes([len(ready)]) + ready)
        said = b""
        while b"READY" not in said:
            said += host.recv(4096)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            host.sendall(b"\x02" + (1 + len(name)).to_bytes(8, "big") + b"\x01" + name)
            while host.recv(4096):
                pass
    publisher, other = relay.publisher(), relay.host(b"y" * NAME_MAX_BYTES)
    assert received(publisher) == [b"\x01" + b"y" * NAME_MAX_BYTES]
    wait_until(lambda: relay.metric("hosts") == 1, "only the other is left")
    other.close(0)


def test_publisher_that_comes_later_hears_what_is_wanted(relay: RunningRelay) -> None:
    host = relay.host(b"news")
    wait_until(lambda: relay.metric("subscriptions") == 1, "a subscription")
    publisher = relay.publisher()
    wait_for_notice(publisher, b"\x01news")
    publisher.send_multipart([b"news", b"x"])
    assert received(host) == [b"news", b"x"]


def test_host_that_does_not_read_misses_items_and_others_do_not(new_relay: NewRelay) -> None:
    """Its queue is bounded, and what befalls it is counted and logged."""
    relay = new_relay("r", "--queue", "100")
    relay.start()
    publisher = relay.publisher()
    slow, quick = relay.host(b"news", receive_max_count=1), relay.host(b"news")
    wait_for_notice(publisher, b"\x01news")
    wait_until(lambda: relay.metric("hosts") == 2, "both hosts")
    count, body = 3000, b"x" * 5000
    for number in range(count):
        publisher.send_multipart([b"news", b"%d" % number, body])
        if number % 50 == 49:  # as fast as the quick one reads, so that its own queue is never full
            for expected in range(number - 49, number + 1):
                assert received(quick)[1] == b"%d" % expected
    assert relay.metric("overflows_total") == 1
    assert relay.metric("waits_total") >= 1
    assert "a host's queue is full, it misses items from here on (slow now: of this machine)" in relay.output()
    texts: list[bytes] = []

    def hears_again() -> bool:
        publisher.send_multipart([b"news", b"again"])
        while slow.poll(100):
            texts.append(slow.recv_multipart()[1])
        return b"again" in texts

    wait_until(hears_again, "the slow host gets items again")
    missed_from = texts.index(b"again")
    assert texts[:missed_from] == [b"%d" % number for number in range(missed_from)]
    assert 100 <= missed_from < count


def test_restart_loses_nothing(relay: RunningRelay) -> None:
    """Publishers keep what they have not sent, and hosts are back before them.

    But for what a publisher's ZeroMQ has begun to write, and could not, because it sends faster than the relay reads.
    """
    publisher, host = relay.publisher(), relay.host(b"news", receive_max_count=0)
    wait_for_notice(publisher, b"\x01news")
    is_ending = threading.Event()
    sent: list[int] = []
    taken: list[int] = []

    def publish() -> None:
        while not is_ending.wait(0.0005):
            publisher.send_multipart([b"news", b"%d" % len(sent)])
            sent.append(len(sent))

    def take() -> None:  # all the time: ZeroMQ subscribes again only when its socket is looked at
        while len(taken) < len(sent) or not is_ending.is_set():
            if host.poll(100):
                taken.append(int(host.recv_multipart()[1]))

    threads = [threading.Thread(target=run, daemon=True) for run in (publish, take)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        aim = len(taken) + 200
        wait_until(lambda aim=aim: aim < len(taken) > len(sent) - 5, "all items so far", 30.0)  # type: ignore[misc]
        assert relay.stop() == 0
        relay.start()
    is_ending.set()
    wait_until(lambda: len(taken) >= len(sent), "all items", 30.0)
    for thread in threads:
        thread.join()
    assert taken == sent


def test_readiness(new_relay: NewRelay) -> None:
    """Not ready before publishers are let in, a second after hosts."""
    relay = new_relay()
    process = relay.launch()
    process.wait_for_output("metrics on")
    assert relay.page("/healthz") == "ok\n"
    with pytest.raises(urllib.error.HTTPError, match="503"):
        relay.page("/readyz")
    process.wait_for_output("[relay] ready")
    assert relay.page("/readyz") == "ready\n"
    assert relay.stop() == 0
    assert "[relay] stopped" in relay.output()


def test_bad_address_is_said(new_relay: NewRelay) -> None:
    relay = new_relay("r", "--in", "nowhere")
    process = relay.launch()
    assert process.wait(20) == 1
    assert "gripproxy relay: error: --in: must be tcp://ADDRESS:PORT or ipc://PATH, not 'nowhere'" in relay.output()


def encrypted(
    context: ZmqContext, kind: zmq.SocketType, spec: str, pair: tuple[bytes, bytes], server_key: bytes = PUBLIC
) -> ZmqSocket:
    socket = context.socket(kind)
    socket.curve_serverkey, (socket.curve_publickey, socket.curve_secretkey) = server_key, pair
    socket.connect(spec)
    return socket


def test_curve_on_both_sides(new_relay: NewRelay, context: ZmqContext) -> None:
    """Each side lets in its own keys only: a host may not publish."""
    keys = ("--curve-secret-key", SECRET.decode(), "--in-client-key", PUBLISHER_PUBLIC.decode())
    relay = new_relay("r", *keys, "--out-client-key", HOST_PUBLIC.decode())
    relay.start()
    host = encrypted(context, zmq.SocketType.SUB, relay.out_spec, HOST)
    host.setsockopt(zmq.SUBSCRIBE, b"news")
    stranger = encrypted(context, zmq.SocketType.XPUB, relay.in_spec, HOST)
    plain = relay.publisher()
    wait_until(lambda: "away: its key is not in --in-client-key" in relay.output(), "the stranger is turned away")
    wait_until(lambda: "--in: a publisher did not get in: it has to use CURVE" in relay.output(), "and the plain one")
    publisher = encrypted(context, zmq.SocketType.XPUB, relay.in_spec, PUBLISHER)
    wait_for_notice(publisher, b"\x01news")
    publisher.send_multipart([b"news", b"secret"])
    assert received(host) == [b"news", b"secret"]
    assert relay.metric("unauthorized_total") >= 1
    assert not stranger.poll(0)
    assert not plain.poll(0)


def test_relays_in_a_chain(new_relay: NewRelay, context: ZmqContext) -> None:
    """One relay for each site, and between the sites an item travels once; encrypted there."""
    first = new_relay("a", "--curve-secret-key", SECRET.decode(), "--out-client-key", HOST_PUBLIC.decode())
    keys = ("--in-server-key", PUBLIC.decode(), "--curve-secret-key", HOST_SECRET.decode())
    second = new_relay("b", *keys, source=first.out_spec)
    first.start()
    second.start()
    hosts = [encrypted(context, zmq.SocketType.SUB, second.out_spec, pair, HOST_PUBLIC) for pair in (HOST, PUBLISHER)]
    for host in hosts:
        host.setsockopt(zmq.SUBSCRIBE, b"news")
    wait_until(lambda: second.metric("hosts") == 2, "both hosts")
    publisher = encrypted(context, zmq.SocketType.XPUB, first.in_spec, PUBLISHER)
    wait_for_notice(publisher, b"\x01news")
    publisher.send_multipart([b"news", b"far"])
    for host in hosts:
        assert received(host) == [b"news", b"far"]
    assert first.metric("hosts") == 1
