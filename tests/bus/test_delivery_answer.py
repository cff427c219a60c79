"""A publisher who waits is told whom each of his items reached, and never waits for ever."""

import asyncio
import json
from collections.abc import Awaitable
from typing import Any

import pytest
import zmq

from gripproxy.bus import delivery_answer
from gripproxy.bus.control_answer import ControlAnswer
from gripproxy.bus.control_request import ControlRequest, ControlRequestError
from gripproxy.bus.control_routes import ControlRoutes
from gripproxy.bus.delivery_answer import DeliveryAnswers
from gripproxy.bus.worker_notice import ALL_ITEMS, SUBSCRIBE, encode_join_topic
from gripproxy.protocol.bus_message import ITEMS, decode_message
from gripproxy.protocol.receipt import receipt_number
from gripproxy.protocol.telemetry import ReceiptRecord
from gripproxy.scoreboard import Field
from tests.bus.bench import BusBench


class Publisher:
    """Posts items to a hub with one worker, whose answers the test gives."""

    def __init__(self, bench: BusBench, is_worker_there: bool = True) -> None:
        self.bench = bench
        self.row = bench.scoreboard.row(0)
        self.hub = bench.hub()
        self.routes = ControlRoutes(lambda _: ControlAnswer(404, b"not waiting"))
        DeliveryAnswers(bench.loop, self.hub.outlet, self.hub.intake).register(self.routes)
        if is_worker_there:
            self.worker = bench.socket(zmq.XSUB)
            self.worker.setsockopt(zmq.RCVTIMEO, 10_000)
            self.worker.connect(f"ipc://{bench.bus_path}")
            self.worker.send(SUBSCRIBE + ALL_ITEMS)
            self.worker.send(SUBSCRIBE + encode_join_topic(0, 5))
            bench.run_until(lambda: len(self.hub.outlet.joined) == 1)

    def post(self, *items: dict[str, Any], query: bytes = b"wait=delivered") -> "asyncio.Future[ControlAnswer]":
        body = json.dumps({"items": items}).encode()
        response = self.routes.respond(ControlRequest(b"POST", b"/publish/?" + query, None, body))
        if isinstance(response, ControlAnswer):
            done: asyncio.Future[ControlAnswer] = self.bench.loop.create_future()
            done.set_result(response)
            return done
        assert isinstance(response, Awaitable)
        future = asyncio.ensure_future(response, loop=self.bench.loop)
        self.bench.turn()
        return future

    def items_of(self, future: "asyncio.Future[ControlAnswer]") -> list[dict[str, Any]]:
        answer = self.bench.run(future)
        assert (answer.status, answer.content_type) == (200, b"application/json")
        fields = json.loads(answer.body)
        assert fields["message"] == "Published"
        items: list[dict[str, Any]] = fields["items"]
        return items

    def answer(self, sequence: int, *counts: int) -> None:
        number = receipt_number(self.hub.outlet.epoch, sequence)
        self.hub.receipts.take(ReceiptRecord(0, number, *counts))


def item(channel: str, **fields: str) -> dict[str, Any]:
    return {"channel": channel, "http-stream": {"content": "x"}, **fields}


def fate(channel: str, outcome: str, delivered: int = 0, filtered: int = 0, dropped: int = 0) -> dict[str, Any]:
    counts = {"delivered": delivered, "filtered": filtered, "dropped": dropped}
    return {"channel": channel, "receivers": sum(counts.values()), **counts, "outcome": outcome}


def test_answer_says_whom_each_item_reached(bench: BusBench) -> None:
    """In the order of the items."""
    publisher = Publisher(bench)
    future = publisher.post(item("a"), item("b"))
    publisher.answer(0, 0, 6, 0, 3, 2, 1)
    bench.turn()
    assert not future.done()
    publisher.answer(1, 0, 0, 0, 0, 0, 0)
    assert publisher.items_of(future) == [fate("a", "sent", 3, 2, 1), fate("b", "sent")]
    assert publisher.row[Field.ITEMS_HTTP] == 2


def test_workers_are_asked_about_these_items_only(bench: BusBench) -> None:
    """Those of other publishers cost what they cost before."""
    publisher = Publisher(bench)
    publisher.hub.intake.accept_contents(["other"], [b"x"])
    publisher.post(item("a"))
    messages = [decode_message(publisher.worker.recv())]
    while messages[-1].kind != ITEMS:
        messages.append(decode_message(publisher.worker.recv()))
    assert (messages[-1].channels, list(messages[-1].asked)) == (["other", "a"], [1])
    assert len(publisher.hub.receipts) == 1


def test_item_that_goes_nowhere_is_known_at_once(bench: BusBench) -> None:
    """A repeated id, and a place in the order that is taken."""
    publisher = Publisher(bench, is_worker_there=False)
    publisher.hub.subscribed.change(0, ["a"], [])
    first = publisher.post(item("a", id="1"))
    assert publisher.items_of(first) == [fate("a", "sent")]
    publisher.hub.intake.accept_asked([], Field.ITEMS_HTTP)
    again = publisher.post(
        item("a", id="1"),
        item("a", id="4", **{"prev-id": "3"}),
        item("a", id="5", **{"prev-id": "3"}),
        query=b"wait=delivered&timeout=0.01",
    )
    assert [each["outcome"] for each in publisher.items_of(again)] == ["duplicate", "waiting", "unordered"]


def test_parked_item_is_waited_for(bench: BusBench) -> None:
    """Its predecessor may come in time."""
    publisher = Publisher(bench, is_worker_there=False)
    publisher.hub.subscribed.change(0, ["a"], [])
    publisher.items_of(publisher.post(item("a", id="1")))
    future = publisher.post(item("a", id="3", **{"prev-id": "2"}))
    assert not future.done()
    publisher.post(item("a", id="2", **{"prev-id": "1"}))
    assert publisher.items_of(future) == [fate("a", "sent")]


def test_silent_worker_is_waited_for_until_the_timeout(bench: BusBench) -> None:
    """The item is out all the same, and other items' figures are whole."""
    publisher = Publisher(bench)
    future = publisher.post(item("a"), item("b"), query=b"wait=delivered&timeout=0.02")
    publisher.answer(1, 0, 2, 0, 2, 0, 0)
    assert publisher.items_of(future) == [fate("a", "timeout"), fate("b", "sent", 2)]


def test_worker_that_dies_ends_the_waiting(bench: BusBench) -> None:
    """What it had delivered nobody knows."""
    publisher = Publisher(bench)
    future = publisher.post(item("a"))
    publisher.worker.close(0)
    assert publisher.items_of(future) == [fate("a", "incomplete")]


def test_bad_requests_publish_nothing(bench: BusBench) -> None:
    """As without waiting; and a query that is not understood is not passed over."""
    publisher = Publisher(bench)
    assert bench.run(publisher.post({"http-stream": {}})).status == 400
    waits = (b"sent", b"'sent'"), (b"delivered&wait=delivered", b"'delivered,delivered'"), (b"%0a", b"'\\n'")
    for text, shown in waits:
        answer = bench.run(publisher.post(item("a"), query=b"wait=" + text))
        assert (answer.status, answer.body) == (400, b"wait must be delivered, not " + shown + b".\n")
    for text in (b"-1", b"21", b"x", b"nan", b"inf", b""):
        answer = bench.run(publisher.post(item("a"), query=b"wait=delivered&timeout=" + text))
        wanted = b"timeout must be a number of seconds from 0 to 20"
        assert (answer.status, answer.body) == (400, wanted + b", not '" + text + b"'.\n")
    assert (publisher.row[Field.ITEMS_RECEIVED], publisher.row[Field.ITEMS_REFUSED]) == (1, 1)
    request = ControlRequest(b"GET", b"/publish?wait=delivered", None, b"")
    answer = publisher.routes.respond(request)
    assert isinstance(answer, ControlAnswer) and answer.status == 405


def test_those_who_wait_are_bounded(bench: BusBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control port is for other publishers too."""
    monkeypatch.setattr(delivery_answer, "WAITING_MAX_COUNT", 1)
    publisher = Publisher(bench)
    future = publisher.post(item("a"))
    assert bench.run(publisher.post(item("a"))).status == 503
    publisher.answer(0, 0, 1, 0, 1, 0, 0)
    bench.run(future)
    assert bench.run(publisher.post(item("a"), query=b"wait=delivered&timeout=0")).status == 200


def test_query_without_wait_is_another_path(bench: BusBench) -> None:
    """As with the reference."""
    publisher = Publisher(bench)
    assert bench.run(publisher.post(item("a"), query=b"x=1")).body == b"not waiting"
    with pytest.raises(ControlRequestError):
        delivery_answer._decode_query({"wait": ["delivered", "delivered"]})
