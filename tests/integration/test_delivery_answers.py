"""``POST /publish?wait=delivered``: what a publisher learns, with real clients on several workers."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import StartServer
from tests.integration.deadline import wait_until
from tests.integration.origin import ScriptedOrigin, answer
from tests.integration.raw_client import RawClient
from tests.integration.server import Server, ServerPlan, post

pytestmark = pytest.mark.gripproxy_only

CHANNEL = "Grip-Channel: news"
STREAM = answer("200 OK", "Content-Type: text/plain", "Grip-Hold: stream", CHANNEL, body=b"hi\n")
OTHER = answer("200 OK", "Content-Type: text/plain", "Grip-Hold: stream", "Grip-Channel: other", body=b"hi\n")
FILTERED = answer(
    "200 OK", "Content-Type: text/plain", "Grip-Hold: stream", f"{CHANNEL}; filter=skip-self", "Grip-Set-Meta: user=me",
    body=b"hi\n",
)  # fmt: skip
POLL = answer("200 OK", "Content-Type: text/plain", "Grip-Hold: response", CHANNEL, "Grip-Timeout: 60")


@pytest.fixture
def origin() -> Iterator[ScriptedOrigin]:
    origin = ScriptedOrigin()
    origin.start()
    origin.play({"/stream": [STREAM], "/other": [OTHER], "/filtered": [FILTERED], "/poll": [POLL]})
    yield origin
    origin.stop()


def start(start_server: StartServer, origin: ScriptedOrigin, workers: int = 2) -> Server:
    handler = {"update_on_first_subscription": "false"}
    return start_server(
        ServerPlan(routes=[f"* 127.0.0.1:{origin.port}"], workers=workers, sections={"handler": handler})
    )


def hold(server: Server, target: str) -> RawClient:
    client = RawClient(server.http_port)
    client.get(target)
    client.receive_until(b"hi\n")
    return client


def publish(server: Server, *items: dict[str, Any], timeout_s: float = 10.0) -> list[dict[str, Any]]:
    body = json.dumps({"items": items}).encode()
    status, answer_body = post(server.control_port, body, f"/publish/?wait=delivered&timeout={timeout_s:g}")
    assert status == 200, answer_body
    found: list[dict[str, Any]] = json.loads(answer_body)["items"]
    return found


def item(channel: str = "news", **fields: object) -> dict[str, Any]:
    return {"channel": channel, "http-stream": {"content": "x\n"}, "http-response": {"body": "x\n"}, **fields}


def fate(receivers: int, delivered: int, filtered: int = 0, outcome: str = "sent") -> dict[str, Any]:
    counts = {"receivers": receivers, "delivered": delivered, "filtered": filtered, "dropped": 0}
    return {"channel": "news", **counts, "outcome": outcome}


def test_publisher_learns_whom_each_item_reached(start_server: StartServer, origin: ScriptedOrigin) -> None:
    """Clients of all workers; those that filters spare; and nobody."""
    server = start(start_server, origin)
    clients = [hold(server, "/stream") for _ in range(8)] + [hold(server, "/filtered") for _ in range(2)]
    [nobody, found] = publish(server, item("other"), item(meta={"sender": "me"}))
    assert (nobody["channel"], nobody["receivers"], nobody["outcome"]) == ("other", 0, "sent")
    assert found == fate(10, 8, 2)
    for client in clients[:8]:
        client.receive_until(b"x\n")
    for client in clients:
        client.close()
    wait_until(lambda: publish(server, item())[0]["receivers"] == 0, "all who left are gone")


def test_long_polls_are_receivers_too(start_server: StartServer, origin: ScriptedOrigin) -> None:
    """Each once, however soon after its request; and a repeated id reaches nobody."""
    server = start(start_server, origin)
    polls = [RawClient(server.http_port) for _ in range(3)]
    for client in polls:
        client.get("/poll")
    reached: list[int] = []

    def have_all_been_reached() -> bool:
        [found] = publish(server, item(id=f"n{len(reached)}"))
        assert (found["delivered"], found["outcome"]) == (found["receivers"], "sent")
        reached.append(found["receivers"])
        return sum(reached) == 3

    wait_until(have_all_been_reached, "all are reached")
    for client in polls:
        client.receive_until(b"x\n")
        client.close()
    assert publish(server, item(id="n0")) == [fate(0, 0, outcome="duplicate")]


def test_hung_worker_costs_the_timeout_and_a_dead_one_nothing(
    start_server: StartServer, origin: ScriptedOrigin
) -> None:
    """The item is taken in any case; only its fate is not known."""
    server = start(start_server, origin, workers=1)
    client = hold(server, "/stream")
    [worker_pid] = server.child_pids("gripproxy: worker")
    os.kill(worker_pid, signal.SIGSTOP)
    assert publish(server, item(), timeout_s=0.2) == [fate(0, 0, outcome="timeout")]
    answers: list[list[dict[str, Any]]] = []
    waiter = threading.Thread(target=lambda: answers.append(publish(server, item(), timeout_s=20)))
    waiter.start()
    os.kill(worker_pid, signal.SIGKILL)
    waiter.join(15)
    # "sent" if its end was noticed before the item came: then there was nobody to ask.
    assert answers[0] in ([fate(0, 0, outcome="incomplete")], [fate(0, 0)])
    client.close()


def test_what_became_of_a_killed_hubs_item_is_not_taken_for_another(
    start_server: StartServer, origin: ScriptedOrigin
) -> None:
    """Its clients get it slowly; meanwhile the next hub begins to count items anew."""
    handler = {"update_on_first_subscription": "false", "message_rate": 1}
    plan = ServerPlan(routes=[f"* 127.0.0.1:{origin.port}"], workers=1, sections={"handler": handler})
    server = start_server(plan)
    clients = [hold(server, "/stream") for _ in range(5)] + [hold(server, "/other")]
    assert publish(server, item(), timeout_s=0)[0]["outcome"] == "timeout"
    clients[0].receive_until(b"x\n")
    [hub_pid] = server.child_pids("gripproxy: hub")
    os.kill(hub_pid, signal.SIGKILL)
    wait_until(lambda: server.child_pids("gripproxy: hub") not in ([hub_pid], []), "there is another hub")
    wait_until(server.is_serving, "it serves")
    [found] = publish(server, item("other"), timeout_s=20)
    assert (found["receivers"], found["outcome"]) == (1, "sent")
    for client in clients:
        client.close()
