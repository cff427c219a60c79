"""Ten thousand streams in two workers: everything delivered once and in order, nothing left behind when clients go."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import zmq

from tests.integration.deadline import wait_until
from tests.integration.php_site import PhpSite
from tests.integration.process_view import established, fd_count_without, private_memory_bytes
from tests.integration.server import SOURCE_ROOT, Server, ServerPlan
from tests.integration.subscription_watch import SubscriptionWatch

STREAMS_COUNT = 10_000
WARM_UP_COUNT = 100  # both workers have then served and held
LEAVING_COUNT = STREAMS_COUNT // 6  # of each way to leave; three ways make the half
ROUNDS_MAX_COUNT = 6  # until memory no longer grows from one round to the next
LEAK_BYTES = STREAMS_COUNT * 100  # per round; half of what a round of leaked holds would take
ANSWER_TIMEOUT_S = 90.0

pytestmark = [pytest.mark.timeout(240), pytest.mark.gripproxy_only]


class Load:
    """The process with the clients."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.load_clients"],
            cwd=SOURCE_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def do(self, command: str, **arguments: object) -> dict[str, object]:
        """Give a command and wait for its answer."""
        assert self.popen.stdin and self.popen.stdout
        self.popen.stdin.write(json.dumps({"do": command, **arguments}) + "\n")
        self.popen.stdin.flush()
        answer = json.loads(self.popen.stdout.readline())
        assert isinstance(answer, dict)
        return answer

    def open(self, first: int, count: int) -> None:
        """Open streams, each on its own channel."""
        answer = self.do(
            "open", port=self.port, target="/hold?channel=c{}", first=first, count=count, timeout_s=ANSWER_TIMEOUT_S
        )
        assert answer == {"opened": count}

    def expect(self, items: int, streams: int) -> None:
        """Every open stream has got exactly its first `items` items, in order."""
        answer = self.do("collect", items=items, quiet_s=0.3, timeout_s=ANSWER_TIMEOUT_S)
        assert answer == {"open": streams, "ended": 0, "faults": 0, "shown": []}

    def stop(self) -> None:
        """End the process; its streams end with it."""
        self.popen.kill()
        self.popen.wait()


@pytest.fixture
def server(start_server: Callable[[ServerPlan], Server], php_site: PhpSite) -> Server:
    """Two workers before the site's nginx, which answers `/hold` by itself."""
    return start_server(ServerPlan(routes=[f"* 127.0.0.1:{php_site.port}"], workers=2))


@pytest.fixture
def load(server: Server) -> Iterator[Load]:
    """The clients' process."""
    load = Load(server.http_port)
    yield load
    load.stop()


def push_item(socket: "zmq.Socket[bytes]", item: int) -> None:
    """Publish one item to each channel."""
    for number in range(STREAMS_COUNT):
        value = {"channel": f"c{number}", "id": str(item), "http-stream": {"content": f"{number} {item}\n"}}
        socket.send(b"J" + json.dumps(value).encode())


def held(server: Server) -> list[int]:
    """Count the client connections of each holding process."""
    return [established(pid, server.http_port) for pid in server.holding_pids()]


def wait_for_held(server: Server, count: int) -> None:
    """Wait until so many client connections are held."""
    wait_until(lambda: sum(held(server)) == count, f"{count} connections; there are {held(server)}", 20.0)


def fds(server: Server, php_site: PhpSite) -> list[int]:
    """Count the fds of each holding process, the pooled connections to the origin left out."""
    return [fd_count_without(pid, php_site.port) for pid in server.holding_pids()]


def wait_for_fds(server: Server, php_site: PhpSite, count: int) -> None:
    """Wait until there are not more than so many fds."""
    wait_until(lambda: sum(fds(server, php_site)) <= count, f"{count} fds; there are {fds(server, php_site)}", 20.0)


def growth_per_round(server: Server, load: Load) -> Iterator[int]:
    """Open all streams and lose them, again and again; give the bytes by which each round found memory grown.

    A leak grows with every round. What the allocator has to find first, which depends on the machine's load, does not.
    """
    before_bytes = 0
    for number in range(ROUNDS_MAX_COUNT):
        load.open(STREAMS_COUNT, STREAMS_COUNT)
        load.expect(items=0, streams=STREAMS_COUNT)
        memory_bytes = sum(map(private_memory_bytes, server.holding_pids()))
        if number:
            yield memory_bytes - before_bytes
        before_bytes = memory_bytes
        load.do("leave", how="fin", first=STREAMS_COUNT, count=STREAMS_COUNT)
        wait_for_held(server, 0)


def test_all_delivered_once_and_nothing_left(
    server: Server, load: Load, php_site: PhpSite, context: "zmq.Context[zmq.Socket[bytes]]"
) -> None:
    """Deliver to all, lose half in three ways, deliver to the rest, lose the rest; again, to see memory come back."""
    load.open(2 * STREAMS_COUNT, WARM_UP_COUNT)
    load.do("leave", how="fin", first=2 * STREAMS_COUNT, count=WARM_UP_COUNT)
    wait_for_held(server, 0)
    fds_before = sum(fds(server, php_site))
    watch = SubscriptionWatch(context, server.sub_port)
    push = context.socket(zmq.PUSH)
    push.setsockopt(zmq.SNDHWM, 0)
    push.connect(f"tcp://127.0.0.1:{server.push_port}")

    load.open(0, STREAMS_COUNT)
    watch.wait_for_count(STREAMS_COUNT, 30.0)
    for item in range(2):
        push_item(push, item)
    load.expect(items=2, streams=STREAMS_COUNT)
    assert all(count > STREAMS_COUNT // 4 for count in held(server)), "the kernel shares the connections out"

    for index, how in enumerate(("rst", "fin")):
        load.do("leave", how=how, first=index * LEAVING_COUNT, count=LEAVING_COUNT)
    left = STREAMS_COUNT - 2 * LEAVING_COUNT
    watch.wait_for_count(left, 20.0)
    wait_for_held(server, left)
    load.do("leave", how="silent", first=2 * LEAVING_COUNT, count=LEAVING_COUNT)
    assert sum(held(server)) == left, "who goes silently is not missed yet"
    for item in range(2, 4):
        push_item(push, item)
    left -= LEAVING_COUNT
    load.expect(items=4, streams=left)
    watch.wait_for_count(left, 20.0)
    wait_for_held(server, left)

    load.do("leave", how="fin", first=3 * LEAVING_COUNT, count=left)
    watch.wait_for_count(0, 20.0)
    wait_for_fds(server, php_site, fds_before)
    assert any(grown_bytes < LEAK_BYTES for grown_bytes in growth_per_round(server, load))
