"""Commands over HTTP, and what is done about those that come by either way."""

import asyncio

import orjson
import pytest

from gripproxy.bus.command_request import CommandResult
from gripproxy.bus.commands import Commands
from gripproxy.bus.conn_check import ConnCheck
from gripproxy.bus.control_answer import ControlAnswer
from gripproxy.bus.control_request import ControlRequest
from gripproxy.bus.control_routes import ControlRoutes
from gripproxy.protocol.connection_id import ConnectionIds
from gripproxy.protocol.telemetry import LiveConnsRecord
from gripproxy.scoreboard import Field
from gripproxy.settings import Settings
from tests.bus.bench import BusBench

URIS = {
    "command": "tcp://127.0.0.1:5563",
    "publish-pull": "tcp://127.0.0.1:5560",
    "publish-sub": "tcp://127.0.0.1:5562",
}
ITEM = {"channel": "c", "http-stream": {"content": "x"}}


class Desk:
    """Commands with all that they act on; worker 0 is there."""

    def __init__(self, bench: BusBench) -> None:
        self.bench = bench
        self.recovered = 0
        outlet = bench.outlet()
        self.check = ConnCheck(bench.loop, outlet, lambda worker_index: worker_index == 0)
        bench.opened.callback(self.check.close)
        self.refreshed: list[str] = []
        self.commands = Commands(
            bench.loop, Settings(), bench.intake(outlet), self._recover, self.refreshed.append, self.check
        )
        self.routes = ControlRoutes(lambda request: ControlAnswer(404, b"Not Found\n"))
        self.commands.register(self.routes)

    def _recover(self) -> None:
        self.recovered += 1

    def run(self, method: str, args: dict[str, object]) -> list[CommandResult]:
        results: list[CommandResult] = []
        self.commands.run(method, args, results.append)
        return results

    def start(self, method: bytes, path: bytes, body: bytes = b"") -> "asyncio.Future[ControlAnswer]":
        response = self.routes.respond(ControlRequest(method, path, None, body))
        assert isinstance(response, asyncio.Future)
        return response

    def ask(self, method: bytes, path: bytes, body: bytes = b"") -> tuple[int, object]:
        answer = self.bench.run(self.start(method, path, body))
        assert answer.content_type == b"application/json"
        assert answer.body.endswith(b"\n")
        return answer.status, orjson.loads(answer.body)


@pytest.fixture
def desk(bench: BusBench) -> Desk:
    return Desk(bench)


def test_publishing_counts_and_recovering_recovers(bench: BusBench, desk: Desk) -> None:
    """The reply comes at once: it says that the items are taken, not that they are delivered."""
    row = bench.scoreboard.row(0)
    assert desk.run("publish", {"items": [ITEM, ITEM]}) == [CommandResult()]
    [refusal] = desk.run("publish", {"items": [ITEM, {}]})
    assert refusal.condition == "bad-request"
    assert desk.recovered == 0
    assert desk.run("recover", {}) == [CommandResult()]
    assert desk.recovered == 1
    bench.turn()
    counts = [row[field] for field in (Field.ITEMS_COMMAND, Field.ITEMS_SENT, Field.ITEMS_REFUSED)]
    assert counts == [3, 2, 1]


def test_addresses_over_http(desk: Desk) -> None:
    """As the command socket's reply, but JSON."""
    assert desk.ask(b"GET", b"/get-zmq-uris") == (200, {"success": True, "value": URIS})


BAD_REFRESH = {
    "success": False,
    "condition": "bad-request",
    "value": 'The body must be {"channel":NAME} or {"cid":ID}.',
}


@pytest.mark.parametrize(
    ("body", "status", "reply"),
    [
        (b'{"channel":"c"}', 200, {"success": True, "value": None}),
        (b'{"cid":"0-1-1"}', 404, {"success": False, "condition": "item-not-found"}),
        (b'{"cid":null}', 400, BAD_REFRESH),
        (b"{}", 400, BAD_REFRESH),
        (b"", 400, BAD_REFRESH),
        (b"[]", 400, BAD_REFRESH),
        (b"nonsense", 400, BAD_REFRESH),
    ],
)
def test_refresh_over_http(desk: Desk, body: bytes, status: int, reply: object) -> None:
    """The arguments are the body; a slash at the path's end is as good as none."""
    assert desk.ask(b"POST", b"/refresh/", body) == (status, reply)
    assert desk.refreshed == (["c"] if status == 200 else [])


SOCKET_ID = ConnectionIds(0, 7).encode(5, 6)


@pytest.mark.parametrize(
    ("live", "status", "reply"),
    [
        ([SOCKET_ID], 200, {"success": True, "value": None}),
        ([], 404, {"success": False, "condition": "item-not-found"}),
    ],
)
def test_refresh_of_a_connection_waits_for_its_worker(desk: Desk, live: list[str], status: int, reply: object) -> None:
    """Only there it is known whether the id is a WebSocket's still."""
    answer = desk.start(b"POST", b"/refresh", orjson.dumps({"cid": SOCKET_ID}))
    assert not answer.done()
    [query] = desk.check._questions
    desk.check.on_record(LiveConnsRecord(0, query, live))
    assert (answer.result().status, orjson.loads(answer.result().body)) == (status, reply)


def test_refresh_says_when_it_cannot_be_found_out(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gripproxy.bus.conn_check.TIMEOUT_S", 0.05)
    reply = {"success": False, "condition": "proxy-request-failed"}
    assert desk.ask(b"POST", b"/refresh", orjson.dumps({"cid": SOCKET_ID})) == (503, reply)
    assert desk.ask(b"POST", b"/refresh", orjson.dumps({"cid": ConnectionIds(3, 7).encode(5, 6)}))[0] == 404


def test_conncheck_over_http_waits_for_the_workers(desk: Desk) -> None:
    """The answer comes when they have answered."""
    answer = desk.start(b"POST", b"/conncheck", b'{"ids":["0-1-1","0-2-2","5-1-1"]}')
    assert not answer.done()
    [query] = desk.check._questions
    desk.check.on_record(LiveConnsRecord(0, query, ["0-2-2"]))
    assert orjson.loads(answer.result().body) == {"success": True, "value": ["0-2-2"]}
    assert desk.ask(b"POST", b"/conncheck", b'{"ids":[]}') == (200, {"success": True, "value": []})
    refusal = {"success": False, "condition": "bad-request", "value": 'The body must be {"ids":[ID,...]}.'}
    assert desk.ask(b"POST", b"/conncheck", b'{"ids":"0-1-1"}') == (400, refusal)


def test_conncheck_says_when_it_cannot_be_found_out(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker hangs: a client may ask again."""
    monkeypatch.setattr("gripproxy.bus.conn_check.TIMEOUT_S", 0.05)
    reply = {"success": False, "condition": "proxy-request-failed"}
    assert desk.ask(b"POST", b"/conncheck", b'{"ids":["0-1-1"]}') == (503, reply)


def test_client_that_left_before_the_answer_is_not_answered(desk: Desk) -> None:
    """The control server cancels what it waits for."""
    answer = desk.start(b"POST", b"/conncheck", b'{"ids":["0-1-1"]}')
    answer.cancel()
    [query] = desk.check._questions
    desk.check.on_record(LiveConnsRecord(0, query, ["0-1-1"]))
    assert answer.cancelled()


@pytest.mark.parametrize(
    ("method", "path"), [(b"POST", b"/get-zmq-uris"), (b"GET", b"/refresh"), (b"PUT", b"/conncheck")]
)
def test_other_methods_are_not_allowed(desk: Desk, method: bytes, path: bytes) -> None:
    """A GET changes nothing."""
    answer = desk.routes.respond(ControlRequest(method, path, None, b"{}"))
    assert isinstance(answer, ControlAnswer)
    assert answer.status == 405
