"""The command socket: a REQ client gets its reply, and its items get on the bus."""

from dataclasses import replace

import zmq

from gripproxy.bus.command_socket import open_command_socket
from gripproxy.protocol.tnetstring import decode, encode
from gripproxy.scoreboard import Field
from gripproxy.settings import Settings
from tests.bus.bench import BusBench


def test_requests_are_answered_and_garbage_is_not(bench: BusBench) -> None:
    """A client that sends garbage waits for ever, as with the reference; the next client is served."""
    row, outlet = bench.scoreboard.row(0), bench.outlet()
    settings = replace(Settings(), command_spec=f"ipc://{bench.directory}/command")
    intake = bench.intake(outlet)
    recovered: list[bool] = []
    command_socket = open_command_socket(
        bench.loop, bench.zmq_context, settings, outlet, intake, lambda: recovered.append(True)
    )
    bench.opened.callback(command_socket.close)
    dealer = bench.socket(zmq.DEALER)
    dealer.connect(f"ipc://{bench.directory}/command")
    item = {"channel": "c", "http-stream": {"content": "x"}}
    dealer.send(b"no envelope")
    dealer.send_multipart([b"", b"two", b"frames"])
    dealer.send_multipart([b"", b"garbage"])
    dealer.send_multipart([b"", encode({"method": "publish", "id": "1", "args": {"items": [item]}})])
    bench.run_until(lambda: bool(dealer.poll(0)))
    empty, reply = dealer.recv_multipart()
    assert empty == b""
    assert decode(reply) == {"id": b"1", "success": True, "value": None}
    assert row[Field.ITEMS_SENT] == 1
    assert not dealer.poll(0)
    assert not recovered
    dealer.send_multipart([b"", encode({"method": "recover", "id": "2"})])
    bench.run_until(lambda: bool(dealer.poll(0)))
    assert decode(dealer.recv_multipart()[1]) == {"id": b"2", "success": True, "value": None}
    assert recovered
