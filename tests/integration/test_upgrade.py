"""Upgrades of a real gripproxy under load: nobody is dropped, and nothing is lost, doubled or out of order."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.process_view import children, title
from tests.integration.raw_client import RawClient
from tests.integration.server import SOURCE_ROOT, ServerPlan, source_env
from tests.integration.upgradable import (
    CountingPublisher,
    HttpPublisher,
    PushPublisher,
    Upgradable,
    is_alive,
    numbers_of,
    read_up_to,
)

pytestmark = pytest.mark.gripproxy_only

ANSWER = b"Hello from the Pushpin test handler!\n"


@pytest.fixture
def origin() -> Iterator[socket.socket]:
    """Listens at the end of the route of `busy.test`."""
    with socket.create_server(("127.0.0.1", 0)) as origin:
        origin.settimeout(10.0)
        yield origin


@pytest.fixture
def server(short_path: Path, origin: socket.socket) -> Iterator[Upgradable]:
    quiet = {"runner": {"log_level": "2,worker:1", "drain_timeout": 10}}
    routes = [f"busy.test 127.0.0.1:{origin.getsockname()[1]}", "* test"]
    server = Upgradable(ServerPlan(routes=routes, workers=2, sections=quiet), short_path)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def hold(server: Upgradable, count: int, target: str = "/stream?channel=news") -> list[RawClient]:
    clients = [RawClient(server.http_port) for _ in range(count)]
    for client in clients:
        client.get(target)
    for client in clients if "stream" in target else ():
        client.receive_until(b"[stream opened]")
    return clients


@pytest.mark.parametrize("way", [HttpPublisher, PushPublisher])
def test_held_streams_get_every_item_once_and_in_order(server: Upgradable, way: type[CountingPublisher]) -> None:
    """Twice: to the next version, and from that one to another, with a publisher that never stops."""
    clients = hold(server, 300)
    publisher = way(server, "news")  # type: ignore[arg-type]  # both are made alike
    publisher.start()
    old_pids = [server.supervisor_pid]
    try:
        for _ in range(2):
            server.upgrade()
            assert server.supervisor_pid not in old_pids
            old_pids.append(server.supervisor_pid)
    finally:
        count = publisher.stop()
    read_up_to(clients, count - 1)
    assert count > 100
    for client in clients:
        assert not client.is_ended, server.output()
        assert numbers_of(client) == list(range(count))
        client.close()
    assert not any(map(is_alive, old_pids[:-1]))
    assert "internal error" not in server.output()


def test_nobody_is_refused_meanwhile(server: Upgradable) -> None:
    """Connections that come in at any moment of an upgrade are served."""
    argv = [sys.executable, "-m", "tests.integration.connection_storm", str(server.http_port), "500", ANSWER.decode()]
    env = source_env()
    env["PYTHONPATH"] += f":{SOURCE_ROOT}"
    with subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as storm:
        server.upgrade()
        outcomes = json.loads(storm.communicate(timeout=60)[0])["outcomes"]
    assert set(outcomes) == {"answered"} and outcomes["answered"] > 100, outcomes


def test_long_polls_and_idle_clients_go_on(server: Upgradable) -> None:
    """One is answered by the new version, the other asks it its next question."""
    polls = hold(server, 20, "/response?channel=news")
    idle = RawClient(server.http_port)
    idle.get("/")
    idle.receive_until(ANSWER)
    server.upgrade()
    server.publish({"channel": "news", "http-response": {"body": "answer\n"}})
    for poll in polls:
        poll.receive_until(b"answer\n")
    idle.get("/")
    idle.receive_until(ANSWER, count=2)
    for client in (*polls, idle):
        client.close()


def test_busy_client_goes_over_when_it_rests(server: Upgradable, origin: socket.socket) -> None:
    """Its origin answers when the old version begins to end already; neither does that end the connection."""
    client = RawClient(server.http_port)
    client.get("/", host="busy.test")
    connection, _ = origin.accept()
    with connection, server.start_upgrade() as command:
        assert command.stdout is not None
        for line in command.stdout:
            if "still with the old processes" in line:
                break
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nlate\n")
        client.receive_until(b"late\n")
        assert command.wait(60) == 0
    client.get("/")
    client.receive_until(ANSWER)
    assert b"connection: close" not in client.received.lower()
    client.close()


def workers_of(supervisor_pid: int) -> list[int]:
    return [pid for pid in children(supervisor_pid) if "gripproxy: worker" in title(pid)]


@pytest.mark.parametrize("is_new", [True, False])
def test_killed_worker_takes_only_what_it_has(server: Upgradable, is_new: bool) -> None:
    """In the middle of it, on either side: each client is with one of the two, and gets everything once from it."""
    clients = hold(server, 600)
    publisher = HttpPublisher(server, "news")
    publisher.start()
    old_pid = server.supervisor_pid
    old_workers = workers_of(old_pid)
    try:
        with server.start_upgrade() as command:
            assert command.stdout is not None
            for line in command.stdout:
                if "moving the clients" in line:
                    break
            time.sleep(random.random() * 0.3)  # any moment is as good as another
            found = [pid for parent in children(old_pid) for pid in workers_of(parent)] if is_new else old_workers
            with contextlib.suppress(ProcessLookupError):
                os.kill(random.choice(found), signal.SIGKILL)
            said, _ = command.communicate(timeout=90)
    finally:
        count = publisher.stop()
    read_up_to(clients, count - 1)
    left = [client for client in clients if not client.is_ended]
    assert len(left) >= 100, (said, server.output())  # the other worker's
    for client in left:
        assert numbers_of(client) == list(range(count)), (said, server.output())
    for client in clients:
        numbers = numbers_of(client)
        assert numbers == list(range(len(numbers)))
        client.close()
    late = RawClient(server.http_port)
    late.get("/")
    late.receive_until(ANSWER)
    late.close()
