"""The command socket: a REQ client gets its reply, and its items get on the bus."""

from dataclasses import dataclass, replace

import pytest
import zmq

from gripproxy.bus.command_socket import open_command_socket
from gripproxy.bus.commands import Commands
from gripproxy.bus.conn_check import ConnCheck
from gripproxy.protocol.telemetry import LiveConnsRecord
from gripproxy.protocol.tnetstring import decode, encode
from gripproxy.scoreboard import Field
from gripproxy.settings import Settings
from tests.bus.bench import BusBench

DONE = {"success": True, "value": None}
ITEM = {"channel": "c", "http-stream": {"content": "x"}}


@dataclass(slots=True)
class Client:
    """A client that frames its requests as it likes."""

    bench: BusBench
    dealer: "zmq.Socket[bytes]"
    check: ConnCheck

    def send(self, *frames: bytes) -> None:
        self.dealer.send_multipart(frames)

    def ask(self, **fields: object) -> None:
        self.send(b"", encode(fields))

    def reply(self, *envelope: bytes) -> object:
        self.bench.run_until(lambda: bool(self.dealer.poll(0)))
        *received, body = self.dealer.recv_multipart()
        assert received == list(envelope or (b"",))
        return decode(body)


@pytest.fixture
def client(bench: BusBench) -> Client:
    """A client of a hub with one worker."""
    settings = replace(Settings(), command_spec=f"ipc://{bench.directory}/command")
    outlet = bench.outlet()
    check = ConnCheck(bench.loop, outlet, lambda worker_index: worker_index == 0)
    bench.opened.callback(check.close)
    commands = Commands(bench.loop, settings, bench.intake(outlet), lambda: None, lambda channel: None, check)
    bench.opened.callback(open_command_socket(bench.loop, bench.zmq_context, settings, outlet, commands).close)
    dealer = bench.socket(zmq.DEALER)
    dealer.connect(f"ipc://{bench.directory}/command")
    return Client(bench, dealer, check)


def test_requests_are_answered_and_garbage_is_not(bench: BusBench, client: Client) -> None:
    """A client that sends garbage waits for ever, as with the reference; the next request is served."""
    request = encode({"method": "recover"})
    client.send(b"no envelope")
    client.send(b"", b"two", b"frames")
    client.send(b"", request, request)
    client.send(b"", b"garbage")
    client.send(b"", b"")
    client.send(b"", b"T" + request)
    client.ask(method="publish", id="1", args={"items": [ITEM]})
    assert client.reply() == DONE | {"id": b"1"}
    assert bench.scoreboard.row(0)[Field.ITEMS_SENT] == 1
    assert not client.dealer.poll(0)


def test_envelope_comes_back_as_it_was(client: Client) -> None:
    """A request may come through routers of the client's own. Empty frames around the body count for nothing."""
    request = encode({"method": "recover"})
    client.send(b"a", b"b", b"", request)
    assert client.reply(b"a", b"b", b"") == DONE
    client.send(b"", b"", request, b"")
    assert client.reply() == DONE


def test_reply_that_comes_later_finds_its_client(client: Client) -> None:
    """Others are served meanwhile."""
    client.ask(method="conncheck", id="slow", args={"ids": ["0-1-1", "0-2-2"]})
    client.ask(method="recover", id="fast")
    assert client.reply() == DONE | {"id": b"fast"}
    [query] = client.check._questions
    client.check.on_record(LiveConnsRecord(0, query, ["0-2-2"]))
    assert client.reply() == {"success": True, "value": [b"0-2-2"], "id": b"slow"}
    client.ask(method="recover", id="next")
    assert client.reply() == DONE | {"id": b"next"}
