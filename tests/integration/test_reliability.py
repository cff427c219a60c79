"""A hundred thousand items around and between polls, clients on all workers: none lost, none twice, in order."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.integration.ports import free_ports
from tests.integration.server import SOURCE_ROOT, Server, ServerPlan

ITEMS_COUNT = 100_000
POLLERS_COUNT, STREAMERS_COUNT = 4, 4
WORKERS_COUNT = 3

pytestmark = [pytest.mark.timeout(300), pytest.mark.gripproxy_only]


@contextmanager
def process(module: str, *arguments: int) -> "Iterator[subprocess.Popen[str]]":
    """Run a module of this folder."""
    command = [sys.executable, "-m", f"tests.integration.{module}", *map(str, arguments)]
    popen = subprocess.Popen(
        command, cwd=SOURCE_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield popen
    finally:
        popen.kill()
        popen.wait()


def line_of(popen: "subprocess.Popen[str]") -> str:
    assert popen.stdout is not None
    return popen.stdout.readline().strip()


def test_every_item_reaches_every_client_once_and_in_order(start_server: Callable[[ServerPlan], Server]) -> None:
    """Items overtake each other on two sockets, come late, or are lost on their way to gripproxy."""
    (origin_port,) = free_ports(1)
    sections = {"handler": {"message_wait": "100", "id_cache_ttl": "60"}}
    server = start_server(ServerPlan(routes=[f"* 127.0.0.1:{origin_port}"], workers=WORKERS_COUNT, sections=sections))
    with process("log_origin", origin_port, server.push_port, ITEMS_COUNT) as origin:
        assert line_of(origin) == "ready"
        with process("hopping_clients", server.http_port, POLLERS_COUNT, STREAMERS_COUNT, ITEMS_COUNT) as clients:
            assert origin.stdin is not None
            origin.stdin.write("go\n")
            origin.stdin.flush()
            assert line_of(origin) == "done"
            tally = json.loads(line_of(clients))
    assert tally["faults"] == 0, tally
    assert tally["polls"] > 1000, tally
    assert tally["waits"] > 100, tally
    assert tally["streams"] > 50, tally
