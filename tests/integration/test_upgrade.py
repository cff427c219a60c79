"""Upgrades of a real gripproxy under load: nobody is dropped, and nothing is lost, doubled or out of order."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

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
def server(short_path: Path) -> Iterator[Upgradable]:
    quiet = {"runner": {"log_level": "2,worker:1", "drain_timeout": 10}}
    server = Upgradable(ServerPlan(routes=["* test"], workers=2, sections=quiet), short_path)
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
    assert count > 500
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
